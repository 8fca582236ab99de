"""Parameters with rates of their own, chosen by their names."""

import numpy as np
import pytest

from minicnn import models, nn
from minicnn.autograd import Tensor
from minicnn.backend.device import to_device
from minicnn.errors import ConfigError
from minicnn.optim import SGD, AdamW, Constant, Cosine, decay_groups, rate_groups


def factors(groups):
    return {name: group["rate_factor"] for group in groups for name, _ in group["params"]}


def test_the_last_pattern_that_meets_a_name_counts():
    net = models.SeedNet(channels=2)
    found = factors(rate_groups(net, {"block*": 0.5, "block1": 0.25, "*.beta": 2.0}))
    assert set(found) == {name for name, _ in net.named_parameters()}
    assert found["block1.0.weight"] == 0.25
    assert found["block2.0.weight"] == 0.5
    assert found["block1.0.normalizer.beta"] == 2.0
    assert found["logits.weight"] == 1.0


def test_groups_are_cut_further_and_keep_their_settings():
    net = models.SeedNet(channels=2)
    groups = rate_groups(decay_groups(net, 0.1), {"block*": 0.5})
    assert [(g["weight_decay"], g["rate_factor"], len(g["params"])) for g in groups] == [
        (0.1, 0.5, 9), (0.1, 1.0, 2), (0.0, 0.5, 18), (0.0, 1.0, 2),
    ]  # fmt: skip
    again = factors(rate_groups(groups, {"block1": 0.5}))
    assert again["block1.0.weight"] == 0.25  # factors multiply


@pytest.mark.parametrize("kind", [SGD, AdamW])
@pytest.mark.parametrize("schedule", [Constant(0.1), Cosine(0.1, 4)])
def test_a_factor_multiplies_the_rate_of_every_step(kind, schedule):
    def weights(**group):
        w = Tensor(np.array([1.0, -2.0]), requires_grad=True)
        optimizer = kind([{"params": [("w", w)], **group}], schedule)
        for _ in range(3):
            w.grad = Tensor(np.array([0.5, 1.0]))
            optimizer.step()
        return w.numpy()

    got = weights(rate_factor=0.25)
    assert np.array_equal(got, weights(learning_rate=lambda step: schedule(step) * 0.25))
    own = weights(rate_factor=0.5, learning_rate=lambda step: schedule(step) * 0.5)
    np.testing.assert_allclose(got, own, rtol=1e-12)
    assert not np.array_equal(got, weights())


def test_a_factor_of_0_is_no_freezing_but_stands_still():
    w = Tensor(np.array([1.0]), requires_grad=True)
    optimizer = SGD([{"params": [("w", w)], "rate_factor": 0.0}], 0.1, weight_decay=0.5)
    w.grad = Tensor(np.array([1.0]))
    optimizer.step()
    assert w.item() == 1.0
    assert "w.velocity" in optimizer.state_dict()


def test_the_state_of_groups_is_that_of_their_parameters():
    """Groups may be cut otherwise when a run is gone on with; what is remembered has names."""

    def trained(factors, state=None):
        with nn.seed(0):
            net = nn.Sequential(nn.Dense(3, 4), nn.Dense(4, 2))
        optimizer = SGD(rate_groups(net, factors), 0.1)
        if state is not None:
            optimizer.load_state_dict(state)
        for p in net.parameters():
            p.grad = Tensor(to_device(np.ones(p.shape, np.float32), p.device))
        optimizer.step()
        return optimizer.state_dict()

    first = trained({"0": 0.5})
    again = trained({"1.weight": 0.5, "0.bias": 0.1}, first)
    assert set(first) == set(again)
    assert np.array_equal(again["0.weight.velocity"], 1.9 * np.ones((4, 3), np.float32))


@pytest.mark.parametrize(
    ("params", "given", "says"),
    [
        (
            lambda: nn.Dense(2, 2),
            {"wait": 0.5},
            "'wait' matches no parameter; did you mean 'weight'",
        ),
        (lambda: [Tensor([1.0])], {"*": 0.5}, "has no name to go by"),
        (lambda: nn.Dense(2, 2), {"*": -1.0}, "the factor of .* is -1.0"),
        (lambda: nn.Dense(2, 2), {"*": "fast"}, "is 'fast'; it must be a number"),
    ],
)
def test_what_makes_no_sense_is_refused(params, given, says):
    with pytest.raises(ConfigError, match=says):
        SGD(rate_groups(params(), given), 0.1)
