"""Helps to check the gradients of a whole layer: of its input and of each of its parameters."""

import numpy as np

from minicnn import nn
from minicnn.autograd import check_gradients


def check_layer(layer, x, **options):
    """Compare backward with differences, for x and every parameter; return how many those are."""
    layer.build(x.shape[1:])
    layer.astype(np.float64)
    places = []
    for _, module in layer.named_modules():
        places += [
            (module, key, value)
            for key, value in vars(module).items()
            if isinstance(value, nn.Parameter)
        ]

    def run(x, *parameters):
        for (module, key, _), parameter in zip(places, parameters, strict=True):
            module.__dict__[key] = parameter
        with nn.random_key(0, 0):
            return layer(x)

    try:
        check_gradients(run, x, *(parameter.data for _, _, parameter in places), **options)
    finally:
        for module, key, parameter in places:
            module.__dict__[key] = parameter
    return len(places)
