"""What is asked of a side of the benchmark on a GPU; both sides read it, in their own processes."""

from __future__ import annotations

import json
from typing import NamedTuple, Self

from benchmarks._nets import NETS, Net

# float32 sums of float32 products; the same with factors rounded to 10 or to 7 bits of fraction,
# for the matrix units; and half-precision numbers in memory, too.
PRECISIONS = ("float32", "tf32", "bfloat16", "float16")
MODES = ("eager", "graph")  # call by call, or recorded once as a CUDA graph and replayed
CONVOLUTIONS = "resnet50"  # not a net here: its distinct convolutions
LARGE = {"unet": Net("unet", 32, 256, 16)}  # on a CPU it is a small one
WORKS = ("seednet", "wide", "resnet20", "unet", CONVOLUTIONS)


class Request(NamedTuple):
    """One of WORKS, in which ways, for how many seconds each, on "cuda" (or "cpu" for a try)."""

    work: str
    precisions: tuple[str, ...] = PRECISIONS
    modes: tuple[str, ...] = MODES
    seconds: float = 0.3
    quick: bool = False  # tiny sizes and few calls, to see that it runs
    device: str = "cuda"

    @property
    def net(self) -> Net:
        """What to train."""
        net = LARGE.get(self.work, NETS[self.work])
        return net._replace(channels=2, size=16, batch=2) if self.quick else net

    @property
    def calls(self) -> dict[str, int]:
        """How many calls a clock must make."""
        return {"fewest": 2, "warm_up": 1} if self.quick else {}

    def to_text(self) -> str:
        """Return it as a word of a command line."""
        return json.dumps(self._asdict())

    @classmethod
    def of(cls, text: str) -> Self:
        """Return what `to_text` wrote."""
        fields = json.loads(text).items()
        return cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in fields})
