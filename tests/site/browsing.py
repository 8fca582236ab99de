"""A browser without a network, and a visit to every page of a site in it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urlsplit

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = [
    "--no-sandbox",  # as root, in a container, there is none
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--use-angle=swiftshader",  # WebGL without a graphics card
    "--enable-unsafe-swiftshader",
]
LOOK = """async () => {
  if (window.MathJax?.startup?.promise) await MathJax.startup.promise;
  const texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const above = walker.currentNode.parentElement;
    if (!above.closest("script, style, pre, code, mjx-container, title")) {
      texts.push(walker.currentNode.data);
    }
  }
  return {
    title: document.title.trim(),
    searches: Boolean(document.getElementById("search-results")),
    headings: document.querySelectorAll("h1").length,
    ids: [...document.querySelectorAll("[id]")].map((element) => element.id),
    links: [...document.querySelectorAll("a[href], area[href]")].map((element) => element.href),
    broken: [...document.images].filter((i) => i.complete && !i.naturalWidth).map((i) => i.src),
    unnamed: [...document.images].filter((i) => !i.hasAttribute("alt")).map((i) => i.src),
    wrong: [...document.querySelectorAll(
      "mjx-merror, [data-mml-node=merror], .problematic, .system-message")]
      .map((element) => element.textContent),
    wide: document.documentElement.scrollWidth > innerWidth,
    unset: document.querySelectorAll(".math:not(:has(mjx-container))").length,
    text: texts.join("\\n"),
  };
}"""
RAW = ("\\(", "\\[", "$$", "\\frac", "\\sum", "\\begin{", "{download}", "```", ":class:")


def chromium() -> str | None:
    """Return where a Chromium is; None if there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """Start Chromium, without a window and without a network, and end it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        program = driver.chromium.launch(executable_path=chromium(), args=FLAGS)
        try:
            yield program
        finally:
            program.close()


@dataclass
class Visit:
    """What was found on a site.

    Parameters
    ----------
    pages : dict of str to set of str
        By the name of a page, the fragments that one can go to.
    links : int
        How many links were followed.
    troubles : list of str
        What is wrong, a line each.
    """

    pages: dict[str, set[str]] = field(default_factory=dict)
    links: int = 0
    troubles: list[str] = field(default_factory=list)


@contextlib.contextmanager
def watched(program: Any, troubles: list[str], **options: Any) -> Iterator[Any]:
    """Open a tab that writes down errors, and requests that fail or leave the disk."""
    context = program.new_context(offline=True, **options)
    tab = context.new_page()

    def note(what: str) -> None:
        troubles.append(f"{Path(urlsplit(tab.url).path).name}: {what}")

    def look_at(request: Any) -> None:
        if urlsplit(request.url).scheme not in ("file", "data", "blob"):
            note(f"it asks for {request.url}")

    tab.on("console", lambda m: note(f"console: {m.text}") if m.type == "error" else None)
    tab.on("pageerror", lambda error: note(f"raises {error}"))
    tab.on("request", look_at)
    tab.on("requestfailed", lambda request: note(f"has no {request.url} ({request.failure})"))
    try:
        yield tab
    finally:
        context.close()


def visit(program: Any, site: Path) -> Visit:
    """Open every page of a site, and follow every link that stays on it.

    Parameters
    ----------
    program : Browser
        From `browser`.
    site : Path
        The folder, with an ``index.html``.

    Returns
    -------
    Visit
        What there is, and what is wrong.
    """
    site = site.resolve()
    found = Visit()
    wanted: dict[str, set[str]] = {}  # by target, the pages that link to it
    with watched(program, found.troubles) as tab:
        waiting = ["index.html", *sorted(str(p.relative_to(site)) for p in site.rglob("*.html"))]
        while waiting:
            name = waiting.pop(0)
            if name in found.pages:
                continue
            tab.goto((site / name).as_uri())
            seen = tab.evaluate(LOOK)
            found.pages[name] = set(seen["ids"])
            found.troubles += [f"{name}: {trouble}" for trouble in _wrong_with(seen)]
            for link in seen["links"]:
                wanted.setdefault(link, set()).add(name)
    for link, pages in sorted(wanted.items()):
        trouble = _wrong_with_link(link, site, found)
        if trouble:
            found.troubles.append(f"{', '.join(sorted(pages)[:3])}: {trouble}")
    found.links = len(wanted)
    return found


def _wrong_with(seen: dict[str, Any]) -> list[str]:
    troubles = [] if seen["title"] else ["no title"]
    if seen["headings"] != 1 and not seen["searches"]:
        troubles.append(f"{seen['headings']} headings of the first level")
    troubles += [f"a picture that cannot be shown: {source[:200]}" for source in seen["broken"]]
    troubles += [f"a picture without a description: {source[:200]}" for source in seen["unnamed"]]
    troubles += [f"wrong: {text}" for text in seen["wrong"]]
    troubles += ["wider than the window"] if seen["wide"] else []
    troubles += [f"{seen['unset']} formulas that were not set"] if seen["unset"] else []
    for mark in RAW:
        if mark in seen["text"]:
            at = seen["text"].index(mark)
            troubles.append(f"raw text {seen['text'][max(at - 30, 0) : at + 40]!r}")
    return troubles


def _wrong_with_link(link: str, site: Path, found: Visit) -> str:
    target, fragment = urldefrag(link)
    parts = urlsplit(target)
    if parts.scheme in ("http", "https", "mailto"):
        return ""  # leads away: not followed
    path = Path(unquote(parts.path))
    if parts.scheme != "file" or not path.is_relative_to(site):
        return f"a link leaves the site: {link}"
    if not path.is_file():
        return f"a link leads nowhere: {link}"
    name = str(path.relative_to(site))
    if fragment and name in found.pages and unquote(fragment) not in found.pages[name]:
        return f"a link's place is not on its page: {link}"
    return ""
