"""Write each lesson as a Jupyter notebook beside it, or check that this was done.

``python -m tutorials.notebooks`` writes ``NN_title.ipynb`` for every ``NN_title.py``; with
``--check`` it writes nothing, names the files that differ, and exits with status 1. A notebook
carries no outputs, and its bytes follow from its lesson alone: neither the machine, nor the clock,
nor the version of jupytext enters them.
"""

import argparse
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import jupytext

HERE = Path(__file__).resolve().parent
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
}
OF_JUPYTEXT = {"lines_to_next_cell", "lines_to_end_of_cell_marker", "cell_marker"}


def lessons(folder: Path = HERE) -> list[Path]:
    """List the lessons in a folder, in the order in which they are taught."""
    return sorted(folder.glob("[0-9][0-9]_*.py"))


def notebook_text(lesson: str) -> str:
    """Turn the text of a lesson in the percent format into that of a notebook.

    Parameters
    ----------
    lesson : str
        Python with ``# %%`` before each cell of code, ``# %% [markdown]`` before each of prose.

    Returns
    -------
    str
        The notebook's JSON, with sorted keys and a newline at its end.
    """
    read = jupytext.reads(lesson, fmt="py:percent")
    seen: Counter[str] = Counter()
    cells = []
    for cell in read.cells:
        found = {
            "cell_type": cell.cell_type,
            "metadata": {k: v for k, v in cell.metadata.items() if k not in OF_JUPYTEXT},
            "source": cell.source.splitlines(keepends=True),
        }
        # Named after its content: an inserted cell changes no other cell's name.
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:12]
        found["id"] = f"{digest}-{seen[digest]}" if seen[digest] else digest
        seen[digest] += 1
        if cell.cell_type == "code":
            found |= {"execution_count": None, "outputs": []}
        cells.append(found)
    whole = {"cells": cells, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def outdated(folder: Path = HERE) -> dict[Path, bytes | None]:
    """Find the notebooks that differ from their lessons.

    Parameters
    ----------
    folder : Path, optional
        Where the lessons are; by default, this one.

    Returns
    -------
    dict of Path to bytes or None
        What each of them should hold; None where there is no lesson of that name.
    """
    wanted = {
        lesson.with_suffix(".ipynb"): notebook_text(lesson.read_text("utf-8")).encode()
        for lesson in lessons(folder)
    }
    differ: dict[Path, bytes | None] = {
        path: content
        for path, content in wanted.items()
        if not path.exists() or path.read_bytes() != content
    }
    return differ | dict.fromkeys(set(folder.glob("[0-9][0-9]_*.ipynb")) - set(wanted))


def main(arguments: Sequence[str] | None = None, folder: Path = HERE) -> int:
    """Write or check the notebooks; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tutorials.notebooks", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if any differ")
    check = parser.parse_args(arguments).check
    differ = outdated(folder)
    for path, content in sorted(differ.items()):
        if check:
            print(f"{path.name}: not what its lesson says; run python -m tutorials.notebooks")
        elif content is None:
            path.unlink()
            print(f"{path.name}: removed, it has no lesson")
        else:
            path.write_bytes(content)
            print(f"{path.name}: written")
    return int(check and bool(differ))


if __name__ == "__main__":
    sys.exit(main())
