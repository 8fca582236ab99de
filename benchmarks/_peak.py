"""One ``peakmem_*`` benchmark in a process of its own: ``python -m benchmarks._peak CALL CASE``."""

import importlib
import sys

from benchmarks._measure import cases_of, peak_memory, set_up

if __name__ == "__main__":
    place, _, name = sys.argv[1].partition(":")
    suite_name, _, benchmark = name.partition(".")
    suite = getattr(importlib.import_module(place), suite_name)
    case = cases_of(suite)[int(sys.argv[2])]
    getattr(set_up(suite, case), benchmark)(*case)
    print(peak_memory())
