"""Convolution, batch normalisation and ReLU in one op against the three, and against float64."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn import Tensor, check_gradients, grad, nn, no_grad, ops
from minicnn.errors import ConfigError, DTypeError, ShapeError
from minicnn.kernels import cpu, plain
from minicnn.kernels import settings as kernel_settings
from minicnn.kernels.cpu import _geometry, _sweeps
from minicnn.kernels.cpu.vector import channels, direct, objects
from minicnn.nn import _inference
from minicnn.ops import block
from minicnn.ops._windows import Window
from minicnn.ops.block import conv_block
from tests.ops.spec import ErrorCase

NAMES = ("x", "weight", "gamma", "beta")
CONVOLUTIONS = {1: ops.conv1d, 2: ops.conv2d, 3: ops.conv3d}


def operands(shape, outputs, kernel, groups=1, dtype=np.float64, mean=0.0, seed=0):
    """Return x, weight, gamma and beta; the weights sum up to about 1 over a window."""
    rng = np.random.default_rng(seed)
    c = shape[1] // groups
    weight = rng.standard_normal((outputs, c, *kernel)) / np.sqrt(c * np.prod(kernel))
    x = rng.standard_normal(shape) + mean
    gamma, beta = rng.uniform(0.5, 1.5, outputs), rng.standard_normal(outputs)
    return tuple(a.astype(dtype) for a in (x, weight, gamma, beta))


def separate(x, weight, gamma, beta, epsilon=1e-5, *geometry, rectified=True):
    y = CONVOLUTIONS[x.ndim - 2](x, weight, None, *geometry)
    v, mean, var = ops.batch_norm(y, gamma, beta, epsilon)
    return ops.relu(v) if rectified else v, mean, var


def values_and_gradients(f, arrays, cotangent_seed=1):
    """Return value, statistics and gradients of f for a random cotangent, as arrays by name."""
    tensors = [Tensor(a, requires_grad=True) for a in arrays]
    z, mean, var = f(*tensors)
    g = np.random.default_rng(cotangent_seed).standard_normal(z.shape).astype(z.dtype)
    found = {"z": z.data, "mean": mean, "var": var}
    return found | dict(zip(NAMES, (t.data for t in grad(z, tensors, g)), strict=True))


@st.composite
def cases(draw):
    """Shapes for every branch: channels that fill vectors or do not, odd sizes, all geometry."""
    rank = draw(st.sampled_from([2, 2, 2, 1, 3]))
    groups = draw(st.sampled_from([1, 1, 1, 2]))
    channels_in = groups * draw(st.integers(1, 9))
    outputs = groups * draw(st.sampled_from([1, 2, 3, 4, 6, 8, 12, 16, 17, 32]))
    kernel = tuple(draw(st.integers(1, 3)) for _ in range(rank))
    longest = {1: 40, 2: 12, 3: 5}[rank]
    space = tuple(draw(st.integers(k, longest)) for k in kernel)
    stride = draw(st.integers(1, 2))
    dilation = 1 if stride > 1 else draw(st.integers(1, 2))
    padding = draw(st.sampled_from(["same", 1, 0]))
    if dilation > 1 and padding != "same":
        space = tuple(n + 2 * k for n, k in zip(space, kernel, strict=True))
    images = draw(st.integers(2, 6))
    rectified = draw(st.booleans())
    return (
        (images, channels_in, *space), outputs, kernel, groups, (stride, padding, dilation, groups),
        rectified, draw(st.integers(0, 99)),
    )  # fmt: skip


def bound(arrays, right, name):
    """Float32 of sums: eps times the root of their length, times the size of what is summed.

    A gradient is what is left of dL/dy = scale * (g - ...), most of which may cancel.
    """
    x, weight, gamma, _ = arrays
    lengths = {"weight": x.size / x.shape[1], "gamma": x.size, "beta": x.size}
    length = lengths.get(name, weight[0].size)
    scale = np.max(gamma / np.sqrt(right["var"] + 1e-3)) if name in ("x", "weight") else 1.0
    return 4e-6 * (1 + np.sqrt(length) / 8) * max(1.0, scale, np.abs(right[name]).max(initial=0.0))


@pytest.fixture
def always_generated(monkeypatch):
    """Send small convolutions through the generated code, too."""
    monkeypatch.setattr(direct, "_LEAST", 0)
    monkeypatch.setattr(_sweeps, "LEAST", 0)


@pytest.mark.usefixtures("always_generated")
@settings(max_examples=150, deadline=None)
@given(cases())
def test_float32_is_float64_rounded(case):
    shape, outputs, kernel, groups, geometry, rectified, seed = case
    narrow = operands(shape, outputs, kernel, groups, np.float32, seed=seed)
    wide = tuple(a.astype(np.float64) for a in narrow)

    def fused(*tensors):
        return conv_block(*tensors, 1e-3, *geometry, rectified)

    def three(*tensors):
        return separate(*tensors, 1e-3, *geometry, rectified=rectified)

    right = values_and_gradients(three, wide)
    kinks = _near_a_kink(three, wide) if rectified else 0
    if right["var"].min() < 1e-2 or kinks:
        return  # where ReLU turns, or where all values of a channel are equal, rounding decides
    found = values_and_gradients(fused, narrow)
    for name, value in found.items():
        off = np.abs(value - right[name]).max(initial=0.0)
        assert off <= bound(narrow, right, name), (name, off)


def _near_a_kink(f, arrays):
    """Count the values that ReLU treats by their last digits."""
    v, _, _ = separate_linear(f, arrays)
    return int((np.abs(v) < 1e-5).sum())


def separate_linear(f, arrays):
    x, weight, gamma, beta = (Tensor(a) for a in arrays)
    options = f.__closure__[0].cell_contents
    z, mean, var = separate(x, weight, gamma, beta, 1e-3, *options, rectified=False)
    return z.data, mean, var


@pytest.mark.parametrize("rectified", [True, False])
@pytest.mark.parametrize("geometry", [(1, "same", 1, 1), (2, 1, 1, 1), (1, 0, 2, 2)])
def test_gradients_of_both_orders(rectified, geometry):
    arrays = operands((3, 2, 6, 5), 4, (2, 3) if geometry[0] == 1 else (3, 3), geometry[3])

    def f(*tensors):
        return conv_block(*tensors, 1e-3, *geometry, rectified)[0]

    check_gradients(f, *arrays)
    tensors = [Tensor(a, requires_grad=True) for a in arrays]

    def slope(*tensors):
        z = f(*tensors)
        g = Tensor(np.cos(np.arange(z.size)).reshape(z.shape))
        return sum((s * s).sum() for s in grad(z, list(tensors), g, create_graph=True))

    def right(*tensors):
        z, _, _ = separate(*tensors, 1e-3, *geometry, rectified=rectified)
        g = Tensor(np.cos(np.arange(z.size)).reshape(z.shape))
        return sum((s * s).sum() for s in grad(z, list(tensors), g, create_graph=True))

    found, expected = (grad(h(*tensors), tensors) for h in (slope, right))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("channels_out", [8, 16, 32])
def test_a_mean_of_1000_over_a_spread_of_1_keeps_its_digits(channels_out):
    """Statistics in one pass of float32 would lose the variance, and a gradient with it."""
    arrays = operands((8, 3, 32, 32), channels_out, (1, 1), dtype=np.float32)
    x, weight, gamma, beta = arrays
    weight = np.abs(weight) / np.abs(weight).sum(axis=(1, 2, 3), keepdims=True)
    arrays = (x + np.float32(1000), weight, gamma, beta)
    wide = tuple(a.astype(np.float64) for a in arrays)
    # The convolution itself rounds 1000 to 6e-5: what is proven are the sums of what it gives.
    window = Window.of("", (32, 32), (1, 1), 1, 0, 1)
    y, mean, var = cpu.conv_moments(arrays[0], weight, (32, 32), window, 1)
    right = plain.moments(y.astype(np.float64), False)
    np.testing.assert_allclose(mean, right[0], rtol=1e-9)
    np.testing.assert_allclose(var, right[1], rtol=1e-6)
    found = values_and_gradients(conv_block, arrays)
    expected = values_and_gradients(separate, wide)
    np.testing.assert_allclose(found["z"], expected["z"], atol=2e-3)
    for name in ("gamma", "beta"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-2, atol=0.5)


def test_one_outlier_in_the_first_pixel_does_not_hide_the_variance():
    y = np.random.default_rng(0).standard_normal((4, 32, 32, 8)).astype(np.float32) + 1000
    y[0, 0, 0] = 0
    x = np.moveaxis(y, -1, 1)
    eye = np.eye(8, dtype=np.float32).reshape(8, 8, 1, 1)
    window = Window.of("", (32, 32), (1, 1), 1, 0, 1)
    _, mean, var = cpu.conv_moments(x, eye, (32, 32), window, 1)
    right = plain.moments(x.astype(np.float64), False)
    np.testing.assert_allclose(mean, right[0], rtol=1e-9)
    np.testing.assert_allclose(var, right[1], rtol=1e-6)


@pytest.mark.parametrize("pixels", [(1, 40), (64, 64), (300, 200)])
@pytest.mark.parametrize("outputs", [1, 3, 4, 8, 24, 43, 64, 200])
@pytest.mark.parametrize("machine", [(16, 32), (8, 16), (4, 32)])
def test_tiles_are_whole_pixels_and_whole_images(pixels, outputs, machine):
    tile = channels.choose(objects.Machine(*machine), outputs, pixels[0] * pixels[1], True)
    if tile is None:  # no width of vector has whole pixels in it that cut the image evenly
        assert all(
            pixels[0] * pixels[1] * outputs % np.lcm(outputs, lanes)
            for lanes in (16, 8, 4)
            if lanes <= machine[0]
        )
        return
    assert tile.floats % outputs == 0
    assert pixels[0] * pixels[1] * outputs % tile.floats == 0
    assert tile.vectors % tile.side_by_side == 0


@pytest.mark.usefixtures("always_generated")
@pytest.mark.parametrize("images", [1, 2, 16, 37])
@pytest.mark.parametrize(
    ("outputs", "size"), [(8, (3, 2)), (16, (70, 70)), (4, (16, 16)), (48, (5, 4)), (7, (16, 16))]
)
@pytest.mark.parametrize("rectified", [True, False])
def test_sweeps_over_channels_are_those_of_the_definition(images, outputs, size, rectified):
    rng = np.random.default_rng(3)
    y, g = (
        np.moveaxis(rng.standard_normal((images, *size, outputs)).astype(np.float32), -1, 1)
        for _ in range(2)
    )
    mean, scale, beta = (rng.standard_normal((1, outputs)) for _ in range(3))
    v = plain.normalize(y.astype(np.float64), mean, scale, beta)
    g = np.where(np.abs(v) < 1e-5, 0, g).astype(np.float32)  # rounding decides there
    z = cpu.normalize_act(y, mean, scale, beta, rectified)
    right = plain.normalize_act(y.astype(np.float64), mean, scale, beta, rectified)
    np.testing.assert_allclose(z, right, rtol=1e-5, atol=1e-5)
    found = cpu.normalize_act_sums(g, y, mean, scale, beta, rectified)
    wide = g.astype(np.float64), y.astype(np.float64)
    right = plain.normalize_act_sums(*wide, mean, scale, beta, rectified)
    for a, b in zip(found, right, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * np.sqrt(g.size))
    if not rectified:  # batch_norm on its own has the same sweeps
        slopes = tuple(rng.standard_normal((1, outputs)) for _ in range(3))
        found = cpu.normalize_grad_x(g, y, mean, *slopes)
        right = plain.normalize_grad_x(*wide, mean, *slopes)
        np.testing.assert_allclose(found, right, rtol=1e-5, atol=1e-5)


def test_the_same_bits_on_any_number_of_threads(monkeypatch):
    arrays = operands((37, 8, 16, 16), 16, (3, 3), dtype=np.float32)
    found = []
    for threads in ("1", "2", "4"):
        monkeypatch.setenv("MINICNN_THREADS", threads)
        found.append(values_and_gradients(lambda *t: conv_block(*t, 1e-5, 1, 1), arrays))
    for other in found[1:]:
        for name, value in other.items():
            np.testing.assert_array_equal(value, found[0][name], name)


@pytest.mark.usefixtures("always_generated")
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_reaches_its_channel_and_no_other(bad):
    x, weight, gamma, beta = operands((2, 8, 8, 8), 8, (1, 1), dtype=np.float32)
    weight = np.eye(8, dtype=np.float32).reshape(8, 8, 1, 1)
    x[1, 3, 2, 2] = bad
    weight[:3, 3], weight[4:, 3] = 0, 0
    weight[[0, 1, 2, 4, 5, 6, 7], 3] = 0
    with np.errstate(invalid="ignore"):
        found, _, _ = conv_block(*map(Tensor, (x, weight, gamma, beta)))
        right, _, _ = separate(*map(Tensor, (x, weight, gamma, beta)))
    np.testing.assert_array_equal(np.isnan(found.data), np.isnan(right.data))


def test_inputs_are_left_alone_and_any_strides_will_do():
    arrays = operands((4, 6, 9, 8), 8, (3, 3), dtype=np.float32)
    odd = [np.asfortranarray(a) for a in arrays]
    before = [a.copy() for a in odd]
    found = values_and_gradients(lambda *t: conv_block(*t, 1e-5, 1, 1), odd)
    for a, b in zip(odd, before, strict=True):
        np.testing.assert_array_equal(a, b)
    for name, value in values_and_gradients(lambda *t: conv_block(*t, 1e-5, 1, 1), arrays).items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-5)


def test_gradients_are_computed_once_and_only_those_that_are_wanted(monkeypatch):
    calls = []
    real = cpu.conv_block_grad
    monkeypatch.setattr(cpu, "conv_block_grad", lambda *a: (calls.append(a[-1]), real(*a))[1])
    x, weight, gamma, beta = operands((4, 3, 8, 8), 8, (3, 3), dtype=np.float32)
    parameters = [Tensor(a, requires_grad=True) for a in (weight, gamma, beta)]
    z, _, _ = conv_block(Tensor(x), *parameters)
    z.sum().backward()
    assert calls == [(False, True)]
    assert all(p.grad is not None for p in parameters)


def _wrong(change, **options):
    """Return a call with operands that do not fit."""
    arrays = operands((4, 3, 8, 8), 8, (3, 3))
    return lambda: conv_block(*map(Tensor, change(arrays)), **options)


ERRORS = [
    ErrorCase(_wrong(lambda a: (a[0][:, :2], *a[1:])), ShapeError, r"conv_block: x has 2 channels"),
    ErrorCase(_wrong(lambda a: (*a[:2], a[2][:3], a[3])), ShapeError, r"conv_block: gamma \(3,\)"),
    ErrorCase(
        _wrong(lambda a: (a[0][:1, :, :1, :1], a[1][..., :1, :1], *a[2:])), ShapeError, "1 value"
    ),
    ErrorCase(
        _wrong(lambda a: (*a[:3], a[3].astype(np.float32))), DTypeError, "conv_block: .*float32"
    ),
    ErrorCase(_wrong(lambda a: a, epsilon=-1), ConfigError, "conv_block: epsilon"),
]


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: case.match)
def test_errors(case):
    with pytest.raises(case.error, match=case.match):
        case.call()


class TestLayer:
    def layers(self, **options):
        fused = nn.Conv2d(3, 8, normalizer=nn.BatchNorm2d, **options)
        return fused, nn.Sequential(nn.Conv2d(3, 8, bias=False), nn.BatchNorm2d(8))

    def test_it_is_used_and_gives_what_separate_layers_give(self, monkeypatch):
        calls = []
        from minicnn.nn import convolution as layer_module

        real = layer_module.conv_block
        monkeypatch.setattr(
            layer_module, "conv_block", lambda *a: (calls.append(a[-1]), real(*a))[1]
        )
        fused, (conv, norm) = self.layers(activation=ops.relu)
        conv.weight.data[...] = fused.weight.data
        x = np.random.default_rng(0).standard_normal((8, 3, 16, 16)).astype(np.float32)
        z, right = fused(Tensor(x)), ops.relu(norm(conv(Tensor(x))))
        assert calls == [True]
        np.testing.assert_allclose(z.data, right.data, rtol=1e-5, atol=1e-5)
        for name in ("moving_mean", "moving_variance", "updates"):
            a, b = (getattr(n, name).data for n in (fused.normalizer, norm))
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)

    def test_who_looks_in_between_sees_the_three_ops(self):
        fused, _ = self.layers(activation=ops.relu)
        x = Tensor(np.ones((2, 3, 4, 4), np.float32))
        seen = []
        with fused.normalizer.register_forward_hook(lambda m, i, o: seen.append(o.shape)):
            fused(x)
        assert seen == [(2, 8, 4, 4)]
        from minicnn.autograd.graph import trace

        assert [node.op for node in trace(fused, x).nodes] == ["conv2d", "batch_norm", "relu"]

    @pytest.mark.parametrize("activation", [None, ops.relu, ops.gelu])
    @pytest.mark.parametrize("normalizer", [None, nn.BatchNorm2d])
    @pytest.mark.parametrize("size", [(3, 5), (16, 16)])
    def test_inference_gives_what_separate_layers_give(
        self, monkeypatch, activation, normalizer, size
    ):
        monkeypatch.setattr(direct, "_LEAST", 0)
        layer = nn.Conv2d(3, 8, normalizer=normalizer, activation=activation)
        rng = np.random.default_rng(0)
        x = Tensor(rng.standard_normal((4, 3, *size)).astype(np.float32))
        if normalizer is not None:
            layer(x)
        else:
            layer.bias.data[...] = rng.standard_normal(8)
        layer.eval()
        right = layer(x)  # recorded, so by separate ops
        with no_grad():
            found = layer(x)
        assert right.requires_grad
        assert not found.requires_grad
        np.testing.assert_allclose(found.data, right.data, rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize("normalizer", [None, nn.BatchNorm2d])
    def test_what_was_prepared_is_used_only_while_it_is_right(self, monkeypatch, normalizer):
        """Weights that are written into, other shapes, other settings: nothing is stale."""
        layer = nn.Conv2d(3, 8, normalizer=normalizer, activation=ops.relu)
        rng = np.random.default_rng(0)
        images = rng.standard_normal((3, 3, 16, 24)).astype(np.float32)
        layer(Tensor(images))
        layer.eval()

        def agrees(x):
            recorded = layer(Tensor(x)).data
            with no_grad():
                np.testing.assert_allclose(layer(Tensor(x)).data, recorded, rtol=1e-5, atol=1e-5)

        def often(x=images):
            for _ in range(4):
                agrees(x + rng.standard_normal(x.shape).astype(np.float32))

        often()
        prepared = []
        real = _inference.prepare_conv_act
        monkeypatch.setattr(
            _inference, "prepare_conv_act", lambda *a: (prepared.append(1), real(*a))[1]
        )
        often()
        assert not prepared
        layer.weight.data[0, 0, 0, 0] += 1
        often()
        assert len(prepared) == 1
        for name in (
            ("gamma", "beta", "moving_mean", "moving_variance") if normalizer else ("bias",)
        ):
            getattr(layer.normalizer or layer, name).data[2] += 0.5
            often()
        layer.stride = (2, 1)
        often()
        often(images[:2])
        often(np.asfortranarray(images))
        monkeypatch.setenv("MINICNN_THREADS", "5")
        often()
        monkeypatch.setattr(kernel_settings, "winograd", not kernel_settings.winograd)
        often()

    def test_threads_share_what_is_prepared(self):
        layer = nn.Conv2d(3, 8, normalizer=nn.BatchNorm2d, activation=ops.relu)
        rng = np.random.default_rng(0)
        batches = rng.standard_normal((4, 2, 3, 16, 24)).astype(np.float32)
        layer(Tensor(batches[0]))
        layer.eval()
        right = [layer(Tensor(x)).data for x in batches]
        wrong = []

        def work(i):
            with no_grad():
                for _ in range(200):
                    if np.abs(layer(Tensor(batches[i])).data - right[i]).max() > 1e-4:
                        wrong.append(i)

        workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert not wrong

    def test_inference_warns_where_nothing_was_learned(self):
        fused, _ = self.layers(activation=ops.relu)
        fused.eval()
        x = Tensor(np.ones((2, 3, 4, 4), np.float32))
        with no_grad(), pytest.warns(UserWarning, match="moving averages were never updated"):
            fused(x)

    @pytest.mark.parametrize("activation", [None, ops.gelu, nn.PReLU])
    def test_other_activations_follow(self, activation):
        fused, (conv, norm) = self.layers(activation=activation)
        conv.weight.data[...] = fused.weight.data
        x = Tensor(np.random.default_rng(0).standard_normal((4, 3, 8, 8)).astype(np.float32))
        v = norm(conv(x))
        right = v if activation is None else fused.activation(v)
        np.testing.assert_allclose(fused(x).data, right.data, rtol=1e-5, atol=1e-5)


def test_the_kernels_fall_back_where_there_is_no_code(monkeypatch):
    arrays = operands((4, 3, 8, 8), 8, (3, 3), dtype=np.float32)
    fast = values_and_gradients(conv_block, arrays)
    monkeypatch.setattr(objects, "machine", lambda: None)
    for name, value in values_and_gradients(conv_block, arrays).items():
        np.testing.assert_allclose(fast[name], value, rtol=1e-4, atol=1e-4)
    assert not _geometry.is_generated(arrays[0], arrays[1].shape, 1)
    assert block.__all__ == ["conv_act", "conv_block", "prepare_conv_act"]


@pytest.mark.parametrize("learns", [("weight",), ("gamma", "beta"), ("x", "gamma")])
def test_nothing_is_kept_when_the_gradients_are_there(learns):
    """Not even the gradient that came in, which is as large as the output."""
    arrays = operands((4, 3, 8, 8), 8, (3, 3), dtype=np.float32)
    tensors = {
        name: Tensor(a, requires_grad=name in learns) for name, a in zip(NAMES, arrays, strict=True)
    }
    z, _, _ = conv_block(*tensors.values())
    g = Tensor(np.ones(z.shape, np.float32))
    found = grad(z, [tensors[name] for name in learns], g, retain_graph=True)
    assert sys.getrefcount(g) == 2
    again = grad(z, [tensors[name] for name in learns], Tensor(g.data), retain_graph=True)
    for a, b in zip(found, again, strict=True):
        np.testing.assert_array_equal(a.data, b.data)


class TestKeptPrograms:
    """A layer's program is used again; it must never compute with what was there before."""

    def step(self, x, weight, g, rest):
        tensors = [Tensor(a, requires_grad=True) for a in (x, weight, *rest)]
        z, mean, _ = conv_block(*tensors, 1e-5, 1, 1)
        return z.data, mean, *(t.data for t in grad(z, tensors, g))

    def agrees(self, *given):
        found = self.step(*given)
        _sweeps.shelf.clear()
        for a, b in zip(found, self.step(*given), strict=True):
            np.testing.assert_array_equal(a, b)

    def given(self, seed, channels_out=16):
        x, weight, *rest = operands((8, 16, 16, 16), channels_out, (3, 3), 1, np.float32, seed=seed)
        x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
        return x, weight, rest

    def test_weights_that_are_views_of_other_memory(self):
        x, weight, rest = self.given(0)
        flat = [weight.reshape(-1), -2 * weight.reshape(-1)]
        for i in range(6):
            self.step(x, flat[i % 2].reshape(weight.shape), x, rest)
            self.agrees(x, flat[(i + 1) % 2].reshape(weight.shape), x, rest)

    def test_a_view_whose_place_in_python_another_one_takes(self):
        x, weight, _ = self.given(0)
        flat = [weight.reshape(-1), np.roll(weight, 1).reshape(-1)]
        window = Window.of("", (16, 16), (3, 3), 1, 1, 1)
        one, rest = np.ones((1, 16)), (2 * x, x + 1)

        def grad_x(i):
            options = (one, one, one), (one, one, one), True, window, 1, (True, False)
            return cpu.conv_block_grad(*rest, x, flat[i].reshape(weight.shape), *options)[0]

        right = []
        for i in range(2):
            _sweeps.shelf.clear()
            right.append(grad_x(i))
        assert not np.array_equal(*right)
        _sweeps.shelf.clear()
        for k in range(20):
            np.testing.assert_array_equal(grad_x(k % 2), right[k % 2])

    def test_a_gradient_in_the_memory_of_the_input(self):
        x, weight, rest = self.given(0)
        other, *_ = self.given(1)
        _sweeps.shelf.clear()
        self.step(x, weight, x, rest)
        self.agrees(x, weight, other, rest)
        self.agrees(other, weight, x, rest)

    def test_weights_that_are_written_into(self):
        x, weight, rest = self.given(0)
        for _ in range(3):
            self.step(x, weight, x, rest)
            weight += 1
            self.agrees(x, weight, x, rest)


def test_a_second_walk_sees_a_gradient_that_was_changed_meanwhile():
    arrays = operands((4, 3, 8, 8), 8, (3, 3), dtype=np.float32)
    x, *others = (Tensor(a, requires_grad=True) for a in arrays)
    z, _, _ = conv_block(x, *others)
    g = Tensor(np.ones(z.shape, np.float32))
    grad(z, [x], g, retain_graph=True)
    g.data[...] = np.arange(g.size).reshape(g.shape) % 7
    (found,) = grad(z, others[:1], g, retain_graph=True)
    (right,) = grad(z, others[:1], Tensor(g.data.copy()))
    np.testing.assert_array_equal(found.data, right.data)


def test_a_normaliser_with_a_forward_of_its_own_is_called():
    class Twice(nn.BatchNorm2d):
        def forward(self, x):
            return super().forward(x) * 2.0

    x = Tensor(np.random.default_rng(0).standard_normal((4, 4, 8, 8)).astype(np.float32))
    layer = nn.Conv2d(4, 8, normalizer=Twice)
    plain_layer = nn.Conv2d(4, 8, normalizer=nn.BatchNorm2d)
    plain_layer.weight.data[...] = layer.weight.data
    np.testing.assert_allclose(layer(x).data, 2 * plain_layer(x).data, rtol=1e-4, atol=1e-4)
    plain_layer.normalizer.forward = lambda x: x * 0.0
    assert (plain_layer(x).data == 0).all()


def test_prepared_inference_asks_whether_winograd_is_wanted(monkeypatch):
    layer = nn.Conv2d(32, 32, normalizer=nn.BatchNorm2d, activation=ops.relu)
    x = Tensor(np.random.default_rng(0).standard_normal((1, 32, 32, 32)).astype(np.float32))
    layer(Tensor(np.concatenate([x.data, x.data])))
    layer.eval()
    with no_grad():
        for _ in range(4):
            layer(x)
        monkeypatch.setattr(kernel_settings, "winograd", not kernel_settings.winograd)
        found = layer(x).data
        _inference._prepared.clear()
        np.testing.assert_array_equal(found, layer(x).data)
