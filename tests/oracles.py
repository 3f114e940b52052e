"""Slow, readable twins of what the package does fast. Exact where the law is exact: Python integers and fractions."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import shapely


def full_shape(node_shape, resolution):
    """Law: ((R-1)*rr + 1, (C-1)*rc + 1)."""
    return tuple((n - 1) * r + 1 for n, r in zip(node_shape, resolution, strict=True))


def contributing(i, j, resolution):
    """Return {(node row, node column): weight}, the 1, 2 or 4 nodes whose bilinear weight is not zero."""
    rows, cols = (
        {index // r: Fraction(r - index % r, r), index // r + 1: Fraction(index % r, r)}
        for index, r in zip((i, j), resolution, strict=True)
    )
    return {(r, c): wr * wc for r, wr in rows.items() for c, wc in cols.items() if wr * wc != 0}


def node_is_void(nodes, r, c, nodata=()):
    """Law 5: NaN, infinite or nodata, in either band. `nodata` holds a collection of values a band."""
    values = [float(band[r, c]) for band in nodes]
    if not all(math.isfinite(value) for value in values):
        return True
    return any(value in band_nodata for value, band_nodata in zip(values, nodata, strict=False))


def exact_pixel(nodes, i, j, resolution):
    """Return the exact bilinear value of each band, for nodes that all are finite."""
    weights = contributing(i, j, resolution)
    return [sum(Fraction(float(band[r, c])) * w for (r, c), w in weights.items()) for band in nodes]


def dense_grid(nodes, resolution, *, nodata=()):
    """Return exact values (a list of fractions a band) or None for each pixel, as an object array of the full shape."""
    shape = full_shape(nodes.shape[1:], resolution)
    dense = np.empty(shape, dtype=object)
    for i, j in np.ndindex(shape):
        void = any(node_is_void(nodes, r, c, nodata) for r, c in contributing(i, j, resolution))
        dense[i, j] = None if void else exact_pixel(nodes, i, j, resolution)
    return dense


def coordinates_of(stored, meaning, resolution, nodata=((), ())):
    """Return the coordinates that stored values mean, NaN where there are none, in Python's floats, node by node.

    `meaning` holds, each (row, column): scale, offset, whether values are displacements, the source's offset.
    """
    scale, offset, displacement, source_offset = meaning
    nodes = np.full(stored.shape, np.nan)
    for r, c in np.ndindex(stored.shape[1:]):
        if node_is_void(stored, r, c, nodata):
            continue
        for axis, (node, step) in enumerate(zip((r, c), resolution, strict=True)):
            value = float(stored[axis, r, c]) * scale[axis]
            value = value + offset[axis]
            value = value + float(node * step) if displacement else value
            nodes[axis, r, c] = value - source_offset[axis]
    return nodes


def looks_outside(nodes_dense, shape):
    """Say of each pixel whether its coordinates, in float64, lie outside the area of an image's pixels."""
    outside = np.zeros(nodes_dense.shape[1:], dtype=bool)
    for index in np.ndindex(outside.shape):
        place = [float(band[index]) for band in nodes_dense]
        if all(math.isfinite(value) for value in place):
            outside[index] = any(not -0.5 <= value <= n - 0.5 for value, n in zip(place, shape, strict=True))
    return outside


def raster_valid(valid_nodes, resolution, threshold):
    """Law 4: the summed weight of the valid contributing nodes against the decimal that was written."""
    bound = Fraction(str(threshold))
    dense = np.empty(full_shape(valid_nodes.shape, resolution), dtype=bool)
    for i, j in np.ndindex(dense.shape):
        dense[i, j] = sum(w for node, w in contributing(i, j, resolution).items() if valid_nodes[node]) >= bound
    return dense


def ulp(value):
    """Return the spacing of float64 at a magnitude."""
    return Fraction(math.ulp(float(value)))


def half_ulp_float32(value):
    """Return half the spacing of float32 at a magnitude."""
    return Fraction(2) ** max(math.frexp(float(value))[1] - 25, -150)


def centres(shape, origin=(0.0, 0.0), step=(1.0, 1.0)):
    """Law 6: x = fl(origin_col + fl(step*j)), y = fl(origin_row + fl(step*i))."""
    return np.meshgrid(*centre_axes(shape, origin, step))


def centre_axes(shape, origin=(0.0, 0.0), step=(1.0, 1.0)):
    """Return x of the columns and y of the rows."""
    ys = [origin[0] + step[0] * float(i) for i in range(shape[0])]
    xs = [origin[1] + step[1] * float(j) for j in range(shape[1])]
    return np.array(xs), np.array(ys)


def inside_shapely(polygons, shape, predicate, origin=(0.0, 0.0), step=(1.0, 1.0)):
    """Ask the installed shapely's predicate of each centre and each polygon, one by one."""
    xs, ys = centres(shape, origin, step)
    inside = np.zeros(shape, dtype=bool)
    ask = {1: shapely.covers, 2: shapely.contains, 3: shapely.intersects}[int(predicate)]
    for index in np.ndindex(shape):
        point = shapely.Point(xs[index], ys[index])
        inside[index] = any(bool(ask(polygon, point)) for polygon in polygons)
    return inside


def inside_exact(rings, x, y, boundary):
    """Point in polygon in rational arithmetic, by crossing parity: `boundary` says what a point on an edge is."""
    x, y = Fraction(x), Fraction(y)
    odd = False
    for ring in rings:
        for (x0, y0), (x1, y1) in pairwise(ring):
            x0, y0, x1, y1 = (Fraction(value) for value in (x0, y0, x1, y1))
            side = (x1 - x0) * (y - y0) - (x - x0) * (y1 - y0)
            if side == 0 and min(x0, x1) <= x <= max(x0, x1) and min(y0, y1) <= y <= max(y0, y1):
                return boundary
            if (y0 > y) != (y1 > y) and (side < 0) == (y1 < y0):
                odd = not odd
    return odd


def inside_prepared(polygons, shape, predicate, origin=(0.0, 0.0), step=(1.0, 1.0)):
    """Ask the installed shapely of all centres at once: `inside_shapely` in less time, with geometries of its own."""
    xs, ys = centres(shape, origin, step)
    ask = shapely.contains_xy if int(predicate) == 2 else shapely.intersects_xy
    inside = np.zeros(shape, dtype=bool)
    for polygon in shapely.from_wkb(shapely.to_wkb(np.array(polygons, dtype=object))):
        shapely.prepare(polygon)
        inside |= ask(polygon, xs, ys)
    return inside


# -- strips, as they were planned before there were windows -----------------------------------------------------------


def strips_of_old(
    window_shape, node_cols, rr, pixel_bytes, node_bytes, block_height, *,
    budget, threads, strip_size, counts_nodes, whole_blocks, strip_bytes=24 << 20,
):  # fmt: skip
    """Return (rows a strip, sets of buffers), or None where the budget was refused.

    `pixel_bytes` are (of a set of buffers, of what is there once).
    """
    height, width = window_shape

    def memory(rows, sets):
        node_rows = -(-(rows + rr - 2) // rr) + 1
        return rows * width * (pixel_bytes[0] * sets + pixel_bytes[1]) + node_rows * node_cols * node_bytes

    def rows_within(size, sets):
        rows = 0
        while rows < height and memory(rows + 1, sets) <= size:
            rows += 1
        return rows

    block_row = min(block_height, height)
    budget -= -(-budget // 8)
    sets = 2 if threads > 1 and rows_within(budget, 2) >= block_row else 1
    fitting = rows_within(budget, sets)
    if fitting < (block_row if whole_blocks else 1):
        return None
    rows_in_budget = min(fitting, max(rows_within(strip_bytes, sets), block_height))
    rows = height
    if strip_size:
        rows = min(rows, strip_size * (rr if counts_nodes else 1))
    rows = max(1, min(rows, rows_in_budget))
    if block_height < rows < height:
        whole = rows - rows % block_height
        if not (strip_size and counts_nodes) or whole % rr == 0 or whole <= (strip_size - 1) * rr + 1:
            rows = whole
    return rows, sets


# -- what was written -------------------------------------------------------------------------------------------------


def checksum(content, row_bytes):
    """Return the lanes of `kernels.checksum` of rows of so many bytes each, in Python's integers."""
    size = math.gcd(row_bytes, 8)
    words = [int.from_bytes(content[start : start + size], "little") for start in range(0, len(content), size)]
    lanes = [0] * 8
    for i, word in enumerate(words):
        value = (lanes[i % 8] ^ word) * 0x9E3779B97F4A7C15 % 2**64
        lanes[i % 8] = value ^ value >> 32
    return lanes


# -- resampling -------------------------------------------------------------------------------------------------------


def tap_weights(fraction, interpolation):
    """Return {tap, counted from the whole part: weight} of the taps that count along an axis, in float64."""
    if fraction == 0 or interpolation == "nearest":
        return {0: 1.0}
    if interpolation == "linear":
        return {0: 1 - fraction, 1: fraction}
    if interpolation == "cubic":  # Keys, a = -1/2
        near = {k: abs(fraction - k) for k in (-1, 0, 1, 2)}
        return {
            k: 1.5 * x**3 - 2.5 * x**2 + 1 if x <= 1 else -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 for k, x in near.items()
        }
    weights = {k: np.sinc(fraction - k) * np.sinc((fraction - k) / 3) for k in range(-2, 4)}
    return {k: float(w / sum(weights.values())) for k, w in weights.items()}


def resampled_pixel(band, valid, y, x, interpolation, *, strict=False):
    """Return the value at a position of an image in float64, and the largest magnitude among its taps.

    In place of the value: 'outside', or 'invalid' where a tap that counts is not valid or no finite number.
    """
    rows, cols = band.shape
    if not (-0.5 <= y <= rows - 0.5 and -0.5 <= x <= cols - 0.5):
        return "outside", 0.0
    if interpolation == "nearest":
        y, x = (min(math.floor(place + 0.5), size - 1) for place, size in ((y, rows), (x, cols)))
    first_row, first_col = math.floor(y), math.floor(x)
    # Below an integer by less than float64 can hold, it is a fraction all the same.
    row_weights = tap_weights(min(y - first_row, math.nextafter(1, 0)), interpolation)
    col_weights = tap_weights(min(x - first_col, math.nextafter(1, 0)), interpolation)
    total, largest, invalid = 0.0, 0.0, False
    for k, row_weight in row_weights.items():
        for m, col_weight in col_weights.items():
            row, col = first_row + k, first_col + m
            if strict and not (0 <= row < rows and 0 <= col < cols):
                return "outside", 0.0
            row, col = min(max(row, 0), rows - 1), min(max(col, 0), cols - 1)
            tap = float(band[row, col])
            if not valid[row, col] or not math.isfinite(tap):
                invalid = True
                continue
            # Smaller by a power of two: what is finite in the end does not overflow on the way.
            total += tap / 256 * row_weight * col_weight
            largest = max(largest, abs(tap))
    if invalid:
        return "invalid", largest
    return (total * 256 if math.isfinite(total * 256) else Fraction(total) * 256), largest
