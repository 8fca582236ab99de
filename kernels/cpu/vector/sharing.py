"""The forward code for one vector of output channels, whose pixels are shared by several taps.

With two vectors of channels, each pixel that is loaded meets two weights.  With one vector there
would be a load for every FMA, and a core can do no more loads than FMAs.  But windows that lie side
by side see the same pixels: input channel by input channel, a pixel is loaded once and meets the
weights of all KW taps, each for another window::

    for p in the pixels that T windows see:  acc[p - v*D] += broadcast(x[p]) * weight[v], v < KW

That takes T registers for the sums, KW for the weights and a few for pixels, and one load for
almost KW FMAs.
"""

from .emit import Function, integer
from .microkernel import GEOMETRY, _channel, _every_block, _input, _store, _weights_of

_SPARE = 4  # registers for pixels, so that they are loaded in time


def tallest(machine, kernel):
    """Return how many windows share their pixels at most, 0 if none should."""
    rows = machine.registers // 2
    return rows if 1 < kernel[2] <= machine.registers - rows - _SPARE else 0


def suits(machine, shape):
    """Tell whether this code is for a `microkernel.Shape`."""
    alone = shape.lanes_out <= machine.lanes and shape.together == shape.step == 1
    return alone and tallest(machine, shape.kernel) > 0


def forward(name, shape):
    """Write ``name(x, frame, weights, bias, y, geometry, count)``, as `microkernel.forward`."""
    f = Function(name, 6, 1)
    x, frame, weights, bias, y, geometry, count = f.args
    g = f.integers(geometry, GEOMETRY)
    whole = f.code.sub(g["out_width"], integer(shape.rest))
    with f.loop(count) as n:
        source = _input(f, shape, g, x, frame, [n])
        target = f.at(y, f.times(n, g["y_image"]))
        for group, run, block in _every_block(f, shape):
            w = _weights_of(f, shape, weights, group, run, block)
            b = f.at(bias, _channel(f, shape, group, run, block, shape.padded_out))
            channel = _channel(f, shape, group, run, block, shape.channels_out)
            with f.loop(g["out_depth"]) as d, f.loop(g["out_height"]) as h:
                x_row = f.at(
                    source, f.times(d, g["plane_step"]), f.times(h, g["row_step"]),
                    f.times(group, shape.channels_in),
                )  # fmt: skip
                y_row = f.at(target, f.times(d, g["y_plane"]), f.times(h, g["y_row"]), channel)
                with f.loop(whole, shape.tile.rows) as j:
                    _outputs(f, shape, g, run, (x_row, w, b, y_row), j, shape.tile.rows)
                if shape.rest:
                    _outputs(f, shape, g, run, (x_row, w, b, y_row), whole, shape.rest)
    f.code.ret_void()
    return f.module


def _outputs(f, shape, g, run, pointers, j, rows):
    """Write a tile of the output: `rows` pixels from j on."""
    x_row, weights, bias, y_row = pointers
    lanes, channels, width = shape.tile.lanes, shape.channels_in, shape.kernel[2]
    meetings: dict = {}  # pixel -> (window, tap), ...
    for t in range(rows):
        for v in range(width):
            meetings.setdefault(t + v * shape.spread, []).append((t, v))

    def body(moved, sums):
        x, w = moved
        taps = [f.load(f.at(w, v * channels * lanes), lanes) for v in range(width)]
        sums = list(sums)
        for p in sorted(meetings):
            pixel = f.broadcast(f.at(x, p * shape.pitch), lanes)
            for t, v in meetings[p]:
                sums[t] = f.fma(pixel, taps[v], sums[t])
        return sums

    row = width * channels * lanes
    loops = [
        (shape.kernel[0], (g["kernel_plane"], shape.kernel[1] * row), 1),
        (shape.kernel[1], (g["kernel_row"], row), 1),
        (channels, (1, lanes), next(u for u in (4, 3, 2, 1) if channels % u == 0)),
    ]
    start = [f.load(bias, lanes)] * rows
    here = f.at(x_row, f.times(j, shape.pitch))
    sums = f.sums(loops, [here, weights], start, body)
    step_y = shape.apart * shape.channels_out * shape.groups
    _store(f, sums, f.at(y_row, f.times(j, step_y)), step_y, 1, run.valid)
