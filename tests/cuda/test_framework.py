"""What stands on the ops, with its arrays on the device: nothing may reach for them by itself."""

from __future__ import annotations

import numpy as np
import pytest

import minicnn
from minicnn import Tensor, interop, nn
from minicnn.backend.random import Stream
from minicnn.segmentation import LOSSES, pixel_loss

pytestmark = pytest.mark.usefixtures("device")


@pytest.fixture
def net(device):
    with minicnn.on_device(device), nn.seed(0):
        net = minicnn.models.SeedNet(classes=5, channels=4)
    net(images(device))  # moving averages
    return net.eval()


def images(device: str) -> Tensor:
    x = np.asarray(Stream(0, "images").normal((4, 3, 8, 8), dtype=np.float32))
    return Tensor(x).to(device)


def test_parameters_are_made_where_they_are_wanted(net, device):
    assert {p.device for p in net.parameters()} == {device}
    assert {b.device for _, b in net.named_buffers()} == {device}


def test_the_same_scores_here_and_there(net, device):
    there = net(images(device)).numpy()
    here = net.to("cpu")(images(device).to("cpu")).numpy()
    np.testing.assert_allclose(there, here, rtol=1e-4, atol=1e-5)


def test_weights_are_saved_and_read(net, tmp_path):
    path = tmp_path / "weights.safetensors"
    interop.write_weights(path, {name: p.data for name, p in net.named_parameters()})
    read = interop.read_weights(path)
    for name, p in net.named_parameters():
        np.testing.assert_array_equal(read[name], p.numpy())


def test_export_to_onnx(net, device, tmp_path):
    pytest.importorskip("onnx", reason="to_onnx needs onnx: pip install 'minicnn[onnx]'")
    exported = interop.to_onnx(net, (3, 8, 8))
    assert len(exported.graph.node) > 10


@pytest.mark.parametrize("kind", LOSSES)
def test_masks_may_be_here_or_there(kind, device):
    scores = np.asarray(Stream(1, "scores").normal((2, 3, 4, 5), dtype=np.float32))
    labels = np.asarray(Stream(2, "labels").integers(0, 4, (2, 4, 5)))  # 3 is to be ignored
    loss = pixel_loss(kind, ignore_label=3)
    expected = loss(Tensor(scores), labels).item()
    x = Tensor(scores).to(device)
    for given in (labels, Tensor(labels).to(device)):
        assert loss(x, given).item() == pytest.approx(expected, rel=1e-5)


def test_a_number_of_numpy_beside_an_array_of_the_device(device):
    x = Tensor(np.ones(3, np.float32)).to(device)
    for y in (x * np.float32(2), np.float32(2) * x, x * 2, x * np.float64(2)):
        assert y.device == device
        np.testing.assert_array_equal(y.numpy(), 2)
