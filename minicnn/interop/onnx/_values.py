"""The values in ONNX's messages as plain Python: tensors and attributes."""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np

from minicnn._reading import shown
from minicnn.errors import DataError
from minicnn.interop.onnx._operator import DTYPES, Misfit, type_name

Proto = Any
_MOST_AXES = 32
_LARGEST = 2**59  # a tensor of no elements may have axes up to here
# Where a tensor's numbers are if they are not raw bytes, and of what type there; those of the
# other types are in int32_data
_FIELDS = {
    "float32": ("float_data", "f4"), "float64": ("double_data", "f8"),
    "int64": ("int64_data", "i8"), "uint32": ("uint64_data", "u8"), "uint64": ("uint64_data", "u8"),
}  # fmt: skip


def type_of(tensor: Proto) -> np.dtype:
    """Return NumPy's type of a tensor's elements."""
    if tensor.data_type not in DTYPES:
        raise Misfit(f"{_name(tensor)} is of type {type_name(tensor.data_type)}")
    return np.dtype(DTYPES[tensor.data_type])


def shape_of(tensor: Proto) -> tuple[int, ...]:
    """Return a tensor's shape, if an array can have it."""
    shape = tuple(tensor.dims)
    if len(shape) > _MOST_AXES or min(shape, default=0) < 0:
        raise DataError(f"{_name(tensor)} has a shape that no array has: {str(shape)[:100]}")
    if math.prod(n or 1 for n in shape) > _LARGEST:
        raise DataError(f"{_name(tensor)} has a shape that fits no memory: {str(shape)[:100]}")
    return shape


def array_of(tensor: Proto) -> np.ndarray:
    """Return a tensor's value.

    Raises
    ------
    Misfit
        If NumPy has no such type.
    DataError
        If it has not as many numbers as its shape says.
    """
    dtype, shape = type_of(tensor), shape_of(tensor)
    if tensor.HasField("segment") or tensor.data_location == tensor.EXTERNAL:
        raise Misfit(f"{_name(tensor)} is in several pieces or in another file")
    needed = math.prod(shape)
    if tensor.HasField("raw_data"):
        raw = tensor.raw_data
        _check_count(tensor, len(raw), needed * dtype.itemsize, "bytes")
        return _from_raw(raw, dtype).reshape(shape)
    field, wide = _FIELDS.get(dtype.name, ("int32_data", "i4"))
    given = getattr(tensor, field)
    _check_count(tensor, len(given), needed, "numbers")
    values = np.array(given, wide)
    if dtype == np.float16:  # its bits, as an int
        return values.astype(np.uint16).view(dtype).reshape(shape)
    return values.astype(dtype).reshape(shape)


def _from_raw(raw: bytes, dtype: np.dtype) -> np.ndarray:
    if dtype == np.bool_:
        return np.frombuffer(raw, np.uint8) != 0
    return np.frombuffer(raw, dtype.newbyteorder("<")).astype(dtype)


def _check_count(tensor: Proto, given: int, needed: int, what: str) -> None:
    if given != needed:
        raise DataError(
            f"{_name(tensor)} has {given:,} {what}, and its shape {str(tuple(tensor.dims))[:100]} "
            f"needs {needed:,}: damaged"
        )


def _name(tensor: Proto) -> str:
    return shown(str(tensor.name)) if tensor.name else "a constant"


def attribute_of(attribute: Proto) -> Any:
    """Return an attribute's value; of a graph, ONNX's own message.

    Raises
    ------
    Misfit
        If it is of a kind that no operator here takes.
    """
    kinds = attribute.AttributeType
    if attribute.ref_attr_name:
        raise Misfit(f"its attribute {attribute.name} is that of a function, outside of any")
    if attribute.type not in kinds.values():
        raise Misfit(f"its attribute {attribute.name} is of no known kind")
    value = importlib.import_module("onnx").helper.get_attribute_value(attribute)
    if attribute.type == attribute.STRING:
        return value.decode("utf-8", "replace")
    if attribute.type == attribute.STRINGS:
        return tuple(text.decode("utf-8", "replace") for text in value)
    if attribute.type == attribute.TENSOR:
        return array_of(value)
    if attribute.type in (attribute.INTS, attribute.FLOATS):
        return tuple(value)
    if attribute.type in (attribute.INT, attribute.FLOAT, attribute.GRAPH):
        return value
    kind = kinds.Name(attribute.type).lower()
    raise Misfit(f"its attribute {attribute.name} is of kind {kind}")
