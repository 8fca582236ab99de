"""How each op is written in ONNX, one file for each theme.

A writer is a function whose parameters are those of the op: tensors come as Values of the traced
graph, options as they were given.  It adds nodes by calling ``w(kind, *inputs, **attributes)``
and returns the name of the result, or several.
"""

from minicnn.interop.onnx._writers import elementwise, layers, reductions, shaping

TABLE = {**elementwise.TABLE, **reductions.TABLE, **shaping.TABLE, **layers.TABLE}
