"""What is known of CamVid holds; skipped where it is not."""

import numpy as np
from test_objects_real import there

from minicnn.data.masks import CAMVID_CLASSES, fit_masks, load_masks, mask_layout_of


def test_camvid():
    path = there("MINICNN_CAMVID", "camvid-train-val.zip")
    assert mask_layout_of(path) == "camvid"
    parts = load_masks(path)
    assert {part: len(images) for part, images in parts.items()} == {"train": 367, "val": 101}
    train = parts["train"]
    assert train.names == CAMVID_CLASSES
    assert np.unique(train.sizes, axis=0).tolist() == [[360, 480]]
    assert not train.faults
    val = parts["val"].select(np.arange(0, 101, 5))
    small = fit_masks(val, (90, 120), cache=None)
    shares = small.counts() / small.counts().sum()
    assert shares.argmax() in (CAMVID_CLASSES.index("road"), CAMVID_CLASSES.index("building"))
    np.testing.assert_allclose(shares, val.counts() / val.counts().sum(), atol=2e-3)
    rows = np.arange(90)[:, None]
    height = [(rows * (small.masks == label)).sum() / (small.masks == label).sum()
              for label in map(CAMVID_CLASSES.index, ("sky", "building", "road"))]  # fmt: skip
    assert height == sorted(height)  # the sky is above, the road below
