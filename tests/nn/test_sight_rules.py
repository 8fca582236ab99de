"""What is said to be seen through each op holds for every op there is."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import autograd, ops
from minicnn.autograd import Tensor
from minicnn.autograd.graph import trace
from minicnn.nn._sight import Sight
from minicnn.nn._sight_rules import RULES, sights_of
from tests.ops.driver import for_all
from tests.ops.registry import all_specs

# What has no rule, for any element may come from anywhere, or all are mixed
SEE_ALL = {
    "anchor_boxes", "batched_nms", "binary_hinge_loss", "box_area", "clip_boxes", "decode_boxes",
    "decode_distances", "dice_loss", "encode_boxes", "encode_distances", "giou_matrix",
    "hinge_loss", "huber_loss", "intersection_matrix", "iou_loss", "iou_matrix", "kl_divergence",
    "l1_loss", "l2_loss", "match_boxes", "max_pool_windows", "max_unpool1d", "max_unpool2d",
    "max_unpool3d", "nll_loss", "nms", "roi_align", "roi_pool", "scatter_add", "scatter_elements",
    "scatter_nd", "sigmoid_cross_entropy", "sigmoid_focal_loss", "smooth_l1_loss", "soft_nms",
    "softmax_cross_entropy", "softmax_focal_loss", "sparse_softmax_cross_entropy",
}  # fmt: skip
NO_OPS = {
    "check_gradients", "composed", "differentiable", "find_nan", "grad", "no_grad", "of_output",
    "once_differentiable", "recording", "walk_back", "watched_by", "opaque",
}  # fmt: skip


def test_every_public_op_has_a_rule_or_is_known_to_see_all():
    names = {n for n in (*ops.__all__, *autograd.__all__) if n[0].islower()} - NO_OPS
    assert sorted(names - set(RULES) - SEE_ALL) == []
    assert sorted(SEE_ALL & set(RULES)) == []


def gradients(y, x, places):
    for place in places:
        g = np.zeros(y.shape)
        g[place] = 1
        x.grad = None
        y.backward(g, retain_graph=True)
        yield place, np.zeros(x.shape) if x.grad is None else x.grad.data


@pytest.mark.parametrize("spec", all_specs(), ids=lambda spec: spec.name)
def test_no_gradient_comes_from_where_nothing_is_seen(spec):
    cases = [case for name, case in spec.edges.items() if name != "empty"][:3]
    for_all(spec.cases, cases.append, 4)
    exact: list[bool] = []
    for case in cases:
        for i in range(len(case.arrays)):
            tensors = [Tensor(a, requires_grad=i == j) for j, a in enumerate(case.arrays)]
            graph = trace(lambda *ts, case=case: spec.op(*ts, **case.options), *tensors)
            image, out, y = graph.inputs[i], graph.outputs[0], graph.outputs[0].tensor
            if not (image.tensor.size and y.size and y.requires_grad):
                continue
            places = [np.unravel_index(k, y.shape) for k in {0, y.size // 2, y.size - 1}]
            for axis in range(len(image.shape)):
                seen = {image: Sight.of_image(image.shape, axis)}
                for node in graph:
                    seen.update(zip(node.outputs, sights_of(node, seen.get), strict=True))
                sight = seen.get(out) or Sight(np.zeros((2, *(1 for _ in y.shape))))
                start, end = (np.broadcast_to(p, y.shape) for p in (sight.start, sight.end))
                for place, g in gradients(y, image.tensor, places):
                    others = tuple(a for a in range(g.ndim) if a != axis)
                    (pixels,) = np.nonzero(g.any(axis=others))
                    if pixels.size:
                        assert start[place] <= pixels[0], (case, place)
                        assert pixels[-1] < end[place], (case, place)
                        if i == 0:  # other arguments may be weights, of which all is seen
                            exact.append((start[place], end[place]) == (pixels[0], pixels[-1] + 1))
    if spec.name in RULES and not any(word in spec.name for word in CHOOSING):
        assert sum(exact) >= 0.75 * len(exact), "wider than need be"


# Ops that take one of what they look at, so that most gradients are zero
CHOOSING = ("max", "min", "sort", "top_k")
