"""Two ways of making inputs: our own plain one, and one that follows the code's coverage."""

from __future__ import annotations

import importlib.util
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from tests.fuzz.execution import ROOT, TARGETS, Outcome, load
from tests.fuzz.mutation import LONGEST, Words, draw

ENGINES = ("atheris", "plain")
Execute = Callable[[bytes], Outcome]
_POOL = 512  # inputs that are mutated further
# Compiled by Numba, which knows its own bytecode only; and what no reader runs through
_LEFT_ALONE = ("minicnn.kernels",)
# Python's own readers, in which an input's fate is decided too
_LIBRARY = ("zipfile", "pickletools", "csv", "json", "configparser", "tomllib")


def available() -> list[str]:
    """Return the engines that can run here; atheris is not made for every platform."""
    return [e for e in ENGINES if e == "plain" or importlib.util.find_spec("atheris")]


def words(target: ModuleType) -> Words:
    """Return what mutations of a target's inputs draw on."""
    return Words(target.seeds(), getattr(target, "DICTIONARY", ()))


def plain(target: ModuleType, execute: Execute, seed: int, runs: int, seconds: float) -> None:
    """Run each seed, then random changes of seeds and of what was answered in a new way.

    The same seed of the generator makes the same inputs, on any machine.
    """
    known = words(target)
    generator = random.Random(seed)
    end = time.monotonic() + seconds
    pool, paths = list(known.seeds), set()
    for data in known.seeds[:runs]:
        paths.add(execute(data).path)
    for number in range(max(0, runs - len(known.seeds))):
        chosen = generator.getrandbits(32) % max(1, len(pool))
        data = draw(generator, pool[chosen] if pool else b"", known)
        path = execute(data).path
        if path not in paths:
            paths.add(path)
            if len(pool) < _POOL:
                pool.append(data)
        if not number & 63 and time.monotonic() > end:
            return


def load_watched(name: str, package: str = TARGETS) -> ModuleType:
    """Return a target whose readers tell atheris which way they go."""
    import atheris

    folder = ROOT / "minicnn"
    files = [p.relative_to(ROOT).with_suffix("") for p in folder.rglob("*.py")]
    modules = {".".join(p.parts).removesuffix(".__init__") for p in files}
    kernels = {
        ".".join(("minicnn", *p.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        for p in (ROOT / "kernels").rglob("*.py")
    }
    excluded = {m for m in modules if m.startswith(_LEFT_ALONE)} | kernels
    for module in [m for m in sys.modules if m.partition(".")[0] in _LIBRARY]:
        del sys.modules[module]
    with (
        _quiet(),
        atheris.instrument_imports(
            include=["minicnn", *_LIBRARY, package], exclude=sorted(excluded)
        ),
    ):
        target = load(name, package)
        getattr(target, "prepare", lambda: None)()
    return target


def follow_coverage(
    target: ModuleType, execute: Execute, seed: int, runs: int, seconds: float, folder: Path
) -> None:
    """Hand over to libFuzzer; it ends the process."""
    import atheris

    known = words(target)
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, data in enumerate(known.seeds):
        (corpus / f"seed-{number:04}").write_bytes(data)
    options = [
        f"-runs={runs}", f"-seed={seed % 2**32 or 1}", "-timeout=0", "-rss_limit_mb=0",
        f"-max_len={max(LONGEST, *map(len, known.seeds))}", "-print_final_stats=0", "-verbosity=0",
        f"-artifact_prefix={folder}/", "-reload=0", "-detect_leaks=0",
    ]  # fmt: skip
    if seconds < 1e9:
        options.append(f"-max_total_time={max(1, round(seconds))}")
    if known.dictionary:
        listed = folder / "dictionary"
        escaped = ("".join(f"\\x{b:02x}" for b in word) for word in known.dictionary if word)
        listed.write_text("".join(f'"{word}"\n' for word in escaped))
        options.append(f"-dict={listed}")

    def one(data: bytes) -> None:
        execute(data)

    atheris.Setup([sys.argv[0], *options, str(corpus)], one)
    atheris.Fuzz()


class _quiet:  # noqa: N801
    """Keep the list of instrumented modules off the screen."""

    def __enter__(self) -> None:
        self._stderr, sys.stderr = sys.stderr, open("/dev/null", "w")

    def __exit__(self, *_: object) -> None:
        sys.stderr.close()
        sys.stderr = self._stderr
