"""Coarse grids made: ``python -m bench.make_grid [--quick]`` prints JSON.

Seven pairs of coordinate systems on a tile of Sentinel-2's size, 10980 x 10980 pixels of 10 m, at three tolerances: the
seconds that `make_grid` takes from file to verified file, without its random check; at 0.01 with it, the difference
being that of 10^6 checked pixels. Beside it the seconds that GDAL's own warp of a uint8 image to that tile takes, the
nearest pixel and one thread, with its usual approximation. Each grid is then held against rasterio's projection of 10^6
random pixels of another sample: one that breaks its tolerance ends the bench.

Then an image with RPCs on ground of one height, and the kernel of the RPCs alone.

Seconds are medians of calls in a process whose kernels are compiled. Shapes are small with ``--quick``.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning
from rasterio.rpc import RPC
from rasterio.transform import Affine
from rasterio.warp import Resampling, reproject, transform

import gridr_numba as gn
from gridr_numba.kernels.rpc import image_of_ground

TOLERANCES = (0.1, 0.01, 0.001)
# What is promised: at this tolerance, seconds of a grid without its check, of a polar one, and of a million checked
# pixels; seconds of a grid from RPCs; nanoseconds a point of their kernel.
_PROMISED_AT, _SECONDS, _SECONDS_POLAR, _SECONDS_CHECKED = 0.01, 0.3, 1.0, 1.0
_SECONDS_RPC, _NANOSECONDS_RPC = 0.2, 50.0

_GEOGRAPHIC, _UTM = CRS.from_epsg(4326), CRS.from_epsg(32631)


@dataclass(frozen=True)
class Pair:
    """A target whose upper left corner is at a longitude and latitude, and an image in another CRS around it."""

    name: str
    epsg: int
    corner: tuple[float, float]
    image_crs: CRS = _GEOGRAPHIC
    turned: float = 0.0
    sheared: float = 0.0

    def target(self, size: int) -> dict[str, Any]:
        """Return what `make_grid` is told of it."""
        crs = CRS.from_epsg(self.epsg)
        (x,), (y,) = transform(_GEOGRAPHIC, crs, [self.corner[0]], [self.corner[1]])
        turn = Affine.rotation(self.turned) * Affine.shear(self.sheared, 0)
        return {"crs": crs, "transform": Affine.translation(x, y) * turn * Affine.scale(10, -10), "shape": (size, size)}

    def image(self, target: dict[str, Any]) -> dict[str, Any]:
        """Return the place of an image of about the target's resolution that covers it."""
        size = target["shape"][0]
        edge = np.linspace(-0.5, size - 0.5, 101)
        rows, cols = (each.ravel() for each in np.meshgrid(edge, edge))
        xs, ys = transform(target["crs"], self.image_crs, *gn.pixel_to_map(target["transform"], rows, cols))
        pixel = 10.0 if self.image_crs.is_projected else 1e-4
        place = Affine(pixel, 0, min(xs) - 9 * pixel, 0, -pixel, max(ys) + 9 * pixel)
        width, height = (int((max(each) - min(each)) / pixel) + 18 for each in (xs, ys))
        return {"crs": self.image_crs, "transform": place, "width": width, "height": height}


PAIRS = (
    Pair("UTM 31 from EPSG:4326", 32631, (3.0, 45.0)),
    Pair("EPSG:3035 from EPSG:4326", 3035, (2.0, 46.0)),
    Pair("EPSG:3857 from EPSG:4326", 3857, (2.0, 46.0)),
    Pair("EPSG:3413 (polar) from EPSG:4326", 3413, (-45.0, 74.0)),
    Pair("UTM 31, turned and sheared, from EPSG:4326", 32631, (3.6, 45.0), turned=20.0, sheared=10.0),
    Pair("EPSG:3035 from UTM 31", 3035, (3.0, 45.0), _UTM),
    Pair("EPSG:3857 from UTM 31", 3857, (3.0, 45.0), _UTM),
)


def measure(*, quick: bool) -> list[dict[str, Any]]:
    """Measure all cases, on small tiles with `quick`."""
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    size, rounds, checked = (500, 1, 10_000) if quick else (10980, 5, 1_000_000)
    with TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        entries = [entry for pair in PAIRS for entry in _pair(pair, Path(folder), size, rounds, checked)]
        return [*entries, _rpc(Path(folder), 1000 if quick else 20_000, rounds), _rpc_kernel(checked, rounds)]


def _pair(pair: Pair, folder: Path, size: int, rounds: int, checked: int) -> Iterator[dict[str, Any]]:
    source, grid, target = folder / "image.tif", folder / "grid.tif", pair.target(size)
    image = pair.image(target)
    with rasterio.open(source, "w", driver="GTiff", count=1, dtype="uint8", sparse_ok=True, **image):
        pass
    warp = _seconds(lambda: _warp(image, target), 1)
    for tolerance in TOLERANCES:
        call = {**target, "tolerance": tolerance, "overwrite": True}
        seconds = _seconds(lambda: gn.make_grid(source, grid, check=0, **call), rounds)  # noqa: B023
        error = _largest_error(grid, image, target, checked)
        if not error <= tolerance:
            raise SystemExit(f"{pair.name}: a pixel is {error:g} off, and the tolerance is {tolerance:g}")
        judged = tolerance == _PROMISED_AT
        most = (_SECONDS_POLAR if pair.epsg == 3413 else _SECONDS) if judged else None
        yield _entry(f"{pair.name}, {tolerance:g}", seconds, most, error, warp)
        if judged:
            whole = _seconds(lambda: gn.make_grid(source, grid, check=checked, **call), rounds)  # noqa: B023
            yield _entry(f"{pair.name}, check of {checked:,} pixels", whole - seconds, _SECONDS_CHECKED)


def _warp(image: dict[str, Any], target: dict[str, Any]) -> None:
    reproject(
        np.zeros((image["height"], image["width"]), np.uint8),
        np.zeros(target["shape"], np.uint8),
        src_crs=image["crs"],
        src_transform=image["transform"],
        dst_crs=target["crs"],
        dst_transform=target["transform"],
        resampling=Resampling.nearest,
    )


def _largest_error(grid: Path, image: dict[str, Any], target: dict[str, Any], pixels: int) -> float:
    """Interpolate the nodes at random pixels, without the package, and compare with rasterio's projection."""
    with rasterio.open(grid) as dataset:
        nodes, tags = dataset.read(), json.loads(dataset.tags()["GRIDR_NUMBA_GRID"])
    rows, cols = np.random.default_rng(12).integers(0, target["shape"][0], (2, pixels))
    xs, ys = transform(target["crs"], image["crs"], *gn.pixel_to_map(target["transform"], rows, cols))
    true = np.stack(gn.map_to_pixel(image["transform"], xs, ys))
    (k, a), (m, b) = (np.divmod(each, step) for each, step in zip((rows, cols), tags["resolution"], strict=True))
    down, across = a / tags["resolution"][0], b / tags["resolution"][1]
    below, right = (np.minimum(each + 1, n - 1) for each, n in zip((k, m), nodes.shape[1:], strict=True))
    upper = nodes[:, k, m] * (1 - across) + nodes[:, k, right] * across
    lower = nodes[:, below, m] * (1 - across) + nodes[:, below, right] * across
    return float(np.hypot(*(upper * (1 - down) + lower * down - true)).max())


def rpcs() -> RPC:
    """Return polynomials of an image of half a metre, about as bent as those of satellites are."""
    terms = np.random.default_rng(5).normal(0, 1e-3, (4, 20))
    terms[[1, 3], 0] = 1.0
    terms[0, 2], terms[2, 1] = -1.0, 1.0
    places = {"height": (100, 500), "lat": (45.1, 0.1), "long": (3.0, 0.12), "line": (1e4, 1e4), "samp": (9e3, 9e3)}
    values = {
        f"{name}_{kind}": float(pair[k]) for name, pair in places.items() for k, kind in enumerate(("off", "scale"))
    }
    names = ("line_num_coeff", "line_den_coeff", "samp_num_coeff", "samp_den_coeff")
    return RPC(**values, **dict(zip(names, terms.tolist(), strict=True)), err_bias=None, err_rand=None)


def _rpc(folder: Path, size: int, rounds: int) -> dict[str, Any]:
    source = folder / "rpc.tif"
    with rasterio.open(
        source, "w", driver="GTiff", count=1, dtype="uint8", width=20_000, height=20_000, sparse_ok=True
    ) as dataset:
        dataset.rpcs = rpcs()
    place = Affine(0.5, 0, 5e5 - size / 4, 0, -0.5, 4_994_000 + size / 4)
    call = {"crs": _UTM, "transform": place, "shape": (size, size), "height": 120.0, "check": 0, "overwrite": True}
    seconds = _seconds(lambda: gn.make_grid(source, folder / "grid.tif", **call), rounds)
    return _entry(f"RPC, {size} x {size} pixels of 0.5 m in UTM, 0.01", seconds, _SECONDS_RPC)


def _rpc_kernel(points: int, rounds: int) -> dict[str, Any]:
    values = rpcs()
    names = ("long", "lat", "height", "line", "samp")
    offsets, scales = (np.array([getattr(values, f"{name}_{kind}") for name in names]) for kind in ("off", "scale"))
    terms = np.array([values.line_num_coeff, values.line_den_coeff, values.samp_num_coeff, values.samp_den_coeff])
    random = np.random.default_rng(3)
    lons, lats, out = random.uniform(2.9, 3.1, points), random.uniform(45.0, 45.2, points), np.empty((2, points))
    seconds = _seconds(lambda: image_of_ground(offsets, scales, terms, 1.2, lons, lats, 120.0, out), rounds)
    return _entry(f"the kernel of RPCs, {points:,} points", seconds, _NANOSECONDS_RPC * 1e-9 * points)


def _seconds(call: Callable[[], Any], rounds: int) -> float:
    """Return the median of some calls, one before them not counted: it may compile."""
    seconds = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[-rounds:])


def _entry(
    case: str, seconds: float, at_most: float | None, error: float | None = None, warp: float | None = None
) -> dict[str, Any]:
    return {"case": case, "seconds": seconds, "at_most": at_most, "largest_error": error, "gdals_warp": warp}


if __name__ == "__main__":
    print(json.dumps(measure(quick="--quick" in sys.argv)))
