"""Convolution by register-tiled vector code, generated for the shape at hand.

Why not loops for Numba, or im2col and the BLAS?  A core of today starts two fused
multiply-adds (FMA) a cycle, each on a vector of L floats: L is 16 with AVX-512, 8 with
AVX2, 4 with NEON or SSE.  At 4 GHz that is 2 * 16 * 2 * 4 = 256 GFLOP/s.  Plain loops reach
a tenth of it, im2col with the BLAS between a quarter and a half, the code here nine tenths.
Three numbers decide, and all follow from the machine:

**Registers.**  Memory is channels-last, so the L numbers of a vector are L output channels
of one pixel.  A *tile* is T pixels side by side, times V vectors of channels, and its sums
stay in registers from the first product to the last::

    acc[t][v] = fma(broadcast(x[pixel t, tap]), weight[tap, channels v], acc[t][v])

It takes T*V registers for the sums, V for the weights, and with V > 1, where each pixel is used
several times, T for the pixels (one otherwise): T*V + V + T must not exceed the 32 (AVX-512, NEON)
or 16 (AVX2, SSE) there are.

**Latency.**  An FMA takes 4 cycles, and the next one onto the same sum has to wait for it.
Two units times 4 cycles ask for at least 8 sums: T*V >= 8.

**Loads.**  Each tap loads V vectors of weights and T pixels for T*V FMAs.  Two loads a cycle
are possible, so loads must not outnumber FMAs: (T + V) / (T*V) <= 1, which V = 2 makes easy.
With V = 1, windows side by side share the pixels that they all see (`sharing.py`).

`tiles.py` turns that into T and V.  The pair (kernel column, input channel) of a window is one
contiguous run of the padded image, so a 3x3 kernel is three runs of 3*C taps, unrolled eight
times.  The input gradient is a convolution with the kernel turned around.  The weight gradient
exchanges the roles: taps are the tile's T, and pixels are what is summed over.  One generator
(`microkernel.py`) writes all of them, `objects.py` compiles them and keeps the result on disk.

**Few channels.**  Eight channels fill half of 16 lanes.  Then two images share a vector: their
pixels are interleaved while they are copied into the padded frame, every pixel is broadcast as a
pair, every weight is there twice, and the two images' sums are told apart when they are stored.

**One channel.**  A depthwise filter has no sum over channels, so there is nothing to broadcast:
vectors of pixels meet vectors of weights (`depthwise.py`).

**Fewer products.**  Winograd's way computes a 4x4 tile of a 3x3 convolution with 36 products
instead of 144 (`winograd.py` says why, and what it costs in accuracy).

**Memory.** At this speed a batch that goes through main memory once more than needed takes as long
as its arithmetic.  So functions are chained in *programs* (`program.py`): for each few images, one
function after the other, and what one leaves is in the cache when the next one reads it.  Large
images are cut into bands for the same reason (`bands.py`).  The sweeps of batch normalisation
(`channels.py`) are such functions.  A program runs on threads of its own (`team.py`), for a step
has fifty of them, of half a millisecond each, and Python's threads take a tenth of that to begin.
"""
