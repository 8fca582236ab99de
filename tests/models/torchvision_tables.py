"""The names and shapes in torchvision's state dicts, by rule: what its files hold."""

from __future__ import annotations

import numpy as np

Shapes = dict[str, tuple[int, ...]]

VGG_PLANS = {
    11: "1 p 2 p 4 4 p 8 8 p 8 8 p",
    16: "1 1 p 2 2 p 4 4 4 p 8 8 8 p 8 8 8 p",
    19: "1 1 p 2 2 p 4 4 4 4 p 8 8 8 8 p 8 8 8 8 p",
}
RESNET_PLANS = {18: (1, (2, 2, 2, 2)), 34: (1, (3, 4, 6, 3)), 50: (4, (3, 4, 6, 3))}
INCEPTION_PLANS = {
    "3a": "192 64 96 128 16 32 32", "3b": "256 128 128 192 32 96 64",
    "4a": "480 192 96 208 16 48 64", "4b": "512 160 112 224 24 64 64",
    "4c": "512 128 128 256 24 64 64", "4d": "512 112 144 288 32 64 64",
    "4e": "528 256 160 320 32 128 128", "5a": "832 256 160 320 32 128 128",
    "5b": "832 384 192 384 48 128 128",
}  # fmt: skip


def norm(name: str, channels: int) -> Shapes:
    leaves = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{leaf}": (channels,) for leaf in leaves} | {f"{name}.num_batches_tracked": ()}


def dense(name: str, ins: int, outs: int) -> Shapes:
    return {f"{name}.weight": (outs, ins), f"{name}.bias": (outs,)}


def conv(name: str, ins: int, outs: int, size: int) -> Shapes:
    return {f"{name}.weight": (outs, ins, size, size), f"{name}.bias": (outs,)}


def alexnet(classes: int = 1000, c: int = 64, hidden: int = 4096) -> Shapes:
    widths = [3, c, 3 * c, 6 * c, 4 * c, 4 * c]
    table: Shapes = {}
    for i, (number, size) in enumerate([(0, 11), (3, 5), (6, 3), (8, 3), (10, 3)]):
        table |= conv(f"features.{number}", *widths[i : i + 2], size)
    table |= dense("classifier.1", 36 * 4 * c, hidden) | dense("classifier.4", hidden, hidden)
    return table | dense("classifier.6", hidden, classes)


def vgg(
    depth: int, batch_norm: bool, classes: int = 1000, c: int = 64, hidden: int = 4096
) -> Shapes:
    table: Shapes = {}
    number, ins = 0, 3
    for step in VGG_PLANS[depth].split():
        if step == "p":
            number += 1
            continue
        outs = int(step) * c
        table |= conv(f"features.{number}", ins, outs, 3)
        if batch_norm:
            table |= norm(f"features.{number + 1}", outs)
        number, ins = number + (3 if batch_norm else 2), outs
    table |= dense("classifier.0", 49 * ins, hidden) | dense("classifier.3", hidden, hidden)
    return table | dense("classifier.6", hidden, classes)


def googlenet(classes: int = 1000, aux: bool = False, sixteenths: int = 16) -> Shapes:
    def layer(name: str, ins: int, outs: int, size: int) -> Shapes:
        return {f"{name}.conv.weight": (outs, ins, size, size)} | norm(f"{name}.bn", outs)

    def s(n: int) -> int:
        return n * sixteenths // 16

    table = layer("conv1", 3, s(64), 7) | layer("conv2", s(64), s(64), 1)
    table |= layer("conv3", s(64), s(192), 3)
    for place, plan in INCEPTION_PLANS.items():
        ins, one, reduce3, three, reduce5, five, project = map(s, map(int, plan.split()))
        name = f"inception{place}"
        table |= layer(f"{name}.branch1", ins, one, 1)
        table |= layer(f"{name}.branch2.0", ins, reduce3, 1)
        table |= layer(f"{name}.branch2.1", reduce3, three, 3)
        table |= layer(f"{name}.branch3.0", ins, reduce5, 1)
        table |= layer(f"{name}.branch3.1", reduce5, five, 3)
        table |= layer(f"{name}.branch4.1", ins, project, 1)
    for head, ins in (("aux1", s(512)), ("aux2", s(528))) if aux else ():
        table |= layer(f"{head}.conv", ins, s(128), 1)
        table |= dense(f"{head}.fc1", s(2048), s(1024)) | dense(f"{head}.fc2", s(1024), classes)
    return table | dense("fc", s(1024), classes)


def resnet(depth: int, classes: int = 1000, c: int = 64) -> Shapes:
    def layer(name: str, number: int, ins: int, outs: int, size: int) -> Shapes:
        conv, bn = f"{name}conv{number}", f"{name}bn{number}"
        return {f"{conv}.weight": (outs, ins, size, size)} | norm(bn, outs)

    expansion, blocks = RESNET_PLANS[depth]
    table = layer("", 1, 3, c, 7)
    ins = c
    for i, n in enumerate(blocks):
        width = c * 2**i
        for j in range(n):
            name, outs = f"layer{i + 1}.{j}.", expansion * width
            if expansion == 1:
                table |= layer(name, 1, ins, width, 3) | layer(name, 2, width, width, 3)
            else:
                table |= layer(name, 1, ins, width, 1) | layer(name, 2, width, width, 3)
                table |= layer(name, 3, width, outs, 1)
            if j == 0 and ins != outs:
                table[f"{name}downsample.0.weight"] = (outs, ins, 1, 1)
                table |= norm(f"{name}downsample.1", outs)
            ins = outs
    return table | dense("fc", ins, classes)


def random_state(table: Shapes, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights of He's size, scales and averages that are neither 0 nor 1."""
    rng = np.random.default_rng(seed)
    state: dict[str, np.ndarray] = {}
    for name, shape in table.items():
        if not shape:
            state[name] = np.array(7, np.int64)
        elif len(shape) == 1:
            positive = name.endswith("running_var") or f"{name[:-6]}running_var" in table
            low, high = (0.5, 1.5) if positive and not name.endswith("bias") else (-0.3, 0.3)
            state[name] = rng.uniform(low, high, shape).astype(np.float32)
            if name.startswith("layer") and name.endswith("weight"):
                state[name] *= np.float32(0.5)  # else every sum of a residual block is larger
        else:
            std = np.float32((2 / np.prod(shape[1:])) ** 0.5)
            state[name] = std * rng.standard_normal(shape, np.float32)
    return state
