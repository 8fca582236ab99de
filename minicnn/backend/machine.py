"""What this machine can do at most, and what its compiler makes of a kernel.

Multiply-adds in registers and copies by size are the two roofs under which every op stays.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import llvmlite
import numpy as np
from llvmlite import binding, ir

__all__ = [
    "SIZES",
    "SUMS",
    "Peaks",
    "assembly",
    "copy_rate",
    "flop_rate",
    "measure_peaks",
    "vector_lanes",
]

SUMS = 12  # independent ones: 2 units times 4 cycles of latency ask for 8 at least
ROUNDS = 1 << 20  # of SUMS fused multiply-adds: some milliseconds
REPEATS = 7
SIZES = [
    1 << n for n in range(18, 30, 2)
]  # bytes that a copy reads and writes: 256 KiB ... 256 MiB


class Peaks(NamedTuple):
    """Operations a second, and bytes a second by the bytes that are in use."""

    flops: float
    copies: dict[int, float]

    def bandwidth(self, size: int) -> float:
        """Return the bytes a second of a copy that is at least so large, or of the largest."""
        fitting = [bytes_ for bytes_ in self.copies if bytes_ >= size]
        return self.copies[min(fitting, default=max(self.copies))]


def measure_peaks(threads: int) -> Peaks:
    """Return what so many threads can do together.

    Parameters
    ----------
    threads : int
        How many.

    Returns
    -------
    Peaks
        Operations a second, a multiply-add being two; bytes a second that copies read and write.
    """
    return Peaks(flop_rate(threads), {size: copy_rate(size, threads) for size in SIZES})


def flop_rate(threads: int, sums: int = SUMS) -> float:
    """Return the operations a second of fused multiply-adds that stay in vector registers.

    Parameters
    ----------
    threads : int
        How many do so together.
    sums : int, default 12
        Vectors that each thread adds to, by turns. Each multiply-add needs the result of the one
        before in its own sum, so with few of them the machine waits.

    Returns
    -------
    float
        Operations a second, a multiply-add of one number being two.
    """
    lanes = vector_lanes()
    chain = _fma_chain(lanes, sums)
    numbers = [np.ones(lanes, np.float32) for _ in range(threads)]
    work = [lambda n=n: chain(n.ctypes.data, ROUNDS) for n in numbers]
    return 2 * lanes * sums * ROUNDS * threads / _best_time(work)


def copy_rate(size: int, threads: int) -> float:
    """Return the bytes a second that are read and written, each thread copying its own part.

    Parameters
    ----------
    size : int
        Bytes that are in use: half of them are read, half of them written.
    threads : int
        How many share them.

    Returns
    -------
    float
        Bytes a second.
    """
    part = size // (2 * threads)
    again = max(1, (32 << 20) // size)
    work = []
    for _ in range(threads):
        source, target = np.ones(part, np.uint8), np.ones(part, np.uint8)

        def copy(target: np.ndarray = target, source: np.ndarray = source) -> None:
            for _ in range(again):
                np.copyto(target, source)  # libc's memmove takes twice as long on some machines

        work.append(copy)
    return 2 * part * threads * again / _best_time(work)


def vector_lanes() -> int:
    """Return how many floats a vector register of this CPU holds.

    Returns
    -------
    int
        16 with AVX-512, 8 with AVX2, else 4.
    """
    features = binding.get_host_cpu_features()
    return 16 if features.get("avx512f") else 8 if features.get("avx2") else 4


def assembly(module: ir.Module) -> str:
    """Return what a module of LLVM's language becomes on this CPU.

    Parameters
    ----------
    module : llvmlite.ir.Module
        Functions, such as those that `minicnn.kernels.cpu.vector.microkernel` writes.

    Returns
    -------
    str
        Assembly language, a line for each instruction.
    """
    return str(_target().emit_assembly(_parsed(module)))


def _best_time(work: Sequence[Callable[[], object]]) -> float:
    """Return the least seconds in which threads did their work at the same time."""
    best = float("inf")
    for _ in range(REPEATS):
        others = [threading.Thread(target=call) for call in work[1:]]
        start = time.perf_counter()
        for thread in others:
            thread.start()
        work[0]()
        for thread in others:
            thread.join()
        best = min(best, time.perf_counter() - start)
    return best


def _fma_chain(lanes: int, sums: int) -> Callable[[int, int], None]:
    """Compile ``f(numbers, rounds)``: so many vectors ``s = s * a + a``, again and again."""
    vector, count = ir.VectorType(ir.FloatType(), lanes), ir.IntType(64)
    module = ir.Module("peak")
    kind = ir.FunctionType(ir.VoidType(), [ir.PointerType(), count])
    function = ir.Function(module, kind, "peak")
    fma = ir.Function(module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{lanes}f32")
    entry, loop, end = (function.append_basic_block(name) for name in ("entry", "loop", "end"))
    code = ir.IRBuilder(entry)
    numbers, rounds = function.args
    a = code.load(numbers, typ=vector, align=4)
    code.branch(loop)
    code.position_at_end(loop)
    i, phis = code.phi(count), [code.phi(vector) for _ in range(sums)]
    following = [code.call(fma, [s, a, a]) for s in phis]
    later = code.add(i, count(1))
    for phi, first, value in zip(
        [i, *phis], [count(0)] + [a] * sums, [later, *following], strict=True
    ):
        phi.add_incoming(first, entry)
        phi.add_incoming(value, loop)
    code.cbranch(code.icmp_signed("<", later, rounds), loop, end)
    code.position_at_end(end)
    total = following[0]
    for s in following[1:]:
        total = code.fadd(total, s)
    code.store(total, numbers, align=4)
    code.ret_void()
    return _compiled(module)


def _target() -> Any:
    if tuple(map(int, llvmlite.__version__.split(".")[:2])) < (0, 45):
        binding.initialize()
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(),
        features=binding.get_host_cpu_features().flatten(),
        opt=3,
        jit=True,
    )


def _parsed(module: ir.Module) -> Any:
    parsed: Any = binding.parse_assembly(str(module))
    parsed.verify()
    return parsed


def _compiled(module: ir.Module) -> Callable[[int, int], None]:
    engine: Any = binding.create_mcjit_compiler(_parsed(module), _target())
    engine.finalize_object()
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(
        engine.get_function_address("peak")
    )

    def chain(numbers: int, rounds: int) -> None:
        call(numbers, rounds)

    chain.engine = engine  # type: ignore[attr-defined]  # the code lives as long as it does
    return chain
