"""CPU kernels, compiled by Numba: the functions of kernels.plain, one for one."""

from .activation import relu, relu_grad
from .augmentation import standardize, warp_affine
from .convolution import conv2d, conv2d_grad_weight, conv2d_grad_x
from .linear import matmul
from .normalization import moments, normalize, normalize_grad_x, normalize_sums
from .optimizer import adam_update, sgd_update, sum_of_squares
from .pooling import max_pool2d, max_unpool2d, sum_pool2d, sum_unpool2d, take_winners2d
from .random import philox_words

__all__ = [
    "adam_update", "conv2d", "conv2d_grad_weight", "conv2d_grad_x", "matmul", "max_pool2d",
    "max_unpool2d", "moments", "normalize", "normalize_grad_x", "normalize_sums", "philox_words",
    "relu", "relu_grad", "sgd_update", "standardize", "sum_of_squares", "sum_pool2d",
    "sum_unpool2d", "take_winners2d", "warp_affine",
]  # fmt: skip
