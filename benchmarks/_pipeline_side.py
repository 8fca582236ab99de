"""One measurement of bench_pipeline in its own process: ``WORK [DATA]``; prints JSON."""

import json
import sys

from benchmarks.bench_pipeline import FED, READY, batches_alone, steps
from minicnn.apps.gtsrb import Settings, load_signs

if __name__ == "__main__":
    work, data = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
    settings = Settings(data=data)
    signs = load_signs(settings)
    train = work in (FED, READY)
    found = (steps if train else batches_alone)(settings, signs, work)
    print(json.dumps(found))
