"""Lessons keep their form; the tour runs here, all the others where the site is built."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LESSONS = sorted((ROOT / "tutorials").glob("[0-9]*.py"))
PROSE = re.compile(r"^# %% \[markdown\]\n((?:#.*\n)+)", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)[^)]*\)")


@pytest.mark.parametrize("path", LESSONS[:1], ids=lambda path: path.stem)
def test_the_tour_runs_without_a_screen(path, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", str(path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def test_the_course_is_there():
    numbers = [int(path.stem[:2]) for path in LESSONS]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= 11


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_form(path):
    text = path.read_text(encoding="utf-8")
    cells = PROSE.findall(text)
    assert cells, "no prose"
    assert cells[0].startswith("# # "), "it begins with its title"
    assert "assert " in text, "it has no floor"
    imported = {
        name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([a.name for a in node.names] + [getattr(node, "module", None) or ""])
    }
    assert not any("pyplot" in name for name in imported), "visualise.new_figure draws without it"
    if path != LESSONS[0]:
        assert "What you know now" in cells[-1], "it ends with what was learned"


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_links_lead_somewhere(path):
    for target in LINK.findall("".join(PROSE.findall(path.read_text(encoding="utf-8")))):
        assert (path.parent / target).exists(), target
