"""PCA against eigenvectors of the covariance."""

import numpy as np
import pytest

from minicnn.errors import ConfigError, ShapeError
from minicnn.visualise import compute_activations, compute_embedding, embedding, pca
from tests.visualise.nets import seednet


def by_eigenvectors(points, components):
    """Return directions, shares and points by the definition: eigenvectors of the covariance."""
    centred = points - points.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    directions = vectors[:, ::-1][:, :components].T
    for d in directions:
        if d[np.abs(d).argmax()] < 0:
            d *= -1
    return directions, values[::-1][:components] / values.sum(), centred @ directions.T


@pytest.mark.parametrize(
    ("shape", "components"), [((40, 6), 6), ((9, 30), 3), ((200, 90), 2), ((30, 120), 4)]
)
def test_directions_are_eigenvectors_of_the_covariance(shape, components):
    rng = np.random.default_rng(components)
    scales = 1.5 ** -np.arange(shape[1])
    mixing, _ = np.linalg.qr(rng.normal(size=(shape[1], shape[1])))
    points = rng.normal(size=shape) * scales @ mixing + rng.normal(size=shape[1]) * 5
    found = pca(points, components)
    directions, shares, projected = by_eigenvectors(points, components)
    np.testing.assert_allclose(found.explained, shares, rtol=1e-9)
    np.testing.assert_allclose(found.directions, directions, atol=1e-7)
    np.testing.assert_allclose(found.points, projected, atol=1e-6)
    np.testing.assert_allclose(found.mean, points.mean(axis=0))
    assert (found.directions[range(components), np.abs(found.directions).argmax(1)] > 0).all()


def test_flat_spectra_come_out_too():
    points = np.random.default_rng(0).normal(size=(400, 100))
    found = pca(points, 2)
    _, shares, _ = by_eigenvectors(points, 2)
    np.testing.assert_allclose(found.explained, shares, rtol=1e-7)
    np.testing.assert_allclose(found.directions @ found.directions.T, np.eye(2), atol=1e-12)


@pytest.mark.parametrize("width", [4, 70])
def test_all_components_give_the_points_back(width):
    points = np.random.default_rng(1).normal(size=(5, width))
    found = pca(points, min(points.shape))
    np.testing.assert_allclose(found.points @ found.directions + found.mean, points, atol=1e-8)
    assert found.explained.sum() == pytest.approx(1)


@pytest.mark.parametrize("width", [3, 60])
def test_points_on_a_line_and_points_all_alike(width):
    line = np.outer(np.arange(6.0), np.ones(width))
    found = pca(line, 2)
    np.testing.assert_allclose(found.explained, [1, 0], atol=1e-12)
    np.testing.assert_allclose(found.directions[0], np.full(width, width**-0.5), atol=1e-9)
    np.testing.assert_allclose(found.points[:, 1], 0, atol=1e-9)
    alike = pca(np.ones((4, width)), 2)
    assert alike.explained.tolist() == [0, 0]
    np.testing.assert_array_equal(alike.points, 0)


@pytest.mark.parametrize(
    ("points", "components", "error", "message"),
    [
        (np.zeros((3, 2, 2)), 2, ShapeError, r"\(3, 2, 2\) are not \(N, D\)"),
        (np.zeros((1, 2)), 1, ShapeError, r"N of 2 or more"),
        (np.zeros((5, 2)), 3, ConfigError, r"3 components of features \(5, 2\); ask for 1 ... 2"),
        (np.full((5, 2), np.nan), 1, ConfigError, "not all finite"),
    ],
)
def test_what_makes_no_sense_is_refused(points, components, error, message):
    with pytest.raises(error, match=f"pca: .*{message}"):
        pca(points, components)


@pytest.fixture
def net():
    return seednet(classes=20)


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(size=(70, 3, 8, 8))


@pytest.mark.parametrize(("layer", "name"), [(None, "hidden"), ("block2", "block2")])
def test_an_embedding_is_that_of_what_a_layer_returns(net, images, layer, name):
    features = [compute_activations(net, x, [name])[name].ravel() for x in images]
    found, expected = compute_embedding(net, images, layer), pca(np.array(features))
    np.testing.assert_allclose(found.explained, expected.explained, rtol=1e-8)
    np.testing.assert_allclose(found.points, expected.points, atol=1e-8)


def test_the_picture_has_a_cloud_for_each_class_and_says_what_it_explains(net, images):
    labels = np.arange(70) % 3 * 2
    found = compute_embedding(net, images)
    figure = embedding(net, images, labels, class_names=[f"sign {i}" for i in range(20)])
    (panel,) = figure.axes
    assert len(panel.collections) == 3
    shown = panel.collections[1].get_offsets()
    np.testing.assert_allclose(shown, found.points[labels == 2])
    assert f"{found.explained[0]:.1%} of the variance" in panel.get_xlabel()
    assert f"{found.explained[1]:.1%} of the variance" in panel.get_ylabel()
    names = [text.get_text() for text in panel.get_legend().get_texts()]
    assert names == ["sign 0 (24)", "sign 2 (23)", "sign 4 (23)"]
    assert panel.get_title() == "what hidden makes of 70 images"


def test_many_classes_are_labelled_in_the_picture(net, images):
    panel = embedding(net, images, np.arange(70) % 20).axes[0]
    assert sorted(int(t.get_text()) for t in panel.texts) == list(range(20))
    looks = {(c.get_facecolor().tobytes(), c.get_paths()[0].vertices.tobytes())
             for c in panel.collections}  # fmt: skip
    assert len(looks) == 20


def test_labels_must_fit(net, images):
    with pytest.raises(ShapeError, match=r"labels int64 \(3,\) for 70 images"):
        embedding(net, images, np.zeros(3, np.int64))
    with pytest.raises(ShapeError, match=r"labels float64 \(70,\)"):
        embedding(net, images, np.zeros(70))
    with pytest.raises(ConfigError, match=r"labels are not all in 0 ... 1"):
        embedding(net, images, np.full(70, 2), class_names=["a", "b"])
    with pytest.raises(ShapeError, match="give two or more"):
        compute_embedding(net, images[:1])
