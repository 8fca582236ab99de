"""The differentiable operations, one file per family."""

from minicnn.autograd import (
    absolute,
    add,
    argmax,
    argmin,
    broadcast_to,
    clip,
    concatenate,
    divide,
    exp,
    expand_dims,
    log,
    matmul,
    max,
    maximum,
    mean,
    min,
    minimum,
    multiply,
    negative,
    pad,
    power,
    reshape,
    sqrt,
    squeeze,
    stack,
    subtract,
    sum,
    transpose,
    var,
    where,
)
from minicnn.ops.activation import (
    leaky_relu,
    log_softmax,
    prelu,
    relu,
    sigmoid,
    softmax,
    tanh,
)
from minicnn.ops.convolution import conv2d
from minicnn.ops.dense import dense, flatten
from minicnn.ops.dropout import dropout, spatial_dropout
from minicnn.ops.loss import sparse_softmax_cross_entropy
from minicnn.ops.normalization import batch_norm, batch_norm_inference
from minicnn.ops.pooling import (
    avg_pool2d,
    global_avg_pool2d,
    global_max_pool2d,
    max_pool2d,
    max_unpool2d,
)

__all__ = [
    "absolute", "add", "argmax", "argmin", "avg_pool2d", "batch_norm", "batch_norm_inference",
    "broadcast_to", "clip", "concatenate", "conv2d", "dense", "divide", "dropout", "exp",
    "expand_dims", "flatten", "global_avg_pool2d", "global_max_pool2d", "leaky_relu", "log",
    "log_softmax", "matmul", "max", "max_pool2d", "max_unpool2d", "maximum", "mean", "min",
    "minimum", "multiply", "negative", "pad", "power", "prelu", "relu", "reshape", "sigmoid",
    "softmax", "sparse_softmax_cross_entropy", "spatial_dropout", "sqrt", "squeeze", "stack",
    "subtract", "sum", "tanh", "transpose", "var", "where",
]  # fmt: skip
