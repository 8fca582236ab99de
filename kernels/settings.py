"""What people may choose; the kernels ask here, `minicnn.config` checks it and sets it."""

import os

winograd: bool = os.environ.get("MINICNN_WINOGRAD", "1") != "0"
matrix_precision: str = os.environ.get("MINICNN_MATRIX_PRECISION", "float32")
