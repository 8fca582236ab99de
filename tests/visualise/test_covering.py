"""Occlusion against squares covered one by one."""

import numpy as np
import pytest

from minicnn import Tensor, nn, no_grad
from minicnn.errors import ConfigError, ShapeError
from minicnn.visualise import compute_occlusion, occlusion
from tests.visualise.nets import seednet


@pytest.fixture
def net():
    return seednet(classes=4)


def chances(net, image):
    with nn.evaluating(), no_grad():
        scores = net(Tensor(image[None])).numpy()[0]
    shares = np.exp(scores - scores.max())
    return shares / shares.sum()


@pytest.mark.parametrize(("size", "stride", "fill"), [(3, 2, None), (4, 4, 0.0), (1, 1, 2.5)])
def test_each_square_is_covered_once(net, size, stride, fill):
    height, width = 7, 9
    image = np.random.default_rng(0).normal(0.7, 1, (3, height, width))
    found = compute_occlusion(net, image, 1, size, stride, fill)
    before = chances(net, image)
    lost, count = np.zeros((height, width)), np.zeros((height, width))
    tops = sorted({*range(0, height - size + 1, stride), height - size})
    lefts = sorted({*range(0, width - size + 1, stride), width - size})
    for r, y in enumerate(tops):
        for s, x in enumerate(lefts):
            copy = image.copy()
            for c in range(3):
                copy[c, y : y + size, x : x + size] = image[c].mean() if fill is None else fill
            after = chances(net, copy)
            np.testing.assert_allclose(found.covered[r, s], after[1], rtol=1e-10)
            assert found.guesses[r, s] == after.argmax()
            for i in range(y, y + size):
                for j in range(x, x + size):
                    lost[i, j] += before[1] - after[1]
                    count[i, j] += 1
    assert np.ptp(lost) > 1e-4  # else it would say nothing
    np.testing.assert_allclose(found.drop, lost / count, rtol=1e-8, atol=1e-12)
    assert (found.tops.tolist(), found.lefts.tolist()) == (tops, lefts)
    assert found.probability == pytest.approx(before[1])
    assert (found.class_index, found.classes, found.size) == (1, 4, (size, size))


def test_the_picture_shows_percentage_points_and_the_worst_square(net):
    image = np.random.default_rng(0).normal(size=(3, 8, 8))
    best = int(chances(net, image).argmax())
    found = compute_occlusion(net, image, size=4)
    figure = occlusion(net, image, size=4, class_names=["a", "b", "c", "d"], title="t")
    first, drop, worst = figure.axes[:3]
    assert first.get_title() == f"{'abcd'[best]}: {found.probability:.1%}"
    (shown,) = drop.images
    np.testing.assert_allclose(shown.get_array(), 100 * found.drop)
    assert shown.get_clim()[0] == -shown.get_clim()[1]
    assert f"{found.covered.min():.1%}" in worst.get_title()
    r, s = np.unravel_index(found.covered.argmin(), found.covered.shape)
    covered = worst.images[0].get_array()[found.tops[r] :][:4, found.lefts[s] :][:, :4]
    np.testing.assert_allclose(covered - covered[0, 0], 0, atol=1e-12)
    assert figure.get_suptitle() == "t"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 9}, "size is 9; give 1 ... 8 pixels"),
        ({"size": 0}, "size is 0"),
        ({"size": 2.0}, r"size is 2\.0"),
        ({"size": 4, "stride": 5}, "stride is 5; give 1 ... 4 pixels.*no pixel is left out"),
        ({"class_index": 4}, "there is no class 4; give one of 0 ... 3"),
    ],
)
def test_what_makes_no_sense_is_refused(net, options, message):
    with pytest.raises(ConfigError, match=f"occlusion: {message}"):
        compute_occlusion(net, np.zeros((3, 8, 8)), **options)


def test_it_must_be_one_image(net):
    with pytest.raises(ShapeError, match=r"occlusion: image \(1, 3, 8, 8\) is not one image"):
        occlusion(net, np.zeros((1, 3, 8, 8)))
