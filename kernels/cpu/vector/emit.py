"""Writing LLVM's language: loops, vectors and addresses, as little as the kernels need."""

import contextlib
import math

from llvmlite import binding, ir

FLOAT, INT, POINTER, NOTHING = ir.FloatType(), ir.IntType(64), ir.PointerType(), ir.VoidType()
_BIT = ir.IntType(1)
_ALIGNED = 4  # bytes; rows of pixels start anywhere


def integer(n):
    """Return a constant."""
    return ir.Constant(INT, int(n))


class Function:
    """A function that is being written, its last line at the end.

    Parameters
    ----------
    name : str
        What the compiled function is called.
    pointers, integers : int
        How many arguments of each kind it takes, in this order.
    """

    def __init__(self, name, pointers, integers):
        self.module = ir.Module(name)
        kinds = [POINTER] * pointers + [INT] * integers
        function = ir.Function(self.module, ir.FunctionType(NOTHING, kinds), name)
        for argument in function.args[:pointers]:
            argument.add_attribute("noalias")
        self.args = function.args
        self.code = ir.IRBuilder(function.append_basic_block())

    def at(self, pointer, *offsets):
        """Return the address some floats further on."""
        for offset in offsets:
            if not (isinstance(offset, int) and offset == 0):
                offset = integer(offset) if isinstance(offset, int) else offset
                pointer = self.code.gep(pointer, [offset], source_etype=FLOAT)
        return pointer

    def times(self, a, b):
        """Return a * b, of constants too."""
        known = [n for n in (a, b) if isinstance(n, int)]
        if len(known) == 2 or 0 in known:
            return math.prod(known)
        return self.code.mul(*(integer(n) if isinstance(n, int) else n for n in (a, b)))

    def plus(self, a, b):
        """Return a + b, of constants too."""
        if isinstance(a, int) and isinstance(b, int):
            return a + b
        return self.code.add(*(integer(n) if isinstance(n, int) else n for n in (a, b)))

    @contextlib.contextmanager
    def loop(self, count, step=1):
        """Write the body of ``for i in range(0, count, step)`` inside a ``with`` block."""
        if count == 1:
            yield 0
            return
        code, count = self.code, integer(count) if isinstance(count, int) else count
        before, head = code.block, code.append_basic_block()
        body, after = code.append_basic_block(), code.append_basic_block()
        code.branch(head)
        code.position_at_end(head)
        i = code.phi(INT)
        i.add_incoming(integer(0), before)
        code.cbranch(code.icmp_signed("<", i, count), body, after)
        code.position_at_end(body)
        yield i
        i.add_incoming(code.add(i, integer(step)), code.block)
        code.branch(head)
        code.position_at_end(after)

    @contextlib.contextmanager
    def strides(self, count, step):
        """Write a loop like `loop`; yield 0, step, 2 * step, ... of so many rounds."""
        with self.loop(count) as k:
            yield self.times(k, step)

    @contextlib.contextmanager
    def pieces(self, total, longest):
        """Write a loop over pieces of `total`; yield the piece, where it begins, its length."""
        code = self.code
        pieces = code.sdiv(code.add(total, code.sub(longest, integer(1))), longest)
        with self.loop(pieces) as piece:
            first = code.mul(piece, longest)
            left = code.sub(total, first)
            yield piece, first, code.select(code.icmp_signed("<", left, longest), left, longest)

    def sums(self, loops, pointers, start, body):
        """Write nested loops that carry vectors in registers; return the vectors at the end.

        `loops` are (count, step of each pointer, unroll), the outermost first; ``body(pointers,
        vectors)`` returns the next vectors. Counts are at least 1.
        """
        if not loops:
            return body(pointers, start)
        (count, steps, unroll), inner = loops[0], loops[1:]
        if isinstance(count, int) and count <= unroll:
            for k in range(count):
                start = self.sums(inner, self._moved(pointers, steps, k), start, body)
            return start
        if not isinstance(count, int) or count % unroll:
            unroll = 1
        code, before = self.code, self.code.block
        block, after = code.append_basic_block(), code.append_basic_block()
        code.branch(block)
        code.position_at_end(block)
        kinds = [INT, *(p.type for p in pointers), *(v.type for v in start)]
        carried = [code.phi(kind) for kind in kinds]
        for phi, value in zip(carried, [integer(0), *pointers, *start], strict=True):
            phi.add_incoming(value, before)
        i, here, vectors = carried[0], carried[1 : 1 + len(pointers)], carried[1 + len(pointers) :]
        for k in range(unroll):
            vectors = self.sums(inner, self._moved(here, steps, k), vectors, body)
        following = [code.add(i, integer(unroll)), *self._moved(here, steps, unroll), *vectors]
        for phi, value in zip(carried, following, strict=True):
            phi.add_incoming(value, code.block)
        end = integer(count) if isinstance(count, int) else count
        code.cbranch(code.icmp_signed("<", following[0], end), block, after)
        code.position_at_end(after)
        return vectors

    def _moved(self, pointers, steps, k):
        return [self.at(p, self.times(s, k)) for p, s in zip(pointers, steps, strict=True)]

    def integers(self, pointer, names):
        """Load an array of integers; return them by name."""
        places = {
            name: self.code.gep(pointer, [integer(i)], source_etype=INT)
            for i, name in enumerate(names)
        }
        return {name: self.code.load(place, typ=INT) for name, place in places.items()}

    def word(self, pointer, i):
        """Load integer number i of an array."""
        return self.code.load(self.code.gep(pointer, [integer(i)], source_etype=INT), typ=INT)

    def copy(self, target, source, floats):
        """Copy so many floats."""
        move = self._intrinsic("llvm.memcpy.p0.p0.i64", NOTHING, [POINTER, POINTER, INT, _BIT])
        self.code.call(move, [target, source, self.times(floats, 4), ir.Constant(_BIT, 0)])

    def clear(self, target, floats):
        """Write so many zeros."""
        byte = ir.IntType(8)
        fill = self._intrinsic("llvm.memset.p0.i64", NOTHING, [POINTER, byte, INT, _BIT])
        self.code.call(fill, [target, byte(0), self.times(floats, 4), ir.Constant(_BIT, 0)])

    def load(self, pointer, lanes, valid=None):
        """Load a vector; of lanes beyond `valid` nothing is read, and they are 0."""
        kind = ir.VectorType(FLOAT, lanes)
        if valid in (None, lanes):
            return self.code.load(pointer, typ=kind, align=_ALIGNED)
        name = f"llvm.masked.load.v{lanes}f32.p0"
        some = self._intrinsic(name, kind, [POINTER, ir.IntType(32), _mask_type(lanes), kind])
        zeros = ir.Constant(kind, [0.0] * lanes)
        return self.code.call(some, [pointer, _ALIGNMENT, _mask(lanes, valid), zeros])

    def store(self, vector, pointer, valid=None):
        """Store a vector; lanes beyond `valid` are not written."""
        kind = vector.type
        if valid in (None, kind.count):
            self.code.store(vector, pointer, align=_ALIGNED)
            return
        name = f"llvm.masked.store.v{kind.count}f32.p0"
        types = [kind, POINTER, ir.IntType(32), _mask_type(kind.count)]
        some = self._intrinsic(name, NOTHING, types)
        self.code.call(some, [vector, pointer, _ALIGNMENT, _mask(kind.count, valid)])

    def broadcast(self, pointer, lanes, floats=1):
        """Load one float into all lanes, or two again and again."""
        if floats > 1:
            some = self.load(pointer, floats)
            return self.code.shuffle_vector(some, some, _order(range(floats), lanes // floats))
        return self.splat(self.code.load(pointer, typ=FLOAT, align=_ALIGNED), lanes)

    def splat(self, number, lanes):
        """Return one float in all lanes."""
        kind = ir.VectorType(FLOAT, lanes)
        nothing, first = ir.Constant(kind, ir.Undefined), ir.Constant(ir.IntType(32), 0)
        one = self.code.insert_element(nothing, number, first)
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
        return self.code.shuffle_vector(one, nothing, zeros)

    def interleave(self, target, a, b, floats, lanes, alone):
        """Write a0 b0 a1 b1 ...; if `alone` (None: never), zeros stand for b."""
        code, zeros = self.code, self.zeros(lanes)
        one = FLOAT(0.0)
        halves = [
            _order([k // 2 + k % 2 * lanes for k in range(start, start + lanes)])
            for start in (0, lanes)
        ]
        whole = code.and_(floats, integer(-lanes))
        with self.loop(whole, lanes) as k:
            first, second = self.load(self.at(a, k), lanes), self.load(self.at(b, k), lanes)
            if alone is not None:
                second = code.select(alone, zeros, second)
            to = self.at(target, self.times(k, 2))
            for i, half in enumerate(halves):
                self.store(code.shuffle_vector(first, second, half), self.at(to, i * lanes))
        with self.loop(code.sub(floats, whole)) as k:
            k = code.add(whole, k)
            first, second = (code.load(self.at(p, k), typ=FLOAT, align=_ALIGNED) for p in (a, b))
            if alone is not None:
                second = code.select(alone, one, second)
            to = self.at(target, self.times(k, 2))
            for i, number in enumerate((first, second)):
                code.store(number, self.at(to, i), align=_ALIGNED)

    def apart(self, vector, count):
        """Return what belongs to each of so many interleaved images."""
        lanes = range(0, vector.type.count, count)
        return [
            self.code.shuffle_vector(vector, vector, _order([lane + k for lane in lanes]))
            for k in range(count)
        ]

    def fma(self, a, b, c):
        """Return a * b + c, rounded once."""
        name = f"llvm.fma.v{a.type.count}f32"
        return self.code.call(self._intrinsic(name, a.type, [a.type] * 3), [a, b, c])

    def zeros(self, lanes):
        """Return a vector of zeros."""
        return ir.Constant(ir.VectorType(FLOAT, lanes), [0.0] * lanes)

    def reciprocal(self, count, lanes):
        """Return 1 / count of an integer, in all lanes."""
        one = ir.Constant(FLOAT, 1.0)
        return self.splat(self.code.fdiv(one, self.code.sitofp(count, FLOAT)), lanes)

    def rectify(self, v):
        """Return v where it is above 0 or not a number, else 0."""
        zeros = self.zeros(v.type.count)
        return self.code.select(self.code.fcmp_ordered("<", v, zeros), zeros, v)

    def where_positive(self, v, g):
        """Return g where v is above 0, else 0."""
        zeros = self.zeros(v.type.count)
        return self.code.select(self.code.fcmp_ordered(">", v, zeros), g, zeros)

    def pause(self):
        """Tell the core that a loop only waits."""
        if binding.get_default_triple().startswith(("aarch64", "arm64")):
            kind = ir.IntType(32)
            self.code.call(
                self._intrinsic("llvm.aarch64.hint", NOTHING, [kind]), [kind(1)]
            )  # yield
        else:
            self.code.call(self._intrinsic("llvm.x86.sse2.pause", NOTHING, []), [])

    def _intrinsic(self, name, result, types):
        known = self.module.globals.get(name)
        return known or ir.Function(self.module, ir.FunctionType(result, types), name)


_ALIGNMENT = ir.Constant(ir.IntType(32), _ALIGNED)


def _order(lanes, times=1):
    """Return the constant that says which lanes a shuffle takes, again and again."""
    numbers = list(lanes) * times
    return ir.Constant(ir.VectorType(ir.IntType(32), len(numbers)), numbers)


def _mask_type(lanes):
    return ir.VectorType(ir.IntType(1), lanes)


def _mask(lanes, valid):
    return ir.Constant(_mask_type(lanes), [int(lane < valid) for lane in range(lanes)])
