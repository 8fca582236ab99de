"""A small site, built and opened in a browser; lessons that fail; links of the real lessons."""

import re

import pytest

pytest.importorskip("playwright", reason="playwright drives the browser: install minicnn[site]")
pytest.importorskip("myst_nb", reason="the site is built by Sphinx: install minicnn[site]")
pytest.importorskip("furo", reason="the site is built by Sphinx: install minicnn[site]")

from tests.site.browsing import browser, chromium, visit, watched
from tests.site.nets import drawn_net
from tutorials.notebooks import lessons
from tutorials.site.building import SiteError, build
from tutorials.site.links import LinkError, check_links
from tutorials.site.live import Live
from tutorials.site.running import ROOT, LessonError, Ran, read, run

LESSON = rf"""# %% [markdown]
# # A lesson
#
# Half a formula, $\frac{{1}}{{2}}$, and a [file]({ROOT}/minicnn/ops/pooling.py) that does it.
#
# $$\sum_i x_i = 1$$

# %%
from minicnn import visualise

figure = visualise.new_figure(3, 2)
figure.subplots().plot([1, 2, 4])
print("how", "many")
figure
"""


@pytest.fixture(scope="module")
def lesson(tmp_path_factory):
    path = tmp_path_factory.mktemp("lessons") / "01_a_lesson.py"
    path.write_text(LESSON, "utf-8")
    return path


@pytest.fixture(scope="module")
def ran(lesson):
    return run(lesson, 100)


@pytest.fixture(scope="module")
def site(ran, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "site"
    build(out, [ran], Live(drawn_net(), "Not trained."), reference=False)
    return out


def test_a_lesson_is_run_and_measured(ran):
    outputs = [output for cell in ran.notebook.cells for output in cell.get("outputs", [])]
    assert outputs[0]["text"] == "how many\n"
    assert "image/png" in outputs[-1]["data"]
    assert ran.cpu_seconds > 0
    assert 0 < ran.seconds < 100


@pytest.mark.skipif(chromium() is None, reason="no Chromium is on the path")
def test_the_site_opens_without_a_network_and_has_no_trouble(site):
    with browser() as program:
        found = visit(program, site)
        assert not found.troubles
        for page in ("index.html", "live.html", "lessons/01_a_lesson.html"):
            assert page in found.pages
        assert "source/minicnn/ops/pooling.py.html" in found.pages
        troubles = []
        with watched(program, troubles) as tab:
            tab.goto((site / "search.html").as_uri() + "?q=formula")
            tab.wait_for_selector("#search-results li a")
            tab.goto((site / "lessons" / "01_a_lesson.html").as_uri())
            assert tab.locator("mjx-container svg").count() == 2
            assert tab.locator(".cell_output img").count() == 1
        assert not troubles


def test_notebook_and_lesson_can_be_had(site):
    assert [path.name for path in site.glob("_downloads/*/*.py")] == ["01_a_lesson.py"]
    assert list(site.glob("_static/seednet.safetensors"))


def test_a_lesson_that_raises_ends_with_its_traceback(lesson):
    path = lesson.with_name("02_raises.py")
    path.write_text("# %%\nprint('so far')\n\n# %%\n1 / (2 - 2)\n", "utf-8")
    with pytest.raises(LessonError, match=r"(?s)02_raises\.py: .*ZeroDivisionError"):
        run(path, 100)


def test_a_lesson_that_takes_too_long_is_ended(lesson):
    path = lesson.with_name("03_endless.py")
    path.write_text("# %%\nimport time\n\n# %%\ntime.sleep(100)\n", "utf-8")
    with pytest.raises(LessonError, match=r"03_endless\.py: takes more than 2 s"):
        run(path, 2)


def test_a_link_to_nothing_ends_the_build(lesson, tmp_path):
    path = lesson.with_name("04_lost.py")
    path.write_text("# %% [markdown]\n# # Lost\n#\n# [gone](../gone.py)\n", "utf-8")
    with pytest.raises(LinkError, match=r"04_lost\.py: it links to \.\./gone\.py"):
        build(tmp_path / "site", [Ran(path, read(path), 0, 0)], Live(drawn_net(), ""))


def test_a_warning_of_sphinx_ends_the_build(lesson, tmp_path):
    path = lesson.with_name("05_warns.py")
    path.write_text("# %% [markdown]\n# # Warns\n#\n# {nothing}`of this kind`\n", "utf-8")
    with pytest.raises(SiteError, match="nothing"):
        build(tmp_path / "site", [Ran(path, read(path), 0, 0)], Live(drawn_net(), ""),
              reference=False)  # fmt: skip
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize("path", lessons(), ids=lambda path: path.stem)
def test_links_of_the_lessons_lead_somewhere(path):
    cells = [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]
    for text in cells:
        check_links(text, path)
        assert not re.search(r"(?<!`)\\[(\[]", text), "a formula that Jupyter does not set: use $"
    assert cells[0].startswith("# ")
