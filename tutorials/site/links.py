"""Links of the lessons: from file names in the repository to pages of the site."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from tutorials.site.running import ROOT

_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s#]+)(#[^)\s]*)?(?=\))")
_FENCED = re.compile(r"(^```.*?^```)", re.DOTALL | re.MULTILINE)
_LANGUAGES = {
    ".py": "python", ".cu": "cuda", ".cuh": "cuda", ".hpp": "cpp", ".toml": "toml",
    ".md": "markdown", ".js": "javascript",
}  # fmt: skip
_LISTED = frozenset(_LANGUAGES)


class LinkError(Exception):
    """A lesson links to what is not there."""


def check_links(text: str, place: Path) -> None:
    """Follow the links of a text in Markdown.

    Parameters
    ----------
    text : str
        The text of a cell.
    place : Path
        The file that it is in.

    Raises
    ------
    LinkError
        If there is nothing at the end of a link, or it leads out of the repository.
    """
    for prose in _FENCED.split(text)[::2]:
        for match in _LINK.finditer(prose):
            _end_of(match, place)


class Links:
    """The pages that lessons are on, and those that show what lessons link to.

    Parameters
    ----------
    folder : Path
        The folder of the pages that Sphinx reads.
    lessons : dict of Path to str
        The lessons that are on the site, and their pages.
    """

    def __init__(self, folder: Path, lessons: dict[Path, str]) -> None:
        self.folder, self.lessons = folder, lessons
        self.shown: set[Path] = set()

    def rewrite(self, text: str, place: Path, page: str) -> str:
        """Turn the links of a text in Markdown into links between pages.

        Parameters
        ----------
        text : str
            The text of a cell.
        place : Path
            The file that it is in.
        page : str
            The page that it will be on.

        Returns
        -------
        str
            The same text, its links leading to pages.

        Raises
        ------
        LinkError
            If there is nothing at the end of a link.
        """

        def follow(match: re.Match[str]) -> str:
            target = self.page_of(_end_of(match, place))
            return os.path.relpath(target, Path(page).parent) + (match[2] or "")

        parts = _FENCED.split(text)
        parts[::2] = [_LINK.sub(follow, part) for part in parts[::2]]
        return "".join(parts)

    def page_of(self, target: Path) -> str:
        """Return the page that shows a file or a folder of the repository."""
        if target.suffix == ".ipynb":
            target = target.with_suffix(".py")
        if target in self.lessons:
            return self.lessons[target]
        inside = target.relative_to(ROOT).as_posix()
        self.shown.add(target)
        if target.is_dir():
            self.shown.update(_files_in(target))
            return f"source/{inside}/index.md"
        return f"source/{inside}.md"

    def write(self) -> None:
        """Write the pages of the files and folders that were linked to."""
        for target in sorted(self.shown):
            page = self.folder / self.page_of(target)
            page.parent.mkdir(parents=True, exist_ok=True)
            inside = target.relative_to(ROOT).as_posix()
            lines = ["---", "orphan: true", "---", f"# {inside}", ""]
            if target.is_dir():
                lines += [f"- [{each.name}]({each.name}.md)" for each in _files_in(target)]
            else:
                shutil.copy(target, page.with_suffix(".copy"))  # .md itself would be a page
                language = _LANGUAGES.get(target.suffix, "text")
                lines += [f"```{{literalinclude}} {target.name}.copy", f":language: {language}"]
                lines += [":linenos:", "```"]
            page.write_text("\n".join(lines) + "\n", "utf-8")


def _end_of(match: re.Match[str], place: Path) -> Path:
    target = (place.parent / match[1]).resolve()
    if not target.exists() or not target.is_relative_to(ROOT):
        raise LinkError(f"{place.name}: it links to {match[1]}; there is no such file here")
    return target


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in _LISTED)
