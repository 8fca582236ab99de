"""Reading a pickle that may only hold tensors and plain data.

A pickle is a program for a small machine, and one of its instructions calls any function
of any module with any arguments.  The machine here has the instructions that put plain data
together, and knows ten names, those that PyTorch writes for tensors and NumPy for its scalars:
each is a harmless stand-in.  The rest is refused.  Python's own machine would do too much even of
the plain instructions: a key of tuples in tuples keeps it busy for years.
"""

from __future__ import annotations

import pickle
import pickletools
import reprlib
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple, cast

from minicnn._reading import shown
from minicnn.errors import CheckpointError

# How PyTorch names the memory of its tensors, and NumPy's name for such elements.  NumPy has no
# bfloat16: it is read as its 16 bits.
ELEMENTS = {
    "DoubleStorage": "f8", "FloatStorage": "f4", "HalfStorage": "f2", "BFloat16Storage": "bfloat16",
    "LongStorage": "i8", "IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1",
    "ByteStorage": "u1", "BoolStorage": "?",
}  # fmt: skip
_MOST_MEMORY = 256 * 2**20  # bytes that the objects of a pickle may take, about; see _PRICES
_LONGEST = 64 * 2**20  # bytes of a pickle; one of 10,000 tensors has 2 MB
_LONGEST_NAME = 1000  # of what GLOBAL asks for
_MOST_AXES = 32
# Python looks up numbers slowly if somebody chose them to be so; text never, for its hash is random
_LARGEST_KEY = 2**53
_MOST_NUMBERS = 20_000  # that are keys, in all: the tensors of an optimizer are numbered
_PLAIN = (str, bool, bytes, type(None))


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
            or len(shape) > _MOST_AXES
        ):
            raise pickle.UnpicklingError(
                f"a tensor of shape {reprlib.repr(shape)} and strides {reprlib.repr(strides)}"
            )
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
    """An OrderedDict; the attributes that state dicts carry (their `_metadata`) are forgotten."""

    __slots__ = ()


class _Size(_StandIn):
    """torch.Size: a tuple."""

    __slots__ = ()

    def __call__(self, sizes: Any = ()) -> tuple[Any, ...]:
        if not isinstance(sizes, tuple | list):
            raise pickle.UnpicklingError("a torch.Size of something else than a tuple")
        return tuple(sizes)


class Unread(_StandIn):
    """What NumPy's scalars are made of (``best = np.float64(0.9)``): all of it comes to nothing."""

    __slots__ = ()

    def __call__(self, *_: Any) -> Unread:
        return Unread()


class _Name(str):
    """The name of a type of storage or of elements; calling it is an error."""

    __slots__ = ()


_NAMES: dict[str, Callable[[], Any]] = {
    "_codecs.encode": Unread,
    "collections.OrderedDict": _OrderedDict,
    "numpy._core.multiarray.scalar": Unread,
    "numpy.core.multiarray.scalar": Unread,
    "numpy.dtype": Unread,
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


def unpickle(stream: BinaryIO, source: str) -> Any:
    """Run the next pickle of a stream; return dicts, lists, numbers, text and `Pending` tensors.

    Raises
    ------
    CheckpointError
        If it names or does anything that a file of tensors has no need of, or is damaged.
    """
    try:
        return _Machine().run(_Window(stream))
    except CheckpointError as error:
        raise CheckpointError(f"{source}: {error}") from None
    except (ValueError, UnicodeError) as error:  # of pickletools: what it reads is no pickle
        raise CheckpointError(
            f"{source}: its pickle is damaged or cut off ({shown(str(error))})"
        ) from None
    except (pickle.UnpicklingError, IndexError, KeyError, TypeError) as error:
        kind = "" if isinstance(error, pickle.UnpicklingError) else f"{type(error).__name__}: "
        raise CheckpointError(
            f"{source}: its pickle is damaged or hostile ({kind}{shown(str(error))}); "
            "nothing of it was used"
        ) from None


class _Window:
    """What pickletools may see of a stream: no more than a pickle can have."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._left = stream, _LONGEST
        self.tell = stream.tell

    def read(self, count: int) -> bytes:
        self._left -= count
        if self._left < 0:
            raise CheckpointError(f"its pickle has more than {_LONGEST:,} bytes: hostile")
        return self._stream.read(count)

    def readline(self) -> bytes:
        line = self._stream.readline(_LONGEST_NAME)
        self._left -= len(line)
        if b"\\" in line:  # pickletools would take it for an escape
            raise CheckpointError(f"its pickle names {shown(repr(line))[:100]}: damaged or hostile")
        return line


def _known(name: str) -> Any:
    """Return what stands for a name in a pickle, or refuse it."""
    if name in _NAMES:
        return _NAMES[name]()
    package, _, kind = name.rpartition(".")
    if package == "torch" and (kind in ELEMENTS or kind in _TYPES):
        return _Name(kind)
    raise CheckpointError(
        f"its pickle names {shown(name)!r}, and only tensors are read: unpickling anything else "
        "may run a stranger's code. If you trust the file, load it with PyTorch and save "
        "model.state_dict() alone, best as safetensors"
    )


def _stored(pid: Any) -> Storage:
    """Return the storage that a reference is about."""
    if type(pid) is not tuple or len(pid) not in (5, 6) or pid[0] != "storage":
        raise pickle.UnpicklingError(f"a reference to {reprlib.repr(pid)}, which is no storage")
    _, elements, key, _, count, *view = pid
    if view not in ([], [None]):
        raise pickle.UnpicklingError("a storage that is a view of another one")
    if not isinstance(elements, _Name) or elements not in ELEMENTS:
        raise pickle.UnpicklingError(f"a storage of type {reprlib.repr(elements)}")
    if type(key) is not str or type(count) is not int or count < 0:
        raise pickle.UnpicklingError(
            f"a storage {reprlib.repr(key)} of {reprlib.repr(count)} elements"
        )
    return Storage(key, ELEMENTS[elements], count)


class _Machine:
    """Runs a program: a stack, marks in it, and a memory of numbered slots."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.slots: dict[int, Any] = {}
        self.numbers = 0  # among the keys

    def run(self, stream: _Window) -> Any:
        """Return what the program makes."""
        memory = 0
        for number, (instruction, given, _) in enumerate(pickletools.genops(cast(Any, stream))):
            name, argument = instruction.name, cast(Any, given)
            if name == "STOP":
                return self.pop()
            do = _INSTRUCTIONS.get(name)
            if do is None:
                raise CheckpointError(
                    f"its pickle uses the instruction {name}, which no file of tensors needs; "
                    "nothing of it was run. Save model.state_dict() with torch.save"
                )
            memory += _PRICES.get(name, _PRICE)
            if memory > _MOST_MEMORY:
                raise CheckpointError(
                    f"its pickle makes more than {_MOST_MEMORY // 2**20} MiB of objects: hostile"
                )
            if name in ("BINPUT", "LONG_BINPUT") and argument > number:
                raise CheckpointError(f"its pickle writes to slot {argument}: damaged")
            do(self, argument)
        raise pickle.UnpicklingError("it has no end")

    def pop(self) -> Any:
        """Take the topmost value, but no mark."""
        if self.marks and self.marks[-1] >= len(self.stack):
            raise pickle.UnpicklingError("a mark where a value is needed")
        return self.stack.pop()

    def since_mark(self) -> list[Any]:
        """Take all that is above the last mark."""
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def top(self, *kinds: type) -> Any:
        """Return the topmost value, which is to be filled."""
        marked = self.marks and self.marks[-1] >= len(self.stack)
        if marked or type(self.stack[-1]) not in kinds:
            raise pickle.UnpicklingError(f"no {kinds[0].__name__} where one is filled")
        return self.stack[-1]

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def nothing(self, _: Any) -> None:
        """Skip what only helps other machines."""

    def mark(self, _: Any) -> None:
        self.marks.append(len(self.stack))

    def drop(self, _: Any) -> None:
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self.stack.pop()

    def text(self, value: str) -> None:
        """Push a string of Python 2, which pickletools takes for Latin-1."""
        self.push(value.encode("latin-1").decode("utf-8"))

    def extend(self, values: list[Any]) -> None:
        self.top(list).extend(values)

    def add(self, values: list[Any]) -> None:
        self.top(set).update(map(self.key, values))

    def fill(self, values: list[Any]) -> None:
        if len(values) % 2:
            raise pickle.UnpicklingError("a key without a value")
        keys = map(self.key, values[::2])
        self.top(dict, _Dict).update(zip(keys, values[1::2], strict=True))

    def key(self, value: Any) -> Any:
        """Return what can be looked up quickly, whoever made it."""
        if type(value) in (int, float):
            self.numbers += 1
            if self.numbers > _MOST_NUMBERS:
                raise CheckpointError(
                    f"its pickle has more than {_MOST_NUMBERS:,} numbers as keys: hostile"
                )
            fits = abs(value) <= _LARGEST_KEY
        else:
            parts = value if type(value) is tuple and len(value) <= 8 else (value,)
            fits = all(type(part) in _PLAIN or isinstance(part, _Name) for part in parts)
        if not fits:
            raise pickle.UnpicklingError(f"{reprlib.repr(value)} as a key")
        return value

    def join(self, count: int) -> None:
        values = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(values)))

    def put(self, slot: int | None) -> None:
        self.slots[len(self.slots) if slot is None else slot] = self.stack[-1]

    def name(self) -> None:
        attribute, module = self.pop(), self.pop()
        if type(attribute) is not str or type(module) is not str:
            raise pickle.UnpicklingError("a name that is no text")
        self.push(_known(f"{module}.{attribute}"))

    def call(self) -> None:
        given, function = self.pop(), self.pop()
        if not isinstance(function, _StandIn) or type(given) is not tuple:
            raise pickle.UnpicklingError(f"a call of {reprlib.repr(function)}")
        self.push(cast(Any, function)(*given))

    def forget_state(self, _: Any) -> None:
        """Take the attributes of an OrderedDict away: one could hide a method."""
        self.pop()
        self.top(_Dict, Unread)


_Do = Callable[[_Machine, Any], None]
# The instructions that PyTorch's pickles are written with, in protocols 2 to 4.  Among those that
# are left out are all that make objects of classes.
_INSTRUCTIONS: dict[str, _Do] = {
    **dict.fromkeys(("PROTO", "FRAME"), _Machine.nothing),
    **dict.fromkeys(
        ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE",
         "BINBYTES", "SHORT_BINBYTES"), _Machine.push
    ),
    **dict.fromkeys(("BINSTRING", "SHORT_BINSTRING"), _Machine.text),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT", "MEMOIZE"), _Machine.put),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda m, slot: m.push(m.slots[slot])),
    "MARK": _Machine.mark,
    "POP": _Machine.drop,
    "NONE": lambda m, _: m.push(None),
    "NEWTRUE": lambda m, _: m.push(True),
    "NEWFALSE": lambda m, _: m.push(False),
    "EMPTY_DICT": lambda m, _: m.push({}),
    "EMPTY_LIST": lambda m, _: m.push([]),
    "EMPTY_TUPLE": lambda m, _: m.push(()),
    "EMPTY_SET": lambda m, _: m.push(set()),
    "APPEND": lambda m, _: m.extend([m.pop()]),
    "APPENDS": lambda m, _: m.extend(m.since_mark()),
    "ADDITEMS": lambda m, _: m.add(m.since_mark()),
    "SETITEM": lambda m, _: m.fill([m.pop(), m.pop()][::-1]),
    "SETITEMS": lambda m, _: m.fill(m.since_mark()),
    "TUPLE": lambda m, _: m.push(tuple(m.since_mark())),
    "TUPLE1": lambda m, _: m.join(1),
    "TUPLE2": lambda m, _: m.join(2),
    "TUPLE3": lambda m, _: m.join(3),
    "GLOBAL": lambda m, name: m.push(_known(name.replace(" ", "."))),
    "STACK_GLOBAL": lambda m, _: m.name(),
    "REDUCE": lambda m, _: m.call(),
    "BUILD": _Machine.forget_state,
    "BINPERSID": lambda m, _: m.push(_stored(m.pop())),
}  # fmt: skip
# What an instruction's value takes, in bytes, beyond those that stand in the file itself
_PRICE = 96
_PRICES = {"EMPTY_SET": 256, "EMPTY_DICT": 256, "REDUCE": 256, "MARK": 40}
