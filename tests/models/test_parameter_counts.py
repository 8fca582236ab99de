"""How many parameters the nets have: the papers' numbers, and torchvision's."""

from __future__ import annotations

from functools import partial

import pytest

from minicnn.models import MLP, VGG, AlexNet, CifarResNet, GoogLeNet, LeNet5, PlainNet, ResNet
from minicnn.nn import Conv2d, Dense, Module, arg_scope, init


def built(build) -> Module:
    """A net of zeros, which takes a tenth of the time of random numbers."""
    with arg_scope([Conv2d, Dense], initializer=init.zeros):
        return build()


def share(net: Module, *prefixes: str) -> int:
    return sum(p.size for name, p in net.named_parameters() if name.startswith(prefixes))


TORCHVISION = {
    "alexnet": (AlexNet, 61_100_840),
    "googlenet": (GoogLeNet, 6_624_904),
    "googlenet with heads": (partial(GoogLeNet, aux=True), 13_004_888),
    "resnet18": (partial(ResNet, 18), 11_689_512),
    "resnet34": (partial(ResNet, 34), 21_797_672),
    "resnet50": (partial(ResNet, 50), 25_557_032),
    "resnet101": (partial(ResNet, 101), 44_549_160),
    "resnet152": (partial(ResNet, 152), 60_192_808),
}


@pytest.mark.parametrize("kind", TORCHVISION)
def test_as_many_as_torchvision_has(kind):
    build, expected = TORCHVISION[kind]
    assert built(build).count_parameters() == expected


@pytest.mark.parametrize(
    ("depth", "batch_norm", "count"),
    [
        (11, False, 132_863_336), (11, True, 132_868_840), (13, False, 133_047_848),
        (13, True, 133_053_736), (16, False, 138_357_544), (16, True, 138_365_992),
        (19, False, 143_667_240),
    ],
)  # fmt: skip
def test_vgg_has_as_many_as_torchvision_without_building_its_dense_layers(depth, batch_norm, count):
    net = VGG(depth, classes=1, hidden=1, batch_norm=batch_norm)
    assert share(net, "blocks") + 123_642_856 == count


def test_vgg19_has_most_of_them_in_its_dense_layers():
    net = built(partial(VGG, 19, batch_norm=True))
    scales_and_shifts = 2 * (2 * 64 + 2 * 128 + 4 * 256 + 8 * 512)
    assert net.count_parameters() == 143_678_248
    assert net.count_parameters() - scales_and_shifts == 143_667_240  # without batch norm
    assert share(net, "hidden1", "hidden2", "logits") == 123_642_856
    assert share(net, "blocks") - scales_and_shifts == 20_024_384
    convolutions = [m for _, m in net.named_modules() if isinstance(m, Conv2d | Dense)]
    assert len(convolutions) == 19


def test_the_alexnet_of_2012():
    net = built(partial(AlexNet, original=True))
    assert net.count_parameters() == 60_965_224
    weights = [p.shape for name, p in net.named_parameters() if name.endswith("weight")]
    assert weights == [  # the paper, section 3.5: kernels of 48 and 192 channels in each column
        (96, 3, 11, 11), (256, 48, 5, 5), (384, 256, 3, 3), (384, 192, 3, 3), (256, 192, 3, 3),
        (4096, 9216), (4096, 4096), (1000, 4096),
    ]  # fmt: skip


def test_the_lenet5_of_1998_layer_by_layer():
    net = LeNet5(10, in_channels=1, original=True)
    layers = {"c1": 156, "s2": 12, "c3": 1_516, "s4": 32, "c5": 48_120, "f6": 10_164}
    assert {name: share(net, name) for name in layers} == layers
    assert net.count_parameters() == sum(layers.values()) == 60_000
    assert [(name, b.size) for name, b in net.named_buffers()] == [("logits.codes", 840)]
    assert LeNet5(10, in_channels=1).count_parameters() == 61_706


def test_the_googlenet_of_2014_block_by_block():
    """The paper's table 1 counts weights in units of 1,024, biases not, and not always right."""
    net = GoogLeNet(original=True)
    assert net.count_parameters() == 6_998_552
    assert GoogLeNet(original=True, aux=True).count_parameters() == 13_378_280

    def weights(prefix: str) -> int:
        pairs = net.named_parameters()
        return sum(p.size for n, p in pairs if n.startswith(prefix) and n.endswith("weight"))

    table = {  # what it says, and what its own channels come to
        "3.a": (159, 159.5), "3.b": (380, 379), "4.a": (364, 366.75), "4.b": (437, 438),
        "4.c": (463, 497.5), "4.d": (580, 590.5), "4.e": (840, 847), "5.a": (1_072, 1_018),
        "5.b": (1_388, 1_409),
    }  # fmt: skip
    for place, (_, right) in table.items():
        assert weights(f"inception{place}") == right * 1024, place
    assert weights("stem.3") + weights("stem.4") == 112 * 1024
    assert weights("stem.0") == 9_408  # where it says 2.7 K
    assert weights("logits") == 1000 * 1024
    assert share(net, "logits") == 1_025_000
    said = sum(thousands for thousands, _ in table.values()) + 112 + 2.7 + 1000
    assert weights("") / 1024 == pytest.approx(said, rel=0.005)


@pytest.mark.parametrize(
    ("depth", "count", "millions"),
    [(20, 269_722, 0.27), (32, 464_154, 0.46), (56, 853_018, 0.85), (110, 1_727_962, 1.7)],
)
def test_residual_and_plain_nets_for_cifar(depth, count, millions):
    residual = built(partial(CifarResNet, depth, 10))
    plain = built(partial(PlainNet, depth, 10))
    assert residual.count_parameters() == plain.count_parameters() == count
    assert round(count / 1e6, 2 if millions < 1 else 1) == millions
    assert list(residual.state_dict()) == list(plain.state_dict())
    layers = [m for _, m in plain.named_modules() if isinstance(m, Conv2d | Dense)]
    assert len(layers) == depth


def test_an_mlp_pays_for_every_pixel():
    assert MLP().count_parameters() == 825_131
    assert MLP(10, (), in_channels=1, size=28).count_parameters() == 7_850
    assert share(MLP(), "hidden.0") == 3072 * 256 + 256


@pytest.mark.parametrize("build", [AlexNet, VGG, GoogLeNet, ResNet, CifarResNet, PlainNet])
def test_twice_the_channels_are_four_times_the_weights(build):
    fixed = {"hidden": 8} if build in (AlexNet, VGG) else {}
    narrow, wide = (built(partial(build, classes=4, channels=c, **fixed)) for c in (16, 32))
    pairs = zip(narrow.named_modules(), wide.named_modules(), strict=True)
    inner = [
        (a.weight.size, b.weight.size)
        for (_, a), (_, b) in pairs
        if isinstance(a, Conv2d) and a.in_channels != 3
    ]
    assert len(inner) >= 4
    assert all(b == 4 * a for a, b in inner)
