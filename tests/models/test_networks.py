"""What is true of every network: it runs, learns, is the same from a seed, and says what fits."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import nn, ops
from minicnn.autograd import no_grad
from minicnn.backend.device import get_device
from minicnn.errors import ConfigError, ShapeError
from minicnn.interop import from_onnx, load_weights, to_onnx, write_weights
from minicnn.models import VGG, CifarResNet, LeNet5, PlainNet, ResNet
from minicnn.optim import SGD
from tests.models.nets import ANY, CLASSES, NETS, PAPERS, images


@pytest.mark.parametrize("kind", NETS)
def test_every_parameter_gets_a_gradient_and_the_file_has_it_all(kind, tmp_path):
    with nn.seed(0):
        net = NETS[kind](classes=CLASSES)
    x = images(4, SIDES.get(kind, 32))
    with nn.random_key(0, 0):
        scores = net(x)
    assert scores.shape == (4, CLASSES)
    ops.sparse_softmax_cross_entropy(scores, np.arange(4)).backward()
    for name, parameter in net.named_parameters():
        gradient = parameter.grad
        assert gradient is not None, name
        assert np.isfinite(gradient.numpy()).all(), name
    write_weights(tmp_path / "net.safetensors", net.state_dict())
    with nn.seed(1):
        other = NETS[kind](classes=CLASSES)
    load_weights(other, tmp_path / "net.safetensors")
    with no_grad(), nn.evaluating():
        wanted = net(x).numpy()
        assert np.abs(scores.numpy() - wanted).max() > 1e-3 or "lenet5" in kind  # which only those
        np.testing.assert_array_equal(other(x).numpy(), wanted)
        np.testing.assert_array_equal(net(x).numpy(), wanted)  # evaluation draws nothing


@pytest.mark.parametrize("kind", NETS)
def test_a_seed_makes_the_same_bits(kind):
    def bits(seed):
        with nn.seed(seed):
            made = NETS[kind](classes=CLASSES)
        return {name: value.tobytes() for name, value in made.state_dict().items()}

    assert bits(1) == bits(1)
    one, two = bits(1), bits(2)
    drawn = [n for n in one if n.endswith(("weight", "codes"))]
    assert all(one[name] != two[name] for name in drawn)


@pytest.mark.parametrize("kind", PAPERS)
def test_images_down_to_the_least_size_pass_and_smaller_ones_are_refused(kind, monkeypatch):
    build, least = PAPERS[kind]
    net = build(classes=CLASSES).eval()
    for height, width in ((least, least), (least + 1, least + 8), (least + 13, least)):
        rows = net.summary((3, height, width)).rows
        assert rows[-1].output_shape == (CLASSES,)
    name = type(net).__name__
    for height, width in ((least - 1, least), (least + 9, least - 1)):
        with pytest.raises(ShapeError) as caught:
            net(images(2, height, width))
        text = str(caught.value)
        assert text.startswith(f"{name}: images of {height} x {width} pixels are too small")
        assert f"give at least {least} x {least}" in text
    monkeypatch.setattr(f"{type(net).__module__}.check_size", lambda *arguments: None)
    with pytest.raises(ShapeError, match="does not fit"):  # there is indeed nothing left
        net.summary((3, least - 1, least - 1))


@pytest.mark.parametrize("kind", ANY)
@pytest.mark.parametrize("size", [(1, 1), (33, 47)])
def test_others_take_any_size(kind, size):
    net = ANY[kind](classes=CLASSES)
    assert net.summary((3, *size)).rows[-1].output_shape == (CLASSES,)


def test_only_the_stated_size_fits_an_mlp():
    net = NETS["mlp"]()
    with pytest.raises(
        ShapeError, match=r"MLP: it was made for images \(3, 32, 32\) .* \(1, 3, 48"
    ):
        net(images(1, 48))


@pytest.mark.parametrize("kind", NETS)
def test_grey_images_and_wrong_channels(kind):
    grey = NETS[kind](classes=CLASSES, in_channels=1)
    with nn.random_key(0, 0):
        assert grey(images(2, channels=1)).shape == (2, CLASSES)
    with pytest.raises(ShapeError):
        grey(images(2))


@pytest.mark.skipif(get_device() != "cpu", reason="an imported model begins on the CPU")
@pytest.mark.parametrize("kind", ["lenet5 original", "alexnet original", "googlenet", "resnet20"])
def test_onnx_takes_them_and_gives_them_back(kind):
    pytest.importorskip("onnx", reason="to_onnx needs the onnx package")
    with nn.seed(0):
        net = NETS[kind](classes=CLASSES)
    x = images(2, 32)
    with nn.random_key(0, 0):
        net(x)  # moves the averages
    net.eval()
    with no_grad():
        again = from_onnx(to_onnx(net, (3, 32, 32)))(x)
        np.testing.assert_allclose(again.numpy(), net(x).numpy(), 1e-4, 1e-5)


def test_settings_that_make_no_net():
    with pytest.raises(ConfigError, match="VGG: depth is one of 11, 13, 16, 19, got 12"):
        VGG(12)
    with pytest.raises(ConfigError, match="ResNet: depth is one of 18, 34, 50, 101, 152, got '50'"):
        ResNet("50")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"CifarResNet: depth is 6n \+ 2, .* got 51"):
        CifarResNet(51)
    with pytest.raises(ConfigError, match=r"PlainNet: depth is 6n \+ 2, .* got 2"):
        PlainNet(2)
    with pytest.raises(ConfigError, match="LeNet5: the original has 6 channels in C1, got 8"):
        LeNet5(channels=8, original=True)
    with pytest.raises(ConfigError, match="out_features"):
        VGG(11, classes=0, channels=4, hidden=4)


# Smaller images where the net takes them: what is learned is the same
SIDES = {
    "alexnet": 16, "alexnet original": 16, "googlenet": 8, "googlenet original": 16, "resnet18": 12,
    "resnet50": 12, "resnet20": 12, "plain20": 12,
}  # fmt: skip
LEARNERS = {  # how large a step, and how many
    "mlp": (0.01, 20), "lenet5": (0.01, 40), "lenet5 original": (0.01, 40), "alexnet": (0.01, 90),
    "vgg16_bn": (0.02, 30), "googlenet": (0.02, 18), "resnet18": (0.05, 18), "resnet20": (0.1, 18),
    "plain20": (0.05, 40),
}  # fmt: skip


@pytest.mark.parametrize("kind", LEARNERS)
def test_learns_twelve_random_images_by_heart(kind):
    rate, steps = LEARNERS[kind]
    with nn.seed(0):
        net = NETS[kind](classes=4)
    for _, module in net.named_modules():
        if isinstance(module, nn.Dropout):
            module.rate = 0.0
    x, labels = images(12, SIDES.get(kind, 32)), np.arange(12) % 4
    optimizer = SGD(net.parameters(), rate, momentum=0.9)
    losses = []
    for step in range(steps):
        with nn.random_key(0, step):
            loss = ops.sparse_softmax_cross_entropy(net(x), labels)
        net.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 1
    assert max(losses[-3:]) < 0.3
