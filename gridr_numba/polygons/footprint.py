"""Where a raster lies in the polygons' coordinate reference system: its footprint, in blocks.

A raster that holds a pole, or lies across a line where the CRS jumps, has a footprint that no one polygon describes. So
it is halved in both directions until a block's pixels lie in the CRS as they do in the raster, bent a little, or until
it is so small that each pixel is asked. Blocks end half way between pixel centres. What they are depends on the raster
and on the CRS, and on no polygon.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from ..files.crs import all_finite
from ..georef import edge_before
from .projection import Projection

# A block is looked at in so many steps a side, and in one more around it: the margin, within which it surely is.
_STEPS = 6
# In steps. What moves each step by less than itself keeps places apart, and in order. A third leaves room for what
# happens between the places that are looked at.
_BENT = 0.3
# In steps: so near must a place come to itself when it is brought there and back.
_BACK = 0.01

# A block of so many rows and columns is not halved.
_PIXELS_A_SIDE = 16
_BLOCKS_AT_MOST = 1 << 15


class Block(NamedTuple):
    """Pixels that lie in the polygons' CRS as they do in the raster, and where they do, with a margin."""

    window: NDArray[np.int64]  # row start, row stop, column start, column stop
    footprint: shapely.Polygon


@dataclass(frozen=True)
class Footprint:
    """All pixels of a raster that have a place in the polygons' CRS.

    Attributes
    ----------
    blocks : list of Block
    rest : ndarray of int (n, 4)
        The small windows in which each pixel is to be asked.
    """

    blocks: list[Block]
    rest: NDArray[np.int64]

    @classmethod
    def of(cls, projection: Projection) -> Footprint | None:
        """Take the whole raster apart; None where it would take too many blocks."""
        height, width = projection.frame.shape_row_col
        windows = np.array([(0, height, 0, width)], dtype=np.int64)
        blocks: list[Block] = []
        rest = np.empty((0, 4), dtype=np.int64)
        while len(windows):
            if len(windows) + len(rest) > _BLOCKS_AT_MOST:
                return None
            even, nowhere, footprints = _looked_at(windows, projection)
            blocks += map(Block, windows[even], footprints)
            uneven = windows[~even & ~nowhere]
            small = (uneven[:, 1::2] - uneven[:, ::2] <= _PIXELS_A_SIDE).all(axis=1)
            rest = np.concatenate([rest, uneven[small]])
            windows = _halved(uneven[~small])
        return cls(blocks, rest)


def _looked_at(
    windows: NDArray[np.int64], projection: Projection
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.object_]]:
    """Say of each window whether it lies evenly in the CRS, or nowhere; return the footprints of the even ones."""
    steps = np.arange(-1, _STEPS + 2)
    pixels = _lattices(windows, steps, projection)
    shape = pixels.shape
    places = projection.from_pixels(pixels.reshape(-1, 2))
    middles = np.repeat(pixels[:, len(steps) // 2, len(steps) // 2], len(steps) ** 2, axis=0)
    back = projection.to_pixels(places, near=middles)
    places, back = places.reshape(shape), back.reshape(shape)
    nowhere = ~np.logical_or.reduce(all_finite(back), axis=(1, 2))
    even = np.logical_and.reduce(all_finite(back), axis=(1, 2))
    step = pixels[even, 1, 1] - pixels[even, 0, 0]
    even[even] = (np.abs(back[even] - pixels[even]) <= _BACK * step[:, np.newaxis, np.newaxis]).all(axis=(1, 2, 3))
    unwound = _unwound(places[even], projection.turn)
    straight = _nearly_affine(unwound, steps)
    even[even] = straight
    ring = unwound[straight]
    ring = np.concatenate([ring[:, 0, :-1], ring[:, :-1, -1], ring[:, -1, :0:-1], ring[:, ::-1, 0]], axis=1)
    return even, nowhere, shapely.polygons(ring)


def _lattices(windows: NDArray[np.int64], steps: NDArray[np.int64], projection: Projection) -> NDArray[np.float64]:
    """Return places in and around each window, (window, row, column, (x, y)) in pixels."""
    rows, cols = (
        edge_before(origin, start + (stop - start) * steps / _STEPS)
        for origin, (start, stop) in zip(projection.frame.origin_row_col, windows.T.reshape(2, 2, -1, 1), strict=True)
    )
    shape = (len(windows), len(steps), len(steps))
    return np.stack(
        [np.broadcast_to(cols[:, np.newaxis, :], shape), np.broadcast_to(rows[:, :, np.newaxis], shape)], axis=-1
    )


def _unwound(places: NDArray[np.float64], turn: float | None) -> NDArray[np.float64]:
    """Let x go on where it jumps by a turn from one place to the next."""
    if turn is None or not len(places):
        return places
    xs = np.unwrap(np.unwrap(places[..., 0], period=turn, axis=2), period=turn, axis=1)
    return np.stack([xs, places[..., 1]], axis=-1)


def _nearly_affine(places: NDArray[np.float64], steps: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say of each window whether its places differ little, from one to the next, from those of an affine map.

    Then no two of its places are one, and its edge in the CRS goes once around it.
    """
    rows, cols = np.meshgrid(steps, steps, indexing="ij")
    ideal = np.column_stack([cols.ravel(), rows.ravel()]).astype(np.float64)
    design = np.column_stack([np.ones(len(ideal)), ideal])
    centred = places.reshape(len(places), len(ideal), 2)
    centred = centred - centred.mean(axis=1, keepdims=True)
    affine = np.linalg.pinv(design)[1:] @ centred
    (a, b), (c, d) = np.moveaxis(affine, 0, -1)
    determinant = a * d - b * c
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        inverse = np.moveaxis(np.array([[d, -b], [-c, a]]) / determinant, -1, 0)
        moved = (centred @ inverse - ideal).reshape(places.shape)
        changes = [np.hypot(*np.moveaxis(np.diff(moved, axis=axis), -1, 0)) for axis in (1, 2)]
        nearly: NDArray[np.bool_] = np.logical_and(*((change < _BENT).all(axis=(1, 2)) for change in changes))
    return nearly


def _halved(windows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Halve windows along the sides that are not short already."""
    for start, stop in ((0, 1), (2, 3)):
        long = windows[:, stop] - windows[:, start] > _PIXELS_A_SIDE
        middle = (windows[:, start] + windows[:, stop]) // 2
        first, second = windows.copy(), windows[long]
        first[long, stop] = middle[long]
        second[:, start] = middle[long]
        windows = np.concatenate([first, second])
    return windows
