"""Support vector machines, hard negatives, and ridge regression, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.detection._linear_svm import HardNegatives, fit_svm
from minicnn.detection._ridge import fit_ridge, solve


def clouds(seed, count=60, features=5, apart=1.0):
    """Examples of two classes that overlap in part."""
    rng = np.random.default_rng(seed)
    yes = rng.random(count) < 0.4
    x = rng.normal(size=(count, features)) + np.where(yes, apart, -apart)[:, None]
    return x, yes


def loss_of(machine, x, yes, cost, weights):
    """The definition, an example at a time."""
    loss = 0.5 * (sum(w * w for w in machine[:-1]) + (machine[-1] / 10) ** 2)
    for row, is_yes, weight in zip(x, yes, weights, strict=True):
        s = sum(a * b for a, b in zip(row, machine[:-1], strict=True)) + machine[-1]
        loss += cost * weight * max(0.0, 1 - (1 if is_yes else -1) * s) ** 2
    return loss


@given(st.integers(0, 1000), st.sampled_from([1e-3, 0.1, 10.0]))
def test_no_machine_near_by_has_a_smaller_loss(seed, cost):
    x, yes = clouds(seed)
    rng = np.random.default_rng(seed + 1)
    weights = rng.uniform(0.5, 2, len(x))
    machine = fit_svm(x, yes, cost, weights)
    least = loss_of(machine, x, yes, cost, weights)
    for size in (1e-3, 1e-1):
        for _ in range(4):
            other = machine + size * rng.normal(size=machine.shape)
            assert loss_of(other, x, yes, cost, weights) > least


def test_a_machine_of_two_points_by_hand():
    # L = w^2/2 + 2 C (1 - 3w)^2, b = 0 by symmetry: w = 12 C / (1 + 36 C), inside the margin
    machine = fit_svm(np.array([[3.0], [-3.0]]), np.array([True, False]), 0.05)
    np.testing.assert_allclose(machine, [0.6 / 2.8, 0], atol=1e-9)


def test_where_it_begins_does_not_matter():
    x, yes = clouds(3)
    start = np.random.default_rng(0).normal(size=x.shape[1] + 1)
    np.testing.assert_allclose(
        fit_svm(x, yes, 0.1), fit_svm(x, yes, 0.1, start=start), rtol=1e-5, atol=1e-6
    )


def test_hard_negatives_lead_to_the_machine_of_all():
    x, yes = clouds(0, count=4000)
    machine = HardNegatives(x.shape[1], cost=0.05, weight=2.0, enough=300)
    for rows in np.array_split(np.arange(len(x)), 20):
        machine.add(x[rows][yes[rows]], x[rows][~yes[rows]])
    machine.train()
    whole = fit_svm(x, yes, 0.05, np.where(yes, 2.0, 1.0))
    np.testing.assert_allclose(machine.machine, whole, rtol=0.05, atol=0.01)
    assert sum(map(len, machine._no)) < 0.6 * (~yes).sum()
    assert sum(map(len, machine._yes)) == yes.sum()


def test_a_machine_without_objects_says_no():
    machine = HardNegatives(5, cost=0.1, enough=50)
    for seed in range(4):
        machine.add(np.zeros((0, 5)), clouds(seed)[0])
    machine.train()
    np.testing.assert_array_equal(machine.machine, [0, 0, 0, 0, 0, -10])
    assert sum(map(len, machine._no)) <= 50


@given(st.integers(0, 1000), st.sampled_from([1e-2, 1.0, 1e3]))
def test_ridge_solves_the_normal_equations(seed, penalty):
    rng = np.random.default_rng(seed)
    x, targets = rng.normal(size=(30, 6)) + 5, rng.normal(size=(30, 4)) - 2
    weight, bias = fit_ridge(x, targets, penalty)
    centred = x - x.mean(axis=0)
    wanted = np.linalg.solve(centred.T @ centred + penalty * np.eye(6), centred.T @ targets)
    np.testing.assert_allclose(weight, wanted, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose((x @ weight + bias).mean(axis=0), targets.mean(axis=0))


def test_ridge_without_examples_is_0():
    weight, bias = fit_ridge(np.zeros((0, 6)), np.zeros((0, 4)), 1.0)
    assert weight.shape == (6, 4)
    assert not weight.any()
    assert not bias.any()


@pytest.mark.parametrize("size", [1, 7, 60])
def test_conjugate_gradients_solve(size):
    rng = np.random.default_rng(size)
    root = rng.normal(size=(size, size))
    matrix = root @ root.T + np.diag(rng.uniform(0.1, 1e4, size))
    right = rng.normal(size=(size, 3))
    right[:, 1] = 0
    np.testing.assert_allclose(
        solve(matrix, right), np.linalg.solve(matrix, right), rtol=1e-6, atol=1e-10
    )
