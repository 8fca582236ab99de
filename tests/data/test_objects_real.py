"""What is known of the real sets holds; skipped where they are not."""

import os
from pathlib import Path

import numpy as np
import pytest

from minicnn.data.objects import fit_all, in_groups, load_objects, train_and_val
from minicnn.errors import DataError


def there(variable, name):
    folder = os.environ.get(variable)
    if not folder:
        pytest.skip(f"real images needed: set {variable} to the folder with {name}, or to the file")
    path = Path(folder)
    path = path / name if path.is_dir() else path
    if not path.exists():
        pytest.skip(f"{variable} has no {name}")
    return path


def test_blood_cells():
    path = there("MINICNN_BCCD", "bccd-train-val.zip")
    with pytest.raises(DataError, match=r"00338\.xml object 13: .*has no area; mend it, or skip"):
        load_objects(path)
    train, val = train_and_val(load_objects(path, "voc", skip_bad=True))
    assert (len(train), len(val)) == (205, 87)
    assert train.names == ("Platelets", "RBC", "WBC")
    assert train.counts().tolist() == [209, 2381, 214]
    assert val.counts().tolist() == [83, 967, 87]
    assert [reason for _, reason in train.faults] == [
        "box from (504, 337) to (504, 337) has no area",
        "box from (181, 329) to (181, 329) has no area",
    ]
    boxes = np.concatenate([note.boxes for note in train.annotations])
    assert boxes[:, :2].min() == 0  # from the first pixel
    assert boxes.max(axis=0)[2:].tolist() == [480, 640]  # to the last
    fitted = fit_all(val, (120, 160), cache=None)
    assert fitted.images.shape == (87, 120, 160, 3)
    # White cells are stained: their nuclei are darker than the picture around them
    inside = [
        example.image[int(y0) : int(y1), int(x0) : int(x1), 1].mean() - example.image[..., 1].mean()
        for example in fitted
        for (y0, x0, y1, x1), label in zip(example.boxes, example.classes, strict=True)
        if label == 2
    ]
    assert np.mean(np.array(inside) < 0) > 0.9


def test_street_scenes():
    parts = load_objects(there("MINICNN_GTSDB", "gtsdb-train-half.zip"))
    assert parts.keys() == {"train"}
    signs = parts["train"]
    assert len(signs) == 600
    assert sum(len(note.boxes) for note in signs.annotations) == 852
    assert sum(not len(note.boxes) for note in signs.annotations) == 94
    assert np.unique(signs.sizes, axis=0).tolist() == [[400, 680]]
    assert in_groups(signs).counts().tolist() == [396, 156, 114, 186]
    assert not signs.faults
    assert signs.annotations[0].boxes.tolist() == [[206, 387, 223.5, 408.5]]
    train, val = train_and_val(parts)
    assert (len(train), len(val)) == (480, 120)
    assert train[0].image.shape == (400, 680, 3)
