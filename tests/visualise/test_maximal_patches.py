"""Maximal patches against a search through all places of all images."""

import numpy as np
import pytest

from minicnn import Tensor, nn, no_grad, ops
from minicnn.errors import ConfigError, ShapeError
from minicnn.visualise import compute_maximal_patches, maximal_patches
from tests.visualise.nets import seednet


@pytest.fixture
def net():
    return seednet()


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(size=(70, 3, 12, 16))  # more than one batch


def block2(net, images):
    with nn.evaluating(), no_grad():
        return net.block2[0](net.pool1(net.block1(Tensor(images)))).numpy()


def test_they_are_those_of_a_search_through_all_places(net, images):
    found = compute_maximal_patches(net, images, "block2.0", channels=[5, 2], count=4)
    assert list(found) == [5, 2]
    maps = block2(net, images)
    for channel, patches in found.items():
        best = []  # (value, image, place) of each image
        for n in range(len(images)):
            value, place = max(
                (maps[n, channel, i, j], (-i, -j)) for i in range(6) for j in range(8)
            )
            best.append((-value, n, (-place[0], -place[1])))
        expected = sorted(best)[:4]
        assert [(p.image, p.place) for p in patches] == [(n, at) for _, n, at in expected]
        np.testing.assert_allclose([p.value for p in patches], [-v for v, _, _ in expected])


def test_nothing_outside_of_a_patch_matters(net, images):
    rng = np.random.default_rng(1)
    found = compute_maximal_patches(net, images[:20], "block2.0", count=2)
    for channel, patches in found.items():
        for p in patches:
            (y0, y1), (x0, x1) = p.box
            other = rng.normal(size=images[0].shape)
            other[:, y0:y1, x0:x1] = images[p.image, :, y0:y1, x0:x1]
            value = block2(net, other[None])[(0, channel, *p.place)]
            assert value == pytest.approx(p.value)


def test_the_pixels_are_those_of_the_image_and_nan_beyond_it(net):
    images = np.random.default_rng(2).normal(size=(40, 3, 12, 16))
    found = compute_maximal_patches(net, images, "block2.0", count=40)
    borders = 0
    for patches in found.values():
        for p in patches:
            # 12 pixels, 2 further for each unit; the first one begins 5 before the image
            top, left = 2 * p.place[0] - 5, 2 * p.place[1] - 5
            wide = np.full((3, 12 + 40, 16 + 40), np.nan)
            wide[:, 20:32, 20:36] = images[p.image]
            expected = wide[:, 20 + top : 32 + top, 20 + left : 32 + left]
            np.testing.assert_array_equal(p.pixels, expected)
            assert p.box == (
                (max(top, 0), min(top + 12, 12)), (max(left, 0), min(left + 12, 16))
            )  # fmt: skip
            borders += np.isnan(p.pixels).any()
    assert borders > 20


def test_of_each_group_only_one_is_taken(net, images):
    groups = np.arange(70) // 10
    every = compute_maximal_patches(net, images, "block1.2", [1], count=70)[1]
    found = compute_maximal_patches(net, images, "block1.2", [1], 20, groups)[1]
    best = {}
    for p in every:
        best.setdefault(groups[p.image], p.image)
    assert [p.image for p in found] == list(best.values())
    assert len(found) == 7


def test_neurons_see_the_whole_image(net, images):
    found = compute_maximal_patches(net, images, "logits", channels=[3], count=2)[3]
    with nn.evaluating(), no_grad():
        scores = net(Tensor(images)).numpy()[:, 3]
    assert [p.image for p in found] == np.argsort(-scores)[:2].tolist()
    assert found[0].box == ((0, 12), (0, 16))
    np.testing.assert_array_equal(found[0].pixels, images[found[0].image])


def test_equal_values_come_in_the_order_of_the_images():
    net = nn.Conv2d(1, 1, size=1, activation=ops.relu)
    net.weight.data = np.ones((1, 1, 1, 1), np.float32)
    images = np.ones((5, 1, 2, 2), np.float32)
    found = compute_maximal_patches(nn.Sequential(net), images, "0", count=3)[0]
    assert [(p.image, p.place) for p in found] == [(0, (0, 0)), (1, (0, 0)), (2, (0, 0))]


@pytest.mark.parametrize(("layer", "size"), [("block1.0", 3), ("block2.0", 12), ("block3.2", 46)])
def test_the_picture_has_a_row_for_each_channel(net, images, layer, size):
    found = compute_maximal_patches(net, images, layer, [0, 2, 3], count=5)
    figure = maximal_patches(net, images, layer, [0, 2, 3], count=5)
    (panel,) = figure.axes
    values = [f"{p.value:.2f}" for patches in found.values() for p in patches]
    assert [t.get_text() for t in panel.texts] == values
    assert [t.get_text() for t in panel.get_yticklabels()] == ["0", "2", "3"]
    assert figure.get_suptitle() == f"a unit of {layer} sees {size} \u00d7 {size} pixels"
    mosaic = panel.images[0].get_array()
    first, image = found[0][0], images[found[0][0].image]
    (y0, y1), (x0, x1) = first.box
    shown = (image - image.min()) / (image.max() - image.min())
    if size == 12:
        top, left = np.argwhere(~np.isnan(first.pixels[0]))[0]
    elif size == 46:  # more than the image: in its place
        top, left = y0, x0
    else:
        top, left = 0, 0
    part = mosaic[top : top + y1 - y0, left : left + x1 - x0]
    np.testing.assert_allclose(part[..., :3], np.moveaxis(shown[:, y0:y1, x0:x1], 0, -1))
    assert (part[..., 3] == 1).all()


def test_grey_images_and_other_channels_are_shown_as_well():
    for channels in (1, 2):
        net = nn.Sequential(nn.Conv2d(channels, 3, size=3))
        images = np.random.default_rng(0).normal(size=(4, channels, 6, 6)).astype(np.float32)
        assert maximal_patches(net, images, "0").axes[0].images


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"layer": "blok2"}, ConfigError, r"no layer 'blok2'.*did you mean 'block2'\?"),
        ({"channels": [8]}, ConfigError, r"no channel of 'block2' 8; give one of 0 ... 7"),
        ({"count": 0}, ConfigError, "count is 0; show 1 or more"),
        ({"groups": np.zeros(3)}, ShapeError, r"groups \(3,\) for images \(2, 3, 8, 8\)"),
        ({"images": np.zeros((3, 8, 8))}, ShapeError, r"are not \(N, C, H, W\).*images\[None\]"),
        ({"images": np.zeros((2, 1, 8, 8))}, ShapeError, "does not take an image of shape"),
    ],
)
def test_what_makes_no_sense_is_refused(net, options, error, message):
    given = {"images": np.zeros((2, 3, 8, 8)), "layer": "block2", **options}
    with pytest.raises(error, match=f"maximal_patches: .*{message}"):
        compute_maximal_patches(net, **given)
