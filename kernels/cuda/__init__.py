"""CUDA kernels: the functions of kernels.plain, one for one, on CuPy arrays.

For now they are those array expressions themselves, which CuPy runs on the GPU
as NumPy does on the CPU; kernels of our own replace them family by family.
"""

from ..plain import *  # noqa: F403
from ..plain import __all__ as __all__
