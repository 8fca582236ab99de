"""A small data set in the Kaggle layout, made of drawn signs, and the command line in-process."""

import csv

import pytest
from PIL import Image

from minicnn.data.signs import make_signs
from minicnn.train import main


@pytest.fixture(scope="session")
def archive(tmp_path_factory):
    """43 classes, 2 tracks each, 3 frames each: 258 PNG files and Train.csv."""
    folder = tmp_path_factory.mktemp("signs")
    table = make_signs(tracks_per_class=2, frames=3, size=20, cache=False)
    with open(folder / "Train.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(
            ["Width", "Height", "Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2", "ClassId", "Path"]
        )
        for i, (image, label) in enumerate(zip(table.images, table.labels, strict=True)):
            path = f"Train/{label}/{label:05}_{i // 3 % 2:05}_{i % 3:05}.png"
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / path)
            rows.writerow([20, 20, 1, 1, 18, 18, label, path])
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Keep the user's cache out of the tests, and the tests out of it."""
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path_factory.getbasetemp() / "image-cache"))


@pytest.fixture
def command(capsys):
    """Run the command line in this process; return status, standard output, standard error."""

    def run(*words, app="gtsrb"):
        try:
            status = main([app, *map(str, words)])
        except SystemExit as exit_:
            status = exit_.code
        out, err = capsys.readouterr()
        return status, out, err

    return run


@pytest.fixture
def detect(command):
    """Run the command line of detection in this process, as `command` does."""

    def run(*words):
        return command(*words, app="detect")

    return run


@pytest.fixture
def segment(command):
    """Run the command line of segmentation in this process, as `command` does."""

    def run(*words):
        return command(*words, app="segment")

    return run
