# %% [markdown]
# # 9. Make it fast
#
# One convolution, computed again and again, each time faster, until the last version is tens of
# thousands of times faster than the first: with the same numbers. After this lesson you can say
# what a machine could do at most, which of its limits holds a kernel back, and what to do about it,
# on a CPU and on a GPU.
#
# It builds on lesson 3 (convolution). About 40 minutes. Times are those of *your* machine, so your
# numbers will differ from anybody else's; the lesson compares, and asserts equality.

# %%
import importlib.util
import os
import re
import shutil
import time
import zlib
from pathlib import Path

import numpy as np
from numba import njit

import minicnn
from minicnn import Tensor, no_grad, ops
from minicnn.backend.machine import assembly, copy_rate, flop_rate, vector_lanes
from minicnn.exercises import make_it_fast as exercise
from minicnn.kernels.cpu._parallel import chunks, one_blas_thread, run, threads
from minicnn.kernels.cpu.vector import microkernel, objects, tiles
from minicnn.kernels.cpu.vector.winograd_matrices import matrices
from minicnn.visualise import new_figure

# %% [markdown]
# The layer: 16 images of 34 x 34 pixels, 32 channels in, 32 out, a 3x3 window, no padding. A MAC is
# one multiplication and one addition.

# %%
rng = np.random.default_rng(0)
x = rng.normal(size=(16, 32, 34, 34)).astype(np.float32)
weight = (0.1 * rng.normal(size=(32, 32, 3, 3))).astype(np.float32)
y = np.zeros((16, 32, 32, 32), np.float32)
macs = y.size * weight[0].size
print(f"{macs:,} MACs")


def seconds(call, times=5):
    """Return the least time that a call takes; whatever disturbs it makes it longer."""
    took = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        took.append(time.perf_counter() - start)
    return min(took)


rates = {}  # MACs a second


def note(name, rate):
    """Keep a rate, and show it."""
    rates[name] = rate
    print(f"{name}: {rate / 1e9:.4g} GMAC/s, {rate / rates['Python loops']:,.0f} times the first")


# %% [markdown]
# ## Loops
# The definition, word by word. **Predict:** how many MACs does Python do in a second? And how many
# times faster will the last version be?

# %%


def conv_loops(x, weight, y):
    """Compute y (N, O, OH, OW) of x (N, C, H, W) and weight (O, C, KH, KW)."""
    for n in range(y.shape[0]):
        for o in range(y.shape[1]):
            for i in range(y.shape[2]):
                for j in range(y.shape[3]):
                    total = np.float32(0)
                    for c in range(x.shape[1]):
                        for u in range(weight.shape[2]):
                            for v in range(weight.shape[3]):
                                total += x[n, c, i + u, j + v] * weight[o, c, u, v]
                    y[n, o, i, j] = total


few = np.zeros((1, 2, 4, 32), np.float32)  # a small part of it: the whole would take minutes
note("Python loops", few.size * weight[0].size / seconds(lambda: conv_loops(x, weight, few), 1))

# %% [markdown]
# Each MAC is dozens of steps of the interpreter: look up a name, make a tuple, find the type, make
# a new number. Numba compiles the same text for the types that it meets. Nothing else changes.

# %%
compiled = njit(conv_loops)
compiled(x[:1], weight, few)  # the first call compiles
note("compiled loops", macs / seconds(lambda: compiled(x, weight, y), 2))
again = np.zeros_like(few)
conv_loops(x, weight, again)
assert np.array_equal(few, again)  # the same additions in the same order: the same bits
assert rates["compiled loops"] > 20 * rates["Python loops"]

# %% [markdown]
# ## The order of the loops
# A CPU multiplies 4, 8 or 16 floats with one instruction if they are neighbours in memory and do
# not wait for each other. In the loops above each MAC waits for the one before: they all go into
# one sum. Turn the order around: the innermost loop runs along `j`, over sums that have nothing to
# do with one another. Each sum still gets its terms in the same order: c, u, v.

# %%


@njit
def conv_rows(x, weight, y):
    """The same, with a row of sums that grow together."""
    for n in range(y.shape[0]):
        for o in range(y.shape[1]):
            for i in range(y.shape[2]):
                row = np.zeros(y.shape[3], np.float32)
                for c in range(x.shape[1]):
                    for u in range(weight.shape[2]):
                        for v in range(weight.shape[3]):
                            w = weight[o, c, u, v]
                            for j in range(y.shape[3]):
                                row[j] += x[n, c, i + u, j + v] * w
                y[n, o, i] = row


rows = np.zeros_like(y)
conv_rows(x, weight, rows)
note("loops in another order", macs / seconds(lambda: conv_rows(x, weight, rows), 3))
assert np.array_equal(rows, y)

# %% [markdown]
# No operation fewer, the same bits. The rest of this lesson is like that: arithmetic is rarely the
# problem, the way to it is.
#
# ## A matrix product
# People have made matrix products fast for fifty years. Make one of the convolution: copy each
# window into a column, and the filters are the rows that meet them. Write it without a loop over
# pixels. For each offset (u, v), which part of the image do all windows see there?

# %%


def columns(x, kernel_height, kernel_width):
    """Copy every window of an image (C, H, W) into a column: (C * KH * KW, OH * OW)."""
    ...  # your code


columns = exercise.columns.check(columns)

# %%


def conv_product(x, weight):
    """Compute it image by image, as a matrix product each."""
    filters = weight.reshape(len(weight), -1)
    with one_blas_thread():  # many small products: a second thread would be in the way
        found = np.stack([filters @ columns(image, 3, 3) for image in x])
    return found.reshape(len(x), len(weight), x.shape[2] - 2, x.shape[3] - 2)


note("columns and a product", macs / seconds(lambda: conv_product(x, weight), 5))
assert np.allclose(conv_product(x, weight), y, atol=1e-4)
assert np.array_equal(columns(x[0], 3, 3), ops.im2col(Tensor(x[:1]), 3).data[0])
print(f"the columns of one image: {columns(x[0], 3, 3).nbytes / x[0].nbytes:.1f} times the image")

# %% [markdown]
# Its price is memory: nearly nine copies of each pixel, written and read again. (The values agree
# to rounding only: BLAS adds in an order of its own.)
#
# ## Caches
# How fast can memory be? Copy arrays of different sizes.

# %%
sizes = [1 << n for n in range(16, 28)]
speeds = [copy_rate(size, 1) for size in sizes]
figure = new_figure(5.5, 3.4)
panel = figure.subplots()
panel.semilogx([size / 1024 for size in sizes], [speed / 1e9 for speed in speeds], "o-")
panel.set(title="Copying on one thread", xlabel="bytes in use / KiB", ylim=(0, None))
panel.set(ylabel="read and written / GB/s")
core = flop_rate(1)
print(f"from {max(speeds) / 1e9:.0f} GB/s down to {speeds[-1] / 1e9:.0f} GB/s;", end=" ")
print(f"one core can do {core / 2e9:.0f} GMAC/s,")
print(f"{core / 2 / (speeds[-1] / 4):.0f} MACs in the time that main memory takes for one float")
figure

# %% [markdown]
# **Notice** the stairs (where arrays are tiny, the call takes longest): a small array stays in the
# caches near the core, a large one comes from main memory, and while it delivers one float a core
# could do ten MACs or more. So each number that was fetched must be used many times before it is
# pushed out.
#
# That is what tiles are for. To make a tile of $t \times t$ results of a matrix product, fetch $t$
# rows of one matrix and $t$ columns of the other, and use each number $t$ times. **Count** how many
# numbers the whole product fetches.

# %%


def tile_traffic(rows, columns, depth, tile):
    """Count the numbers fetched by (rows x depth) times (depth x columns), in square tiles."""
    ...  # your code


tile_traffic = exercise.tile_traffic.check(tile_traffic)
for tile in (1, 4, 16, 64):
    print(f"tiles of {tile:2}: {tile_traffic(1024, 1024, 1024, tile):>13,} numbers fetched")
assert tile_traffic(1024, 1024, 1024, 64) * 64 == tile_traffic(1024, 1024, 1024, 1)

# %% [markdown]
# The same idea holds at each level: tiles of registers inside of tiles of the first cache, inside
# of tiles of the second.
#
# ## Vector registers
# The innermost tile lives in registers. One instruction, a fused multiply-add (FMA), does a MAC in
# each lane of a vector. Most cores of today start two of them a cycle, and a result can be used
# about 4 cycles later.
#
# **Predict:** how many independent sums keep both units busy?

# %%
independent_sums = None  # your number
independent_sums = exercise.independent_sums.check(independent_sums)

# %% [markdown]
# Measure it: a loop of nothing but FMAs, `s = s * a + a`, on 1 to 12 vectors by turns. All of them
# take the same number of turns.

# %%
counts = [1, 2, 3, 4, 6, 8, 10, 12]
grown = [flop_rate(1, sums=count) / 2e9 for count in counts]
figure = new_figure(5.5, 3.4)
panel = figure.subplots()
panel.plot(counts, grown, "o-", label="measured")
panel.plot([0, 8], [0, 8 * grown[0]], ":", label="8 times one sum")
panel.axvline(independent_sums, color="gray", linewidth=0.8)
panel.set(title=f"Vectors of {vector_lanes()} floats, one thread", xlabel="independent sums")
panel.set(ylabel="GMAC/s", ylim=(0, None), xlim=(0, 12.5))
panel.legend()
print({count: round(rate, 1) for count, rate in zip(counts, grown, strict=True)}, "GMAC/s")
assert max(grown) > 2 * grown[0]
figure

# %% [markdown]
# **Notice** that eight sums take no longer than one: up to there each further sum is free. A kernel
# that adds everything into one sum, like the first loops, throws all but an eighth of the machine
# away, and without vectors another factor of the lanes. (A machine with other units or latencies
# bends elsewhere.)
#
# So minicnn's kernels make a *tile* of T pixels times V vectors of output channels, whose sums stay
# in registers from the first product to the last. Which tile is best follows from the machine. It
# is chosen, and the code for it is written, when a layer is first used:

# %%
machine = objects.machine()
if machine is not None:
    best = tiles.choose(machine, channels=32, length=32, taps=3 * 32)
    used = best.rows * best.vectors + best.vectors + (best.rows if best.vectors > 1 else 1)
    print(machine)
    print(best)
    print(f"sums {best.rows * best.vectors}, registers {used} of {machine.registers}")
    shape = microkernel.Shape(32, 32, 1, (1, 3, 3), 1, 1, 1, True, 32 % best.rows, best)
    written = assembly(microkernel.forward("conv", shape))
    blocks = re.split(r"^\S+:|^\s+j\w+.*$", written, flags=re.MULTILINE)
    fma = re.compile(r"\bv?fn?m(?:add|la)\w*")
    inner = max(blocks, key=lambda block: len(fma.findall(block)))
    lines = [line for line in inner.splitlines() if line.strip()]
    print(f"the innermost loop: {len(lines)} instructions, {len(fma.findall(inner))} of them FMAs")
    print("\n".join(lines[:16]))
    assert used <= machine.registers
    assert len(fma.findall(inner)) > len(lines) / 2

# %% [markdown]
# `vfmadd231ps` is the FMA; `vbroadcastss` puts one pixel's number into all lanes. Most of the
# instructions are arithmetic that was asked for. That is what fast code looks like. The generator
# is worth reading: [the three numbers that decide](../kernels/cpu/vector/__init__.py), then
# [the code](../kernels/cpu/vector/microkernel.py).

# %%
minicnn.config.winograd = False
images, filters = Tensor(x), Tensor(weight)
direct = ops.conv2d(images, filters).data
with no_grad():
    note("generated vector code", macs / seconds(lambda: ops.conv2d(images, filters), 20))
assert np.allclose(direct, y, atol=1e-4)
assert machine is None or rates["generated vector code"] > 1000 * rates["Python loops"]

# %% [markdown]
# ## Fewer products
# Until now every version did the same MACs. Winograd (1980) found that not all of them are needed.
# Slide three taps $g$ over four inputs $d$:
#
# $$y_0 = d_0 g_0 + d_1 g_1 + d_2 g_2, \qquad y_1 = d_1 g_0 + d_2 g_1 + d_3 g_2 .$$
#
# Six products. Now look for shared work. Start from two products in which all that belongs to $d_1$
# and $d_2$ meets the sum, and the alternating sum, of the taps:
#
# $$m_2 = (d_1 + d_2) \, \frac{g_0 + g_1 + g_2}{2}, \qquad
# m_3 = (d_2 - d_1) \, \frac{g_0 - g_1 + g_2}{2} .$$
#
# Work out $m_2 + m_3$ and $m_2 - m_3$ on paper. The first is $y_0$ except for something that *one*
# product repairs; the second is $y_1$, likewise. So four are enough. What is made of $g$ alone does
# not count: it is done once for all places. **Write it.** The check counts your products.

# %%


def winograd(d, g):
    """Return y0 and y1, with four products of inputs (4) and taps (3)."""
    ...  # your code


winograd = exercise.winograd.check(winograd)

# %% [markdown]
# As matrices: $y = A^T [(G g) \odot (B^T d)]$. On two axes that is done twice, nested: $4 \times 4$
# products make $2 \times 2$ outputs of a 3x3 window that needs 36 by definition. With larger tiles,
# $6 \times 6$ products make $4 \times 4$ outputs:

# %%
for side in (2, 4):
    inside, taps, out = matrices(side)
    d, g = rng.normal(size=(side + 2, side + 2)), rng.normal(size=(3, 3))
    made = out @ ((taps @ g @ taps.T) * (inside @ d @ inside.T)) @ out.T
    wanted = [[(d[i : i + 3, j : j + 3] * g).sum() for j in range(side)] for i in range(side)]
    assert np.allclose(made, wanted)
    saved = 9 * side**2 / (side + 2) ** 2
    print(f"{side} x {side} outputs: {(side + 2) ** 2} products, not {9 * side**2}:", end=" ")
    print(f"{saved:.2f} times fewer")
inside, taps, out = matrices(2)
line, three = rng.normal(size=4), rng.normal(size=3)
assert np.allclose(
    winograd(line.tolist(), three.tolist()), out @ ((taps @ three) * (inside @ line))
)

# %%
minicnn.config.winograd = True
tiled = ops.conv2d(images, filters).data
with no_grad():
    note("Winograd's tiles", macs / seconds(lambda: ops.conv2d(images, filters), 20))
exact = conv_product(x[:2].astype(np.float64), weight.astype(np.float64))
for name, found in {"directly": direct, "Winograd": tiled}.items():
    print(f"{name}: off by {np.abs(found[:2] - exact).max():.1e} at most", end=" ")
    print(f"(values go up to {np.abs(exact).max():.1f})")
assert np.allclose(tiled, y, atol=1e-3)

# %% [markdown]
# Not four times faster: the additions around the products take time, too. And the rounding errors
# are larger (sums are made of numbers larger than themselves); for training that does not matter.
# `minicnn.config.winograd = False` switches it off. The rate counts the MACs of the definition, so
# it may go beyond what the machine can do.
#
# ## Threads
# Work can be shared by cores, but then who is first is chance. Floats are not associative:

# %%
a, b, c = np.float32(1e8), np.float32(-1e8), np.float32(1)
print("(a + b) + c =", (a + b) + c, "   a + (b + c) =", a + (b + c))
assert (a + b) + c != a + (b + c)

# %% [markdown]
# minicnn promises the same bits with any number of threads. **Repair** this sum, which breaks that
# promise, twice. `run(work, pieces)` shares pieces among threads, and `chunks(n, k)` cuts
# `range(n)` into k pieces.

# %%


def add_up(values, threads, run):
    """Add up float32 numbers on several threads."""
    total = np.zeros(1, np.float32)

    def work(number, start, stop):
        total[0] += values[start:stop].sum()

    run(work, chunks(len(values), threads))
    return total[0]


add_up = exercise.add_up.check(add_up)

# %% [markdown]
# minicnn's kernels do it that way: the pieces follow from the problem alone, each has its own
# place, and the places are added in order. Play it with a weight gradient, which is a sum over all
# images:

# %%
values = (10 ** rng.uniform(-3, 3, 100_000)).astype(np.float32)
print("ours:", add_up(values, threads(), run))
asked = os.environ.get("MINICNN_THREADS")
found = {}
for count in (1, 2, 3):
    os.environ["MINICNN_THREADS"] = str(count)
    filters = Tensor(weight, requires_grad=True)
    ops.conv2d(images, filters).sum().backward()
    found[count] = zlib.crc32(filters.grad.data.tobytes())
    took = seconds(lambda: ops.conv2d(images, Tensor(weight)), 10)
    print(f"{count} thread(s): {1e3 * took:.2f} ms, checksum of the gradient {found[count]:08x}")
os.environ.pop("MINICNN_THREADS")
if asked is not None:
    os.environ["MINICNN_THREADS"] = asked
assert len(set(found.values())) == 1

# %% [markdown]
# ## The roof
# Two things no program can beat: how many operations the machine does in a second, and how many
# bytes its memory delivers. Which one matters depends on the *arithmetic intensity* of the work:
# operations for each byte that must move at least once.

# %%


def intensity(batch, inputs, outputs, height, width, kernel):
    """Compute floating-point operations for each byte moved, of a "same" convolution in float32."""
    ...  # your code


intensity = exercise.intensity.check(intensity)

# %% [markdown]
# Below the roof $\min(\text{peak}, \text{bandwidth} \cdot \text{intensity})$ lies everything that
# runs here. Where do a ReLU, a 1x1 and a 3x3 convolution lie? **Predict** which of them could never
# reach the peak.

# %%
peak = max(flop_rate(threads()) for _ in range(5))
bandwidth = max(copy_rate(1 << 27, count) for count in (1, threads()))
photo = rng.normal(size=(128, 32, 64, 64)).astype(np.float32)
points = {"ReLU": (1 / 8, photo.size, lambda: ops.relu(Tensor(photo)))}
for side in (1, 3):
    layer = Tensor(rng.normal(size=(32, 32, side, side)).astype(np.float32))
    work = 2 * photo.size * 32 * side**2
    call = lambda layer=layer: ops.conv2d(Tensor(photo), layer, padding="same")  # noqa: E731
    points[f"{side}x{side} convolution"] = intensity(128, 32, 32, 64, 64, side), work, call
python = 2 * rates["Python loops"], 2 * rates["compiled loops"]

minicnn.config.winograd = False
figure = new_figure(6.5, 4)
panel = figure.subplots()
along = np.logspace(-1.5, 3, 50)
panel.loglog(along, np.minimum(peak, bandwidth * along) / 1e9, color="gray", label="the roof")
reached = {}
for name, (x_place, work, call) in points.items():
    call()
    reached[name] = work / seconds(call, 5)
    panel.plot(x_place, reached[name] / 1e9, "o", label=name)
    part = reached[name] / min(peak, bandwidth * x_place)
    print(f"{name}: {x_place:.3g} FLOP/byte, {reached[name] / 1e9:.1f} GFLOP/s, ", end="")
    print(f"{100 * part:.0f} % of the roof")
for rate, name in zip(python, ("3x3, Python loops", "3x3, compiled loops"), strict=True):
    panel.plot(points["3x3 convolution"][0], rate / 1e9, "s", label=name)
panel.set(title="The roofline of this machine", xlabel="arithmetic intensity / FLOP/byte")
panel.set(ylabel="GFLOP/s", ylim=(1e-3, None))
panel.legend(fontsize="small")
minicnn.config.winograd = True
print(f"peak {peak / 1e9:.0f} GFLOP/s, memory {bandwidth / 1e9:.0f} GB/s: the ridge is at ", end="")
print(f"{peak / bandwidth:.0f} FLOP/byte")
assert reached["3x3 convolution"] > reached["ReLU"]
figure

# %% [markdown]
# **Notice** that the ReLU is at the slope (above it, where a cache keeps part): memory holds it,
# and no cleverness in its arithmetic would help. What helps is to not let its input go to memory at
# all, by doing it in the same pass as the convolution before it; minicnn's
# [blocks](../minicnn/ops/block.py) do that. A 3x3 convolution is to the right of the ridge:
# arithmetic holds it, and Winograd helps. Python's loops are held by neither, but by Python. All on
# one axis:

# %%
figure = new_figure(7, 3)
panel = figure.subplots()
bars = panel.barh(list(rates), [rate / 1e9 for rate in rates.values()])
panel.bar_label(bars, fmt="%.3g", padding=3)
panel.axvline(peak / 2e9, color="gray", linestyle=":", label="peak of the definition's MACs")
panel.set(title="One convolution", xlabel="GMAC/s", xscale="log", xlim=(1e-4, peak / 2e7))
panel.invert_yaxis()
panel.legend(fontsize="small")
figure

# %% [markdown]
# ## The same kernel in CUDA
# A GPU has thousands of arithmetic units. Its programs say what *one* thread does, and then a
# hundred thousand of them are started, in blocks. The outer loops are gone: instead each thread
# asks which output is its own, from three numbers, `blockIdx.x`, `blockDim.x` and `threadIdx.x`.
# **Write** that question in Python.

# %%


def place(block, thread, block_size, shape):
    """Return which output (o, i, j) of a shape (O, OH, OW) a thread computes, None if no one's."""
    ...  # your code


place = exercise.place.check(place)

# %% [markdown]
# Here is the kernel. Compare it with `conv_loops`: `n, o, i, j` have become the thread's number,
# the rest is as it was.

# %%
source = r"""
extern "C" __global__ void conv(const float* x, const float* weight, float* y,
                                int channels, int outputs, int height, int width) {
  int out_height = height - 2, out_width = width - 2;
  int number = blockIdx.x * blockDim.x + threadIdx.x;
  if (number >= outputs * out_height * out_width) return;  // the last block has some too many
  int j = number % out_width, i = number / out_width % out_height;
  int o = number / (out_height * out_width);
  float sum = 0;
  for (int c = 0; c < channels; ++c)
    for (int u = 0; u < 3; ++u)
      for (int v = 0; v < 3; ++v)
        sum += x[(c * height + i + u) * width + j + v]
             * weight[((o * channels + c) * 3 + u) * 3 + v];
  y[number] = sum;
}
"""
gpu = os.environ.get("MINICNN_CUDA") != "host" and shutil.which("nvidia-smi") is not None
gpu = gpu and importlib.util.find_spec("cupy") is not None
if gpu:
    cupy = importlib.import_module("cupy")
elif shutil.which(os.environ.get("CXX", "g++")):
    cupy = importlib.import_module("minicnn.kernels.cuda_host").install()
else:
    cupy = None
print({True: "a GPU", False: "no GPU: the CPU plays one, a fiber for each thread"}[gpu])
if cupy is None:
    print("and no C++ compiler to make it do so: install g++; the lesson goes on without")

# %% [markdown]
# Without a GPU a stand-in for CuPy compiles the very same text for the CPU and runs every thread.
# It is slow, and it is strict: it checks barriers and arguments, and memory that was never written
# is not a number.

# %%
if cupy is not None:
    conv = cupy.RawModule(code=source).get_function("conv")
    image, filters = cupy.asarray(x[0, :, :, :20]), cupy.asarray(weight)
    image = cupy.ascontiguousarray(image)
    made = cupy.empty((32, 32, 18), np.float32)
    blocks = -(-made.size // 128)
    conv((blocks,), (128,), (image, filters, made, *map(np.int32, (32, 32, 34, 20))))
    print(f"{blocks} blocks of 128 threads; the bits of the loops:", end=" ")
    print(np.array_equal(made.get(), y[0, :, :, :18]))
    assert np.allclose(made.get(), y[0, :, :, :18], atol=1e-4)
    assert place(2, 5, 128, made.shape) == tuple(np.unravel_index(2 * 128 + 5, made.shape))

# %% [markdown]
# ### Neighbours fetch together
# 32 threads, a *warp*, execute each instruction together. What they read is fetched in lines of 128
# bytes: one line if the threads' numbers are neighbours, and up to 32 lines if they are not, for
# the same 128 bytes of use. **Count** them.

# %%


def lines_fetched(first, stride):
    """Count the lines of 128 bytes that hold the float32 numbers first + t * stride, t < 32."""
    ...  # your code


lines_fetched = exercise.lines_fetched.check(lines_fetched)
for what, stride in {
    "neighbouring threads, neighbouring pixels of a row": 1,
    "every other pixel (stride 2)": 2,
    "neighbouring threads, neighbouring channels, image after image (C, H, W)": 34 * 34,
    "neighbouring channels in channels-last memory (H, W, C)": 1,
    "all threads the same weight": 0,
}.items():
    print(f"{lines_fetched(0, stride):3} line(s): {what}")

# %% [markdown]
# Swap `i` and `j` in the kernel above, and it computes the same and takes many times as long. It is
# the first thing to look at in any CUDA kernel: *what do my neighbours read?* minicnn keeps images
# channels-last, so that its threads can be neighbouring channels.
#
# ### Tiles again
# In the kernel each MAC still fetches two numbers. Your count of tiles holds for GPUs, too; there
# the place to keep a tile is *shared memory*, which the threads of a block fill together. This is
# the second step of minicnn's matrix product:

# %%
text = (Path(minicnn.kernels.__path__[0]) / "cuda" / "linear.cu").read_text(encoding="utf-8")
print(text[text.index("// 2.") : text.index("// 3.")])

# %% [markdown]
# `__syncthreads()` is a barrier: nobody goes on before all are there. Leave the first one out, and
# some threads multiply what others have not yet fetched; leave the second one out, and some
# overwrite what others still read. The third step keeps 4 x 4 sums in registers, for the same
# reason as on the CPU. All three add in the same order:

# %%
if cupy is not None:
    product = importlib.import_module("minicnn.kernels.cuda._product_steps").product
    a, b = (
        rng.normal(size=(70, 50)).astype(np.float32),
        rng.normal(size=(50, 90)).astype(np.float32),
    )
    steps = {
        s: product(cupy.asarray(a), cupy.asarray(b), s).get()
        for s in ("threads", "tiles", "registers")
    }
    for step, side in zip(steps, (1, 16, 64), strict=True):
        fetched = tile_traffic(1024, 1024, 1024, side) / 1024**3
        print(f"{step:10}{fetched:8.4f} numbers fetched a MAC; same bits: ", end="")
        print(np.array_equal(steps[step], steps["threads"]))
        assert np.array_equal(steps[step], steps["threads"])
    assert np.allclose(steps["tiles"], a @ b, atol=1e-4)
    if not gpu:
        importlib.import_module("minicnn.kernels.cuda_host").uninstall()

# %% [markdown]
# ## What you know now
# * The same arithmetic can take tens of thousands of times as long. What costs is the way to it: an
#   interpreter, a sum that waits for itself, numbers that come from far away.
# * Tiles, of registers and of caches, use what was fetched many times: traffic falls with their
#   side.
# * Two units of four cycles want eight independent sums, each a whole vector.
# * Winograd does with 16 products what 36 do by definition, and rounds a little more.
# * The same bits with any number of threads: pieces that follow from the problem, added in order.
# * The roofline tells which of two limits holds you, and so what can help.
# * In CUDA the outer loops become the thread's number; look at what neighbours read.
#
# In minicnn: [vector code](../kernels/cpu/vector/__init__.py) and
# [its generator](../kernels/cpu/vector/microkernel.py),
# [Winograd](../kernels/cpu/vector/winograd.py), [threads](../kernels/cpu/_parallel.py),
# [the matrix product in CUDA](../kernels/cuda/linear.cu) and
# [a reading order of all CUDA kernels](../kernels/cuda/__init__.py),
# [what plays the GPU](../kernels/cuda_host/__init__.py). A roofline of every layer of a net:
# `python -m benchmarks.roofline`; of any op: `minicnn.explain`.
#
# To read on: Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008);
# Williams, Waterman and Patterson, "Roofline" (2009); Lavin and Gray, "Fast Algorithms for
# Convolutional Neural Networks" (2016).
