"""Networks, one file each."""

from minicnn.models.seednet import SeedNet

__all__ = ["SeedNet"]
