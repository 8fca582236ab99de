"""The stand-in for CuPy refuses what CuPy refuses, and computes the rest as NumPy does."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import types

import numpy as np
import pytest

from minicnn import Tensor
from minicnn.kernels import cuda_host
from minicnn.kernels.cuda_host import _names


def numbers(*shape: int, dtype: type = np.float32) -> np.ndarray:
    return (np.arange(1.0, 1 + np.prod(shape)).reshape(shape) / 7).astype(dtype)


# Installing


def test_it_is_installed_once_and_taken_away(monkeypatch):
    for name in [n for n in sys.modules if n.partition(".")[0] in ("cupy", "cupyx")]:
        monkeypatch.delitem(sys.modules, name)
    first = cuda_host.install()
    assert cuda_host.install() is first
    assert {"cupy", "cupy.cuda", "cupy.linalg", "cupyx"} <= set(sys.modules)
    cuda_host.uninstall()
    assert not {"cupy", "cupy.cuda", "cupyx"} & set(sys.modules)
    cuda_host.uninstall()


def test_it_does_not_replace_the_real_one(monkeypatch):
    real = types.ModuleType("cupy")
    monkeypatch.setitem(sys.modules, "cupy", real)
    with pytest.raises(RuntimeError, match="the real CuPy is imported already"):
        cuda_host.install()
    cuda_host.uninstall()
    assert sys.modules["cupy"] is real


# Names

READ_NAMES = """
import inspect, json, cupy, cupyx
def compact(f):
    words, P = [], inspect.Parameter
    given = list(inspect.signature(f).parameters.values())
    for i, p in enumerate(given):
        before = {g.kind for g in given[:i]}
        if p.kind is P.KEYWORD_ONLY and not {P.KEYWORD_ONLY, P.VAR_POSITIONAL} & before:
            words.append("*")
        star = {P.VAR_POSITIONAL: "*", P.VAR_KEYWORD: "**"}.get(p.kind, "")
        words.append(star + p.name + ("" if p.default is P.empty else "="))
        if p.kind is P.POSITIONAL_ONLY and not any(g.kind is p.kind for g in given[i + 1 :]):
            words.append("/")
    return " ".join(words)
def public(owner):
    return [n for n in dir(owner) if not n.startswith("_")]
there = {n: getattr(cupy, n) for n in public(cupy)}
functions = {n: compact(f) for n, f in there.items() if inspect.isfunction(f)}
linear = {n: getattr(cupy.linalg, n) for n in public(cupy.linalg)}
functions |= {f"linalg.{n}": compact(f) for n, f in linear.items() if inspect.isfunction(f)}
functions |= {"size": "a axis=", "matmul": "*args **kwargs"}
ufuncs = [n for n, f in there.items() if isinstance(f, cupy.ufunc)]
docs = {n: str(getattr(cupy.ndarray, n).__doc__).partition("\\n")[0] for n in public(cupy.ndarray)}
print(json.dumps({
    "version": cupy.__version__, "functions": functions, "ufuncs": ufuncs,
    "others": sorted({*there} - {*functions} - {*ufuncs}), "methods": docs,
    "cuda": public(cupy.cuda), "cupyx": public(cupyx),
}))
"""


@pytest.fixture(scope="module")
def real_names():
    done = subprocess.run(
        [sys.executable, "-c", READ_NAMES],
        capture_output=True,
        text=True,
        env=os.environ | {"MINICNN_CUDA": ""},
        check=False,
    )
    if done.returncode:
        pytest.skip("CuPy is not installed")
    names = json.loads(done.stdout)
    if not names["version"].startswith("14."):
        pytest.skip(f"the names are those of CuPy 14, but {names['version']} is installed")
    return names


def test_the_names_are_those_of_cupy(real_names):
    assert dict(_names.entries(_names.FUNCTIONS)) == real_names["functions"]
    assert _names.UFUNCS.split() == real_names["ufuncs"]
    assert _names.OTHERS.split() == real_names["others"]
    assert _names.METHODS.split() == sorted(real_names["methods"])
    modules = {"annotations", "contextlib", "warnings"}  # that CuPy's own code imported
    assert set(_names.CUDA.split()) == set(real_names["cuda"]) - modules
    assert set(_names.CUPYX.split()) == set(real_names["cupyx"]) - modules


def test_methods_take_the_parameters_of_cupy(cupy, real_names):
    compared = 0
    for name, doc in real_names["methods"].items():
        method, (_, opening, inside) = vars(cupy.ndarray)[name], doc.partition("(")
        if callable(method) and opening:
            ours = [
                f"{p}".partition("=")[0].partition(":")[0] + "=" * (p.default is not p.empty)
                for p in inspect.signature(method).parameters.values()
            ]
            theirs = [part.strip() for part in inside.rpartition(")")[0].split(",")]
            words = [p.partition("=")[0].split()[-1] + "=" * ("=" in p) for p in theirs]
            assert ours[1:] == words[1:], name
            compared += 1
    assert compared > 40


def test_there_is_no_other_name(cupy):
    listed = {
        *_names.UFUNCS.split(),
        *_names.OTHERS.split(),
        *dict(_names.entries(_names.FUNCTIONS)),
    }
    assert {n for n in dir(cupy) if not n.startswith("_")} <= listed
    methods = {n for n in dir(cupy.ndarray) if not n.startswith("_")}
    assert methods == set(_names.METHODS.split())
    missing = [name for name in listed if "." not in name and not _has(cupy, name)]
    assert {"random", "fft", "ElementwiseKernel"} <= set(missing)
    assert len(missing) < 60


def _has(owner, name: str) -> bool:
    try:
        getattr(owner, name)
    except NotImplementedError:
        return False
    return True


@pytest.mark.parametrize("name", ["einsum_path", "array_api", "errstate", "nanquantile_", "bool8"])
def test_a_name_that_cupy_has_not(cupy, name):
    assert not hasattr(cupy, name)
    assert not hasattr(cupy.ones(2), name)


def test_what_only_cupy_has_is_told_apart(cupy):
    for ask in (lambda: cupy.random, lambda: cupy.cuda.nvtx, lambda: cupy.ones(2).mdspan):
        with pytest.raises(NotImplementedError, match="but its stand-in has not"):
            ask()


# What is refused

NUMPY = np.ones((2, 3), np.float32)
NO_ARRAY = r"Unsupported type <class 'numpy.ndarray'>"
REFUSED = {
    "add NumPy's": (lambda c, x: x + NUMPY, TypeError, NO_ARRAY),
    "NumPy's, added to": (lambda c, x: NUMPY + x, TypeError, NO_ARRAY),
    "NumPy's function of both": (lambda c, x: np.add(NUMPY, x), TypeError, NO_ARRAY),
    "add NumPy's 0-d": (lambda c, x: x + np.array(1.0), TypeError, NO_ARRAY),
    "in place": (lambda c, x: x.__iadd__(NUMPY), TypeError, NO_ARRAY),
    "compare with NumPy's": (lambda c, x: x < NUMPY, TypeError, NO_ARRAY),
    "matmul": (lambda c, x: x @ NUMPY.T, TypeError, NO_ARRAY),
    "a function of NumPy's": (lambda c, x: c.exp(NUMPY), TypeError, NO_ARRAY),
    "where": (lambda c, x: c.where(x > 0, x, NUMPY), TypeError, NO_ARRAY),
    "concatenate": (lambda c, x: c.concatenate([x, NUMPY]), TypeError, NO_ARRAY),
    "sum of NumPy's": (lambda c, x: c.sum(NUMPY), TypeError, NO_ARRAY),
    "a list as operand": (lambda c, x: np.add(x, [1, 2, 3]), TypeError, "NotImplemented"),
    "a list for an array": (lambda c, x: c.sum([1, 2]), TypeError, "expected a cupy.ndarray"),
    "to NumPy": (lambda c, x: np.asarray(x), TypeError, "Implicit conversion"),
    "to NumPy by assignment": (lambda c, x: NUMPY.__setitem__(..., x), TypeError, "Implicit"),
    "max(initial)": (lambda c, x: x.max(initial=0), TypeError, r"max\(\) .*'initial'"),
    "sum(where)": (lambda c, x: c.sum(x, where=x > 0), TypeError, r"sum\(\) .*'where'"),
    "add(where)": (lambda c, x: c.add(x, x, where=x > 0), TypeError, "Wrong arguments"),
    "astype(casting)": (lambda c, x: x.astype(int, casting="safe"), TypeError, "not supported"),
    "maximum.reduce": (lambda c, x: c.maximum.reduce(x), NotImplementedError, "not supported yet"),
    "multiply.at": (lambda c, x: c.multiply.at(x, 0, x[0]), NotImplementedError, "not supported"),
    "add.at of int64": (
        lambda c, x: c.add.at(c.zeros(3, int), c.zeros(2, int), 1), TypeError, "only supports int32"
    ),
    "an index in Python": (lambda c, x: [1, 2][c.asarray(1)], TypeError, "list indices"),
    "a slice of arrays": (lambda c, x: x[: c.asarray(1)], TypeError, "slice indices"),
    "a float index": (lambda c, x: x[c.ones(2)], IndexError, "integer or boolean"),
    "fill with an array": (lambda c, x: x.__setitem__(..., NUMPY), ValueError, "cannot be used"),
    "fill with a list": (lambda c, x: x.__setitem__(..., [1, 2, 3]), TypeError, "Unsupported"),
    "copyto from NumPy's": (lambda c, x: c.copyto(x, NUMPY), ValueError, "cannot be used"),
    "truth of many": (lambda c, x: bool(x), ValueError, "ambiguous"),
    "item of many": (lambda c, x: x.item(), ValueError, "size 1"),
    "length of none": (lambda c, x: len(x.sum()), TypeError, "unsized"),
    "a function CuPy has not": (lambda c, x: np.nanquantile(x, 0.5), TypeError, "no implem"),
    "a ufunc's reduce by NumPy": (lambda c, x: np.add.reduce(x), TypeError, "NotImplemented"),
    "set of another type": (lambda c, x: x.set(np.ones((2, 3))), TypeError, "cannot be set to"),
    "set of a list": (lambda c, x: x.set([1]), TypeError, "Only numpy.ndarray"),
    "sort by quicksort": (lambda c, x: c.sort(x, kind="quicksort"), ValueError, "stable"),
    "objects": (lambda c, x: c.asarray(np.array([None])), ValueError, "Unsupported dtype object"),
    "strings": (lambda c, x: c.asarray(["a"]), ValueError, "Unsupported dtype"),
    "hash": (lambda c, x: hash(x), TypeError, "unhashable"),
    "the second device": (lambda c, x: c.cuda.Device(1).use(), RuntimeError, "InvalidDevice"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused(cupy, what):
    call, error, message = REFUSED[what]
    with pytest.raises(error, match=message):
        call(cupy, cupy.asarray(numbers(2, 3)))


# What is computed


def both(function, *arrays):
    """Whether NumPy's arrays and the stand-in's give the same."""
    cupy = sys.modules["cupy"]
    wanted = function(np, *arrays)
    found = function(cupy, *map(cupy.asarray, arrays))
    for a, b in zip(*(x if isinstance(x, tuple) else (x,) for x in (wanted, found)), strict=True):
        assert isinstance(b, cupy.ndarray), "never a number"
        assert b.dtype == np.asarray(a).dtype
        np.testing.assert_array_equal(b.get(), a)


COMPUTED = {
    "arithmetic": lambda p, x: (x + x, x * 2, 2.5 - x, x**2, x // 0.3, x % 0.3, -x, abs(x), x / x),
    "promotion": lambda p, x: (x + 1, x + np.float64(1), x > 0, (x > 0) + 1, x.sum() * x),
    "NumPy's numbers on the left": lambda p, x: (np.float32(2) * x, np.float64(2) - x[0]),
    "NumPy's functions": lambda p, x: (np.exp(x), np.sum(x), np.stack([x, x]), np.fmax(x, 1)),
    "reductions": lambda p, x: (x.sum(), x.max(axis=1), x.mean(axis=(0, 1)), x.all()),
    "functions": lambda p, x: (p.where(x > 1, x, 0), p.clip(x, 0.2, 1), p.argmax(x, axis=1)),
    "views": lambda p, x: (x.T, x.reshape(-1), x[..., None], p.moveaxis(x, 0, 1), x.ravel()),
    "indices": lambda p, x: (x[1], x[:, 1], x[[1, 0]], x[x > 0.5], x[p.asarray([0, 1]), :2]),
    "taken": lambda p, x: (x.take(p.asarray([1, 0]), axis=0), p.take(x, [0, 1]), x[np.array([1])]),
    "along": lambda p, x: p.take_along_axis(x, p.argsort(x, axis=1), 1),
    "products": lambda p, x: (x @ x.T, p.matmul(x, x.T), p.dot(x, x.T), p.einsum("ij,ij->i", x, x)),
    "sorted": lambda p, x: (p.sort(x, axis=0), p.argsort(-x), p.searchsorted(x[0], x[1])),
    "made": lambda p, x: (p.zeros(2), p.arange(5), p.full((2,), 3, x.dtype), p.linspace(0, 1, 3)),
    "like": lambda p, x: (p.zeros_like(x), p.ones_like(x, int), p.full_like(x, 2), p.eye(2)),
    "together": lambda p, x: (p.concatenate([x, x], 1), p.tile(x, (2, 1)), p.pad(x, 1)),
    "two results": lambda p, x: (*p.divmod(x, 0.3), *p.modf(x), *p.frexp(x)),
    "casts": lambda p, x: (x.astype(int), x.astype("f2"), x.view("u4"), p.asarray(x, "d")),
    "linear algebra": lambda p, x: p.linalg.inv(x[:, :2]),
}  # fmt: skip


@pytest.mark.usefixtures("cupy")
@pytest.mark.parametrize("what", COMPUTED)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_is_what_numpy_computes(what, dtype):
    both(COMPUTED[what], numbers(2, 3, dtype=dtype))


@pytest.mark.filterwarnings("error")
def test_a_gpu_does_not_warn(cupy):
    x = cupy.asarray([0.0, -1.0])
    assert np.isnan((x / x).get()[0])
    assert np.isnan(cupy.sqrt(x).get()[1])


def test_in_place(cupy):
    x = cupy.asarray(numbers(2, 3))
    same, y = x, x.T
    x += 1
    x *= x
    assert x is same
    np.testing.assert_array_equal(x.get(), (numbers(2, 3) + 1) ** 2)
    np.testing.assert_array_equal(y.get(), x.get().T)
    assert cupy.add(x, 1, out=x) is x
    with pytest.raises(TypeError, match="same_kind"):
        cupy.zeros(3, int).__iadd__(0.5)


class Stranger:
    """Not an array, but it can be added to one."""

    def __radd__(self, array):
        return "theirs"


def test_who_may_add_to_an_array(cupy):
    x, stranger = cupy.ones(2), Stranger()
    with pytest.raises(TypeError, match="NotImplemented"):
        x + stranger
    stranger.__array_priority__ = 1000
    assert x + stranger == "theirs"
    stranger = Stranger()
    stranger.__array_ufunc__ = None
    assert x + stranger == "theirs"


def test_indices_wrap_round(cupy):
    x = cupy.arange(3)
    assert x[[1, 3, -4]].tolist() == [1, 0, 2]
    x[cupy.asarray([4])] = 7
    assert x.tolist() == [0, 7, 2]
    assert cupy.take(x, cupy.asarray([5])).tolist() == [2]
    with pytest.raises(IndexError):
        x[3]


def test_scattered_sums_count_each_time(cupy):
    x = cupy.zeros((2, 3), np.float32)
    cupy.add.at(x, ([0, 0, 1], [1, 1, 4]), cupy.asarray([1, 2, 4], dtype="f"))
    assert x.tolist() == [[0, 3, 0], [0, 4, 0]]
    sys.modules["cupyx"].scatter_max(x, cupy.asarray([1]), 3)
    assert x.tolist() == [[0, 3, 0], [3, 4, 3]]
    x[x > 3] = 0
    assert x.tolist() == [[0, 3, 0], [3, 0, 3]]


def test_a_number_is_an_array_of_the_same_memory(cupy):
    x = cupy.zeros(3)
    one = x[1]
    assert one.shape == ()
    assert one.base is x
    one += 5
    assert x.tolist() == [0, 5, 0]
    assert (float(one), int(one), bool(one), one.item()) == (5.0, 5, True, 5.0)
    assert f"{one:.2f}" == "5.00"


def test_tensors_of_it(cupy):
    x = Tensor(cupy.asarray(numbers(2, 3)), requires_grad=True)
    (cupy.ones((2, 3), np.float32) * x * 2).sum().backward()
    assert isinstance(x.grad.data if isinstance(x.grad, Tensor) else x.grad, cupy.ndarray)
