"""Polygons in a coordinate reference system -> dense pixels.

Edges are brought to pixels and kept straight. For most polygons that is all. But where a polygon holds a pole, reaches
around the Earth or lies across a line where a CRS jumps, the image of its edges is not the edge of its image: it may
hold what the polygon does not. So pixel centres, a sample of the whole raster, are brought to the polygons' CRS, and
must lie in the polygons there as they do here. Polygons of which that is not so, or whose edges have no image, are cut
to the raster's footprint in their CRS, and what is left of them is brought to pixels block by block.

Where x goes around the Earth, a longitude and the one a full circle away are one place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from ..errors import GridrValueError
from ..files.crs import Points, all_finite
from .footprint import Block, Footprint
from .forms import polygon_set
from .projection import TURNS_AT_MOST, PixelFrame, Projection
from .sample import Sample, inside_pairs

Polygonal = NDArray[np.object_]  # (n,) of shapely.Polygon

#: A straight edge stays so near to its true image, in pixels.
STRAIGHTNESS = 0.01
# Relative to how far from the raster an edge is: there, and only beyond 50,000 pixels, it may bend more.
_STRAIGHTNESS_AWAY = 1e-7
# Each halving brings a smooth edge four times nearer: 24 bring 10**12 pixels within reach, and only a jump needs more.
_HALVINGS_AT_MOST = 24
_POINTS_AT_MOST = 20_000_000

# Windows of so many pixels in all are asked at once.
_WINDOWS_A_CALL = 1024


def projected(polygons: Polygonal, name: str, crs: Any, frame: PixelFrame) -> Polygonal:
    """Bring polygons that are valid in their CRS to pixels.

    Parameters
    ----------
    polygons : ndarray of shapely.Polygon (n,)
    name : str
        What to call them in errors.
    crs : rasterio.crs.CRS
        Of all of them.
    frame : PixelFrame
        Of the whole dense raster, whatever part of it is made.

    Returns
    -------
    ndarray of shapely.Polygon (m,)
        That together hold the pixel centres that the polygons hold. Of those that had to be cut, what lies on the
        raster; that may be nothing.

    Raises
    ------
    GridrValueError
        If the outputs are not georeferenced, a vertex lies nowhere on Earth, there is no way from one CRS to the other,
        or what comes out is not what the polygons say of pixel centres.
    """
    missing = [what for what, value in (("CRS", frame.crs), ("transform", frame.transform)) if value is None]
    if missing:
        raise GridrValueError(
            f"{name} is in {crs.to_string()}, and the outputs have no {' and no '.join(missing)} to bring it to "
            "pixels with: the grid (or mask, or like) must be georeferenced",
            argument=name,
        )
    projection = Projection(crs, frame)
    if projection.is_affine:
        return _repeated(polygons, name, projection)
    _check_there(polygons, name, projection)
    images, good = _images(polygons, projection)
    sample = Sample.of(projection)
    good[good] = ~sample.disagrees(polygons[good], images[good])
    if good.all():
        return images
    pieces = _cut(polygons[~good], name, projection)
    together = np.zeros(np.count_nonzero(~good), np.int64), np.zeros(len(pieces), np.int64)
    if sample.disagrees(polygons[~good], pieces, *together).any():
        raise _cannot_be_cut(name, projection, "pixel centres lie in it that do not in its image, or the reverse")
    return np.concatenate([images[good], pieces])


def _check_there(polygons: Polygonal, name: str, projection: Projection) -> None:
    """Refuse vertices that lie nowhere on Earth, and coordinate systems that have nothing in common."""
    vertices = shapely.get_coordinates(polygons)
    try:
        there = all_finite(projection.to_pixels(vertices))
    except Exception as error:  # GDAL's, in a class of rasterio's own
        raise _out_of_reach(name, projection, f": {error}") from error
    there[~there] = projection.on_earth(vertices[~there])
    wrong = np.flatnonzero(~there)
    if wrong.size:
        vertex = tuple(vertices[wrong[0]].tolist())
        raise _out_of_reach(name, projection, f", and (x, y) = {vertex} does not")


def _out_of_reach(name: str, projection: Projection, what: str) -> GridrValueError:
    crs, output_crs = (each.to_string() for each in (projection.crs, projection.frame.crs))
    return GridrValueError(
        f"{name} must have an image in the outputs' {output_crs} at each of its points{what}; check that it is (x, y) "
        f"in {crs}, or clip it to the outputs' surroundings",
        argument=name,
    )


def _cannot_be_cut(name: str, projection: Projection, why: str) -> GridrValueError:
    crs, output_crs = (each.to_string() for each in (projection.crs, projection.frame.crs))
    return GridrValueError(
        f"{name}, in {crs}, cannot be brought to the outputs' {output_crs}: {why}; clip it to the outputs' "
        "surroundings",
        argument=name,
    )


# -- by edges -----------------------------------------------------------------------------------------------------


def _images(polygons: Polygonal, projection: Projection) -> tuple[Polygonal, NDArray[np.bool_]]:
    """Bring polygons to pixels by their edges; say of which that can be right."""
    images, good = polygons.copy(), ~_at_seam(polygons, projection)
    if good.any():
        images[good], followed = _followed_polygons(polygons[good], projection)
        good[good] = followed
        good &= ~np.any([touching for _, touching in _turns(images, projection)] or [np.zeros_like(good)], axis=0)
        good[good] = shapely.is_valid(images[good])
    return images, good


def _at_seam(polygons: Polygonal, projection: Projection) -> NDArray[np.bool_]:
    """Say of which polygons the x reaches half way around: there parts that were cut apart belong together."""
    min_x, _, max_x, _ = shapely.bounds(polygons).reshape(-1, 4).T
    half = np.inf if projection.turn is None else projection.turn / 2
    at_seam: NDArray[np.bool_] = (min_x <= -half) | (max_x >= half)
    return at_seam


def _turns(images: Polygonal, projection: Projection) -> list[tuple[int, NDArray[np.bool_]]]:
    """Return after how many turns of the raster's x, but for none, which images touch the raster."""
    if projection.raster_turn is None:
        return []
    min_x, min_y, max_x, max_y = shapely.bounds(images).reshape(-1, 4).T
    low, high = projection.corners
    found = []
    for turn in (*range(-TURNS_AT_MOST, 0), *range(1, TURNS_AT_MOST + 1)):
        x, y = turn * projection.pixels_a_turn
        touching = (min_x + x <= high[0]) & (max_x + x >= low[0]) & (min_y + y <= high[1]) & (max_y + y >= low[1])
        if touching.any():
            found.append((turn, touching))
    return found


def _repeated(polygons: Polygonal, name: str, projection: Projection) -> Polygonal:
    """Bring polygons in the raster's own CRS to pixels, once more for each turn after which they touch the raster."""
    images = shapely.transform(polygons, projection.to_pixels)
    again = [
        shapely.transform(_turned(polygons[touching], turn * (projection.raster_turn or 0.0)), projection.to_pixels)
        for turn, touching in _turns(images, projection)
    ]
    # What nearly touched may touch, rounded to pixels: then it is mended.
    mended = polygon_set(np.concatenate([images, *again]), name, repair=True)
    return images if mended is None else mended.polygons


def _followed_polygons(
    polygons: Polygonal, projection: Projection, near: Points | None = None
) -> tuple[Polygonal, NDArray[np.bool_]]:
    """Bring polygons to pixels, with as many more vertices as keep straight edges straight; say of which that went.

    `near` is a pixel for each polygon, as `Projection.to_pixels` takes it.
    """
    kind, points, (ring_starts, polygon_starts) = shapely.to_ragged_array(polygons)
    ring = np.repeat(np.arange(len(ring_starts) - 1), np.diff(ring_starts))
    near_ring = None if near is None else np.repeat(near, np.diff(polygon_starts), axis=0)

    def to_pixels(points: Points, ring: NDArray[np.int64]) -> Points:
        return projection.to_pixels(points, None if near_ring is None else near_ring[ring])

    pixels, ring, lost = _followed(points, ring, to_pixels, projection.corners)
    pixels[lost[ring]] = 0.0  # anything: they are not used
    ring_starts = np.searchsorted(ring, np.arange(len(ring_starts)))
    followed: Polygonal = shapely.from_ragged_array(kind, pixels, (ring_starts, polygon_starts))
    return followed, ~np.logical_or.reduceat(lost, polygon_starts[:-1])


def _followed(
    points: Points,
    ring: NDArray[np.int64],
    to_pixels: Callable[[Points, NDArray[np.int64]], Points],
    corners: tuple[Points, Points],
) -> tuple[Points, NDArray[np.int64], NDArray[np.bool_]]:
    """Halve the edges of rings until their images are straight.

    Return all vertices' images and the ring of each, and which rings are lost: their images jump, bend without end, or
    are not there. An edge is looked at in three places: in one, an image that bends to both sides could look straight.
    """
    pixels = to_pixels(points, ring)
    lost = np.zeros(ring[-1] + 1, dtype=bool)
    lost[ring[~all_finite(pixels)]] = True
    unsure = ring[:-1] == ring[1:]  # edge i goes from point i to point i + 1
    for _ in range(_HALVINGS_AT_MOST):
        first = np.flatnonzero(unsure & ~lost[ring[:-1]])
        if not first.size:
            return pixels, ring, lost
        quarters = [
            ((1 - t) * points[first] + t * points[first + 1], (1 - t) * pixels[first] + t * pixels[first + 1])
            for t in (0.25, 0.5, 0.75)
        ]
        images = [to_pixels(place, ring[first]) for place, _ in quarters]
        away = np.max([np.hypot(*(image - on).T) for image, (_, on) in zip(images, quarters, strict=True)], axis=0)
        lost[ring[first[np.isnan(away)]]] = True
        ends = np.stack([pixels[first], pixels[first + 1], *images])
        gap = np.maximum(ends.min(axis=0) - corners[1], corners[0] - ends.max(axis=0)).max(axis=1)
        # Half of what is promised, for what lies between the three places.
        bent = away > 0.5 * np.maximum(STRAIGHTNESS, _STRAIGHTNESS_AWAY * gap)
        after = first[bent] + 1
        if len(points) + after.size > _POINTS_AT_MOST:
            break
        points = np.insert(points, after, quarters[1][0][bent], axis=0)
        pixels = np.insert(pixels, after, images[1][bent], axis=0)
        ring = np.insert(ring, after, ring[after - 1])
        unsure = np.zeros(len(points) - 1, dtype=bool)
        inserted = after + np.arange(after.size)
        unsure[inserted - 1] = unsure[inserted] = True
    lost[ring[:-1][unsure]] = True
    return pixels, ring, lost


# -- by the raster's footprint ------------------------------------------------------------------------------------


def _cut(polygons: Polygonal, name: str, projection: Projection) -> Polygonal:
    """Bring to pixels what of a set of polygons lies in the raster's footprint."""
    footprint = Footprint.of(projection)
    if footprint is None:
        raise _cannot_be_cut(name, projection, "the outputs are too large where one of the two has a pole or jumps")
    pieces = [_in_blocks(polygons, footprint.blocks, name, projection)]
    for start in range(0, len(footprint.rest), _WINDOWS_A_CALL):
        pieces += _asked(polygons, footprint.rest[start : start + _WINDOWS_A_CALL], projection)
    return np.concatenate(pieces)


def _in_blocks(polygons: Polygonal, blocks: list[Block], name: str, projection: Projection) -> Polygonal:
    """Bring to pixels what lies in blocks. Polygons are united, so that none is parted from its next turn."""
    united = [shapely.union_all(_around(polygons, footprint, projection)) for _, footprint in blocks]
    parts, index = _areas(shapely.intersection(united, [footprint for _, footprint in blocks]))
    if not len(parts):
        return parts
    windows = np.array([projection.pixel_box(window) for window, _ in blocks])[index]
    images, followed = _followed_polygons(parts, projection, near=shapely.get_coordinates(shapely.centroid(windows)))
    if not followed.all():
        raise _cannot_be_cut(name, projection, "it has an edge whose image in pixels jumps or bends without end")
    images = np.where(shapely.is_valid(images), images, shapely.make_valid(images))
    return _areas(shapely.intersection(images, windows))[0]


def _around(polygons: Polygonal, footprint: shapely.Polygon, projection: Projection) -> Polygonal:
    """Return the polygons that may touch a footprint, after as many turns as it takes."""
    min_x, min_y, max_x, max_y = shapely.bounds(polygons).T
    low_x, low_y, high_x, high_y = footprint.bounds
    found = [np.empty(0, dtype=np.object_)]
    for turn in range(-TURNS_AT_MOST, TURNS_AT_MOST + 1) if projection.turn is not None else (0,):
        x = turn * (projection.turn or 0.0)
        touching = (min_x + x <= high_x) & (max_x + x >= low_x) & (min_y <= high_y) & (max_y >= low_y)
        found.append(_turned(polygons[touching], x))
    return np.concatenate(found)


def _asked(polygons: Polygonal, windows: NDArray[np.int64], projection: Projection) -> list[Polygonal]:
    """Return the pixels of small windows whose centres lie in any of the polygons."""
    centres = [projection.centres(window) for window in windows]
    places = projection.from_pixels(np.concatenate(centres))
    inside = np.zeros(len(places), dtype=bool)
    inside[inside_pairs(polygons, np.zeros(len(polygons), np.int64), places, projection)] = True
    parts = np.split(inside, np.cumsum([len(each) for each in centres])[:-1])
    return [_pixels_as_areas(part, window, projection) for part, window in zip(parts, windows, strict=True)]


def _pixels_as_areas(inside: NDArray[np.bool_], window: NDArray[np.int64], projection: Projection) -> Polygonal:
    """Return some pixels of a window as polygons that end half way between centres."""
    row_start, row_stop, col_start, col_stop = window.tolist()
    marked = np.pad(inside.reshape(row_stop - row_start, col_stop - col_start), ((0, 0), (1, 1)))
    rows, starts = np.nonzero(marked[:, 1:] & ~marked[:, :-1])
    _, stops = np.nonzero(marked[:, :-1] & ~marked[:, 1:])
    runs = np.column_stack([row_start + rows, row_start + rows + 1, col_start + starts, col_start + stops])
    return _areas([shapely.union_all([projection.pixel_box(run) for run in runs])])[0]


def _turned(polygons: Polygonal, x: float) -> Polygonal:
    return polygons if x == 0.0 else shapely.transform(polygons, lambda points: points + np.array([x, 0.0]))


def _areas(geometries: Any) -> tuple[Polygonal, NDArray[np.int64]]:
    """Return the polygons among geometries and their parts, and the index of the geometry that each was in."""
    members, of_geometry = shapely.get_parts(np.array(geometries, dtype=np.object_), return_index=True)
    parts, of_member = shapely.get_parts(members, return_index=True)
    areas = (shapely.get_type_id(parts) == shapely.GeometryType.POLYGON) & ~shapely.is_empty(parts)
    return parts[areas], of_geometry[of_member[areas]]
