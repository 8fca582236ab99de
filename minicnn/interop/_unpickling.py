"""Reading a pickle that may only hold tensors and plain data.

A pickle is a program for a small machine, and one of its instructions calls any function
of any module with any arguments.  This machine knows six names, those that PyTorch writes
for tensors, gives each a harmless stand-in, and refuses the rest before anything is run.
"""

from __future__ import annotations

import io
import mmap
import pickle
import pickletools
from collections.abc import Callable
from typing import Any, NamedTuple, cast

from minicnn.errors import CheckpointError

# How PyTorch names the memory of its tensors, and NumPy's name for such elements.  NumPy has no
# bfloat16: it is read as its 16 bits.
ELEMENTS = {
    "DoubleStorage": "f8", "FloatStorage": "f4", "HalfStorage": "f2", "BFloat16Storage": "bfloat16",
    "LongStorage": "i8", "IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1",
    "ByteStorage": "u1", "BoolStorage": "?",
}  # fmt: skip
# The instructions that PyTorch's pickles are written with, in protocols 2 to 4.  Among those that
# are left out are all that make objects of classes.
_INSTRUCTIONS = {
    "PROTO", "FRAME", "STOP", "MARK", "POP", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1",
    "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINSTRING",
    "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE",
    "EMPTY_SET", "ADDITEMS", "APPEND", "APPENDS", "SETITEM", "SETITEMS", "TUPLE", "TUPLE1",
    "TUPLE2", "TUPLE3", "BINPUT", "LONG_BINPUT", "MEMOIZE", "BINGET", "LONG_BINGET", "GLOBAL",
    "STACK_GLOBAL", "REDUCE", "BUILD", "BINPERSID",
}  # fmt: skip


class Storage(NamedTuple):
    """A piece of a file's memory that tensors share."""

    key: str
    elements: str  # one of ELEMENTS' values
    length: int  # in elements


class Pending(NamedTuple):
    """A tensor whose numbers are not read yet."""

    storage: Storage
    offset: int  # in elements, as the strides
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _StandIn:
    """What a pickle gets for a name: it can be called, and neither changed nor looked into."""

    __slots__ = ()


class _Rebuild(_StandIn):
    """torch._utils._rebuild_tensor_v2 and the older _rebuild_tensor."""

    __slots__ = ()

    def __call__(self, storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Pending:
        whole = isinstance(shape, tuple) and isinstance(strides, tuple)
        numbers = (offset, *shape, *strides) if whole else (None,)
        if (
            not isinstance(storage, Storage)
            or any(type(n) is not int or n < 0 for n in numbers)
            or len(shape) != len(strides)
        ):
            raise pickle.UnpicklingError(f"a tensor of shape {shape!r} and strides {strides!r}")
        return Pending(storage, offset, shape, strides)


class _First(_StandIn):
    """torch._utils._rebuild_parameter: a parameter is its tensor."""

    __slots__ = ()

    def __call__(self, data: Any, *_: Any) -> Any:
        if not isinstance(data, Pending):
            raise pickle.UnpicklingError("a parameter that is no tensor")
        return data


class _OrderedDict(_StandIn):
    """collections.OrderedDict: filled by other instructions, so it starts empty."""

    __slots__ = ()

    def __call__(self, *args: Any) -> dict[Any, Any]:
        if args:
            raise pickle.UnpicklingError("an OrderedDict made with arguments")
        return _Dict()


class _Dict(dict[Any, Any]):
    """A dict that does not take the attributes which state dicts carry (their `_metadata`)."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        """Forget it: an attribute could hide a method."""


class _Size(_StandIn):
    """torch.Size: a tuple."""

    __slots__ = ()

    def __call__(self, sizes: Any = ()) -> tuple[Any, ...]:
        if not isinstance(sizes, tuple | list):
            raise pickle.UnpicklingError("a torch.Size of something else than a tuple")
        return tuple(sizes)


class _Name(str):
    """The name of a type of storage or of elements; calling it is an error."""

    __slots__ = ()


_NAMES: dict[str, Callable[[], Any]] = {
    "collections.OrderedDict": _OrderedDict,
    "torch.Size": _Size,
    "torch._utils._rebuild_parameter": _First,
    "torch._utils._rebuild_parameter_with_state": _First,
    "torch._utils._rebuild_tensor": _Rebuild,
    "torch._utils._rebuild_tensor_v2": _Rebuild,
}
_TYPES = {
    "float64", "float32", "float16", "bfloat16", "double", "float", "half", "int64", "int32",
    "int16", "int8", "uint8", "long", "int", "short", "bool", "strided", "contiguous_format",
}  # fmt: skip


def unpickle(stream: io.BytesIO | mmap.mmap, source: str) -> Any:
    """Run the next pickle of a stream; return dicts, lists, numbers, text and `Pending` tensors.

    Raises
    ------
    CheckpointError
        If it names or does anything that a file of tensors has no need of, or is damaged.
    """
    start = stream.tell()
    _inspect(stream, source)
    end = stream.tell()
    stream.seek(start)
    program = stream.read(end - start)
    try:
        return _Machine(io.BytesIO(program), encoding="utf-8").load()
    except CheckpointError as error:
        raise CheckpointError(f"{source}: {error}") from None
    except Exception as error:  # whatever a damaged or hostile program runs into
        raise CheckpointError(
            f"{source}: its pickle is damaged or hostile ({type(error).__name__}: {error}); "
            "nothing of it was used"
        ) from None


def _inspect(stream: Any, source: str) -> None:
    """Read a program without running it, and refuse what no file of tensors needs."""
    try:
        for number, (instruction, given, _) in enumerate(pickletools.genops(stream)):
            name, argument = instruction.name, cast(Any, given)
            if name not in _INSTRUCTIONS:
                raise CheckpointError(
                    f"{source}: its pickle uses the instruction {name}, which no file of tensors "
                    "needs; nothing of it was run. Save model.state_dict() with torch.save"
                )
            # The machine makes room for all slots below the one that is written.
            if name in ("BINPUT", "LONG_BINPUT") and argument > number:
                raise CheckpointError(f"{source}: its pickle writes to slot {argument}: damaged")
            if name == "GLOBAL":
                _known(argument.replace(" ", "."), source)
    except ValueError as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{source}: its pickle is damaged or cut off ({error})") from None


def _known(name: str, source: str = "") -> Any:
    """Return what stands for a name in a pickle, or refuse it."""
    if name in _NAMES:
        return _NAMES[name]()
    package, _, kind = name.rpartition(".")
    if package == "torch" and (kind in ELEMENTS or kind in _TYPES):
        return _Name(kind)
    where = f"{source}: " if source else ""
    raise CheckpointError(
        f"{where}its pickle names {name!r}, and only tensors are read: unpickling anything else "
        "may run a stranger's code. If you trust the file, load it with PyTorch and save "
        "model.state_dict() alone, best as safetensors"
    )


class _Machine(pickle.Unpickler):
    """Python's own unpickler, with nothing to call but the stand-ins."""

    def find_class(self, module: str, name: str) -> Any:
        return _known(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> Storage:
        if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage":
            raise pickle.UnpicklingError(f"a reference to {pid!r}, which is no storage")
        _, elements, key, _, count, *view = pid
        if view not in ([], [None]):
            raise pickle.UnpicklingError("a storage that is a view of another one")
        if not isinstance(elements, _Name) or elements not in ELEMENTS:
            raise pickle.UnpicklingError(f"a storage of type {elements!r}")
        if not isinstance(key, str) or type(count) is not int or count < 0:
            raise pickle.UnpicklingError(f"a storage {key!r} of {count!r} elements")
        return Storage(key, ELEMENTS[elements], count)
