"""`minicnn.explain` has something true to say about every op."""

from __future__ import annotations

import inspect
import os
import re
from xml.etree import ElementTree

import numpy as np
import pytest

import minicnn
from minicnn import ops
from minicnn.autograd import Tensor, composed, differentiable
from minicnn.backend.random import Stream
from minicnn.errors import ConfigError
from minicnn.explanation import _measuring as measuring
from minicnn.explanation import _sources as sources
from tests.ops.registry import all_specs

OPS = sources.catalogue()
FORMULA = ("y[o] = sum of x[i] over the pixels i in window o / their number",)


@pytest.mark.parametrize("name", OPS)
def test_every_op_has_a_formula_a_derivation_and_a_source(name):
    about = minicnn.explain(name)
    assert about.name == name
    assert about.summary
    assert all(about.formula)
    assert about.formula
    assert all(about.derivation)
    assert about.derivation
    assert f"def {OPS[name].__wrapped__.__name__}(" in about.source
    assert about.source.count('"""') % 2 == 0
    assert about.measured is None
    for kernel in about.kernels:
        if kernel.file.endswith(".cu"):
            assert "__global__ void" in kernel.source
        else:
            assert f"def {kernel.name}(" in kernel.source or kernel.kind.startswith("generator")
        assert os.path.exists(kernel.file) or kernel.file.startswith("kernels/")
    kinds = {kernel.name: kernel.kind for kernel in about.kernels}
    assert all(k.kind == "plain" for k in about.kernels if k.name not in kinds)
    text = str(about)
    for part in (
        *about.formula,
        *(line for block in about.derivation for line in block.splitlines()),
    ):
        assert part.strip() in text
    ElementTree.fromstring(f"<body>{about._repr_html_()}</body>")


@pytest.mark.parametrize("name", OPS)
def test_formula_and_derivation_are_written_down(name):
    about = minicnn.explain(name)
    assert about.formula != (about.summary,), "its docstring has no formula"
    parts = sources.with_helpers(OPS[name])
    if any(inspect.signature(f).return_annotation == "Lifted" for f in parts):  # has pull-backs
        assert sources.derivation_of(OPS[name]), "there is no derivation above its pull-backs"


def test_ops_are_those_that_people_call():
    names = set(OPS)
    assert {"conv2d", "add", "max_pool2d", "softmax", "reshape", "argmax"} <= names
    assert not names & {"find_nan", "no_grad", "Tensor", "watched_by"}
    public = {n for n in ops.__all__ if n[0].islower()}
    assert public <= names, "these are not marked as ops"


def test_what_is_said_about_a_convolution():
    about = minicnn.explain("conv2d")
    assert about.formula[0].startswith("y[n,o,i,j] = bias[o] + sum_{c,u,v} weight[o,c,u,v] * x[n,")
    assert any("dL/dweight[o,c,k] = sum_{n,q} dL/dy[n,o,q]" in block for block in about.derivation)
    assert {(k.name, k.kind) for k in about.kernels} == {
        (name, kind)
        for name in ("conv", "conv_grad_x", "conv_grad_weight")
        for kind in ("plain", "cpu", "cuda", "generator of vector code")
    }
    sources = {kernel.file: kernel.source for kernel in about.kernels if kernel.kind == "cuda"}
    assert "__global__ void" in sources["kernels/cuda/implicit_gemm.cu"]
    assert about.kernels[0].name == "conv"  # what computes the value comes first
    assert "def convolve(" in about.source
    assert "return conv_grad_weight(grad_y, x" in "".join(about.gradients)


def test_what_is_said_where_no_comment_is():
    @differentiable
    def same(x: Tensor):
        """Do nothing."""
        return x.data.copy(), (lambda g: g,)

    about = minicnn.explain(same)
    assert about.formula == ("Do nothing.",)
    assert about.derivation == about.gradients == ("return x.data.copy(), (lambda g: g,)",)
    (text,) = minicnn.explain("squeeze").derivation
    assert text == "Written with reshape; the chain rule does the rest."
    assert minicnn.explain(ops.add).derivation == ("y = a + b: dL/da = dL/dy, dL/db = dL/dy",)
    assert minicnn.explain("sin").derivation == ("dL/dx = dL/dy * cos x",)
    assert minicnn.explain("avg_pool1d").formula == ("of avg_pool2d:", *FORMULA)
    assert minicnn.explain("avg_pool2d").formula == FORMULA


def test_your_own_ops_are_explained_too():
    @differentiable
    def cube(x: Tensor):
        """Raise to the third power: ``y = x**3``."""
        data = x.data

        # dL/dx = 3 x^2 dL/dy
        def grad_x(grad_y):
            return grad_y * Tensor(3 * data**2)

        return data**3, (grad_x,)

    about = minicnn.explain(cube, (2, 3))
    assert about.formula == ("y = x**3",)
    assert about.derivation == ("dL/dx = 3 x^2 dL/dy",)
    assert "3 * data**2" in about.gradients[0]
    assert list(about.measured.seconds) == ["array expressions"]
    assert 0.1**3 < about.measured.largest < 0.9**3


def test_kernels_are_timed_and_compared(monkeypatch):
    monkeypatch.delenv("MINICNN_JIT", raising=False)
    about = minicnn.explain("avg_pool2d", np.linspace(0, 5, 2 * 36).reshape(2, 1, 6, 6), size=2)
    m = about.measured
    assert list(m.seconds) == ["plain", "cpu"]
    assert all(0 < s < 1 for s in m.seconds.values())
    assert m.arguments == "(2, 1, 6, 6), size=2"
    assert 4 < m.largest < 5
    assert m.between_kinds <= 1e-15
    assert 1e-9 < m.from_double < 1e-6
    assert "MINICNN_JIT" not in os.environ
    assert re.search(r"cpu +0\.\d+ ms\n.*the largest value is 4\.", str(about), re.DOTALL)
    monkeypatch.setenv("MINICNN_JIT", "0")
    assert list(minicnn.explain("avg_pool2d", (1, 1, 4, 4), 2).measured.seconds) == ["plain"]
    assert os.environ["MINICNN_JIT"] == "0"


def test_a_wrong_kernel_would_show(monkeypatch):
    from minicnn.kernels import cpu

    right = cpu.relu
    monkeypatch.setattr(cpu, "relu", lambda x: right(x) + np.float32(0.5))
    assert minicnn.explain("relu", (2, 3)).measured.between_kinds == pytest.approx(0.5, abs=1e-6)


def test_differences_are_of_numbers():
    nan, inf = np.nan, np.inf
    one, other = np.array([nan, inf, 1.0]), np.array([nan, inf, 1.25])
    assert measuring.farthest([one], [other]) == 0.25
    assert np.isnan(measuring.farthest([np.array([nan])], [np.array([1.0])]))
    assert measuring.farthest([np.zeros(0)], [np.zeros(0)]) == 0


def test_random_ops_get_the_same_numbers_each_time():
    stream = Stream(1, "explained")
    measured = minicnn.explain("dropout", (50, 50), 0.5, stream).measured
    assert measured.from_double < 1e-6
    np.testing.assert_array_equal(stream.uniform((3,)), Stream(1, "explained").uniform((3,)))


def test_every_spec_can_be_measured(monkeypatch):
    """On the first case of each op, once: that all arguments pass through."""
    monkeypatch.setattr(measuring, "FEWEST", 1)
    monkeypatch.setattr(measuring, "ENOUGH", 0.0)
    tried = 0
    for spec in all_specs():
        if OPS.get(spec.name) is spec.op:
            case = next(c for name, c in spec.edges.items() if name != "empty")
            measured = minicnn.explain(spec.op, *case.arrays, **case.options).measured
            tried += 1
            if measured.between_kinds is not None:
                assert measured.between_kinds <= 1e-9 * max(measured.largest, 1), spec.name
    assert tried > 50


def test_unknown_ops_get_the_nearest_names():
    with pytest.raises(
        ConfigError, match=r"explain: there is no op 'conv2'; did you mean 'conv2d'"
    ):
        minicnn.explain("conv2")
    with pytest.raises(ConfigError, match=r"there is no op 'xyzzy!'; see minicnn.ops.__all__"):
        minicnn.explain("xyzzy!")
    with pytest.raises(ConfigError, match=r"is no op; give one of minicnn.ops, its name"):
        minicnn.explain(len)


def test_a_composed_op_without_words_is_explained():
    @composed
    def plus_one(x):
        """Count on."""
        return x + 1

    about = minicnn.explain(plus_one)
    assert about.formula == ("Count on.",)
    assert about.derivation == ("It is written with operators of Tensors, or has no gradient.",)


@pytest.mark.parametrize("name", ["conv2d", "conv_transpose3d"])
def test_convolutions_show_the_generator_of_their_vector_code(name):
    pytest.importorskip("llvmlite")
    shown = {(k.name, k.file): k.source for k in minicnn.explain(name).kernels}
    direct = shown["conv_grad_weight", "kernels/cpu/vector/microkernel.py"]
    assert "def grad_weight(" in direct
    assert "def _products(" in direct
    assert "def forward(" in shown["conv", "kernels/cpu/vector/winograd_code.py"]
    assert not any("vector" in k.file for k in minicnn.explain("relu").kernels)
