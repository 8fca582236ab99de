"""Running a net to look into it: nothing in it changes, and other threads do not notice."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn.autograd import Tensor, recording
from minicnn.autograd.graph import tensors_in
from minicnn.autograd.watching import watched_by, watcher
from minicnn.backend.device import get_device, to_device
from minicnn.errors import ConfigError, DTypeError, MinicnnError, ShapeError
from minicnn.nn import Module, Parameter, evaluating
from minicnn.nn._calls import observed_by, outermost_call, qualified_name
from minicnn.nn._probing import nearest
from minicnn.nn.summary import is_layer, kind_of

BATCH = 64  # images at a time, where all of a data set are looked at
RECTIFIERS = ("relu", "relu6", "thresholded_relu")  # ops with slope 1 in a range above 0, else 0


@dataclass(frozen=True, eq=False)
class Returned:
    """What a module returned."""

    name: str
    kind: str  # the classes of the module and its parts
    tensor: Tensor
    is_part: bool  # whether it is a normaliser or the like, inside another layer


@dataclass(frozen=True, eq=False)
class Look:
    """What a net did with some images.

    Attributes
    ----------
    who : str
        The function that looks, for messages.
    images : Tensor, shape (N, C, H, W)
        What the net was given.
    output : Tensor
        What it returned, the first if several.
    returned : list of Returned
        What its modules returned, in the order in which they ended.
    rectified : list of (Tensor, Tensor)
        What each ReLU was given and what it returned.
    """

    who: str
    images: Tensor
    output: Tensor
    returned: list[Returned]
    rectified: list[tuple[Tensor, Tensor]]

    def scores(self) -> Tensor:
        """Return what the net returned, (N, K), if it is the scores of classes."""
        if self.output.ndim != 2:
            raise ShapeError(
                f"{self.who}: the net returns {self.output.shape} for images {self.images.shape}; "
                "it must return the scores of classes, (N, K)"
            )
        return self.output

    def of(self, layer: str) -> Returned:
        """Return what the module of that name returned last."""
        found = [r for r in self.returned if r.name == layer]
        if not found:
            raise _unknown(self.who, layer, {r.name for r in self.returned})
        return found[-1]

    def layers(self) -> list[Returned]:
        """Return what layers and blocks returned, each tensor once, by its innermost name."""
        seen = {id(self.images)}  # dropout in evaluation returns what it is given
        found = []
        for r in self.returned:
            if not r.is_part and id(r.tensor) not in seen:
                seen.add(id(r.tensor))
                found.append(r)
        return found

    def maps(self) -> list[Returned]:
        """Return those of the layers that have places, more than one: (N, C, H, W)."""
        return [r for r in self.layers() if r.tensor.ndim == 4 and np.prod(r.tensor.shape[2:]) > 1]


def look(who: str, net: Module, images: np.ndarray, gradients: bool = True) -> Look:
    """Run images through a net in evaluation mode, and note what each module returns.

    Parameters
    ----------
    who : str
        The function that asks, for messages.
    net : Module
        Any net; its hooks stay silent.
    images : ndarray, shape (N, C, H, W)
        As `batch_of` or `image_of` returns them.
    gradients : bool, default True
        Whether gradients can be asked for, also where all parameters are frozen.
    """
    x = Tensor(to_net(net, images), requires_grad=gradients)
    returned: list[Returned] = []
    inside: list[Module] = []  # layers whose calls are in progress

    def observe(module: Module, _: Any) -> Callable[[Any], None]:
        is_part = bool(inside)
        if is_layer(module):
            inside.append(module)
        name = qualified_name(module)

        def done(output: Any) -> None:
            if inside and inside[-1] is module:
                inside.pop()
            first = next(tensors_in(output), None)
            if first is not None:
                returned.append(Returned(name, kind_of(module), first, is_part))

        return done

    rectified: list[tuple[Tensor, Tensor]] = []
    others = watcher.get()

    def watch(op: Any, args: Any, kwargs: Any, result: Any) -> None:
        if op.__name__ in RECTIFIERS:
            rectified.append((args[0] if args else kwargs["x"], result))
        if others is not None:
            others(op, args, kwargs, result)

    try:
        with (
            evaluating(),
            observed_by(observe),
            recording(gradients),
            outermost_call(net),
            watched_by(watch if gradients else others),
        ):
            output = next(tensors_in(net(x)), None)
    except MinicnnError as error:
        raise _refused(who, images, error) from error
    if output is None:
        raise ShapeError(f"{who}: the net returns no tensor; it must return scores, (N, K)")
    return Look(who, x, output, returned, rectified)


def looks(who: str, net: Module, images: np.ndarray) -> Iterator[Look]:
    """Run many images through a net, some at a time, without gradients."""
    for start in range(0, len(images), BATCH):
        yield look(who, net, images[start : start + BATCH], gradients=False)


def probabilities(who: str, net: Module, images: np.ndarray) -> np.ndarray:
    """Return the probabilities of the classes, shape (N, K), float64."""
    parts = []
    for seen in looks(who, net, images):
        scores = seen.scores().numpy().astype(np.float64)
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        parts.append(shares / shares.sum(axis=1, keepdims=True))
    return np.concatenate(parts)


def to_net(net: Module, array: np.ndarray) -> Any:
    """Return an array as a net takes it: in its precision, on its device."""
    member = next((m for _, m in net._walk() if isinstance(m, Parameter)), None)
    dtype = np.float32 if member is None else member.dtype
    device = get_device() if member is None else member.device
    return to_device(np.ascontiguousarray(array, dtype), device)


def image_of(who: str, image: Any) -> np.ndarray:
    """Return one image as a batch, shape (1, C, H, W), or refuse it."""
    array = _floats(who, image)
    if array.ndim != 3 or not array.size:
        hint = "; choose one: images[0]" if array.ndim == 4 else ""
        raise ShapeError(f"{who}: image {array.shape} is not one image (C, H, W){hint}")
    return array[None]


def batch_of(who: str, images: Any) -> np.ndarray:
    """Return several images, shape (N, C, H, W), or refuse them."""
    array = _floats(who, images)
    if array.ndim != 4 or not array.size:
        hint = "; several: images[None] makes a batch of one" if array.ndim == 3 else ""
        raise ShapeError(f"{who}: images {array.shape} are not (N, C, H, W){hint}")
    return array


def _floats(who: str, images: Any) -> np.ndarray:
    array = images.numpy() if isinstance(images, Tensor) else np.asarray(images)
    if array.dtype.kind != "f":
        raise DTypeError(
            f"{who}: the image is {array.dtype}; give it as the net was trained with it, in "
            "floats: minicnn.data.augmentation.standardize prepares photographs"
        )
    return array


def class_of(who: str, scores: np.ndarray, class_index: int | None) -> int:
    """Return the class that is meant, by default the one of the largest score."""
    if class_index is None:
        return int(scores.argmax())
    return index_of(who, "class", class_index, scores.shape[-1])


def index_of(who: str, what: str, given: Any, count: int) -> int:
    """Return a number of 0 ... count - 1, or refuse it."""
    try:
        number = -1 if isinstance(given, bool | np.bool_) else operator.index(given)
    except TypeError:
        number = -1
    if not 0 <= number < count:
        raise ConfigError(f"{who}: there is no {what} {given!r}; give one of 0 ... {count - 1}")
    return number


def check_net(who: str, net: Any) -> None:
    """Refuse what is no Module."""
    if not isinstance(net, Module):
        raise ConfigError(
            f"{who}: needs a Module, got {type(net).__name__}; nn.Scope(function) makes a function "
            "one"
        )


def module_of(who: str, net: Module, name: str) -> Module:
    """Return the module of a name, or refuse the name."""
    modules = dict(net.named_modules())
    if name not in modules:
        raise _unknown(who, name, set(modules))
    return modules[name]


def _unknown(who: str, name: Any, known: set[str]) -> ConfigError:
    names = sorted(n for n in known if n)
    return ConfigError(
        f"{who}: no layer {name!r} was called, or it returned no tensor{nearest(str(name), names)}"
    )


def _refused(who: str, images: np.ndarray, error: MinicnnError) -> ShapeError:
    return ShapeError(f"{who}: the net does not take an image of shape {images.shape[1:]}: {error}")
