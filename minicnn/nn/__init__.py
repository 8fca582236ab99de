"""Layers: what holds weights and is put together to nets."""

from minicnn.backend.precision import mixed_precision
from minicnn.nn import init, layers
from minicnn.nn.activation import LeakyReLU, LogSoftmax, PReLU, ReLU, Sigmoid, Softmax, Tanh
from minicnn.nn.adaptive_pooling import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AdaptiveMaxPool3d,
)
from minicnn.nn.arg_scope import arg_scope, configurable, explain_args
from minicnn.nn.average_pooling import AvgPool1d, AvgPool2d, AvgPool3d
from minicnn.nn.convolution import Conv1d, Conv2d, Conv3d
from minicnn.nn.dense import Dense, Flatten
from minicnn.nn.dropout import AlphaDropout, Dropout, SpatialDropout
from minicnn.nn.evaluating import evaluating
from minicnn.nn.features import Features, features
from minicnn.nn.global_pooling import (
    GlobalAvgPool1d,
    GlobalAvgPool2d,
    GlobalAvgPool3d,
    GlobalMaxPool1d,
    GlobalMaxPool2d,
    GlobalMaxPool3d,
)
from minicnn.nn.group_normalization import (
    GroupNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
)
from minicnn.nn.hard_activation import (
    HardSigmoid,
    HardSwish,
    HardTanh,
    ReLU6,
    Shrink,
    ThresholdedReLU,
)
from minicnn.nn.layer_normalization import LayerNorm, RMSNorm
from minicnn.nn.local_response import LocalResponseNorm
from minicnn.nn.lp_pooling import (
    GlobalLpPool1d,
    GlobalLpPool2d,
    GlobalLpPool3d,
    LpPool1d,
    LpPool2d,
    LpPool3d,
)
from minicnn.nn.module import Buffer, HookHandle, Module, Parameter
from minicnn.nn.normalization import BatchNorm1d, BatchNorm2d, BatchNorm3d
from minicnn.nn.pooling import (
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
    MaxUnpool1d,
    MaxUnpool2d,
    MaxUnpool3d,
)
from minicnn.nn.randomness import CallStreams, init_stream, random_key, seed
from minicnn.nn.receptive_field import ReceptiveField, receptive_field
from minicnn.nn.regions import RoIAlign, RoIPool
from minicnn.nn.resize import Pad, PixelShuffle, PixelUnshuffle, Resize, Upsample
from minicnn.nn.scope import Scope, scope
from minicnn.nn.sequential import Function, Sequential
from minicnn.nn.smooth_activation import (
    CELU,
    ELU,
    GELU,
    SELU,
    LogSigmoid,
    Mish,
    SiLU,
    Softplus,
    Softsign,
)
from minicnn.nn.summary import Summary, summarize
from minicnn.nn.transfer import freeze, replace_head, unfreeze
from minicnn.nn.transposed_convolution import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "SELU",
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AlphaDropout",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "Buffer",
    "CallStreams",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "Dense",
    "Dropout",
    "Features",
    "Flatten",
    "Function",
    "GlobalAvgPool1d",
    "GlobalAvgPool2d",
    "GlobalAvgPool3d",
    "GlobalLpPool1d",
    "GlobalLpPool2d",
    "GlobalLpPool3d",
    "GlobalMaxPool1d",
    "GlobalMaxPool2d",
    "GlobalMaxPool3d",
    "GroupNorm",
    "HardSigmoid",
    "HardSwish",
    "HardTanh",
    "HookHandle",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LayerNorm",
    "LeakyReLU",
    "LocalResponseNorm",
    "LogSigmoid",
    "LogSoftmax",
    "LpPool1d",
    "LpPool2d",
    "LpPool3d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
    "Mish",
    "Module",
    "PReLU",
    "Pad",
    "Parameter",
    "PixelShuffle",
    "PixelUnshuffle",
    "RMSNorm",
    "ReLU",
    "ReLU6",
    "ReceptiveField",
    "Resize",
    "RoIAlign",
    "RoIPool",
    "Scope",
    "Sequential",
    "Shrink",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softsign",
    "SpatialDropout",
    "Summary",
    "Tanh",
    "ThresholdedReLU",
    "Upsample",
    "arg_scope",
    "configurable",
    "evaluating",
    "explain_args",
    "features",
    "freeze",
    "init",
    "init_stream",
    "layers",
    "mixed_precision",
    "random_key",
    "receptive_field",
    "replace_head",
    "scope",
    "seed",
    "summarize",
    "unfreeze",
]
