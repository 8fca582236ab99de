"""Elements: an array or scalar, or a tuple or dict of elements. Everything else is a leaf."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minicnn.errors import ShapeError

Tree = Any

# Kinds whose dtype does not depend on the value: a row of a "<U7" column may be a "<U3".
_FIXED_KINDS = "biufcmM"


def map_leaves(function: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    """Call `function` with the leaves that stand at the same place in every tree."""
    if isinstance(tree, dict):
        if any(not isinstance(o, dict) or o.keys() != tree.keys() for o in others):
            raise ShapeError("elements have different structures")
        return {k: map_leaves(function, v, *(o[k] for o in others)) for k, v in tree.items()}
    if isinstance(tree, tuple):
        if any(not isinstance(o, tuple) or len(o) != len(tree) for o in others):
            raise ShapeError("elements have different structures")
        parts = [map_leaves(function, *column) for column in zip(tree, *others, strict=True)]
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    if any(isinstance(o, dict | tuple) for o in others):
        raise ShapeError("elements have different structures")
    return function(tree, *others)


def leaves(tree: Tree) -> list[Any]:
    """Return the leaves of a tree from left to right."""
    found: list[Any] = []
    map_leaves(found.append, tree)
    return found


def outline(tree: Tree) -> Tree:
    """Return the tree with the shape of every leaf in its place."""
    return map_leaves(_shape, tree)


def stack(elements: Sequence[Tree]) -> Tree:
    """Join N elements into one whose leaves have a new first axis of length N."""
    try:
        return map_leaves(lambda *column: np.stack([np.asarray(a) for a in column]), *elements)
    except ValueError:
        first = outline(elements[0])
        for i, element in enumerate(elements):
            if outline(element) != first:
                raise ShapeError(
                    f"batch: element 0 of the batch has shape {first}, element {i} has "
                    f"{outline(element)}; make them alike with map() before batch()"
                ) from None
        raise


def concatenate(blocks: Sequence[Tree]) -> Tree:
    """Join batches into one, along the first axis."""
    if len(blocks) == 1:
        return blocks[0]
    return map_leaves(lambda *column: np.concatenate(column), *blocks)


def gathers_like_stack(tree: Tree) -> bool:
    """Whether ``leaf[indices]`` equals stacking ``leaf[i]``, type included, for every leaf."""
    return all(a.dtype.kind in _FIXED_KINDS and a.dtype.isnative for a in leaves(tree))


def apply(function: Callable[..., Any], element: Tree, *extra: Any) -> Any:
    """Call a user's function with an element; the parts of a plain tuple are its arguments."""
    return function(*element, *extra) if type(element) is tuple else function(element, *extra)


def read_only(leaf: Any) -> Any:
    """Return a view of an array that cannot be written to; any other leaf as it is."""
    if not isinstance(leaf, np.ndarray):
        return leaf
    view = leaf.view()
    view.flags.writeable = False
    return view


def _shape(leaf: Any) -> Any:
    try:
        return np.shape(leaf)
    except ValueError:
        return "ragged"
