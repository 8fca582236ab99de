"""Weights under torchvision's names: all of them fit, and the outputs are PyTorch's."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minicnn import models, nn
from minicnn.autograd import Tensor, no_grad
from minicnn.backend.device import get_device
from minicnn.backend.random import Stream
from minicnn.errors import CheckpointError, ConfigError
from minicnn.interop import load_weights, torchvision_names, write_weights
from tests.interop import torch_files
from tests.models import torchvision_tables as tables

# Our net, what its file holds, the net in functions of PyTorch
Case = tuple[Callable[[], Any], tables.Shapes, Callable[[Any, Any, Any], Any]]

SMALL: dict[str, Case] = {
    "alexnet": (
        lambda: models.AlexNet(7, channels=8, hidden=24),
        tables.alexnet(7, 8, 24),
        lambda nets, state, x: nets.alexnet(state, x),
    ),
    **{
        f"vgg{depth}{'_bn' * batch_norm}": (
            lambda d=depth, b=batch_norm: models.VGG(d, 7, channels=4, hidden=24, batch_norm=b),
            tables.vgg(depth, batch_norm, 7, 4, 24),
            lambda nets, state, x, d=depth, b=batch_norm: nets.vgg(state, x, d, b),
        )
        for depth, batch_norm in ((11, False), (16, True), (19, False), (19, True))
    },
    "googlenet": (
        lambda: models.GoogLeNet(7, channels=16),
        tables.googlenet(7, sixteenths=4),
        lambda nets, state, x: nets.googlenet(state, x),
    ),
    **{
        f"resnet{depth}": (
            lambda d=depth: models.ResNet(d, 7, channels=8),
            tables.resnet(depth, 7, 8),
            lambda nets, state, x, d=depth: nets.resnet(state, x, d),
        )
        for depth in (18, 34, 50)
    },
}
LARGE: dict[str, tuple[Callable[[], Any], tables.Shapes]] = {
    "alexnet": (models.AlexNet, tables.alexnet()),
    "vgg16": (lambda: models.VGG(16), tables.vgg(16, False)),
    "vgg19_bn": (lambda: models.VGG(19, batch_norm=True), tables.vgg(19, True)),
    "googlenet": (lambda: models.GoogLeNet(aux=True), tables.googlenet(aux=True)),
    "resnet18": (lambda: models.ResNet(18), tables.resnet(18)),
    "resnet34": (lambda: models.ResNet(34), tables.resnet(34)),
    "resnet50": (lambda: models.ResNet(50), tables.resnet(50)),
}


def unset(build: Callable[[], Any]) -> Any:
    """A net whose weights are 0: they come from a file."""
    with nn.arg_scope([nn.Conv2d, nn.Dense], initializer=nn.init.zeros):
        return build()


def images(*shape: int) -> np.ndarray:
    return Stream(0, "images").normal(shape, dtype=np.float32)


def scores(net: Any, x: np.ndarray) -> np.ndarray:
    with no_grad(), nn.evaluating():
        return net(Tensor(x).to(get_device())).numpy()


@pytest.mark.parametrize("kind", SMALL)
def test_names_and_shapes_are_those_of_the_files(kind):
    build, table, _ = SMALL[kind]
    net = unset(build)
    shapes = {name: array.shape for name, array in net.state_dict().items()}
    names = torchvision_names(net)
    assert {there: shapes[here] for there, here in names.items()} == table
    assert sorted(names.values()) == sorted(shapes)


@pytest.mark.parametrize("kind", ["vgg16_bn", "googlenet", "resnet50"])
def test_every_weight_of_a_file_arrives(kind, tmp_path):
    build, table, _ = SMALL[kind]
    state, net = tables.random_state(table), unset(build)
    write_weights(tmp_path / "net.safetensors", state)
    names = torchvision_names(net)
    found = load_weights(net, tmp_path / "net.safetensors", rename=names)
    assert found.missing == found.unexpected == ()
    loaded = net.state_dict()
    for there, here in names.items():
        np.testing.assert_array_equal(loaded[here], state[there], err_msg=here)
    del state["features.0.bias" if kind == "vgg16_bn" else "fc.weight"]
    with pytest.raises(CheckpointError, match=r"missing \(1\)"):
        load_weights(net, state, rename=names)


def test_a_file_of_pytorch_arrives(tmp_path):
    """As torch.save writes a state dict, from the time when updates were not counted."""
    _, table, _ = SMALL["resnet18"]
    state = tables.random_state(table)
    state = {name: value for name, value in state.items() if "num_batches" not in name}
    numbers, entries = {}, {}
    for i, (name, value) in enumerate(state.items()):
        numbers[str(i)] = value.tobytes()
        steps = tuple(step // 4 for step in value.strides)
        entries[name] = torch_files.tensor(value.shape, steps, 0, value.size, key=str(i))
    path = tmp_path / "resnet18.pth"
    path.write_bytes(torch_files.archive(torch_files.program(entries), numbers))
    net = unset(SMALL["resnet18"][0])
    names = torchvision_names(net)
    load_weights(net, path, rename=names)
    loaded = net.state_dict()
    for there in state:
        np.testing.assert_array_equal(loaded[names[there]], state[there])
    assert np.isfinite(scores(net, images(1, 3, 40, 56))).all()


def test_heads_that_a_net_has_not_are_left_out_on_demand():
    net = unset(lambda: models.GoogLeNet(7, channels=16))
    state = tables.random_state(tables.googlenet(7, aux=True, sixteenths=4))
    names = torchvision_names(net)
    with pytest.raises(CheckpointError, match="unexpected"):
        load_weights(net, state, rename=names)
    found = load_weights(net, state, rename=names.get)
    assert found.missing == found.unexpected == ()
    with_heads = unset(lambda: models.GoogLeNet(7, channels=16, aux=True))
    load_weights(with_heads, state, rename=torchvision_names(with_heads))
    x = images(2, 3, 32, 32)
    np.testing.assert_array_equal(scores(net, x), scores(with_heads, x))


def test_nets_that_torchvision_has_not_are_refused():
    with pytest.raises(ConfigError, match="no SeedNet; it has AlexNet, VGG, GoogLeNet, ResNet"):
        torchvision_names(models.SeedNet())


def compare(kind: str, ours: np.ndarray, theirs: Any) -> None:
    wanted = theirs.numpy()
    difference, largest = np.abs(ours - wanted).max(), np.abs(wanted).max()
    print(f"{kind}: outputs up to {largest:.3g}, largest difference {difference:.2g}")
    assert largest > 0.1, "outputs that are all the same prove nothing"
    np.testing.assert_allclose(ours, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(64, 64), (71, 97)])
@pytest.mark.parametrize("kind", SMALL)
def test_outputs_are_those_of_the_functions_of_pytorch(kind, size):
    torch = pytest.importorskip("torch", reason="PyTorch is what is compared with")
    nets = importlib.import_module("tests.models.torch_nets")
    build, table, twin = SMALL[kind]
    state, net, x = tables.random_state(table), unset(build), images(2, 3, *size)
    load_weights(net, state, rename=torchvision_names(net))
    with torch.no_grad():
        compare(kind, scores(net, x), twin(nets, state, torch.from_numpy(x)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", LARGE)
def test_outputs_are_those_of_torchvision(kind, tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is what is compared with")
    zoo = pytest.importorskip("torchvision.models", reason="its nets are what is compared with")
    build, table = LARGE[kind]
    options = {"init_weights": False} if kind == "googlenet" else {}
    with torch.device("meta"):
        theirs = getattr(zoo, kind)(weights=None, **options)
    assert {name: tuple(t.shape) for name, t in theirs.state_dict().items()} == table
    state = {name: torch.from_numpy(v) for name, v in tables.random_state(table).items()}
    theirs.load_state_dict(state, assign=True)
    torch.save(state, tmp_path / "net.pth")
    net = unset(build)
    assert net.count_parameters() == sum(p.numel() for p in theirs.parameters())
    load_weights(net, tmp_path / "net.pth", rename=torchvision_names(net))
    (tmp_path / "net.pth").unlink()
    for size in ((224, 224), (129, 181)):
        x = images(1, 3, *size)
        with torch.no_grad():
            compare(kind, scores(net, x), theirs.eval()(torch.from_numpy(x)))
