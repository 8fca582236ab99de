"""The differentiable operations, one file per family."""

from minicnn.autograd import (
    absolute,
    add,
    arccos,
    arccosh,
    arcsin,
    arcsinh,
    arctan,
    arctanh,
    argmax,
    argmin,
    broadcast_to,
    ceil,
    clip,
    concatenate,
    cos,
    cosh,
    cumprod,
    cumsum,
    diagonal,
    divide,
    einsum,
    erf,
    exp,
    expand_dims,
    expm1,
    flip,
    floor,
    floor_divide,
    fmod,
    log,
    log1p,
    logsumexp,
    matmul,
    max,
    maximum,
    mean,
    min,
    minimum,
    mod,
    moveaxis,
    multiply,
    negative,
    norm,
    pad,
    power,
    prod,
    reciprocal,
    repeat,
    reshape,
    roll,
    round,
    sign,
    sin,
    sinh,
    split,
    sqrt,
    square,
    squeeze,
    stack,
    std,
    subtract,
    sum,
    swapaxes,
    tan,
    tile,
    trace,
    transpose,
    tril,
    triu,
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
from minicnn.ops.adaptive_pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
)
from minicnn.ops.anchors import anchor_boxes, match_boxes
from minicnn.ops.average_pooling import avg_pool1d, avg_pool2d, avg_pool3d
from minicnn.ops.box_coding import (
    clip_boxes,
    decode_boxes,
    decode_distances,
    encode_boxes,
    encode_distances,
)
from minicnn.ops.boxes import box_area, giou_matrix, intersection_matrix, iou_matrix
from minicnn.ops.columns import col2im, im2col
from minicnn.ops.convolution import conv1d, conv2d, conv3d
from minicnn.ops.dense import dense, flatten
from minicnn.ops.dropout import alpha_dropout, dropout, spatial_dropout
from minicnn.ops.focal_loss import sigmoid_focal_loss, softmax_focal_loss
from minicnn.ops.global_pooling import (
    global_avg_pool1d,
    global_avg_pool2d,
    global_avg_pool3d,
    global_max_pool1d,
    global_max_pool2d,
    global_max_pool3d,
)
from minicnn.ops.hard_activation import (
    hard_sigmoid,
    hard_swish,
    hard_tanh,
    hardmax,
    relu6,
    shrink,
    thresholded_relu,
)
from minicnn.ops.hinge_loss import binary_hinge_loss, hinge_loss
from minicnn.ops.indexing import (
    gather,
    gather_nd,
    one_hot,
    scatter_add,
    scatter_elements,
    scatter_nd,
    take_along_axis,
)
from minicnn.ops.layer_normalization import l2_normalize, layer_norm, rms_norm
from minicnn.ops.local_response import local_response_norm
from minicnn.ops.loss import (
    kl_divergence,
    nll_loss,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
    sparse_softmax_cross_entropy,
)
from minicnn.ops.lp_pooling import (
    global_lp_pool1d,
    global_lp_pool2d,
    global_lp_pool3d,
    lp_pool1d,
    lp_pool2d,
    lp_pool3d,
)
from minicnn.ops.normalization import (
    batch_norm,
    batch_norm_inference,
    group_norm,
    instance_norm,
)
from minicnn.ops.overlap_loss import dice_loss, iou_loss
from minicnn.ops.pooling import (
    max_pool1d,
    max_pool2d,
    max_pool3d,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
)
from minicnn.ops.rearrange import depth_to_space, space_to_depth
from minicnn.ops.regions import max_pool_windows, roi_align, roi_pool
from minicnn.ops.regression_loss import huber_loss, l1_loss, l2_loss, smooth_l1_loss
from minicnn.ops.resize import resize
from minicnn.ops.smooth_activation import (
    celu,
    elu,
    gelu,
    log_sigmoid,
    mish,
    selu,
    silu,
    softplus,
    softsign,
)
from minicnn.ops.sorting import argsort, sort, top_k
from minicnn.ops.suppression import batched_nms, nms, soft_nms
from minicnn.ops.transposed_convolution import (
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
)

__all__ = [
    "absolute", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d",
    "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d", "add", "alpha_dropout",
    "anchor_boxes", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctanh", "argmax",
    "argmin", "argsort", "avg_pool1d", "avg_pool2d", "avg_pool3d", "batch_norm",
    "batch_norm_inference", "batched_nms", "binary_hinge_loss", "box_area", "broadcast_to", "ceil",
    "celu", "clip", "clip_boxes", "col2im", "concatenate", "conv1d", "conv2d", "conv3d",
    "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "cos", "cosh", "cumprod", "cumsum",
    "decode_boxes", "decode_distances", "dense", "depth_to_space", "diagonal", "dice_loss",
    "divide", "dropout", "einsum", "elu", "encode_boxes", "encode_distances", "erf", "exp",
    "expand_dims", "expm1", "flatten", "flip", "floor", "floor_divide", "fmod", "gather",
    "gather_nd", "gelu", "giou_matrix", "global_avg_pool1d", "global_avg_pool2d",
    "global_avg_pool3d", "global_lp_pool1d", "global_lp_pool2d", "global_lp_pool3d",
    "global_max_pool1d", "global_max_pool2d", "global_max_pool3d", "group_norm", "hard_sigmoid",
    "hard_swish", "hard_tanh", "hardmax", "hinge_loss", "huber_loss", "im2col", "instance_norm",
    "intersection_matrix", "iou_loss", "iou_matrix", "kl_divergence", "l1_loss", "l2_loss",
    "l2_normalize", "layer_norm", "leaky_relu", "local_response_norm", "log", "log1p",
    "log_sigmoid", "log_softmax", "logsumexp", "lp_pool1d", "lp_pool2d", "lp_pool3d", "match_boxes",
    "matmul", "max", "max_pool1d", "max_pool2d", "max_pool3d", "max_pool_windows", "max_unpool1d",
    "max_unpool2d", "max_unpool3d", "maximum", "mean", "min", "minimum", "mish", "mod", "moveaxis",
    "multiply", "negative", "nll_loss", "nms", "norm", "one_hot", "pad", "power", "prelu", "prod",
    "reciprocal", "relu", "relu6", "repeat", "reshape", "resize", "rms_norm", "roi_align",
    "roi_pool", "roll", "round", "scatter_add", "scatter_elements", "scatter_nd", "selu", "shrink",
    "sigmoid", "sigmoid_cross_entropy", "sigmoid_focal_loss", "sign", "silu", "sin", "sinh",
    "smooth_l1_loss", "soft_nms", "softmax", "softmax_cross_entropy", "softmax_focal_loss",
    "softplus", "softsign", "sort", "space_to_depth", "sparse_softmax_cross_entropy",
    "spatial_dropout", "split", "sqrt", "square", "squeeze", "stack", "std", "subtract", "sum",
    "swapaxes", "take_along_axis", "tan", "tanh", "thresholded_relu", "tile", "top_k", "trace",
    "transpose", "tril", "triu", "var", "where",
]  # fmt: skip
