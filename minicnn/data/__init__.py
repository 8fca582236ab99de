"""Datasets: a pipeline that feeds a network, and the images to feed it with.

Everything but the pipeline is imported by its module: ``minicnn.data.gtsrb``, for example.
"""

from minicnn.data._iterator import DatasetIterator
from minicnn.data.dataset import Dataset

__all__ = ["Dataset", "DatasetIterator"]
