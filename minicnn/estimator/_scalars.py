"""Which of a run's values are single numbers, and as which numbers they are written down."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import Any

_BITS = 1000  # of the largest int that stays one: a float can still hold it


def single_numbers(values: Mapping[str, Any]) -> dict[str, int | float]:
    """Return the single numbers among the values, as Python's own kinds."""
    found = {str(name): as_number(value) for name, value in values.items()}
    return {name: number for name, number in found.items() if number is not None}


def as_number(value: Any) -> int | float | None:
    """Return a single number as Python's own kind, None if the value is anything else."""
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):  # NumPy's and a Tensor's
        value = value.item()
    if isinstance(value, int) and value.bit_length() <= _BITS:
        return int(value)  # also of a bool
    try:
        return float(value) if isinstance(value, numbers.Real) else None
    except OverflowError:
        return math.inf if value > 0 else -math.inf
