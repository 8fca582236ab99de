"""Winograd's convolution: against the definition, within the stated bound, in three directions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicnn
from minicnn.kernels import plain
from minicnn.kernels import settings as switches
from minicnn.kernels.cpu import _parallel, conv, conv_grad_weight, conv_grad_x
from minicnn.kernels.cpu.vector import direct, objects, tiles, winograd, winograd_code
from minicnn.kernels.cpu.vector.winograd_matrices import matrices
from minicnn.ops._windows import Window

if objects.machine() is None:
    pytest.skip("this CPU has neither AVX2 with FMA nor NEON", allow_module_level=True)

EPS = np.finfo(np.float32).eps / 2  # what one rounding may change, relatively
WORST = {2: 7.2, 4: 63}  # the matrices' |A^T| |G| |B^T| on two axes
USUAL = {2: 4, 4: 30}  # what errors come to, in EPS, where sum of max|x| * sum|w| is 1
MACHINES = [tiles.Machine(16, 32), tiles.Machine(8, 16), tiles.Machine(4, 32)]
MACHINES = [m for m in MACHINES if m.lanes <= objects.machine().lanes]


class Case(NamedTuple):
    """The shapes of a convolution."""

    images: int
    channels: int
    outputs: int
    height: int
    width: int
    before: tuple[int, int]
    after: tuple[int, int]

    @property
    def window(self) -> Window:
        padding = tuple(zip(self.before, self.after, strict=True))
        return Window.of("conv2d", (self.height, self.width), (3, 3), 1, padding)

    @property
    def out(self) -> tuple[int, ...]:
        return self.window.output_size("conv2d", (self.height, self.width))

    def operands(self, seed: int = 0, mean: float = 0.0) -> list[np.ndarray]:
        """Return x (N, C, H, W), weight, bias and grad_y, channels-last."""
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((self.images, self.height, self.width, self.channels)) + mean
        weight = rng.standard_normal((self.outputs, self.channels, 3, 3))
        bias = rng.standard_normal(self.outputs)
        grad_y = rng.standard_normal((self.images, *self.out, self.outputs))
        x, weight, bias, grad_y = (a.astype(np.float32) for a in (x, weight, bias, grad_y))
        return [np.moveaxis(x, -1, 1), weight, bias, np.moveaxis(grad_y, -1, 1)]


EIGHT = Case(5, 16, 32, 8, 8, (1, 1), (1, 1))
ODD = Case(3, 13, 17, 10, 7, (1, 2), (0, 1))


def found(case: Case, x, weight, bias, grad_y, kernels=None) -> dict[str, np.ndarray]:
    """All three directions, by `plain` or by the CPU's kernels."""
    a, b, c = kernels or (conv, conv_grad_x, conv_grad_weight)
    return {
        "y": a(x, weight, bias, case.out, case.window, 1),
        "grad_x": b(grad_y, weight, x.shape, case.window, 1),
        "grad_weight": c(grad_y, x, weight.shape, case.window, 1),
    }


def right(case: Case, *operands: np.ndarray) -> dict[str, np.ndarray]:
    exact = [a.astype(np.float64) for a in operands]
    return found(case, *exact, kernels=(plain.conv, plain.conv_grad_x, plain.conv_grad_weight))


def magnitudes(x, weight, bias, grad_y) -> dict[str, np.ndarray]:
    """What errors are relative to: of each sum, the largest pixel times the sum of its weights."""
    x, weight, bias, grad_y = (np.abs(a.astype(np.float64)) for a in (x, weight, bias, grad_y))
    taps = weight.sum(axis=(2, 3))  # (O, C)
    x_most, grad_most = x.max(axis=(2, 3), initial=0), grad_y.max(axis=(2, 3), initial=0)
    sums = np.einsum("nc,no->oc", x_most, grad_y.sum(axis=(2, 3)))
    return {
        "y": (x_most @ taps.T + bias)[:, :, None, None],
        "grad_x": (grad_most @ taps)[:, :, None, None],
        "grad_weight": sums[:, :, None, None],
    }


def summands(case: Case, m: int) -> dict[str, int]:
    tiles_in_all = case.images * int(np.prod([-(-n // m) for n in case.out]))
    return {"y": case.channels, "grad_x": case.outputs, "grad_weight": tiles_in_all}


@pytest.fixture
def tiled(monkeypatch):
    """Let Winograd's way be taken with tiles of m x m, on some machine, whatever it costs."""

    def use(m: int, machine: tiles.Machine | None = None) -> None:
        monkeypatch.setattr(winograd, "side", lambda *_: m)
        monkeypatch.setattr(direct, "_LEAST", 0)
        if machine is not None:
            monkeypatch.setattr(objects, "machine", lambda: machine)

    return use


@st.composite
def cases(draw) -> Case:
    pads = [draw(st.tuples(st.integers(0, 3), st.integers(0, 3))) for _ in range(2)]
    sizes = [draw(st.integers(max(1, 3 - sum(pad)), 11)) for pad in pads]
    channels = st.sampled_from([1, 3, 8, 13, 16, 17, 33, 48])
    images = draw(st.sampled_from([1, 2, 3, 19]))
    before, after = zip(*pads, strict=True)
    return Case(images, draw(channels), draw(channels), *sizes, before, after)


@pytest.mark.parametrize("m", [2, 4])
@settings(max_examples=20, deadline=None)
@given(case=cases(), machine=st.sampled_from(MACHINES), mean=st.sampled_from([0.0, 1000.0]))
def test_agrees_with_the_definition_within_the_bound(m, case, machine, mean):
    operands = case.operands(mean=mean)
    given_operands = [a.copy() for a in operands]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "side", lambda *_: m)
        patch.setattr(direct, "_LEAST", 0)
        patch.setattr(objects, "machine", lambda: machine)
        results = found(case, *operands)
    expected, sizes, counts = right(case, *operands), magnitudes(*operands), summands(case, m)
    for what, result in results.items():
        off = np.abs(result - expected[what])
        worst = (counts[what] + 40) * WORST[m] * EPS
        assert (off <= worst * sizes[what]).all(), what
        assert (off <= USUAL[m] * EPS * sizes[what]).all(), what
    for a, b in zip(operands, given_operands, strict=True):
        np.testing.assert_array_equal(a, b)


# Root mean square and largest error, relative to sum|x||w|, in EPS: as in the text of `winograd`.
MEASURED = {0: (0.6, 7.0), 2: (0.4, 2.5), 4: (1.0, 14.0)}


@pytest.mark.parametrize("m", MEASURED)
def test_errors_are_as_small_as_the_text_says(tiled, m):
    case = Case(4, 32, 32, 34, 34, (0, 0), (0, 0))
    x, weight, bias, grad_y = case.operands()
    exact = right(case, x, weight, bias, grad_y)["y"]
    sizes = [np.abs(a.astype(np.float64)) for a in (x, weight, bias)]
    tiled(m)
    off = found(case, x, weight, bias, grad_y)["y"] - exact
    error = off / plain.conv(*sizes, case.out, case.window, 1) / EPS
    usual, largest = MEASURED[m]
    assert np.sqrt((error**2).mean()) < usual
    assert np.abs(error).max() < largest


@pytest.mark.parametrize("m", [2, 4])
def test_the_matrices_make_a_correlation(m):
    rng = np.random.default_rng(0)
    d, g = rng.integers(-9, 9, m + 2), rng.integers(-9, 9, 3)
    made = matrices(m).out @ ((matrices(m).taps @ g) * (matrices(m).inside @ d))
    np.testing.assert_allclose(made, np.correlate(d, g, "valid"), atol=1e-12)


def test_two_outputs_are_made_of_four_products_as_in_the_text():
    d0, d1, d2, d3, g0, g1, g2 = np.random.default_rng(0).standard_normal(7)
    m1, m2 = (d0 - d2) * g0, (d1 + d2) * (g0 + g1 + g2) / 2
    m4, m3 = (d3 - d1) * g2, (d2 - d1) * (g0 - g1 + g2) / 2
    assert np.isclose(m1 + m2 + m3, d0 * g0 + d1 * g1 + d2 * g2)
    assert np.isclose(m2 - m3 + m4, d1 * g0 + d2 * g1 + d3 * g2)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("case", [EIGHT, ODD], ids=["whole tiles", "parts of tiles"])
def test_what_is_not_finite_never_vanishes_and_stays_in_its_tiles(tiled, case, bad):
    tiled(4)
    x, weight, bias, grad_y = case.operands()
    clean = found(case, x, weight, bias, grad_y)["y"]
    n, c, h, w = 1, 2, 5, 3
    x[n, c, h, w] = bad
    y = found(case, x, weight, bias, grad_y)["y"]
    for i in range(case.out[0]):
        for j in range(case.out[1]):
            first = i - case.before[0], j - case.before[1]
            sees = 0 <= h - first[0] < 3 and 0 <= w - first[1] < 3
            corner = i // 4 * 4 - case.before[0], j // 4 * 4 - case.before[1]
            may = 0 <= h - corner[0] < 6 and 0 <= w - corner[1] < 6
            if sees:
                assert not np.isfinite(y[n, :, i, j]).any(), (i, j)
            elif not may:
                np.testing.assert_array_equal(y[n, :, i, j], clean[n, :, i, j])
    others = np.arange(case.images) != n
    np.testing.assert_array_equal(y[others], clean[others])


@pytest.mark.parametrize("machine", MACHINES, ids=str)
def test_what_lies_around_the_arrays_is_not_read_and_not_written(tiled, machine):
    tiled(4, machine)
    expected = found(ODD, *ODD.operands())
    poisoned = []
    for a in ODD.operands():
        memory = np.moveaxis(a, 1, -1) if a.shape[-2:] != (3, 3) and a.ndim == 4 else a
        room = np.full(a.size + 64, np.nan, np.float32)
        room[32 : 32 + a.size] = memory.reshape(-1)
        inside = room[32 : 32 + a.size].reshape(memory.shape)
        poisoned.append(np.moveaxis(inside, -1, 1) if memory is not a else inside)
    for what, result in found(ODD, *poisoned).items():
        np.testing.assert_array_equal(result, expected[what], what)
    images = np.moveaxis(ODD.operands()[0], 1, -1)[:, None]
    room = np.full((ODD.images + 2, 1, *ODD.out, ODD.outputs), 7, np.float32)
    steps = direct.Steps((1, 3, 3), (1, 1, 1), (0, *ODD.before), (1, 1, 1))
    direct.conv(images, ODD.operands()[1][:, :, None], None, room[1:-1], steps, 1)
    assert (room[[0, -1]] == 7).all()
    assert not (room[1:-1] == 7).any()


def test_the_same_bits_alone_and_in_a_batch_on_any_number_of_threads(tiled, monkeypatch):
    tiled(4)
    case = EIGHT._replace(images=37)
    operands = case.operands()
    monkeypatch.setattr(_parallel, "threads", lambda: 1)
    first = found(case, *operands)
    for threads in (2, 4):
        monkeypatch.setattr(_parallel, "threads", lambda threads=threads: threads)
        for what, result in found(case, *operands).items():
            np.testing.assert_array_equal(result, first[what], what)
    x, weight, bias, grad_y = operands
    alone = found(case._replace(images=1), x[7:8], weight, bias, grad_y[7:8])
    for what in ("y", "grad_x"):
        np.testing.assert_array_equal(alone[what], first[what][7:8])


def steps_of(size=(1, 3, 3), stride=(1, 1, 1), before=(0, 1, 1), dilation=(1, 1, 1)):
    return direct.Steps(size, stride, before, dilation)


@pytest.mark.parametrize(
    ("out", "kernel", "steps", "groups", "side"),
    [
        ((128, 1, 32, 32, 32), (32, 32, 1, 3, 3), steps_of(), 1, 4),
        ((128, 1, 6, 6, 64), (64, 64, 1, 3, 3), steps_of(), 1, 2),
        ((128, 1, 32, 32, 16), (16, 3, 1, 3, 3), steps_of(), 1, 0),
        ((1, 1, 8, 8, 64), (64, 64, 1, 3, 3), steps_of(), 1, 0),
        ((128, 1, 32, 32, 32), (32, 16, 1, 3, 3), steps_of(), 2, 0),
        ((128, 1, 32, 32, 32), (32, 32, 1, 1, 3), steps_of(size=(1, 1, 3)), 1, 0),
        ((128, 1, 16, 16, 32), (32, 32, 1, 3, 3), steps_of(stride=(1, 2, 2)), 1, 0),
        ((128, 1, 32, 32, 32), (32, 32, 1, 3, 3), steps_of(dilation=(1, 2, 2)), 1, 0),
        ((128, 2, 32, 32, 32), (32, 32, 1, 3, 3), steps_of(), 1, 0),
        ((128, 1, 32, 32, 32), (32, 32, 1, 3, 3), steps_of(before=(1, 1, 1)), 1, 0),
        ((0, 1, 32, 32, 32), (32, 32, 1, 3, 3), steps_of(), 1, 0),
    ],
)
def test_it_is_taken_where_it_applies_and_pays(monkeypatch, out, kernel, steps, groups, side):
    monkeypatch.setattr(switches, "winograd", True)
    assert winograd.side(out, kernel, steps, groups) == side
    images = winograd.images_at_once(out, kernel, steps, groups)
    assert images == 1 if not side else images * -(-out[2] // side) * -(-out[3] // side) >= 32
    monkeypatch.setattr(switches, "winograd", False)
    assert winograd.side(out, kernel, steps, groups) == 0


def test_config_switches_it_off(monkeypatch):
    case = Case(20, 32, 32, 16, 16, (1, 1), (1, 1))
    operands = case.operands()
    monkeypatch.setattr(minicnn.config, "winograd", True)
    fast = found(case, *operands)
    monkeypatch.setattr(minicnn.config, "winograd", False)
    called = []
    monkeypatch.setattr(winograd, "conv_steps", lambda *_: called.append(1))
    monkeypatch.setattr(winograd, "grad_weight_steps", lambda *_: called.append(1))
    for what, result in found(case, *operands).items():
        np.testing.assert_allclose(result, fast[what], rtol=1e-4, atol=1e-3)
        assert not np.array_equal(result, fast[what]), f"{what} was not Winograd's before"
    assert not called


@pytest.mark.parametrize("machine", MACHINES, ids=str)
@pytest.mark.parametrize("channels", [1, 17, 64, 512])
def test_the_code_is_short_and_the_sums_fit_the_registers(machine, channels):
    shape = winograd._shape(machine, 4, channels, channels + 3)
    weights = winograd_code.Weights(shape, channels % shape.rows)
    for write, given_shape in (
        (winograd_code.forward, shape),
        (winograd_code.grad_weight, weights),
    ):
        assert len(str(write("name", given_shape)).splitlines()) < 5000
    vectors = shape.wide // shape.lanes
    assert shape.rows * vectors + vectors + 1 <= machine.registers
    assert shape.rows * vectors >= 8
    assert shape.block % shape.rows == 0
