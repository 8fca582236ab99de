"""The generated convolutions: every shape of tile, on every width of vector."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from minicnn.kernels import plain, settings
from minicnn.kernels.cpu import conv, conv_grad_weight, conv_grad_x
from minicnn.kernels.cpu._layout import three
from minicnn.kernels.cpu.vector import direct, microkernel, objects, tiles
from minicnn.ops._windows import Window
from tests.ops.driver import LAYOUTS, prove_layouts, prove_narrow, prove_plain, prove_special
from tests.ops.mutants import cases_of
from tests.ops.test_convolution import SPECS as CONVOLUTIONS
from tests.ops.test_transposed_convolution import SPECS as TRANSPOSED

if objects.machine() is None:
    pytest.skip("this CPU has neither AVX2 with FMA nor NEON", allow_module_level=True)


@pytest.fixture(autouse=True)
def direct_way(monkeypatch):
    """Winograd's way has proofs of its own: what is not finite spreads in a tile there."""
    monkeypatch.setattr(settings, "winograd", False)


# (images, channels in, channels out, image, kernel, stride, padding, dilation, groups): each is
# there for a branch of the generator or of the geometry around it.
SHAPES = {
    "8 channels, rows of whole tiles": (2, 8, 8, (6, 32), (3, 3), 1, 1, 1, 1),
    "16 channels, a part of a tile left": (2, 16, 16, (5, 19), (3, 3), 1, 1, 1, 1),
    "two vectors": (1, 4, 32, (4, 8), (3, 3), 1, "same", 1, 1),
    "three vectors, in two blocks": (1, 3, 48, (4, 9), (3, 3), 1, 1, 1, 1),
    "half a vector": (2, 5, 13, (7, 13), (3, 3), 1, 1, 1, 1),
    "a vector and one lane": (1, 3, 17, (5, 6), (3, 3), 1, 1, 1, 1),
    "one channel": (3, 1, 1, (6, 7), (3, 3), 1, 1, 1, 1),
    "33 blocks and a part": (1, 2, 130, (3, 4), (2, 2), 1, 0, 1, 1),
    "1x1": (2, 7, 9, (5, 6), (1, 1), 1, 0, 1, 1),
    "1x1, stride 2": (2, 7, 9, (5, 6), (1, 1), 2, 0, 1, 1),
    "stride 2": (2, 6, 10, (9, 11), (3, 3), 2, 1, 1, 1),
    "stride beyond the kernel": (1, 3, 5, (9, 11), (2, 2), (3, 4), 0, 1, 1),
    "same, stride 2": (1, 3, 5, (8, 7), (3, 3), 2, "same", 1, 1),
    "dilated": (1, 4, 6, (11, 12), (3, 3), 1, 2, 2, 1),
    "dilated along one axis, strided along the other": (
        1,
        4,
        6,
        (11, 12),
        (3, 2),
        (1, 2),
        1,
        (2, 1),
        1,
    ),
    "dilated and strided, one factor": (2, 3, 6, (13, 17), (3, 4), (4, 6), (2, 3), (6, 4), 1),
    "dilated and strided, no factor": (2, 3, 6, (16, 15), (4, 3), (3, 2), (4, 2), (2, 3), 1),
    "dilated and strided, alike": (1, 6, 6, (14, 15), (4, 3), 2, ((3, 0), (1, 4)), 2, 1),
    "padding beyond the kernel": (1, 2, 3, (4, 5), (2, 2), 1, ((3, 2), (0, 4)), 1, 1),
    "strided, padding beyond the kernel": (1, 2, 3, (4, 5), (2, 2), 2, ((3, 2), (0, 4)), 1, 1),
    "windows that do not reach the end": (1, 2, 3, (7, 9), (2, 3), (3, 4), 0, 1, 1),
    "5x1 kernel": (1, 3, 4, (9, 4), (5, 1), 1, "same", 1, 1),
    "groups": (2, 6, 9, (5, 7), (3, 3), 1, 1, 1, 3),
    "groups of whole vectors": (1, 8, 32, (5, 7), (3, 3), 1, 1, 1, 2),
    "groups, strided": (2, 4, 6, (5, 8), (3, 2), 2, 1, 1, 2),
    "a signal": (2, 3, 8, (40,), (5,), 2, 2, 1, 1),
    "a volume": (1, 3, 8, (4, 5, 6), (3, 2, 3), 1, 1, 1, 1),
    "a volume, strided and cut": (
        1,
        2,
        5,
        (5, 6, 7),
        (2, 3, 2),
        (2, 1, 3),
        ((0, 2), (3, 0), (1, 1)),
        1,
        1,
    ),
    "the kernel as large as the image": (2, 3, 4, (5, 6), (5, 6), 1, 0, 1, 1),
    "no images": (0, 3, 4, (5, 6), (3, 3), 1, 1, 1, 1),
    "depthwise, whole vectors": (2, 32, 32, (6, 19), (3, 3), 1, 1, 1, 32),
    "depthwise, a part of a vector": (2, 21, 21, (5, 9), (3, 3), 1, 1, 1, 21),
    "depthwise, several pixels a vector": (2, 3, 3, (7, 23), (3, 3), 1, 1, 1, 3),
    "depthwise, half a vector, fewer pixels than fit": (2, 5, 5, (4, 2), (3, 1), 1, 1, 1, 5),
    "depthwise, strided": (2, 6, 6, (9, 12), (5, 5), 2, 2, 1, 6),
    "depthwise, strided, no padding": (2, 18, 18, (9, 11), (3, 2), (1, 2), 0, 1, 18),
    "depthwise, stride beyond the kernel": (1, 17, 17, (9, 11), (2, 2), (3, 4), 0, 1, 17),
    "depthwise, dilated": (1, 8, 8, (11, 12), (3, 3), 1, ((2, 1), (0, 3)), 2, 8),
    "depthwise, large": (1, 4, 4, (13, 15), (7, 9), 1, "same", 1, 4),
    "depthwise, several bands": (1, 160, 160, (23, 40), (3, 3), 1, 1, 1, 160),
    "depthwise, several bands, strided": (1, 160, 160, (41, 40), (5, 3), 2, (2, 0), 1, 160),
    "depthwise, padding beyond the kernel": (1, 2, 2, (4, 5), (2, 2), 2, ((3, 2), (0, 4)), 1, 2),
    "depthwise, a signal": (2, 12, 12, (40,), (5,), 1, 2, 1, 12),
    "depthwise, a volume": (1, 6, 6, (5, 6, 7), (3, 2, 3), (2, 1, 1), 1, 1, 6),
    "depthwise, more images than pieces": (19, 3, 3, (4, 4), (3, 3), 1, 1, 1, 3),
    "more images than pieces of work": (19, 2, 8, (4, 4), (3, 3), 1, 1, 1, 1),
    "images that share vectors, and some that do not": (41, 4, 5, (5, 6), (3, 3), 1, 1, 1, 1),
    "images that share vectors, strided": (39, 3, 4, (5, 7), (3, 3), 2, 1, 1, 1),
    "images that share vectors, lines of whole ones": (32, 8, 8, (3, 16), (3, 3), 1, 1, 1, 1),
}
CASES = 25  # of each proof that are sent through the generated code
MACHINES = {512: tiles.Machine(16, 32), 256: tiles.Machine(8, 16), 128: tiles.Machine(4, 16)}


class Problem:
    """Random operands of one shape, in the memory of the kernels, and the right answers."""

    def __init__(self, name: str) -> None:
        n, c, o, image, kernel, stride, padding, dilation, groups = SHAPES[name]
        rng = np.random.default_rng(len(name))
        self.window = Window.of("conv", image, kernel, stride, padding, dilation)
        self.out, self.groups = self.window.output_size("conv", image), groups
        self.x = rng.standard_normal((n, *image, c)).astype(np.float32)
        self.weight = rng.standard_normal((o, c // groups, *kernel)).astype(np.float32)
        self.bias = rng.standard_normal(o).astype(np.float32)
        self.grad_y = rng.standard_normal((n, *self.out, o)).astype(np.float32)
        before = tuple(before for before, _ in self.window.padding)
        self.steps = direct.Steps(
            three(self.window.size),
            three(self.window.stride),
            (0,) * (3 - len(before)) + before,
            three(self.window.dilation),
        )

    def found(self) -> dict[str, np.ndarray]:
        n, *image, c = self.x.shape
        images = self.x.reshape(n, *three(image), c)
        weight = self.weight.reshape(*self.weight.shape[:2], *three(self.window.size))
        grads = self.grad_y.reshape(n, *three(self.out), len(weight))
        y, grad_x = np.full_like(grads, np.nan), np.full_like(images, np.nan)
        direct.conv(images, weight, self.bias, y, self.steps, self.groups)
        found = direct.conv_grad_weight(grads, images, weight.shape, self.steps, self.groups)
        result = {
            "y": y.reshape(self.grad_y.shape),
            "grad_weight": found.reshape(self.weight.shape),
        }
        direct.conv_grad_x(grads, weight, grad_x, self.steps, self.groups)
        result["grad_x"] = grad_x.reshape(self.x.shape)
        return result

    def right(self) -> dict[str, np.ndarray]:
        x, weight, bias, grad_y = (
            a.astype(np.float64) for a in (self.x, self.weight, self.bias, self.grad_y)
        )
        x, grad_y = np.moveaxis(x, -1, 1), np.moveaxis(grad_y, -1, 1)
        more = (self.window, self.groups)
        y = plain.conv(x, weight, bias, self.out, *more)
        grad_x = plain.conv_grad_x(grad_y, weight, x.shape, *more)
        return {
            "y": np.moveaxis(y, 1, -1),
            "grad_x": np.moveaxis(grad_x, 1, -1),
            "grad_weight": plain.conv_grad_weight(grad_y, x, weight.shape, *more),
        }

    def summands(self, what: str) -> int:
        pixels = self.grad_y.size // self.grad_y.shape[-1]
        return {"grad_weight": pixels, "grad_x": self.weight[:, 0].size}.get(
            what, self.weight[0].size
        )


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("bits", MACHINES)
def test_agrees_with_the_definition(monkeypatch, bits, name):
    if objects.machine() is None or MACHINES[bits].lanes > objects.machine().lanes:
        pytest.skip(f"this CPU has no vectors of {bits} bits")
    monkeypatch.setattr(objects, "machine", lambda: MACHINES[bits])
    problem = Problem(name)
    right = problem.right()
    for what, found in problem.found().items():
        bound = 4 * np.finfo(np.float32).eps * max(1, problem.summands(what)) ** 0.5
        off = np.abs(found - right[what]).max(initial=0)
        assert off <= bound * max(1.0, np.abs(right[what]).max(initial=0)), what


def test_not_a_number_outside_of_the_images_is_never_read():
    """What lies behind the last row, or in the lanes beyond the channels, must not matter."""
    problem = Problem("half a vector")
    right = problem.found()
    for name in ("x", "grad_y", "weight", "bias"):
        a = getattr(problem, name)
        room = np.full(a.size + 64, np.nan, np.float32)
        room[32 : 32 + a.size] = a.reshape(-1)
        setattr(problem, name, room[32 : 32 + a.size].reshape(a.shape))
    for what, found in problem.found().items():
        np.testing.assert_array_equal(found, right[what])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", SHAPES)
def test_what_is_not_finite_stays_in_the_windows_that_see_it(name, bad):
    problem = Problem(name)
    for a in (problem.x, problem.grad_y):
        a.reshape(-1)[a.size // 2 : a.size // 2 + 1] = bad
    with np.errstate(invalid="ignore"):
        right = problem.right()
        for what, found in problem.found().items():
            np.testing.assert_array_equal(np.isnan(found), np.isnan(right[what]), what)
            np.testing.assert_array_equal(np.isposinf(found), np.isposinf(right[what]), what)


@pytest.mark.parametrize("spec", [*CONVOLUTIONS, *TRANSPOSED], ids=lambda s: s.name)
def test_the_proof_of_convolution_holds_for_the_generated_code(monkeypatch, spec):
    """The cases of the proofs are small, and go another way unless they are sent here."""
    monkeypatch.setattr(direct, "_LEAST", 0)
    called = []
    real = direct.conv_steps
    monkeypatch.setattr(direct, "conv_steps", lambda *a, **k: (called.append(1), real(*a, **k))[1])
    layouts = (*LAYOUTS, *LAYOUTS)
    for i, case in enumerate(cases_of(spec)[:CASES]):
        prove_narrow(spec, case, np.float32)
        prove_plain(spec, case, np.float32)
        prove_layouts(spec, case, layouts[i % len(LAYOUTS) :][:4])
    for name in spec.special:
        prove_special(spec, name, np.float32)
    assert len(called) > CASES


@pytest.mark.parametrize(
    "shape",
    [(64, 64, 16, 7), (256, 256, 64, 3), (512, 2048, 1, 1), (512, 4096, 1, 7), (17, 34, 17, 7)],
)
def test_the_code_is_short_whatever_the_shape(shape):
    """So compiling takes some hundredths of a second: groups, blocks and rows are loops in it."""
    channels, outputs, groups, size = shape
    kernel = (outputs, channels // groups, 1, size, size)
    images = np.zeros((1, 1, 9, 15, channels), np.float32)
    steps = direct.Steps((1, size, size), (1, 1, 1), (0, size // 2, size // 2), (1, 1, 1))
    strides = images.strides[:4]
    frame = direct._frame(images.shape[1:], (1, 9, 15), strides, strides, steps, 1)
    for write, length in ((microkernel.forward, 15), (microkernel.grad_weight, None)):
        text = str(write("name", direct._shape(kernel, groups, steps, frame.padded, 1, 1, length)))
        assert len(text.splitlines()) < 4000


def test_nothing_is_written_beside_the_result():
    problem = Problem("a vector and one lane")
    n, *image, c = problem.x.shape
    images = problem.x.reshape(n, *three(image), c)
    weight = problem.weight[:, :, None]
    room = np.full((n + 2, *three(problem.out), len(weight)), 7, np.float32)
    direct.conv(images, weight, problem.bias, room[1:-1], problem.steps, 1)
    assert (room[[0, -1]] == 7).all()
    assert not (room[1:-1] == 7).any()


def large(dtype=np.float32):
    """Enough work for the generated code to be used."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 5, 9, 21)).astype(dtype)
    weight = rng.standard_normal((24, 5, 3, 3)).astype(dtype)
    window = Window.of("conv", (9, 21), (3, 3), 1, "same")
    return x, weight, rng.standard_normal((6, 24, 9, 21)).astype(dtype), window


def all_three(x, weight, grad_y, window):
    return (
        conv(x, weight, None, (9, 21), window, 1),
        conv_grad_x(grad_y, weight, x.shape, window, 1),
        conv_grad_weight(grad_y, x, weight.shape, window, 1),
    )


def test_the_kernels_use_it_where_it_pays_and_only_for_float32(monkeypatch):
    called = []
    for name in ("conv", "conv_grad_x", "conv_grad_weight"):
        real = getattr(direct, name)
        monkeypatch.setattr(
            direct, name, lambda *a, name=name, real=real: (called.append(name), real(*a))[1]
        )
    fast = all_three(*large())
    assert called == ["conv", "conv_grad_x", "conv_grad_weight"]
    called.clear()
    wide = all_three(*large(np.float64))
    monkeypatch.setattr(objects, "machine", lambda: None)
    slow = all_three(*large())
    assert called == []
    for a, b, c in zip(fast, slow, wide, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(a, c, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
@pytest.mark.parametrize("channels", [1, 3, 8, 13, 16, 17, 32, 64, 100])
@pytest.mark.parametrize("length", [1, 2, 7, 8, 13, 14, 28, 32, 56, 100, 224])
def test_tiles_fit_the_registers_and_hide_the_latency(machine, channels, length):
    tile = tiles.choose(machine, channels, length, taps=27)
    assert tile.rows * tile.vectors + tile.vectors + 1 <= machine.registers
    assert tile.rows <= length
    assert tile.rows * tile.vectors >= min(8, length * tile.vectors)
    assert tile.lanes <= machine.lanes
    assert 27 % tile.unroll == 0


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    """A cache of its own, and no function known yet."""
    monkeypatch.setattr(objects, "folder", lambda: tmp_path / "kernels")
    monkeypatch.setattr(objects, "_functions", {})
    return tmp_path / "kernels"


def test_a_function_is_built_once_and_then_read(empty_cache, monkeypatch):
    first = all_three(*large())
    entries = sorted(empty_cache.iterdir())
    assert entries
    written = [entry.stat().st_mtime_ns for entry in entries]
    monkeypatch.setattr(objects, "_functions", {})
    built = []
    monkeypatch.setattr(objects, "_write", lambda *_: built.append(1))
    for a, b in zip(first, all_three(*large()), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not built
    assert [entry.stat().st_mtime_ns for entry in sorted(empty_cache.iterdir())] == written


@pytest.mark.parametrize(
    "damage",
    [lambda b: b[:-9], lambda b: b"", lambda b: b"0" + b[1:], lambda b: b[:200] + b"!" + b[201:]],
)
def test_a_damaged_entry_is_built_anew(empty_cache, monkeypatch, damage):
    right = all_three(*large())
    whole = {entry: entry.read_bytes() for entry in empty_cache.iterdir()}
    for entry, content in whole.items():
        entry.write_bytes(damage(content))
    monkeypatch.setattr(objects, "_functions", {})
    for a, b in zip(right, all_three(*large()), strict=True):
        np.testing.assert_array_equal(a, b)
    assert {entry: entry.read_bytes() for entry in empty_cache.iterdir()} == whole


def test_another_cpu_or_another_text_makes_another_entry(monkeypatch):
    shape = "a shape"
    keys = {objects._key("forward", shape), objects._key("grad_weight", shape)}
    keys.add(objects._key("forward", "another shape"))
    monkeypatch.setattr(objects, "_source", lambda: b"other code")
    keys.add(objects._key("forward", shape))
    monkeypatch.undo()
    monkeypatch.setattr(objects.binding, "get_host_cpu_name", lambda: "another")
    keys.add(objects._key("forward", shape))
    assert len(keys) == 5


def test_without_a_place_to_write_functions_are_built_each_time(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    for place in (tmp_path / "file", None):
        monkeypatch.setattr(objects, "folder", lambda place=place: place)
        monkeypatch.setattr(objects, "_functions", {})
        all_three(*large())
    assert (tmp_path / "file").read_text() == "not a folder"


CHILD = """
import sys
import numpy as np
from tests.kernels.test_vector import all_three, large
sys.stdout.write(",".join(str(float(a.sum(dtype=np.float64))) for a in all_three(*large())))
"""


def test_processes_and_threads_may_build_the_same_function_at_once(tmp_path, monkeypatch):
    environment = {**os.environ, "MINICNN_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", CHILD]
    children = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) for _ in range(3)
    ]
    said = {child.communicate(timeout=300)[0] for child in children}
    assert [child.returncode for child in children] == [0, 0, 0]
    assert len(said) == 1
    entries = list((tmp_path / "kernels").iterdir())
    assert all(objects._read(entry) for entry in entries), "no half-written file is left"

    monkeypatch.setattr(objects, "folder", lambda: None)
    monkeypatch.setattr(objects, "_functions", {})
    results: list = []
    threads = [
        threading.Thread(target=lambda: results.append(all_three(*large()))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for a, b in zip(results[0], results[-1], strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(results) == 4


@pytest.mark.parametrize(("asked", "lanes"), [("512", 16), ("256", 8), ("128", 4), ("0", None)])
def test_the_width_can_be_asked_for(monkeypatch, asked, lanes):
    widest = objects.machine().lanes
    monkeypatch.setenv("MINICNN_VECTOR_BITS", asked)
    found = objects.machine.__wrapped__()
    assert (None if found is None else found.lanes) == (lanes and min(lanes, widest))
    monkeypatch.setenv("MINICNN_VECTOR_BITS", "1024")
    with pytest.raises(ValueError, match="must be 512, 256, 128 or 0, got '1024'"):
        objects.machine.__wrapped__()
