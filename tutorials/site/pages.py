"""The pages that Sphinx reads: lessons with their outputs, exercises, and the way to them."""

from __future__ import annotations

import importlib
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import nbformat

from minicnn.exercises import Exercise
from tutorials.site.links import Links
from tutorials.site.live import Live, write_live
from tutorials.site.reference import write_reference
from tutorials.site.running import ROOT, Ran

HERE = Path(__file__).resolve().parent
_LINK = re.compile(r"\[([^]]+)\]\([^)]*\)")
ALT = "The picture that the cell above draws; the text around it says what to notice."


def opening(ran: Ran) -> tuple[str, str]:
    """Return the heading of a lesson and the paragraph below it."""
    first = next((c.source for c in ran.notebook.cells if c.cell_type == "markdown"), "")
    heading, _, rest = first.partition("\n\n")
    summary = _LINK.sub(r"\1", rest.split("\n\n")[0].replace("\n", " "))
    return heading.removeprefix("# ").split("\n")[0] or ran.path.stem, summary


def write_pages(
    folder: Path, ran: Sequence[Ran], gallery: Ran | None, live: Live, reference: bool = True
) -> None:
    """Write all pages.

    Parameters
    ----------
    folder : Path
        An empty folder.
    ran : sequence of Ran
        The lessons.
    gallery : Ran, optional
        The gallery.
    live : Live
        The network of the live page.
    reference : bool, default True
        Whether to write the reference, too.

    Raises
    ------
    LinkError
        If a lesson links to what is not there.
    """
    pages = {each.path: f"lessons/{each.path.stem}.ipynb" for each in ran}
    if gallery is not None:
        pages[gallery.path] = "gallery.ipynb"
    links = Links(folder, pages)
    for each in [*ran, *filter(None, [gallery])]:
        _write_lesson(folder, each, links)
    write_live(folder, live, links)
    links.write()
    exercises = _write_exercises(folder, ran)
    homes = write_reference(folder / "reference") if reference else {}
    (folder / "homes.json").write_text(json.dumps(homes), "utf-8")
    more = ["live"]
    more += ["exercises"] if exercises else []
    more += ["gallery"] if gallery is not None else []
    more += ["reference/index"] if reference else []
    _write_index(folder, ran, more)


def _write_lesson(folder: Path, ran: Ran, links: Links) -> None:
    page = links.lessons[ran.path]
    notebook = nbformat.from_dict(ran.notebook)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = links.rewrite(cell.source, ran.path, page)
        else:
            cell.metadata.setdefault("mystnb", {"image": {"alt": ALT}})
    downloads = (folder / page).parent / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    for name in (ran.path.name, ran.path.with_suffix(".ipynb").name):
        if (ran.path.parent / name).exists():
            shutil.copy(ran.path.parent / name, downloads)
    notebook.cells.insert(1, nbformat.v4.new_markdown_cell(_facts(ran, downloads)))
    nbformat.write(notebook, folder / page)


def _facts(ran: Ran, downloads: Path) -> str:
    """Return a line about a lesson: how long it runs, and how to have it."""
    facts = [f"Runs in {ran.seconds:.0f} s"] if ran.seconds else []
    for name, label in ((ran.path.name, "Python"), (f"{ran.path.stem}.ipynb", "notebook")):
        if (downloads / name).exists():
            facts.append(f"{{download}}`{label} <downloads/{name}>`")
    return "{.facts}\n" + " · ".join(facts)


def _exercises_of(lesson: Path) -> list[Exercise]:
    name = re.sub(r"^\d+_", "", lesson.stem)
    if not (ROOT / f"minicnn/exercises/{name}.py").exists():
        return []
    module = importlib.import_module(f"minicnn.exercises.{name}")
    return [each for each in vars(module).values() if isinstance(each, Exercise)]


def _write_exercises(folder: Path, ran: Sequence[Ran]) -> int:
    """Write the page of all tasks, each with its solution folded; return how many there are."""
    lines = [
        "# Exercises",
        "",
        "Every task of the lessons, with a solution below it to unfold. In a lesson,",
        "`exercise.name.check(answer)` compares your answer with the solution on cases that it",
        "draws, and names the mistake.",
        "",
    ]
    count = 0
    for each in ran:
        found = _exercises_of(each.path)
        if not found:
            continue
        count += len(found)
        lines += [f"## [{opening(each)[0]}](lessons/{each.path.stem}.ipynb)", ""]
        for exercise in found:
            lines += [f"### `{exercise.name}`", "", exercise.task, ""]
            if exercise.without:
                lines += [f"Without {', '.join(f'`{name}`' for name in exercise.without)}.", ""]
            lines += ["<details><summary>A solution</summary>", "", "```python"]
            lines += [exercise.source, "```", "", "</details>", ""]
    if count:
        (folder / "exercises.md").write_text("\n".join(lines), "utf-8")
    return count


def _write_index(folder: Path, ran: Sequence[Ran], more: Sequence[str]) -> None:
    text = (HERE / "index.md").read_text("utf-8")
    listed = []
    for each in ran:
        title, summary = opening(each)
        listed += [f"- [{title}](lessons/{each.path.stem}.ipynb)", f"  {summary}"]
    text = text.replace("LESSONS", "\n".join(listed))
    text = text.replace("PAGES", "\n".join(f"lessons/{each.path.stem}" for each in ran))
    (folder / "index.md").write_text(text.replace("MORE", "\n".join(more)), "utf-8")
