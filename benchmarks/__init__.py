"""Measurements: run them as modules of the checkout, ``python -m benchmarks.versus_torch``."""
