"""Receptive fields: which part of the image an output depends on."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from minicnn.autograd.graph import Graph, Value
from minicnn.errors import ConfigError
from minicnn.nn._probing import Run, nearest, traced
from minicnn.nn._sight import Sight
from minicnn.nn._sight_rules import sights_of
from minicnn.nn.module import Module

__all__ = ["ReceptiveField", "receptive_field"]

Shape = tuple[int, ...]
Step = int | Fraction | None


@dataclass(frozen=True, eq=False)
class ReceptiveField:
    """What the units of a feature map see of the image, a unit being all channels of one place.

    Of a map without places, such as what `Flatten` and `Dense` return, each channel is a unit.

    A unit sees the box of all pixels from `start` to `end`, as far as they are in the image. Where
    the geometry repeats itself along the map, `size`, `jump` and `offset` tell it in general, and
    count on beyond the border: unit i then sees ``offset + i * jump`` and what follows, `size`
    pixels in all. Pixels inside the box may still be left out, by dilation.

    Attributes
    ----------
    image : tuple of int
        The spatial lengths of the image, in pixels.
    shape : tuple of int
        Those of the map: how many units there are; (K,) if it has channels only.
    start, end : tuple of ndarray of int, each of shape `shape`
        For each axis of the image, the first pixel that each unit sees and the one after the
        last; both 0 where it sees nothing.
    size : tuple of int
        For each axis of the image, how many pixels a unit sees, the most that any does. Counted
        on beyond the border if regular, else at most the image.
    jump : tuple of int, Fraction or None
        How many pixels further the next unit sees, along the axis of the map that shows this axis
        of the image; a fraction on average, after upsampling; 0 if all units see the same; None if
        irregular.
    offset : tuple of int or None
        Where the first unit begins to see, negative if in the padding; None where units differ in
        more than their place.
    """

    image: Shape
    shape: Shape
    start: tuple[np.ndarray, ...]
    end: tuple[np.ndarray, ...]
    size: tuple[int, ...]
    jump: tuple[Step, ...]
    offset: tuple[int | None, ...]

    def box(self, *place: int) -> tuple[tuple[int, int], ...]:
        """Return which pixels the unit at a place sees.

        Parameters
        ----------
        *place : int
            One index for each axis of the map; negative ones count from the end.

        Returns
        -------
        tuple of (int, int)
            For each axis of the image, the first pixel and the one after the last.
        """
        pairs = zip(self.start, self.end, strict=True)
        return tuple((int(start[place]), int(end[place])) for start, end in pairs)

    def __str__(self) -> str:
        if not self.image:
            return "the input has no spatial axes"
        units = " x ".join(map(str, self.shape)) or "1"
        lines = [f"{units} unit(s), image {' x '.join(map(str, self.image))}"]
        for axis, (size, jump, offset) in enumerate(
            zip(self.size, self.jump, self.offset, strict=True)
        ):
            step = "at irregular distances" if jump is None else f"each {jump} pixel(s) further"
            first = "" if offset is None else f", the first from {offset} on"
            lines.append(f"axis {axis}: {size} pixel(s), {step}{first}")
        return "\n".join(lines)


def receptive_field(
    net: Module, *input_shapes: Shape, output: str | int | None = None, of: int = 0
) -> ReceptiveField:
    """Return which pixels of the image each unit of a feature map depends on.

    One example is run through the net, in evaluation mode, and intervals of pixels are followed
    through every op: branches, residuals, dilation, transposed convolutions, padding of any kind,
    slices, resizing. They are exact: the smallest box that holds every pixel whose change can
    change the unit, whatever the weights. Only where an op chooses places by value (unpooling,
    regions of detectors, scattering) is everything taken to be seen.

    Parameters
    ----------
    net : Module
        Any net; a function becomes one by ``Scope(function)``.
    *input_shapes : tuple of int
        The shape of one example of each input, without the batch axis: (C, H, W).
    output : str or int, optional
        Of which map: a module's name, such as ``"block1.0"``, for what it returned last, or which
        of the net's outputs; by default the first.
    of : int, default 0
        With respect to which of the inputs.

    Returns
    -------
    ReceptiveField
        Print it, or ask it for the `box` of a unit.

    Raises
    ------
    ShapeError
        If the net does not take such inputs.
    ConfigError
        If a shape is not a tuple of ints, or there is no such output or input.

    References
    ----------
    Araujo, Norris and Sim, "Computing receptive fields of convolutional neural networks", Distill
    2019.

    Examples
    --------
    >>> from minicnn import nn
    >>> net = nn.Sequential(nn.Conv2d(3, 8), nn.MaxPool2d(2), nn.Conv2d(8, 8, dilation=2))
    >>> field = nn.receptive_field(net, (3, 32, 32))
    >>> field.size, field.jump, field.offset
    ((12, 12), (2, 2), (-5, -5))
    >>> field.box(0, 8)
    ((0, 7), (11, 23))
    """
    run = traced("receptive_field", net, input_shapes)
    inputs = run.graph.inputs
    if not isinstance(of, int) or not 0 <= of < len(inputs):
        raise ConfigError(
            f"receptive_field: there is no input {of!r}; the net was given {len(inputs)}"
        )
    return Sights(run.graph, inputs[of]).field(_chosen(run, output))


def _chosen(run: Run, output: str | int | None) -> Value:
    """Return the value that is meant by a module's name or an output's number."""
    values = {id(v.tensor): v for v in run.graph.values}
    if isinstance(output, str):
        tensors = run.tensors_of(output)
        if not tensors:
            called = sorted({name for name, _ in run.returned if name})
            raise ConfigError(
                f"receptive_field: no module {output!r} was called, or it returned no tensor"
                f"{nearest(output, called)}"
            )
        return values[id(tensors[0])]
    outputs, number = run.graph.outputs, output or 0
    if not isinstance(number, int) or not -len(outputs) <= number < len(outputs):
        raise ConfigError(
            f"receptive_field: there is no output {output!r}; the net returns {len(outputs)} "
            "tensor(s), and modules go by their names"
        )
    return outputs[number]


class Sights:
    """What every value of a graph sees of one of its inputs.

    Parameters
    ----------
    graph : Graph
        Any.
    image : Value
        One of its inputs; the axes after the first two are those of the image.
    """

    def __init__(self, graph: Graph, image: Value) -> None:
        self._image = image.shape[2:]
        self._seen = [_followed(graph, image, axis) for axis in range(2, len(image.shape))]

    def field(self, value: Value) -> ReceptiveField:
        """Return what the units of a value see, a unit being all of its channels in one place."""
        shape = _units(value.shape)
        found = [_of_units(seen.get(value), value.shape) for seen in self._seen]
        start, end, size, jump, offset = zip(*found, strict=True) if found else ((),) * 5
        return ReceptiveField(self._image, shape, start, end, size, jump, offset)


def _followed(graph: Graph, image: Value, axis: int) -> dict[Value, Sight | None]:
    """Return what all values see of one axis of the image."""
    seen: dict[Value, Sight | None] = {image: Sight.of_image(image.shape, axis)}
    for node in graph:
        seen.update(zip(node.outputs, sights_of(node, seen.get), strict=True))
    return seen


def _units(shape: Shape) -> Shape:
    """Return the axes of the places in a map; those of the channels if there are no others."""
    return shape[2:] if len(shape) > 2 else shape[1:]


def _of_units(
    sight: Sight | None, shape: Shape
) -> tuple[np.ndarray, np.ndarray, int, Step, int | None]:
    """Return what units see of one axis: their intervals, and what is regular in them."""
    units = _units(shape)
    if sight is None:
        nothing = np.zeros(units, np.int64)
        return nothing, nothing, 0, 0, None
    sight = sight.over(range(len(shape) - len(units)), keepdims=False)
    start, end = (np.broadcast_to(pixels, units) for pixels in (sight.start, sight.end))
    line = sight.line
    if line is not None and line.joined is None:
        sizes = np.maximum(line.end - line.start, 0)[: line.period]
        jump = Fraction(line.advance, line.period)
        alike = line.period == 1 and bool(sizes.all())
        offset = int(line.start[0]) if alike else None
        step = int(jump) if jump.denominator == 1 else jump
        return start, end, int(sizes.max(initial=0)), step, offset
    same = bool((start == start.ravel()[:1]).all() and (end == end.ravel()[:1]).all())
    size = int((end - start).max(initial=0))
    return start, end, size, (0 if same else None), (int(start.ravel()[0]) if same else None)
