"""Every picture of every net: it is drawn, the net stays as it was, and nobody else notices."""

import io
import threading

import numpy as np
import pytest

import minicnn
from minicnn import Tensor, models, nn, ops, visualise
from minicnn.errors import ConfigError, MinicnnError
from tests.visualise.nets import settled

NETS = {
    "seednet": lambda: models.SeedNet(classes=5, channels=2),
    "mlp": lambda: models.MLP(classes=5, hidden=(8, 6), size=16),
    "lenet5": lambda: models.LeNet5(classes=5, in_channels=3),
    "vgg": lambda: models.VGG(11, classes=5, channels=2, hidden=8, small=True),
    "googlenet": lambda: models.GoogLeNet(classes=5, channels=4, small=True, aux=True),
    "resnet": lambda: models.ResNet(18, classes=5, channels=2, small=True),
    "cifar_resnet": lambda: models.CifarResNet(8, classes=5, channels=2),
    "alexnet": lambda: models.AlexNet(classes=5, channels=4, hidden=8, small=True),
}
RNG = np.random.default_rng(0)
LABELS = np.arange(6) % 5


def last_map(net, image):
    found = visualise.compute_activations(net, image)
    maps = [name for name, values in found.items() if values.ndim == 3]
    return maps[-1] if maps else "logits"


PICTURES = {
    "activations": lambda net, x: visualise.activations(net, x[0], channels=3),
    "embedding": lambda net, x: visualise.embedding(net, x, LABELS),
    "feature_maximisation": lambda net, x: visualise.feature_maximisation(
        net, last_map(net, x[0]), x.shape[1:], channels=[0, 1], steps=2
    ),
    "filters": lambda net, x: visualise.filters(net),
    "grad_cam": lambda net, x: visualise.grad_cam(net, x[0], 1),
    "gradient_histograms": lambda net, x: visualise.gradient_histograms(net, x, LABELS),
    "guided_backprop": lambda net, x: visualise.guided_backprop(net, x[0], 1),
    "maximal_patches": lambda net, x: visualise.maximal_patches(net, x, last_map(net, x[0]), [0]),
    "occlusion": lambda net, x: visualise.occlusion(net, x[0], 1, size=8, stride=8),
    "receptive_field": lambda net, x: visualise.receptive_field(net, x[0]),
    "saliency": lambda net, x: visualise.saliency(net, x[0], 1),
    "weight_histograms": lambda net, x: visualise.weight_histograms(net),
}
WITHOUT_PLACES = {"filters", "grad_cam", "receptive_field"}  # what an MLP has nothing for


def images_for(name):
    size = 16 if name == "mlp" else 32
    return RNG.normal(size=(6, 3, size, size)).astype(np.float32)


def made(name):
    with nn.seed(0):
        net = NETS[name]()
    net.build(images_for(name).shape[1:])
    return settled(net)


class Note:
    """All that a net is, to be compared later."""

    def __init__(self, net):
        for i, p in enumerate(net.parameters()):  # gradients of some, one parameter frozen
            p.grad = Tensor(np.full_like(p.data, i)) if i % 2 else None
        next(iter(net.parameters())).requires_grad = False
        net.train()
        if hasattr(net, "logits"):
            net.logits.eval()
        self.net = net
        self.before = self.all()

    def all(self):
        members = [*self.net.named_parameters(), *self.net.named_buffers()]
        return (
            {name: (m.data.tobytes(), m.data.dtype, id(m)) for name, m in members},
            {name: p.requires_grad for name, p in self.net.named_parameters()},
            {n: None if p.grad is None else p.grad.data.tobytes()
             for n, p in self.net.named_parameters()},
            {name: m.training for name, m in self.net.named_modules()},
            {name: dict(m._forward_hooks) for name, m in self.net.named_modules()},
        )  # fmt: skip

    def check(self):
        assert self.all() == self.before


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("name", NETS)
def test_each_picture_of_each_net(name, picture):
    net, images = made(name), images_for(name)
    hooked = []
    net.register_forward_hook(lambda *call: hooked.append(call))
    note = Note(net)
    if name == "mlp" and picture in WITHOUT_PLACES:
        with pytest.raises(ConfigError, match=r"no layer|MLP has no Conv2d"):
            PICTURES[picture](net, images)
    else:
        figure = PICTURES[picture](net, images)
        drawn = [panel for panel in figure.axes if panel.axison or panel.images]
        assert drawn
        if name == "seednet":  # to draw all would take its time
            figure.savefig(io.BytesIO(), format="png", dpi=40)
    note.check()
    assert hooked == []
    assert minicnn.autograd.tensor.is_recording()


class Stumbles(nn.Module):
    """A classifier that raises in some call."""

    def __init__(self, after):
        self.conv = nn.Conv2d(3, 4, activation=ops.relu)
        self.logits = nn.Dense(4, 5)
        self.left = after

    def forward(self, x):
        y = self.conv(x)
        object.__setattr__(self, "left", self.left - 1)
        if self.left < 0:
            raise self.error
        return self.logits(y.mean(axis=(2, 3)))


@pytest.mark.parametrize("error", [ZeroDivisionError("stumbled"), KeyboardInterrupt()])
@pytest.mark.parametrize("picture", sorted(set(PICTURES) - {"filters", "weight_histograms"}))
def test_an_exception_leaves_the_net_as_it_was_too(picture, error):
    images = images_for("stumbles")
    for after in (0, 1):
        net = Stumbles(after)
        object.__setattr__(net, "error", error)
        note = Note(net)
        try:
            PICTURES[picture](net, images)
        except type(error):
            pass
        else:
            assert after == 1
        note.check()
        assert net.training
        assert minicnn.autograd.tensor.is_recording()


def test_another_thread_trains_meanwhile():
    """Evaluation, silence of hooks and the guided rule hold in the thread that looks, alone."""
    net, images = made("seednet"), images_for("seednet")
    seen, stop = [], threading.Event()
    net.block2.register_forward_hook(lambda module, *_: seen.append(module.training))

    def train():
        while not stop.is_set():
            with nn.random_key(0, 0):
                net(Tensor(images)).sum().backward()

    thread = threading.Thread(target=train)
    thread.start()
    try:
        while not seen:
            pass
        for picture in ("guided_backprop", "grad_cam", "occlusion", "activations"):
            PICTURES[picture](net, images)
    finally:
        stop.set()
        thread.join()
    assert set(seen) == {True}


def test_the_same_numbers_from_many_threads():
    net, images = made("seednet"), images_for("seednet")
    expected = [visualise.compute_guided_backprop(net, x) for x in images]
    plain = [visualise.compute_saliency(net, x) for x in images]
    found = [None] * 12

    def work(i):
        f = visualise.compute_guided_backprop if i < 6 else visualise.compute_saliency
        found[i] = f(net, images[i % 6])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for i, one in enumerate(found):
        np.testing.assert_array_equal(one, (expected if i < 6 else plain)[i % 6])


def test_a_watcher_of_the_caller_goes_on_watching():
    net, images = made("seednet"), images_for("seednet")
    images[0, 0, 0, 0] = np.nan
    with pytest.raises(MinicnnError), minicnn.autograd.find_nan():
        visualise.compute_saliency(net, images[0])


def test_layers_that_wait_for_their_size_are_built():
    net = nn.Sequential(
        nn.Conv2d(None, 4, activation=ops.relu), nn.GlobalAvgPool2d(), nn.Dense(None, 5)
    )
    assert visualise.compute_saliency(net, images_for("seednet")[0]).shape == (3, 32, 32)
