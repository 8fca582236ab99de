"""The benchmark of transfer, on signs of a size that takes a second."""

import json

import pytest

from benchmarks import transfer
from minicnn.apps import gtsrb
from minicnn.apps.gtsrb import Settings


def test_without_photographs_it_says_what_to_give(capsys):
    assert transfer.main([]) == 2
    err = capsys.readouterr().err
    assert "give --data PATH" in err
    assert "GTSRB_Final_Training_Images.zip" in err


def test_all_ways_are_measured_and_drawn(archive, tmp_path, monkeypatch, capsys):
    small = {"size": 16, "channels": 2, "batch_size": 32}
    drawn = Settings(str(archive), epochs=1, **small)  # a file instead of drawing, which takes long
    real = Settings(str(archive), **small)
    results = transfer.measure(drawn, real, gtsrb.load_signs(real), [1, 2], steps=4)
    assert [(r.way, r.per_class) for r in results] == [
        (transfer.FIRST, 0), *((way, n) for n in (1, 2) for way in transfer.WAYS),
    ]  # fmt: skip
    assert all(0 <= r.accuracy <= 1 for r in results)
    lines = transfer.rows(results)
    assert [line[0] for line in lines] == [*transfer.WAYS, transfer.FIRST]
    assert {len(line) for line in lines} == {3}
    transfer.draw(results, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 5000
    monkeypatch.setattr(transfer, "measure", lambda *_: results)
    assert (
        transfer.main(["--data", str(archive), "--seeds", "1", "--per-class", "1", "2", "--json"])
        == 0
    )
    assert len(json.loads(capsys.readouterr().out.splitlines()[-1])) == 9


@pytest.mark.parametrize("examples", [430, 2150, 8000])
def test_all_ways_have_about_as_many_steps(examples):
    found = set()
    for way in transfer.WAYS:
        settings = transfer.settings_for(way, Settings(), "run", examples, 400)
        found.add(settings.steps(examples))
        stages = settings.stages(examples)
        assert all(0 < step < settings.steps(examples) for step in stages)
        assert len(stages) == (3 if way == "gradual" else 0)
    assert len(found) == 1
    assert abs(found.pop() - 400) < 40
