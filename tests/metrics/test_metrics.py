import numpy as np
import pytest

from minicnn.autograd import Tensor
from minicnn.backend.random import Stream
from minicnn.errors import ConfigError, DTypeError, ShapeError
from minicnn.metrics import Accuracy, ConfusionMatrix, Mean, PerClass, TopK

NAN = float("nan")


def scores_and_labels(n=200, classes=5, seed=0):
    stream = Stream(seed, "scores")
    scores = stream.integers(0, 6, (n, classes)).astype(np.float32)  # with many ties
    return scores, stream.integers(0, classes, n)


def counted_by_hand(scores, labels, k):
    right = 0
    for row, label in zip(scores.tolist(), labels.tolist(), strict=True):
        order = sorted(range(len(row)), key=lambda c: (-row[c], c))
        right += label in order[:k]
    return right / len(labels)


@pytest.mark.parametrize("k", [1, 2, 5, 9])
def test_top_k_and_accuracy_count_as_by_hand(k):
    scores, labels = scores_and_labels()
    assert TopK(k).update(scores, labels).result() == counted_by_hand(scores, labels, k)
    assert Accuracy().update(scores, labels).result() == counted_by_hand(scores, labels, 1)
    assert Accuracy().update(scores.argmax(1), labels).result() == (
        Accuracy().update(Tensor(scores), Tensor(labels)).result()
    )


def test_equal_scores_do_not_count_as_right():
    """A net that says nothing must not look good."""
    scores, labels = np.zeros((10, 10)), np.arange(10)
    assert TopK(3).update(scores, labels).result() == 0.3
    assert Accuracy().update(scores, labels).result() == 0.1


@pytest.mark.parametrize("metric", [Accuracy(), TopK(2), TopK(9)])
def test_nan_is_wrong(metric):
    scores = np.array([[NAN, 1.0], [1.0, 0.0], [0.0, NAN]])
    assert metric.update(scores, np.array([0, 0, 0])).result() == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    "make", [Accuracy, lambda: TopK(2), lambda: ConfusionMatrix(5), lambda: PerClass(5)]
)
def test_batches_add_up_exactly(make):
    scores, labels = scores_and_labels()
    whole = make().update(scores, labels)
    streamed = make()
    merged = make()
    for a, b in ((0, 3), (3, 3), (3, 150), (150, 200)):
        streamed.update(scores[a:b], labels[a:b])
        merged.merge(make().update(scores[a:b], labels[a:b]))
    np.testing.assert_equal(streamed.result(), whole.result())
    np.testing.assert_equal(merged.result(), whole.result())
    np.testing.assert_equal(whole.reset().result(), make().result())
    np.testing.assert_equal(whole.update(scores, labels).result(), streamed.result())


def test_pixels_are_examples_too():
    scores = Stream(0, "pixels").normal((2, 3, 4, 5))
    labels = Stream(0, "labels").integers(0, 3, (2, 4, 5))
    flat = np.array([scores[n, :, h, w] for n in range(2) for h in range(4) for w in range(5)])
    for make in (Accuracy, lambda: TopK(2), lambda: ConfusionMatrix(3)):
        by_pixel = make().update(flat, labels.ravel()).result()
        np.testing.assert_equal(make().update(scores, labels).result(), by_pixel)


def test_ignored_labels_count_for_nothing():
    scores, labels = scores_and_labels()
    some = np.where(np.arange(200) % 3 == 0, 255, labels)
    kept = some != 255
    for make in (Accuracy, lambda **o: TopK(2, **o), lambda **o: ConfusionMatrix(5, **o)):
        expected = make().update(scores[kept], labels[kept]).result()
        np.testing.assert_equal(make(ignore_label=255).update(scores, some).result(), expected)


def test_confusion_matrix_by_hand():
    right = np.array([0, 0, 0, 1, 1, 3])
    guess = np.array([0, 1, 1, 1, 0, 0])
    metric = ConfusionMatrix(4).update(guess, right)
    expected = [[1, 2, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]]
    assert metric.result().tolist() == expected
    assert metric.matrix.dtype == np.int64
    np.testing.assert_allclose(metric.precision(), [1 / 3, 1 / 3, NAN, NAN])
    np.testing.assert_allclose(metric.recall(), [1 / 3, 1 / 2, NAN, 0])
    np.testing.assert_allclose(metric.f1(), [2 / 6, 2 / 5, NAN, 0])
    assert metric.accuracy() == 2 / 6
    per_class = PerClass(4).update(guess, right).result()
    np.testing.assert_equal(per_class["recall"], metric.recall())
    assert per_class["examples"].tolist() == [3, 2, 0, 1]
    result = metric.result()
    result[:] = 7  # a copy
    assert metric.result().tolist() == expected


def test_small_unsigned_labels_do_not_wrap():
    labels = np.array([200, 201], np.uint8)
    assert ConfusionMatrix(202).update(labels, labels).matrix[201, 201] == 1


def test_mean_weighs():
    mean = Mean().update(2.0, weights=3).update(np.array([1.0, 5.0]), np.array([1.0, 0.0]))
    assert mean.result() == 7 / 4
    assert mean.merge(Mean().update(Tensor([1.0, 3.0]))).result() == 11 / 6
    assert np.isnan(mean.update(NAN).result())
    many = Mean().update(np.full(10**6, 0.1, np.float32))
    assert many.result() == pytest.approx(float(np.float32(0.1)), rel=1e-12)


@pytest.mark.parametrize("metric", [Mean(), Accuracy(), TopK(3)])
def test_nothing_seen_is_nan(metric):
    assert np.isnan(metric.result())


def test_nothing_seen_by_a_matrix():
    metric = ConfusionMatrix(2).update(np.zeros((0, 2)), np.zeros(0, int))
    assert metric.result().tolist() == [[0, 0], [0, 0]]
    assert np.isnan([metric.accuracy(), *metric.precision(), *metric.recall(), *metric.f1()]).all()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: Accuracy().update(np.zeros((2, 3)), [0, 3]),
            ConfigError,
            r"label 3 .* 0 \.\.\. 2",
        ),
        (lambda: Accuracy().update(np.zeros((2, 3)), [0, -1]), ConfigError, "label -1"),
        (lambda: Accuracy().update([0, -1], [0, 1]), ConfigError, "predicted class -1"),
        (lambda: Accuracy().update(np.zeros((2, 3)), [0.0, 1.0]), DTypeError, "float64"),
        (lambda: Accuracy().update([0.0, 1.0], [0, 1]), DTypeError, "predicted classes"),
        (lambda: Accuracy().update(np.zeros((2, 3)), [0]), ShapeError, r"\(2, 3\) .* \(1,\)"),
        (lambda: Accuracy().update(np.zeros((2, 3)), [[0, 0], [1, 1]]), ShapeError, "do not fit"),
        (lambda: Accuracy().update(1, 1), ShapeError, "do not fit"),
        (lambda: TopK(2).update([0, 1], [0, 1]), ShapeError, "a score for every class"),
        (lambda: TopK(0), ConfigError, "k is 0"),
        (lambda: ConfusionMatrix(2.0), ConfigError, "classes is 2.0"),
        (lambda: ConfusionMatrix(2).update([0, 2], [0, 1]), ConfigError, "predicted class 2"),
        (lambda: ConfusionMatrix(2).update([0, 1], [0, 2]), ConfigError, "label 2"),
        (lambda: ConfusionMatrix(2).update(np.zeros((1, 3)), [0]), ShapeError, "not of 2 classes"),
        (lambda: PerClass(2).update(np.full((1, 2), NAN), [0]), ConfigError, "PerClass: .* NaN"),
        (lambda: ConfusionMatrix(2).merge(ConfusionMatrix(3)), ConfigError, "same settings"),
        (lambda: TopK(2).merge(TopK(3)), ConfigError, "same settings"),
        (lambda: Accuracy().merge(Mean()), ConfigError, "does not add to Accuracy"),
        (lambda: Mean().update([1.0, 2.0], [1.0, 2.0, 3.0]), ShapeError, r"\(2,\), weights \(3,\)"),
        (lambda: Mean().update([1.0], [-1.0]), ConfigError, "from 0 up"),
    ],
)
def test_what_makes_no_sense_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_refused_batch_changes_nothing():
    metric = Accuracy().update(np.eye(3), np.arange(3))
    with pytest.raises(ConfigError):
        metric.update(np.eye(3), np.array([0, 1, 7]))
    assert (metric.right, metric.count) == (3, 3)


def test_it_says_its_value():
    assert repr(Accuracy().update([1, 0], [1, 1])) == "Accuracy: 0.5"
