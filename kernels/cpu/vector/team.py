"""The threads that run programs, and the code that runs them: no Python between two pieces.

A step of training asks for some fifty short pieces of parallel work.  A pool of Python threads
takes 75 microseconds to hand out each, and its threads wait for one another's lock; here it is
about two.  The work is cut into pieces that follow from the problem alone; whoever is free takes
the next piece, and no result depends on who did.

**Taking a piece** is one atomic exchange on the *ticket*, a number made of which program it is
(high half) and which piece comes next (low half).  The ticket never has the same value twice, so
whoever exchanges it successfully knows that the program which he read meanwhile was that one.
Between programs it is closed: its low half is greater than any number of pieces.

**Waiting** is spinning, a third of a millisecond at most, for the next program of a training step
comes within that time.  Who has waited longer sleeps in Python until he is woken.
"""

import contextlib
import ctypes
import os
import queue
import threading

import numpy as np
from llvmlite import ir

from . import objects
from .emit import INT, NOTHING, POINTER, Function, integer

# Words of a program's head, of each of its steps, and of each of a step's arguments.
HEAD = ("steps", "images", "pieces", "group")
ARGUMENTS = 8
ARGUMENT = ("base", "image", "piece", "thread", "group")
STEP_WORDS = 1 + ARGUMENTS * len(ARGUMENT)

_LINE = 8  # words of a cache line: what different threads write lies in different ones
_TICKET, _DONE, _PROGRAM, _PIECES, _ACTIVE, _YIELD, _ASLEEP = (_LINE * i for i in range(7))
_CLOSED = (1 << 32) - 1
_PAUSES = 64  # in a row, about a microsecond
_PATIENCE = 300  # microseconds of spinning, about


def run(program, pieces, threads):
    """Run a program, see `HEAD`, on at most so many threads; return when it is done."""
    active = min(threads, pieces, _MOST)
    if active > 1 and _busy.acquire(blocking=False):
        try:
            _team().run(program, pieces, active)
        finally:
            _busy.release()
    else:  # one thread, or another program is running: the calling thread does it alone
        _code("alone")(program, pieces, 0, 0)


class _Team:
    """Threads 1, 2, ...; the calling thread is number 0."""

    def __init__(self):
        owner = np.zeros((7 + _MOST) * _LINE + _LINE, np.int64)
        start = -owner.ctypes.data // 8 % _LINE
        self._words = owner[start:]
        self._words[_TICKET] = _CLOSED
        self._words[_YIELD] = _yield_address()
        self._address = self._words.ctypes.data
        self._alarms: list = []  # one for each thread but the calling one

    def run(self, program, pieces, active):
        while len(self._alarms) < active - 1:
            self._hire()
        words = self._words
        for thread in range(1, active):
            if words[_ASLEEP + thread * _LINE]:
                words[_ASLEEP + thread * _LINE] = 0
                self._alarms[thread - 1].put(None)
        _code("lead")(self._address, program, pieces, active)

    def _hire(self):
        alarm, serve, words = queue.SimpleQueue(), _code("serve"), self._words
        self._alarms.append(alarm)  # first: Ctrl-C may come, and no number may be given twice
        thread = len(self._alarms)

        def live():
            while True:
                serve(words.ctypes.data, thread, 0, 0)
                alarm.get()

        threading.Thread(target=live, name=f"minicnn-vector-{thread}", daemon=True).start()


_known: dict = {}  # the functions below that were asked for
_MOST = 256  # threads of a team
_busy = threading.Lock()
_teams: list = []


def _team():
    if not _teams:
        _teams.append(_Team())
    return _teams[0]


def _forget():
    """Start afresh: a forked child has none of the threads."""
    global _busy
    _busy = threading.Lock()
    _teams.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _yield_address():
    """Return the address of the C library's sched_yield, 0 where there is none."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        return ctypes.cast(ctypes.CDLL(None).sched_yield, ctypes.c_void_p).value
    return 0


def _code(name):
    """Return one of the functions below, compiled; it releases Python's lock."""
    return _known.get(name) or _known.setdefault(
        name, objects.callable_of(name, None, _WRITERS[name], 4)
    )


def _alone(name, _):
    """Write ``alone(program, pieces)``: every piece, one after the other."""
    f = Function(name, 1, 3)
    program, pieces, *_ = f.args
    with f.loop(pieces) as piece:
        _run_piece(f, program, piece, integer(0))
    f.code.ret_void()
    return f.module


def _lead(name, _):
    """Write ``lead(team, program, pieces, active)``: open the ticket, help, wait, close it."""
    f = Function(name, 2, 2)
    team, program, pieces, active = f.args
    code = f.code
    _put(f, team, _PROGRAM, code.ptrtoint(program, INT))
    _put(f, team, _PIECES, pieces)
    _put(f, team, _ACTIVE, active)
    _put(f, team, _DONE, integer(0))
    closed = _get(f, team, _TICKET)
    opened = code.add(closed, integer(1))  # the next program, its piece 0
    _put(f, team, _TICKET, opened)
    _take_pieces(f, team, integer(0))
    wait, end = code.append_basic_block(), code.append_basic_block()
    code.branch(wait)
    code.position_at_end(wait)
    _rest(f, team)
    code.cbranch(code.icmp_signed("<", _get(f, team, _DONE), pieces), wait, end)
    code.position_at_end(end)
    _put(f, team, _TICKET, code.or_(opened, integer(_CLOSED)))
    code.ret_void()
    return f.module


def _serve(name, _):
    """Write ``serve(team, thread)``: take pieces as they come; return when none came for long."""
    f = Function(name, 1, 3)
    team, thread, *_ = f.args
    code = f.code
    before = code.block
    watch, bored, end = (code.append_basic_block() for _ in range(3))
    code.branch(watch)
    code.position_at_end(watch)
    idle = code.phi(INT)
    idle.add_incoming(integer(0), before)
    did = _take_pieces(f, team, thread)
    _rest(f, team)
    longer = code.select(did, integer(0), code.add(idle, integer(1)))
    idle.add_incoming(longer, code.block)
    code.cbranch(code.icmp_signed("<", longer, integer(_PATIENCE)), watch, bored)
    code.position_at_end(bored)
    mine = _word(f, team, code.add(integer(_ASLEEP), code.mul(thread, integer(_LINE))))
    code.atomic_rmw("xchg", mine, integer(1), "seq_cst")
    code.branch(end)
    code.position_at_end(end)
    code.ret_void()
    return f.module


_WRITERS = {"alone": _alone, "lead": _lead, "serve": _serve}


def _take_pieces(f, team, thread):
    """Write a loop that takes pieces until none is left; return whether there was one."""
    code, before = f.code, f.code.block
    look, may, take, work, end = (code.append_basic_block() for _ in range(5))
    code.branch(look)
    code.position_at_end(look)
    did = code.phi(ir.IntType(1))
    did.add_incoming(ir.Constant(ir.IntType(1), 0), before)
    ticket = _get(f, team, _TICKET)
    piece = code.and_(ticket, integer(_CLOSED))
    code.cbranch(code.icmp_signed("<", piece, _get(f, team, _PIECES)), may, end)
    code.position_at_end(may)
    program = code.inttoptr(_get(f, team, _PROGRAM), POINTER)
    code.cbranch(code.icmp_signed("<", thread, _get(f, team, _ACTIVE)), take, end)
    code.position_at_end(take)
    next_ticket = code.add(ticket, integer(1))
    exchanged = code.cmpxchg(_word(f, team, _TICKET), ticket, next_ticket, "seq_cst")
    did.add_incoming(did, code.block)
    code.cbranch(code.extract_value(exchanged, 1), work, look)
    code.position_at_end(work)
    _run_piece(f, program, piece, thread)
    code.atomic_rmw("add", _word(f, team, _DONE), integer(1), "seq_cst")
    did.add_incoming(ir.Constant(ir.IntType(1), 1), code.block)
    code.branch(look)
    code.position_at_end(end)
    return did


def _run_piece(f, program, piece, thread):
    """Write the loops over a piece's groups of images and over the steps of the program."""
    code = f.code
    steps, images, pieces, group = (f.word(program, HEAD.index(name)) for name in HEAD)
    start = code.sdiv(code.mul(piece, images), pieces)
    stop = code.sdiv(code.mul(code.add(piece, integer(1)), images), pieces)
    with f.loop(
        code.sdiv(code.add(code.sub(stop, start), code.sub(group, integer(1))), group)
    ) as g:
        image = code.add(start, code.mul(g, group))
        left = code.sub(stop, image)
        count = code.select(code.icmp_signed("<", left, group), left, group)
        factors = (integer(1), image, piece, thread, count)
        with f.loop(steps) as s:
            at = code.add(integer(len(HEAD)), code.mul(s, integer(STEP_WORDS)))
            step = code.gep(program, [at], source_etype=INT)
            given = [_argument(f, step, i, factors) for i in range(ARGUMENTS)]
            kind = ir.FunctionType(NOTHING, [INT] * ARGUMENTS)
            function = code.inttoptr(f.word(step, 0), kind.as_pointer())
            code.call(function, given)


def _argument(f, step, i, factors):
    """Return base + image * ... + piece * ... + thread * ... + count * ..., of argument i."""
    total = None
    for k, factor in enumerate(factors):
        part = f.code.mul(factor, f.word(step, 1 + i * len(ARGUMENT) + k))
        total = part if total is None else f.code.add(total, part)
    return total


def _rest(f, team):
    """Write a short pause, and let another thread of this core run if one waits."""
    code = f.code
    with f.loop(_PAUSES):
        f.pause()
    address = f.word(team, _YIELD)
    with code.if_then(code.icmp_signed("!=", address, integer(0))):
        kind = ir.FunctionType(NOTHING, [])
        code.call(code.inttoptr(address, kind.as_pointer()), [])


def _word(f, pointer, i):
    return f.code.gep(pointer, [integer(i) if isinstance(i, int) else i], source_etype=INT)


def _get(f, team, i):
    return f.code.load_atomic(_word(f, team, i), "seq_cst", 8, typ=INT)


def _put(f, team, i, value):
    f.code.atomic_rmw("xchg", _word(f, team, i), value, "seq_cst")
