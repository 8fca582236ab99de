"""Nets that classify pixels: their shapes, their counts, and what sets each apart."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import minicnn
from minicnn import nn, ops
from minicnn.autograd import Tensor, no_grad
from minicnn.errors import ConfigError, ShapeError
from minicnn.models import FCN, Backbone, DeepLab, PixelScores, PSPNet, SegNet, UNet
from tests.models.nets import images

CLASSES = 5
NETS = {
    "unet": partial(UNet, widths=(4, 6, 8)),
    "unet bilinear": partial(UNet, widths=(4, 6, 8), up="bilinear"),
    "unet of four poolings": partial(UNet, widths=(3, 4, 5, 6, 7), batch_norm=False),
    "unet without skips": partial(UNet, widths=(4, 6, 8), skips=False),
    "segnet": partial(SegNet, widths=(4, 6)),
    "segnet of one": partial(SegNet, widths=(4,), convolutions=1),
    "fcn": partial(FCN, channels=4),
    "fcn without skips": partial(FCN, channels=4, skips=0),
    "pspnet": partial(PSPNet, channels=4),
    "deeplab": partial(DeepLab, channels=4),
    "deeplab of a map at 1/4": partial(DeepLab, channels=4, output_stride=4, rates=(2,)),
}


@pytest.fixture(params=NETS)
def net(request):
    with nn.seed(0):
        return NETS[request.param](CLASSES).to(minicnn.get_device())


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 3, 4, 8, 8), (3,)])
def test_what_is_no_batch_of_images_is_refused(net, shape):
    with pytest.raises(ShapeError, match=r"\(N, C, H, W\), got shape"):
        net(Tensor(np.zeros(shape, np.float32)).to(minicnn.get_device()))


@pytest.mark.parametrize("size", [(1, 1), (17, 41), (32, 32)])
def test_shapes_are_explained_before_anything_runs(net, size):
    """Also where poolings do not divide the image."""
    found = nn.summarize(net, (3, *size))
    assert all(min(row.output_shape) >= 1 for row in found.rows)
    assert CLASSES in {row.output_shape[0] for row in found.rows}
    assert found.parameters == net.count_parameters()


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (17, 40), (32, 32)])
def test_images_of_any_size_get_a_score_for_each_pixel(net, size):
    assert net(images(2, *size)).shape == (2, CLASSES, *size)
    with no_grad(), nn.evaluating():
        alone = net(images(1, *size)).numpy()
    assert alone.shape == (1, CLASSES, *size)
    assert np.isfinite(alone).all()


def test_every_weight_learns(net):
    scores = net(images(2, 24, 32))
    labels = np.random.default_rng(0).integers(0, CLASSES, (2, 24, 32))
    ops.sparse_softmax_cross_entropy(scores, labels).backward()
    for name, p in net.named_parameters():
        assert p.grad is not None, name
        assert np.abs(p.grad.numpy()).max() > 0, name


def test_what_is_missing_to_a_multiple_is_padded_and_cut_off():
    """An image is scored as one whose border was repeated by hand, and then cut."""
    with nn.seed(0):
        net = UNet(2, widths=(3, 4), batch_norm=False).to(minicnn.get_device())
    x = images(1, 7, 9)
    full = np.pad(x.numpy(), [(0, 0), (0, 0), (0, 1), (0, 1)], mode="edge")
    expected = net(Tensor(full).to(x.device)).numpy()[:, :, :7, :9]
    np.testing.assert_allclose(net(x).numpy(), expected, atol=1e-5)


def convolution(before, after, size, bias=0):
    return before * after * size * size + bias * after


def pair(before, width):
    """Return the parameters of two 3x3 convolutions with batch normalisation."""
    return convolution(before, width, 3) + convolution(width, width, 3) + 4 * width


def test_the_course_s_unet_has_so_many_parameters():
    net = UNet(classes=8)
    down = pair(3, 64) + pair(64, 128) + pair(128, 256)
    up = pair(256, 128) + pair(128, 64)
    enlarge = convolution(256, 128, 2, 1) + convolution(128, 64, 2, 1)
    assert net.count_parameters() == down + up + enlarge + convolution(64, 8, 1, 1) == 1_864_584


def test_the_way_up_may_interpolate():
    transposed, bilinear = UNet(8), UNet(8, up="bilinear")
    saved = convolution(256, 128, 2) + convolution(128, 64, 2)
    added = convolution(256, 128, 1) + convolution(128, 64, 1)
    assert transposed.count_parameters() - bilinear.count_parameters() == saved - added


def seen_by(net, size, at):
    """Return which pixels the scores at a place depend on."""
    x = images(1, *size)
    x.requires_grad = True
    (net(x)[0, :, at[0], at[1]] ** 2).sum().backward()
    return np.abs(x.grad.numpy()).sum(axis=(0, 1)) > 0


def test_the_narrowest_net_is_one():
    net = DeepLab(CLASSES, channels=1, stages=1, output_stride=4).to(minicnn.get_device())
    assert net(images(2, 9, 7)).shape == (2, CLASSES, 9, 7)


def test_pyramid_pooling_sees_the_whole_image():
    """In evaluation, where batch normalisation connects nothing."""
    with nn.seed(0):
        nets = [
            PSPNet(CLASSES, 4, stages=1, bins=bins, dropout=0).to(minicnn.get_device())
            for bins in ((1, 2), (8,))
        ]
    for net in nets:
        net(images(4, 64, 64))
        net.eval()
    assert seen_by(nets[0], (64, 64), (4, 4))[60:, 60:].any()
    assert not seen_by(nets[1], (64, 64), (4, 4))[60:, 60:].any()


def test_an_auxiliary_head_helps_only_in_training():
    with nn.seed(0):
        net = PSPNet(CLASSES, 4, aux=True).to(minicnn.get_device())
    both = net(images(2, 24, 32))
    assert isinstance(both, PixelScores)
    assert both.logits.shape == both.aux.shape == (2, CLASSES, 24, 32)
    with nn.evaluating():
        assert net(images(2, 24, 32)).shape == (2, CLASSES, 24, 32)


def test_unpooling_puts_a_value_back_to_where_it_was_found():
    """One bright pixel, filters that pass the image on: SegNet lights up that pixel alone."""
    net = SegNet(classes=1, widths=(1,), in_channels=1, convolutions=1).to(minicnn.get_device())
    for name, p in net.named_parameters():
        if name.endswith("weight"):
            p.data[...] = 0
            p.data[0, 0, 1, 1] = 1
        else:
            p.data[...] = 1 if "gamma" in name else 0
    net(images(4, 8, 8, channels=1))
    net.eval()
    x = np.full((1, 1, 4, 4), -9, np.float32)
    x[0, 0, 2, 1] = 9
    y = net(Tensor(x).to(minicnn.get_device())).numpy()[0, 0]
    assert np.argwhere(y > y.min() + 1).tolist() == [[2, 1]]


@pytest.mark.parametrize(
    ("output_stride", "strides"), [(4, (4, 4, 4)), (8, (4, 8, 8)), (None, (4, 8, 16))]
)
def test_a_dilated_backbone_stops_halving_and_sees_no_less(output_stride, strides):
    nets = []
    for stop in (None, output_stride):
        with nn.seed(0):
            nets.append(Backbone(2, output_stride=stop).to(minicnn.get_device()))
        nets[-1](images(2, 64, 64))
        nets[-1].eval()
    plain, dilated = nets
    assert dilated.strides == strides
    assert [64 // m.shape[2] for m in dilated(images(1, 64, 64))] == list(strides)
    assert dilated.count_parameters() == plain.count_parameters()
    spans = []
    for net in nets:
        last = nn.Sequential(net, lambda maps: maps[-1])
        place = (32 // net.strides[-1],) * 2
        spans.append(int(seen_by(last, (64, 64), place).sum(axis=0).max()))
    assert spans[1] >= spans[0]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: UNet(widths=()), "UNet: there are no widths"),
        (lambda: UNet(up="nearest"), "up 'nearest' is unknown"),
        (lambda: SegNet(widths=()), r"SegNet: widths \(\)"),
        (lambda: SegNet(convolutions=0), "0 convolutions leave nothing"),
        (lambda: PSPNet(bins=()), "there are no bins"),
        (lambda: PSPNet(stages=1, aux=True), "the last but one of 1 stages"),
        (lambda: DeepLab(output_stride=6), "output_stride 6; give one of 4, 8, 16"),
    ],
)
def test_what_makes_no_net_is_refused(wrong, says):
    with pytest.raises(ConfigError, match=says):
        wrong()
