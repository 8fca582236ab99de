"""Optimisers, learning-rate schedules, gradient clipping and loss scaling."""

from minicnn.optim.adam import Adam, AdamW
from minicnn.optim.clipping import clip_gradient_values, clip_gradients
from minicnn.optim.groups import decay_groups, rate_groups
from minicnn.optim.loss_scaling import LossScaler
from minicnn.optim.optimizer import Optimizer
from minicnn.optim.schedules import (
    Constant,
    Cosine,
    OneCycle,
    Schedule,
    Step,
    WarmUp,
)
from minicnn.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Constant",
    "Cosine",
    "LossScaler",
    "OneCycle",
    "Optimizer",
    "Schedule",
    "Step",
    "WarmUp",
    "clip_gradient_values",
    "clip_gradients",
    "decay_groups",
    "rate_groups",
]
