"""Layers: what holds weights and is put together to nets."""

from minicnn.nn import init, layers
from minicnn.nn.activation import LeakyReLU, PReLU, ReLU, Sigmoid, Softmax, Tanh
from minicnn.nn.arg_scope import arg_scope, configurable, explain_args
from minicnn.nn.convolution import Conv2d
from minicnn.nn.dense import Dense, Flatten
from minicnn.nn.dropout import Dropout, SpatialDropout
from minicnn.nn.module import Buffer, HookHandle, Module, Parameter
from minicnn.nn.normalization import BatchNorm1d, BatchNorm2d
from minicnn.nn.pooling import AvgPool2d, GlobalAvgPool2d, GlobalMaxPool2d, MaxPool2d
from minicnn.nn.randomness import CallStreams, init_stream, random_key, seed
from minicnn.nn.scope import Scope, scope
from minicnn.nn.sequential import Function, Sequential
from minicnn.nn.summary import Summary, summarize

__all__ = [
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Buffer",
    "CallStreams",
    "Conv2d",
    "Dense",
    "Dropout",
    "Flatten",
    "Function",
    "GlobalAvgPool2d",
    "GlobalMaxPool2d",
    "HookHandle",
    "LeakyReLU",
    "MaxPool2d",
    "Module",
    "PReLU",
    "Parameter",
    "ReLU",
    "Scope",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "SpatialDropout",
    "Summary",
    "Tanh",
    "arg_scope",
    "configurable",
    "explain_args",
    "init",
    "init_stream",
    "layers",
    "random_key",
    "scope",
    "seed",
    "summarize",
]
