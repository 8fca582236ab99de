"""The kernels in array expressions: the textbook definitions, for reading and as the fallback.

The names here are the kernel interface; cpu/ and cuda/ have the same.
"""

from .activation import (
    elu,
    elu_grad,
    erf,
    gelu,
    gelu_grad,
    gelu_tanh,
    gelu_tanh_grad,
    hard_swish,
    hard_swish_grad,
    hard_tanh,
    hard_tanh_grad,
    leaky_relu,
    leaky_relu_grad,
    mish,
    mish_grad,
    prelu,
    prelu_grad,
    relu,
    relu_grad,
    sigmoid,
    sigmoid_grad,
    silu,
    silu_grad,
    softplus,
    softplus_grad,
    softsign,
)
from .augmentation import remap, remap_nearest, standardize, warp_affine
from .block import (
    conv_act,
    conv_block_grad,
    conv_moments,
    normalize_act,
    normalize_act_sums,
    prepare_conv_act,
)
from .coefficients import move_averages, normalize_coefficients, normalize_slopes
from .convolution import col2im, conv, conv_grad_weight, conv_grad_x, im2col
from .dropout import drop
from .elementwise import combine, copied
from .indexing import add_rows
from .joining import concatenate
from .linear import matmul
from .normalization import (
    moments,
    normalize,
    normalize_grad_x,
    normalize_rows,
    normalize_rows_grad,
    normalize_sums,
    sum_channels,
)
from .optimizer import adam_update, sgd_update, sums_of_squares
from .pooling import (
    lp_pool,
    lp_take,
    lp_unpool,
    max_pool,
    max_unpool,
    sum_pool,
    sum_unpool,
    take_winners,
)
from .random import philox_words
from .reductions import extreme_over, extreme_over_grad, sum_over
from .regions import (
    iou_matrix,
    nms,
    roi_max_pool,
    roi_max_unpool,
    roi_sample,
    roi_spread,
    roi_take_winners,
)
from .resize import sample_axis, spread_axis
from .segmentation import merge_regions, region_histograms, segment
from .softmax import (
    cross_entropy_grad,
    log_softmax,
    log_softmax_grad,
    softmax,
    softmax_cross_entropy,
    softmax_grad,
)

__all__ = [
    "adam_update", "add_rows", "col2im", "combine", "concatenate", "conv", "conv_act",
    "conv_block_grad", "conv_grad_weight", "conv_grad_x", "conv_moments", "copied",
    "cross_entropy_grad", "drop", "elu", "elu_grad", "erf", "extreme_over", "extreme_over_grad",
    "gelu", "gelu_grad", "gelu_tanh", "gelu_tanh_grad", "hard_swish", "hard_swish_grad",
    "hard_tanh", "hard_tanh_grad", "im2col", "iou_matrix", "leaky_relu", "leaky_relu_grad",
    "log_softmax", "log_softmax_grad", "lp_pool", "lp_take", "lp_unpool", "matmul", "max_pool",
    "max_unpool", "merge_regions", "mish", "mish_grad", "moments", "move_averages", "nms",
    "normalize", "normalize_act", "normalize_act_sums", "normalize_coefficients",
    "normalize_grad_x", "normalize_rows", "normalize_rows_grad", "normalize_slopes",
    "normalize_sums", "philox_words", "prelu", "prelu_grad", "prepare_conv_act",
    "region_histograms", "relu", "relu_grad", "remap", "remap_nearest", "roi_max_pool",
    "roi_max_unpool", "roi_sample", "roi_spread", "roi_take_winners", "sample_axis", "segment",
    "sgd_update", "sigmoid", "sigmoid_grad", "silu", "silu_grad", "softmax",
    "softmax_cross_entropy", "softmax_grad", "softplus", "softplus_grad", "softsign", "spread_axis",
    "standardize", "sum_channels", "sum_over", "sum_pool", "sum_unpool", "sums_of_squares",
    "take_winners", "warp_affine",
]  # fmt: skip
