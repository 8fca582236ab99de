"""The visit of a site notices each kind of damage, and finds nothing wrong with a sound one."""

import pytest

pytest.importorskip("playwright", reason="playwright drives the browser: install minicnn[site]")

from tests.site.browsing import browser, chromium, visit

pytestmark = pytest.mark.skipif(chromium() is None, reason="no Chromium is on the path")

SOUND = """<!doctype html><meta charset=utf-8><title>A page</title>
<h1 id=top>A page</h1><a href=index.html#top>up</a><a href=https://example.org/x>away</a>
<a href=file.txt>a file</a><pre>\\frac in code is code</pre>"""
DAMAGE = {
    "link": ("<a href=gone.html>x</a>", "leads nowhere"),
    "fragment": ("<a href=index.html#gone>x</a>", "place is not on its page"),
    "outside": ("<a href=../../etc/hosts>x</a>", "leaves the site"),
    "console": ("<script>console.error('planted')</script>", "console: planted"),
    "raise": ("<script>throw Error('planted')</script>", "raises planted"),
    "late": ("<script>setTimeout(() => nothing(), 0)</script>", "nothing is not defined"),
    "script": ("<script src=gone.js></script>", "has no file:"),
    "request": ("<script src=https://example.org/x.js></script>", "asks for https://example.org"),
    "font": ("<style>@import 'http://example.org/f.css'</style>", "asks for http://example.org"),
    "fetch": ("<script>fetch('index.html').catch(() => 0)</script>", "console: "),
    "image": ("<img src=gone.png alt=x>", "has no file:"),
    "unnamed": ("<img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>", "without a description"),
    "math": ("<p>so \\(x^2\\) it is</p>", "raw text"),
    "dollars": ("<p>so $$x^2$$ it is</p>", "raw text"),
    "unset": ("<span class=math>x^2</span>", "formulas that were not set"),
    "wide": ("<p style='width: 5000px'>far", "wider than the window"),
    "headings": ("<h1>Another</h1>", "2 headings"),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    (folder / "file.txt").write_text("a file")
    (folder / "index.html").write_text(SOUND)
    (folder / "untitled.html").write_text(SOUND.replace("A page</title>", "</title>"))
    for name, (planted, _) in DAMAGE.items():
        (folder / f"{name}.html").write_text(SOUND + planted)
    with browser() as program:
        return visit(program, folder)


def test_a_sound_page_has_no_trouble(found):
    assert not [trouble for trouble in found.troubles if trouble.startswith("index.html")]
    assert len(found.pages) == len(DAMAGE) + 2


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_noticed(name, found):
    troubles = [trouble for trouble in found.troubles if trouble.startswith(f"{name}.html")]
    assert any(DAMAGE[name][1] in trouble for trouble in troubles), troubles


def test_a_missing_title_is_noticed(found):
    assert "untitled.html: no title" in found.troubles
