"""The errors minicnn raises on purpose; each is also the built-in kind people expect."""

__all__ = [
    "CaptureError",
    "CheckpointError",
    "CheckpointWarning",
    "ConfigError",
    "DTypeError",
    "DataError",
    "DeviceError",
    "GradientError",
    "MinicnnError",
    "OutputError",
    "ShapeError",
]


class MinicnnError(Exception):
    """Whatever minicnn refuses: catch this to catch all of them."""

    # As it was raised: minicnn.autograd._complaints tells it anew at the door of each op around it
    _first_text: str | None = None


class ShapeError(MinicnnError, ValueError):
    """An array's shape does not fit the operation."""


class DTypeError(MinicnnError, TypeError):
    """An array's element type does not fit the operation."""


class DeviceError(MinicnnError, RuntimeError):
    """A device is missing, or arrays of two devices meet."""


class CaptureError(MinicnnError, RuntimeError):
    """A step cannot be captured as a CUDA graph, or replayed."""


class GradientError(MinicnnError, RuntimeError):
    """A gradient was asked for where none can be had, or a number is NaN or infinite."""

    # The step in which training met such a number: minicnn.estimator saves its batch
    _in_step: int | None = None


class CheckpointError(MinicnnError, RuntimeError):
    """A saved state is broken, incomplete or of another model."""


class CheckpointWarning(UserWarning):
    """A run went on although something of what it had saved is damaged."""


class DataError(MinicnnError, ValueError):
    """A data file or record is broken or missing; the message names the file and line."""


class OutputError(MinicnnError, OSError):
    """A file that tells of a run, such as a table or a log, cannot be written."""


class ConfigError(MinicnnError, ValueError):
    """An argument or a setting makes no sense."""
