"""What a kernel must know about a step that is being captured, to be replayed later.

A captured step (a CUDA graph) is a list of launches with all their arguments, so
what changes from step to step must not be an argument: the learning rate, Adam's
corrections, the place in a sequence of random numbers.  Who computes such a number
hands over, in a capture, a `Later` in its stead, which knows how to compute it
anew; the launcher asks `varying` for a place in the device's memory that every
replay fills before the launches run, and its kernel reads that place.  Outside of a
capture the same kernel gets the numbers themselves, and no place.

Nothing here needs a GPU; minicnn.backend.capture does the capturing.
"""

import contextlib
import contextvars

_recorder = contextvars.ContextVar("minicnn_recorder", default=None)
_alike = contextvars.ContextVar("minicnn_alike", default=False)


class CannotCaptureError(RuntimeError):
    """Something was asked for that a captured step cannot do again."""


class Later:
    """A number, or a tuple of them, that each replay computes anew; it cannot be computed with."""

    __slots__ = ("renew", "what")
    __array_ufunc__ = None  # NumPy and CuPy leave arithmetic with it to it, and it refuses
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, renew, what):
        self.renew, self.what = renew, what

    def __repr__(self):
        return f"<{self.what}, computed anew in each replay of a captured step>"

    def _refuse(self, *_):
        raise CannotCaptureError(
            f"in a capture: {self.what} changes from step to step, and this computation with it "
            "would be captured with the number of one step"
        )


_ARITHMETIC = (
    "add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "floordiv", "rfloordiv",
    "mod", "rmod", "pow", "rpow", "neg", "pos", "abs", "float", "int", "index", "bool", "eq", "ne",
    "lt", "le", "gt", "ge", "iter", "len", "getitem",
)  # fmt: skip
for _name in _ARITHMETIC:
    setattr(Later, f"__{_name}__", Later._refuse)


def recorder():
    """Return what records the capture that this thread is in, None outside of any."""
    return _recorder.get()


@contextlib.contextmanager
def recorded_by(new):
    """Let `new` record what this thread captures in the block; None: capture nothing."""
    token = _recorder.set(new)
    try:
        yield
    finally:
        _recorder.reset(token)


@contextlib.contextmanager
def alike(wanted=True):
    """Let work of the block have the bits that it would have in a capture.

    Some libraries' functions cannot be captured, and others take their place.
    """
    token = _alike.set(wanted or _alike.get())
    try:
        yield
    finally:
        _alike.reset(token)


def is_alike():
    """Tell whether what is done now is captured, or is to have the same bits."""
    return _recorder.get() is not None or _alike.get()


def later(renew, what):
    """Return ``renew()``; in a capture, what lets each replay call it. It changes nothing."""
    return renew() if _recorder.get() is None else Later(renew, what)


def now(number):
    """Return a number, or what a Later is at this moment."""
    return number.renew() if isinstance(number, Later) else number


def varying(renew):
    """Return the numbers ``renew()``, all ints or all floats, and their place on the device.

    The place is None outside of a capture. A kernel that finds one reads its numbers there,
    for those that it was given are of the step that was captured.
    """
    numbers = tuple(renew())
    here = _recorder.get()
    return numbers, None if here is None else here.place(renew, numbers)


def afterwards(work):
    """Do the host's part of a step, ``work()``; in a capture, let each replay do it at its end."""
    here = _recorder.get()
    if here is None:
        work()
    else:
        here.afterwards.append(work)


def on_reading(work):
    """Do ``work()``; in a capture, let it be done when someone reads a replayed step's results."""
    here = _recorder.get()
    if here is None:
        work()
    else:
        here.on_reading.append(work)


def refuse(what):
    """Raise CannotCaptureError in a capture, else do nothing."""
    if _recorder.get() is not None:
        raise CannotCaptureError(f"in a capture: {what}")


@contextlib.contextmanager
def aside():
    """Let uploads in the block be done at once, and once, while a step is being captured."""
    here = _recorder.get()
    if here is None:
        yield
        return
    with here.aside(), recorded_by(None):
        yield


def keep(array):
    """Return an array; in a capture, let it live as long as the captured step."""
    here = _recorder.get()
    if here is not None:
        here.kept.append(array)
    return array


def raise_if(wrong, explain):
    """Raise ``explain()`` if an element of an array of bool is true.

    In a capture, when someone reads the results of the replays of which one had such an element.
    """
    here = _recorder.get()
    if here is not None:
        here.check(wrong, explain)
    elif wrong.any():
        raise explain()
