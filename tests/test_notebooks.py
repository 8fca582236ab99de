"""The notebooks say what the lessons say, and their bytes follow from the lessons alone."""

import ast
import json

import pytest

pytest.importorskip("jupytext", reason="jupytext writes the notebooks: install minicnn[test]")

from tutorials import notebooks

LESSON = """# %% [markdown]
# # A title
# A formula, $x^2$, and a word: naïve.

# %%
import math


# %%
def area(radius):
    return math.pi * radius**2


# %% tags=["hide-input"]
print(area(1))

# %%
print(area(1))

# %%
print(area(1))
"""


def test_every_notebook_is_what_its_lesson_says(capsys):
    assert notebooks.main(["--check"]) == 0, capsys.readouterr().out


def test_cells_keep_text_code_and_tags():
    cells = json.loads(notebooks.notebook_text(LESSON))["cells"]
    assert [cell["cell_type"] for cell in cells] == ["markdown", *["code"] * 5]
    assert "".join(cells[0]["source"]) == "# A title\nA formula, $x^2$, and a word: naïve."
    assert "".join(cells[2]["source"]) == "def area(radius):\n    return math.pi * radius**2"
    assert [cell["metadata"] for cell in cells[2:5]] == [{}, {"tags": ["hide-input"]}, {}]
    assert all(cell.get("outputs", []) == [] for cell in cells)


def test_code_of_a_lesson_is_all_there():
    for lesson in notebooks.lessons():
        cells = json.loads(notebooks.notebook_text(lesson.read_text("utf-8")))["cells"]
        code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        assert ast.dump(ast.parse(code)) == ast.dump(ast.parse(lesson.read_bytes())), lesson.name


def test_an_inserted_cell_changes_no_other_cells_name():
    before = [cell["id"] for cell in json.loads(notebooks.notebook_text(LESSON))["cells"]]
    inserted = LESSON.replace("# %%\nimport", "# %%\n1 + 1\n\n# %%\nimport")
    after = [cell["id"] for cell in json.loads(notebooks.notebook_text(inserted))["cells"]]
    assert len(set(before)) == len(before)
    assert [name for name in after if name in before] == before
    assert len(after) == len(before) + 1


def test_check_names_what_differs_and_writing_mends_it(tmp_path, capsys):
    (tmp_path / "01_one.py").write_text(LESSON, "utf-8")
    (tmp_path / "02_two.py").write_text(LESSON, "utf-8")
    (tmp_path / "03_gone.ipynb").write_text("{}", "utf-8")
    assert notebooks.main([], tmp_path) == 0
    assert sorted(path.name for path in tmp_path.glob("*.ipynb")) == [
        "01_one.ipynb",
        "02_two.ipynb",
    ]
    written = (tmp_path / "01_one.ipynb").read_bytes()
    assert notebooks.main(["--check"], tmp_path) == 0

    (tmp_path / "01_one.ipynb").write_bytes(written.replace(b"1)", b"2)"))
    (tmp_path / "03_gone.ipynb").write_text("{}", "utf-8")
    capsys.readouterr()
    assert notebooks.main(["--check"], tmp_path) == 1
    told = capsys.readouterr().out
    assert "01_one.ipynb" in told
    assert "03_gone.ipynb" in told
    assert "02_two" not in told
    notebooks.main([], tmp_path)
    assert (tmp_path / "01_one.ipynb").read_bytes() == written
