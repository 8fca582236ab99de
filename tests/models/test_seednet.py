import numpy as np
import pytest

import minicnn
from minicnn import nn, ops
from minicnn.autograd import Tensor
from minicnn.backend.random import Stream
from minicnn.models import SeedNet


def images(n, size=32, channels=3):
    x = Tensor(Stream(0, "images").normal((n, channels, size, size), dtype=np.float32))
    return x.to(minicnn.get_device())


@pytest.mark.parametrize(("channels", "classes", "colours"), [(8, 43, 3), (4, 10, 1), (32, 43, 3)])
def test_number_of_parameters(channels, classes, colours):
    def conv(i, o):
        return i * o * 9 + 2 * o  # no bias; scale and shift of the batch norm

    c = channels
    expected = (
        conv(colours, c) + 2 * conv(c, c)
        + conv(c, 2 * c) + 2 * conv(2 * c, 2 * c)
        + conv(2 * c, 4 * c) + 2 * conv(4 * c, 4 * c)
        + 4 * c * 100 + 100
        + 100 * classes + classes
    )  # fmt: skip
    net = SeedNet(classes, channels, in_channels=colours)
    assert net.count_parameters() == expected
    if channels == 8:
        assert expected == 38_147


def test_shapes_names_and_work():
    net = SeedNet()
    names = [name for name, _ in net.named_parameters()]
    assert names[:4] == [
        "block1.0.weight", "block1.0.normalizer.gamma", "block1.0.normalizer.beta",
        "block1.1.weight",
    ]  # fmt: skip
    assert names[-4:] == ["hidden.weight", "hidden.bias", "logits.weight", "logits.bias"]
    table = net.summary((3, 32, 32))
    shapes = [row.output_shape for row in table.rows]
    assert shapes == (
        [(8, 32, 32)] * 3 + [(8, 16, 16)] + [(16, 16, 16)] * 3 + [(16, 8, 8)]
        + [(32, 8, 8)] * 3 + [(32,), (100,), (100,), (43,)]
    )  # fmt: skip
    convolutions = 1024 * (27 * 8 + 2 * 72 * 8) + 256 * (72 + 2 * 144) * 16
    convolutions += 64 * (144 + 2 * 288) * 32
    assert table.macs == convolutions + 3200 + 4300
    assert net(images(2, 48)).shape == (2, 43)


def test_same_seed_same_bits():
    def bits():
        with nn.seed(1):
            net = SeedNet()
        return [value.tobytes() for value in net.state_dict().values()]

    assert bits() == bits()


def test_learns_sixteen_random_images_by_heart():
    with nn.seed(0):
        net = SeedNet(classes=4, channels=4, dropout=0.1)
    x, labels = images(16, 16), np.arange(16) % 4
    velocity = [np.zeros_like(p.data) for p in net.parameters()]
    losses = []
    for step in range(40):
        with nn.random_key(0, step):
            loss = ops.sparse_softmax_cross_entropy(net(x), labels)
        net.zero_grad()
        loss.backward()
        for p, v in zip(net.parameters(), velocity, strict=True):
            v *= 0.9
            v -= 0.05 * p.grad.data
            p.data = p.data + v
        losses.append(loss.item())
    assert losses[0] > 1
    assert losses[-1] < 0.1
    assert net.block1[0].normalizer.updates.item() == 40
