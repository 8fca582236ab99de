"""From the records of `vector.channels`, float32 and one for each lane, to channels in float64."""

from ._jit import njit


@njit
def combine(records, starts, sizes, tiles, longest, mean, variance):
    """records (N, R, 3, F), of which those of groups count -> mean and variance (C,), filled.

    With n values of mean m and squared deviations q in each lane of each record, the whole has the
    mean M = E[m] and the squared deviations sum(q) + sum(n * (m - M)^2) (Chan, Golub and LeVeque,
    "Updating formulae and a pairwise algorithm for computing sample variances", 1979).
    """
    width, floats = len(mean), records.shape[3]
    mean[:], variance[:] = 0.0, 0.0
    total = 0.0
    for i in range(len(starts)):
        for r in range(records.shape[1]):
            n = min(longest, sizes[i] * tiles - r * longest)
            if n <= 0:
                break
            total += n * (floats // width)
            shift, rest = records[starts[i], r, 0], records[starts[i], r, 1]
            for first in range(0, floats, width):
                for c in range(width):
                    mean[c] += n * float(shift[first + c]) + rest[first + c]
    mean /= total
    for i in range(len(starts)):
        for r in range(records.shape[1]):
            n = min(longest, sizes[i] * tiles - r * longest)
            if n <= 0:
                break
            record = records[starts[i], r]
            for first in range(0, floats, width):
                for c in range(width):
                    k = first + c
                    rest = record[1, k] / float(n)
                    off = (record[0, k] + rest) - mean[c]
                    variance[c] += (record[2, k] - record[1, k] * rest) + n * off * off
    for c in range(width):
        variance[c] = variance[c] / total
        if variance[c] < 0.0:  # by rounding; not a number stays
            variance[c] = 0.0


@njit
def fold(records, starts, centre, mean, totals, products):
    """records (N, R, 2, F) -> sum(g) and sum(g * (y - mean)) of each channel (C,), filled.

    In the records the second sum is that of g * (y - centre).
    """
    width, floats = len(mean), records.shape[3]
    totals[:], products[:] = 0.0, 0.0
    for i in range(len(starts)):
        for r in range(records.shape[1]):
            record = records[starts[i], r]
            for first in range(0, floats, width):
                for c in range(width):
                    totals[c] += record[0, first + c]
                    products[c] += record[1, first + c]
    for c in range(width):
        products[c] += (centre[c] - mean[c]) * totals[c]
