"""Zarr, a format of outputs: one store, which is one group with an array a band."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from math import ceil, isnan, prod
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from .. import checks
from ..errors import DatasetError, GridrTypeError, GridrValueError
from ..georef import centres_along, is_turned, outline
from ..types import AnyArray, AnyDtype, Pair
from .bands import BandSource
from .crs import axis_attributes, grid_mapping_of
from .gdal import check_name, reason_of
from .outputs import OutputFormat, OutputPlan, RasterLayout, place_of
from .partial import PartialFolder, sync_tree

# What stores of ours may hold: an array a band, the coordinates of pixel centres, where they lie, and metadata.
_MEMBERS = ("row", "col", "mask", "y", "x", "spatial_ref", "zarr.json", ".zgroup", ".zattrs", ".zmetadata")

_SHARD, _CHUNK = 2048, 512

# Compressors, by Zarr's names; none of them loses digits.
_COMPRESSORS = ("zstd", "gzip", "blosc")


@dataclass(frozen=True)
class ZarrOptions:
    """How arrays are cut and stored.

    Attributes
    ----------
    shard : tuple of int
        Rows and columns of what is one file, or one object; of a chunk, where `zarr_format` is 2, which has no shards.
    chunk : tuple of int
        Rows and columns of what is compressed, and read, at a time.
    zarr_format : int
    compressor : dict or None
        Its name and configuration, as Zarr's metadata have them.
    """

    shard: Pair
    chunk: Pair
    zarr_format: int
    compressor: dict[str, Any] | None

    @property
    def task_shape(self) -> Pair:
        """Rows and columns of what is written at a time by writers that share nothing: a shard, or as many chunks."""
        if self.zarr_format == 3:
            return self.shard
        rows, cols = (ceil(_SHARD / side) * side for side in self.chunk)
        return rows, cols

    @classmethod
    def of(cls, value: object) -> ZarrOptions:
        """Check `zarr_options`."""
        if value is not None and not isinstance(value, Mapping):
            raise GridrTypeError(f"zarr_options must be a dict or None, not {value!r}", argument="zarr_options")
        given = dict(value or {})
        for name in given.keys() - {"shard", "chunk", "zarr_format", "compressor"}:
            raise refused(f"{name!r} is none of them: shard, chunk, zarr_format and compressor are")
        zarr_format = given.get("zarr_format", 3)
        if zarr_format not in (2, 3) or isinstance(zarr_format, bool):
            raise refused(f"zarr_format must be 2 or 3, not {zarr_format!r}")
        chunk = _pair(given.get("chunk", _CHUNK), "chunk")
        compressor = _compressor(given.get("compressor"), zarr_format)
        return cls(_shard(given.get("shard"), chunk, zarr_format), chunk, zarr_format, compressor)


def _pair(value: object, key: str) -> Pair:
    pair = (value, value) if isinstance(value, Integral) else value
    return checks.integer_pair(pair, f"zarr_options[{key!r}]", minimum=1)


def _shard(value: object, chunk: Pair, zarr_format: int) -> Pair:
    """Take the shape of shards: whole chunks; where none is given, as many as make the default at least."""
    if zarr_format == 2:
        if value is not None:
            raise refused("shard must not be given with zarr_format 2, which has none")
        return chunk
    if value is None:
        rows, cols = (ceil(_SHARD / side) * side for side in chunk)
        return rows, cols
    shard = _pair(value, "shard")
    if any(whole % part for whole, part in zip(shard, chunk, strict=True)):
        raise refused(f"shard must be a multiple of chunk, {chunk[0]} x {chunk[1]}, not {shard[0]} x {shard[1]}")
    return shard


def _compressor(value: Any, zarr_format: int) -> dict[str, Any] | None:
    """Take a compressor: its name, Zarr's metadata of it, or a codec of zarr's; try it."""
    if value is None:
        return None
    if hasattr(value, "to_dict"):
        try:
            value = value.to_dict()
        except Exception as error:  # the codecs' errors have no common root
            raise refused(f"compressor: zarr cannot say how {value} is configured: {error}; pass a dict") from error
    given: Any = {"name": value} if isinstance(value, str) else value
    if not isinstance(given, Mapping) or not {"name"} <= given.keys() <= {"name", "configuration"}:
        raise refused(
            f"compressor must be None, a name, or a dict of 'name' and 'configuration', as Zarr has it, not {value!r}"
        )
    if given["name"] not in _COMPRESSORS:
        raise refused(f"compressor must be one of {', '.join(_COMPRESSORS)}, not {given['name']!r}")
    compressor = {"name": given["name"], "configuration": dict(given.get("configuration", {}))}
    try:
        _codec(compressor, zarr_format)
    except Exception as error:  # the codecs' errors have no common root
        raise refused(f"compressor: zarr refuses {compressor}: {error}") from error
    return compressor


def _codec(compressor: Mapping[str, Any], zarr_format: int) -> Any:
    """Return a compressor as zarr wants it for the format."""
    name, configuration = compressor["name"], dict(compressor["configuration"])
    if zarr_format == 3:
        codecs = zarr_library("zarr_options").codecs
        return getattr(codecs, f"{name.capitalize()}Codec")(**configuration)
    import numcodecs  # a dependency of zarr's

    shuffles = {"noshuffle": 0, "shuffle": 1, "bitshuffle": 2}
    if configuration.get("shuffle") in shuffles:
        configuration["shuffle"] = shuffles[configuration["shuffle"]]
    return numcodecs.get_codec({"id": name, **configuration})


def refused(why: str) -> GridrValueError:
    """Return the error for Zarr's options."""
    return GridrValueError(f"zarr_options: {why}", argument="zarr_options")


def zarr_library(argument: str) -> Any:
    """Return the library, which is an extra."""
    try:
        import zarr
    except ImportError:
        zarr = None
    if zarr is None or int(zarr.__version__.partition(".")[0]) < 3:
        raise DatasetError(
            f"{argument} needs zarr 3 to make a Zarr store, which is not installed: pip install 'gridr_numba[zarr]'",
            argument=argument,
        )
    return zarr


def is_store_name(value: object) -> bool:
    """Say whether a path, by its name, is one of a Zarr store."""
    return isinstance(value, str | os.PathLike) and os.fsdecode(value).rstrip("/").lower().endswith(".zarr")


def store_destination(value: object, name: str, inputs: Sequence[Path], *, overwrite: bool) -> Path:
    """Take the path of a store to be made: nothing is there, or such a store, of nothing else, that may go."""
    path = place_of(value, name, inputs)
    for source in (each for each in inputs if path.resolve() in each.resolve().parents):
        raise GridrValueError(f"{name}: the input {str(source)!r} lies in {str(path)!r}", argument=name)
    if os.path.lexists(path):
        if why := why_not_replaceable(path):
            raise GridrValueError(f"{name}: {str(path)!r} {why}, and is not replaced", argument=name)
        if not overwrite:
            raise GridrValueError(f"{name}: {str(path)!r} exists; overwrite=True replaces it", argument=name)
    return path


def why_not_replaceable(path: Path) -> str | None:
    """Say why what is at a path is not a store as they are made here; None where it is."""
    if not path.is_dir():
        return "is no folder"
    names = {entry.name for entry in path.iterdir()}
    if not names & {"zarr.json", ".zgroup"}:
        return "is no Zarr group"
    if others := sorted(names.difference(_MEMBERS)):
        return f"holds {others[0]!r} too, which is not made here"
    return None


class ZarrStore(OutputFormat):
    """A Zarr store in a folder, made by the library zarr.

    Parameters
    ----------
    argument, path
        As in `OutputFormat`.
    layouts : sequence of RasterLayout
        Of the bands, which have one place and the same tags.
    options : ZarrOptions
    """

    def __init__(self, argument: str, path: Path, layouts: Sequence[RasterLayout], options: ZarrOptions) -> None:
        super().__init__(argument, path, layouts[0])
        check_name(path, argument)
        zarr_library(argument)
        self._layouts, self._options = tuple(layouts), options
        self._folder = PartialFolder(path)
        self.arrays: list[Any] = []

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Of the bands."""
        return tuple(layout.dtype.name for layout in self._layouts for _ in layout.descriptions)

    @property
    def descriptions(self) -> tuple[str, ...]:
        """Of the bands: the names of the arrays."""
        return tuple(name for layout in self._layouts for name in layout.descriptions)

    @property
    def rows_read_together(self) -> int:
        """Rows of a chunk: nothing keeps a chunk that is decoded."""
        return self._options.chunk[0]

    def plan(self) -> OutputPlan:
        """Say what a shard is, or a chunk where there are none, and what all take uncompressed."""
        shard, chunk = self._options.shard, self._options.chunk
        if self._options.compressor is not None:
            return OutputPlan(shard, None)
        chunks = prod(ceil(size / side) for size, side in zip(self.shape, chunk, strict=True))
        return OutputPlan(shard, chunks * prod(chunk) * self.bytes_per_pixel)

    def create(self) -> None:
        """Make the partial folder, with empty arrays."""
        self._folder.remove()
        try:
            self.partial.mkdir()
            self._folder.created()
            self.arrays = create_arrays(self.partial, self._layouts, self._options)
        except OSError as error:
            raise DatasetError(
                f"{self.argument}: {self.name!r} cannot be created: {reason_of(error)}", argument=self.argument
            ) from error

    def write_bands(self, values: AnyArray, indexes: list[int], window: Any) -> None:
        """Write to the partial folder."""
        for index, band in zip(indexes, values, strict=True):
            self.arrays[index - 1][window.toslices()] = band

    def close(self) -> None:
        """Remove what writers that were killed have left in it; all else is written."""
        for left in self.partial.rglob("*.partial"):
            left.unlink()

    def check(self) -> None:
        """Refuse a store of which a shard, or a chunk where there are no shards, is not there or was cut short."""
        with self.rereading():
            pass
        for array in self.arrays:
            places = (range(ceil(size / side)) for size, side in zip(self.shape, self._options.shard, strict=True))
            for row, col in product(*places):
                self._check_file(array, row, col)

    def _check_file(self, array: Any, row: int, col: int) -> None:
        path = self.partial / array.path / array.metadata.encode_chunk_key((row, col))
        try:
            whole = self._is_whole(path, array.dtype, row, col)
        except OSError:
            whole = False
        if not whole:
            raise DatasetError(
                f"{self.argument}: block ({row}, {col}) of {array.path!r} in {self.name!r} was not written whole; "
                "nothing was replaced",
                argument=self.argument,
            )

    def _is_whole(self, path: Path, dtype: AnyDtype, row: int, col: int) -> bool:
        """Say whether a file has its bytes: chunks one after another, and in a shard the index of their places."""
        size, chunk_bytes = path.stat().st_size, prod(self._options.chunk) * dtype.itemsize
        if self._options.zarr_format == 2:
            return size == chunk_bytes if self._options.compressor is None else size > 0
        (rows, cols), chunk = self._options.shard, self._options.chunk
        in_shard = rows // chunk[0], cols // chunk[1]
        index_bytes = 16 * prod(in_shard) + _CHECKSUM_BYTES
        with open(path, "rb") as file:
            file.seek(max(0, size - index_bytes))
            index = file.read(index_bytes)
        if len(index) < index_bytes:
            return False
        places = np.frombuffer(index[:-_CHECKSUM_BYTES], "<u8").reshape(*in_shard, 2)
        # Chunks that lie wholly beyond the raster's edge are not there.
        inside = tuple(
            slice(ceil(min(shard, length - shard * at) / side))
            for shard, length, side, at in zip((rows, cols), self.shape, chunk, (row, col), strict=True)
        )
        starts, lengths = places[inside].reshape(-1, 2).T
        order = np.argsort(starts)
        ends = np.cumsum(lengths[order], dtype=np.uint64)
        return bool(ends[-1] == size - index_bytes and (starts[order] == ends - lengths[order]).all())

    @contextmanager
    def reopened(self) -> Iterator[BandSource]:
        """Open the closed partial folder to read."""
        yield _Reader(self)

    def discard(self) -> None:
        """Remove what is there of the partial folder."""
        self._folder.remove()

    def flush(self) -> None:
        """Wait for the disk: each file, and each folder."""
        sync_tree(self.partial)

    def publish(self, *, overwrite: bool) -> None:
        """Put it in its place, over such a store alone."""
        if overwrite and os.path.lexists(self.path) and (why := why_not_replaceable(self.path)):
            raise FileExistsError(f"what is there {why}")
        self._folder.put(overwrite=overwrite)

    @property
    def replaced(self) -> bool:
        """Whether it is in its place, and something else was there."""
        return self._folder.replaced

    def withdraw(self) -> None:
        """Remove it from its place, if nothing was there."""
        self._folder.withdraw()


# The checksum at the end of a shard's index, CRC-32C.
_CHECKSUM_BYTES = 4


class _Reader:
    """Reads a store that is not published yet, by arrays that were opened anew."""

    def __init__(self, store: ZarrStore) -> None:
        self.name, self.shape, self.dtypes = store.name, store.shape, store.dtypes
        self.block_shapes, self.descriptions = store.block_shapes, store.descriptions
        self.nodatavals = [layout.nodata for layout in store._layouts for _ in layout.descriptions]
        self._arrays = opened_arrays(store.partial, store.descriptions)

    def read(self, indexes: list[int], *, window: Any, out: AnyArray) -> None:
        """Read some bands of a `rasterio.windows.Window`."""
        for index, band in zip(indexes, out, strict=True):
            read_array(self._arrays[index - 1], window.toslices(), band)


def read_array(array: Any, where: tuple[slice, slice], out: AnyArray) -> None:
    """Read a part of an array; what fails is an OSError, whichever codec's it was."""
    try:
        out[...] = array[where]
    except Exception as error:  # zarr's errors, and those of its codecs, have no common root
        raise OSError(f"{array.path!r}: {error}") from error


def opened_arrays(store: Any, names: Sequence[str]) -> list[Any]:
    """Open arrays to read."""
    zarr = zarr_library("out")
    try:
        group = zarr.open_group(store, mode="r", use_consolidated=False)
        return [group[name] for name in names]
    except Exception as error:  # zarr's errors have no common root
        raise OSError(f"it is no Zarr group: {error}") from error


# -- stores that are no folder of ours -----------------------------------------------------------------------------


def is_store(value: object) -> bool:
    """Say whether something is a store of zarr's."""
    from zarr.abc.store import Store

    return isinstance(value, Store)


def holds_something(store: Any) -> bool:
    """Say whether anything is in a store of zarr's."""
    from zarr.core.sync import sync

    return not sync(store.is_empty(""))


def is_complete(array: Any) -> bool:
    """Say whether all shards of an array are there, or all chunks where it has none.

    By their names: what zarr counts as written is shards in some of its versions, and chunks in others.
    """
    from zarr.core.sync import sync

    async def names() -> set[str]:
        return {name async for name in array.store.list_prefix(f"{array.path}/")}

    there, sides = sync(names()), array.shards or array.chunks
    places = (range(ceil(size / side)) for size, side in zip(array.shape, sides, strict=True))
    return all(f"{array.path}/{array.metadata.encode_chunk_key(place)}" in there for place in product(*places))


# -- what a store holds --------------------------------------------------------------------------------------------


def create_arrays(store: Any, layouts: Sequence[RasterLayout], options: ZarrOptions) -> list[Any]:
    """Make a group in an empty store, and in it an array a band, without chunks, and the coordinates.

    Parameters
    ----------
    store : path or zarr.abc.store.Store
    layouts : sequence of RasterLayout
        Of the bands, which have one place and the same tags.
    options : ZarrOptions

    Returns
    -------
    list of zarr.Array
        A band each, which write chunks of fill values too.
    """
    zarr, layout = zarr_library("store"), layouts[0]
    tags = {key: text.encode(errors="replace").decode() for key, text in layout.tags.items()}
    attributes = {**tags, **conventions(layout.crs, layout.transform, layout.shape)}
    group = zarr.create_group(store, zarr_format=options.zarr_format, attributes=attributes)
    _add_coordinates(group, layout, options.zarr_format)
    return [_create_array(group, name, each, options) for each in layouts for name in each.descriptions]


def _create_array(group: Any, name: str, layout: RasterLayout, options: ZarrOptions) -> Any:
    attributes: dict[str, Any] = {**layout.band_tags, "grid_mapping": "spatial_ref", "coordinates": "spatial_ref"}
    has_nodata = layout.nodata is not None and isnan(layout.nodata)
    fill: object = layout.nodata if has_nodata else layout.unwritten
    if options.zarr_format == 3:
        cut = {"chunks": options.chunk, "shards": options.shard, "dimension_names": ("y", "x")}
        if has_nodata:
            attributes["_FillValue"] = _XARRAYS_NAN
    else:
        cut = {"chunks": options.chunk}
        attributes["_ARRAY_DIMENSIONS"] = ["y", "x"]
        fill = layout.nodata  # None is none
    return group.create_array(
        name,
        shape=layout.shape,
        dtype=layout.dtype,
        **cut,
        compressors=None if options.compressor is None else _codec(options.compressor, options.zarr_format),
        fill_value=fill,
        attributes=attributes,
        config={"write_empty_chunks": True},
    )


# NaN as xarray writes it where the format is 3: base64 of a float64's bytes.
_XARRAYS_NAN = "AAAAAAAA+H8="

# Coordinates of so many pixels are a chunk.
_COORDINATES_AT_A_TIME = 1 << 20


def _add_coordinates(group: Any, layout: RasterLayout, zarr_format: int) -> None:
    """Write where pixel centres lie, along each axis where that can be said, and what GDAL, CF and xarray read."""
    for axis, name in enumerate(("y", "x") if layout.transform is None or not is_turned(layout.transform) else ()):
        chunk = min(layout.shape[axis], _COORDINATES_AT_A_TIME)
        dtype = "int64" if layout.transform is None else "float64"
        attributes = axis_attributes(layout.crs, layout.transform)[axis]
        array = _small_array(group, name, (layout.shape[axis],), (chunk,), (name,), dtype, attributes, zarr_format)
        for start in range(0, layout.shape[axis], chunk):
            stop = min(start + chunk, layout.shape[axis])
            array[start:stop] = centres_along(layout.transform, axis, start, stop)
    attributes = grid_mapping_of(layout.crs, layout.transform)
    _small_array(group, "spatial_ref", (), (), (), "int64", attributes, zarr_format)[...] = 0


def _small_array(
    group: Any,
    name: str,
    shape: tuple[int, ...],
    chunk: tuple[int, ...],
    dimensions: tuple[str, ...],
    dtype: str,
    attributes: dict[str, Any],
    zarr_format: int,
) -> Any:
    named: dict[str, Any] = {"dimension_names": dimensions}
    if zarr_format == 2:
        named, attributes = {}, {**attributes, "_ARRAY_DIMENSIONS": list(dimensions)}
    config = {"write_empty_chunks": True}
    return group.create_array(
        name, shape=shape, chunks=chunk, dtype=dtype, compressors=None, attributes=attributes, config=config, **named
    )


def conventions(crs: Any, transform: Any, shape: Pair) -> dict[str, Any]:
    """Return the attributes of a group by Zarr's conventions `proj:` and `spatial:`."""
    attributes: dict[str, Any] = {}
    declared = []
    if crs:
        declared.append(_PROJ)
        attributes["proj:wkt2"] = crs.to_wkt(version="WKT2_2019")
        if authority := crs.to_authority(confidence_threshold=100):
            attributes["proj:code"] = ":".join(authority)
    if transform is not None:
        declared.append(_SPATIAL)
        attributes["spatial:dimensions"] = ["y", "x"]
        attributes["spatial:shape"] = list(shape)
        attributes["spatial:transform_type"] = "affine"
        attributes["spatial:transform"] = [float(each) for each in tuple(transform)[:6]]
        attributes["spatial:bbox"] = list(outline(transform, shape))
        attributes["spatial:registration"] = "pixel"
    return {"zarr_conventions": declared, **attributes} if declared else {}


_PROJ = {
    "schema_url": "https://raw.githubusercontent.com/zarr-conventions/geo-proj/refs/tags/v1/schema.json",
    "spec_url": "https://github.com/zarr-conventions/geo-proj/blob/v1/README.md",
    "uuid": "f17cb550-5864-4468-aeb7-f3180cfb622f",
    "name": "proj:",
    "description": "Coordinate reference system information for geospatial data",
}
_SPATIAL = {
    "schema_url": "https://raw.githubusercontent.com/zarr-conventions/spatial/refs/tags/v1/schema.json",
    "spec_url": "https://github.com/zarr-conventions/spatial/blob/v1/README.md",
    "uuid": "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4",
    "name": "spatial:",
    "description": "Spatial coordinate information",
}
