"""What people may switch on and off; the kernels ask here, `minicnn.config` sets it."""

import os

winograd: bool = os.environ.get("MINICNN_WINOGRAD", "1") != "0"
