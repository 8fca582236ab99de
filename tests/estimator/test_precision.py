"""Training in other precisions: it learns, resumes bit for bit, and survives an overflow."""

from __future__ import annotations

import numpy as np
import pytest

import minicnn
from minicnn.backend.precision import is_mixed
from minicnn.errors import ConfigError
from minicnn.estimator import Hook
from minicnn.estimator._precision import PRECISIONS
from tests.estimator.small_runs import bits, estimator, training_data, validation_data


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_run_learns_and_resumes_bit_for_bit(precision, tmp_path):
    whole = estimator(tmp_path / "whole", precision=precision)
    whole.train(training_data, steps=1)
    first = whole.evaluate(validation_data)["loss"]
    whole.train(training_data, steps=11)
    estimator(tmp_path / "parts", precision=precision).train(training_data, steps=5)
    resumed = estimator(tmp_path / "parts", precision=precision).train(training_data, steps=7)
    assert bits(resumed) == bits(whole)
    assert resumed.evaluate(validation_data)["loss"] < first
    assert len(list(resumed.predict(validation_data))) == 21


def test_float16_computes_in_16_bits_and_keeps_32(tmp_path):
    seen = []

    class Look(Hook):
        def before_update(self, context):
            seen.append(is_mixed())

    run = estimator(tmp_path, precision="float16").train(training_data, steps=2, hooks=[Look()])
    assert seen == [True, True]
    assert not is_mixed()
    assert {str(v.dtype) for v in run.model.weights().values()} == {"float32", "int64"}
    plain = estimator().train(training_data, steps=2)
    for name, value in run.model.weights().items():
        np.testing.assert_allclose(value, plain.model.weights()[name], atol=0.02, err_msg=name)
        assert name.endswith("updates") or (value != plain.model.weights()[name]).any(), name


def test_an_overflow_costs_a_step_and_nothing_else(tmp_path):
    run = estimator(tmp_path, precision="float16").train(training_data, steps=2)
    before = bits(run)
    run.loss_scaler.scale = 2.0**39
    run.train(training_data, steps=1)
    after = bits(run)
    assert run.loss_scaler.scale == 2.0**38
    assert run.step == 3
    same = [k for k in before if k.startswith("weights") and "moving" not in k and "upd" not in k]
    assert same
    assert all(before[k] == after[k] for k in same)
    again = estimator(tmp_path, precision="float16")
    assert again.loss_scaler.scale == 2.0**38, "it is part of a checkpoint"


@pytest.mark.parametrize("scale", [2.0**16, 2.0**39], ids=["good", "overflow"])
def test_a_step_that_is_undone_leaves_the_scale_as_it_was(scale):
    """Whether the next growth or halving comes early would change the bits of a resumed run."""

    class Failing(Hook):
        def before_update(self, context):
            if context.step == 2:
                raise ValueError("enough")

    run = estimator(precision="float16").train(training_data, steps=2)
    run.loss_scaler.scale = scale
    with pytest.raises(ValueError, match="enough"):
        run.train(training_data, steps=1, hooks=[Failing()])
    assert run.loss_scaler.state_dict() == {"scale": scale, "good_steps": 2}


def test_the_setting_of_the_program_comes_back(tmp_path):
    seen = []

    class Look(Hook):
        def before_update(self, context):
            seen.append(minicnn.config.matrix_precision)

    estimator(precision="tf32").train(training_data, steps=1, hooks=[Look()])
    assert [*seen, minicnn.config.matrix_precision] == ["tf32", "float32"]


def test_a_precision_that_there_is_not():
    with pytest.raises(ConfigError, match="RunConfig: precision is 'half'; give one of float32, "):
        estimator(precision="half")
