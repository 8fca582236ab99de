"""Convolution, batch normalisation and ReLU as one op in float16, which only GPUs do."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import Tensor, grad, nn, no_grad, on_device, ops
from minicnn.backend.random import Stream
from minicnn.errors import DTypeError
from minicnn.nn import convolution
from minicnn.ops.block import conv_block

SHAPE = (4, 3, 6, 7)


def numbers(name: str, *shape: int) -> np.ndarray:
    return np.asarray(Stream(8, name).normal(shape, dtype=np.float32))


def layer_on(device: str, **options: object) -> nn.Conv2d:
    with on_device(device), nn.seed(2):
        layer = nn.Conv2d(3, 5, normalizer=nn.BatchNorm2d, **options)
    for p in (layer.normalizer.gamma, layer.normalizer.beta):
        p.data = p.data + Tensor(0.2 * numbers("shift", 5)).to(device).data
    return layer


def learned(layer: nn.Conv2d, device: str, mixed: bool) -> dict[str, np.ndarray]:
    """The output, all gradients and the averages of a layer after a step, in host memory."""
    x = Tensor(Tensor(numbers("x", *SHAPE)).to(device).data, requires_grad=True)
    with nn.mixed_precision(mixed):
        z = layer(x)
    assert z.dtype == (np.float16 if mixed else np.float32)
    (z.astype(np.float32) * Tensor(numbers("u", *z.shape)).to(device)).sum().backward()
    found = {"z": z, "x": x.grad, **{n: p.grad for n, p in layer.named_parameters()}}
    found |= dict(layer.named_buffers())
    assert {t.dtype for n, t in found.items() if n not in ("z", "normalizer.updates")} == {
        np.dtype(np.float32)
    }
    return {name: t.numpy().astype(np.float64) for name, t in found.items()}


def close(found: np.ndarray, right: np.ndarray, name: str = "") -> None:
    size = max(1.0, float(np.abs(right).max()))
    np.testing.assert_allclose(found, right, rtol=0, atol=0.01 * size, err_msg=name)


@pytest.fixture
def calls(monkeypatch):
    """Of which types the fused op was called, x and gamma."""
    seen = []

    def noted(x, weight, gamma, *rest):
        seen.append((str(x.dtype), str(weight.dtype), str(gamma.dtype)))
        return conv_block(x, weight, gamma, *rest)

    monkeypatch.setattr(convolution, "conv_block", noted)
    return seen


@pytest.mark.parametrize("activation", [ops.relu, None, ops.gelu])
def test_a_layer_is_one_op_in_float16(calls, device, activation):
    found = learned(layer_on(device, activation=activation), device, True)
    assert calls == [("float16", "float16", "float32")]
    right = learned(layer_on("cpu", activation=activation), "cpu", False)
    assert set(found) == set(right)
    for name in right:
        if activation is ops.relu and name != "normalizer.updates":  # where it turns, it turns
            off = np.abs(found[name] - right[name]) > 0.01 * max(1.0, np.abs(right[name]).max())
            assert off.mean() < 0.02, name
        else:
            close(found[name], right[name], name)


def test_on_the_cpu_it_is_three(calls):
    found = learned(layer_on("cpu", activation=None), "cpu", True)
    right = learned(layer_on("cpu", activation=None), "cpu", False)
    assert [kinds[0] for kinds in calls] == ["float32"]
    for name in right:
        close(found[name], right[name], name)


def test_inference_is_one_op(device, monkeypatch):
    layers = [layer_on(where, activation=ops.relu) for where in (device, "cpu")]
    for layer, where in zip(layers, (device, "cpu"), strict=True):
        learned(layer, where, False)
        layer.eval()
    kinds, infer = [], convolution.infer
    monkeypatch.setattr(
        convolution, "infer", lambda layer, x, *a: kinds.append(str(x.dtype)) or infer(layer, x, *a)
    )
    x = Tensor(numbers("x", *SHAPE))
    with no_grad():
        with nn.mixed_precision():
            z = layers[0](x.to(device))
        right = layers[1](x)
    assert kinds == ["float16", "float32"]
    assert z.dtype == np.float16
    close(z.numpy(), right.numpy())


def test_gradients_of_gradients(device):
    """They go by the three ops, in which all is float16."""

    def curved(layer: nn.Conv2d, where: str, mixed: bool) -> list[np.ndarray]:
        x = Tensor(Tensor(numbers("x", *SHAPE)).to(where).data, requires_grad=True)
        with nn.mixed_precision(mixed):
            z = layer(x).astype(np.float32)
        u = Tensor(numbers("u", *z.shape)).to(where)
        (slope,) = grad((z * u).sum(), [layer.normalizer.gamma], create_graph=True)
        return [g.numpy() for g in grad((slope * slope).sum(), [x, layer.weight])]

    found = curved(layer_on(device, activation=None), device, True)
    right = curved(layer_on("cpu", activation=None), "cpu", False)
    for f, r in zip(found, right, strict=True):
        np.testing.assert_allclose(f, r, rtol=0, atol=0.03 * np.abs(r).max())


@pytest.mark.parametrize(
    ("kinds", "match"),
    [
        (("f2", "f4", "f4", "f4"), "float16"),
        (("f2", "f2", "f4", "f2"), "gamma is float32, beta float16"),
        (("f4", "f4", "f8", "f8"), "float64"),
    ],
)
def test_other_types_do_not_mix(kinds, match):
    shapes = SHAPE, (5, 3, 3, 3), (5,), (5,)
    given = [
        Tensor(numbers("x", *shape).astype(kind)) for shape, kind in zip(shapes, kinds, strict=True)
    ]
    with pytest.raises(DTypeError, match=match):
        conv_block(*given)
