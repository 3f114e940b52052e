"""A source image: which of its bands are resampled, and which of their pixels are valid.

A pixel is invalid where it is the band's nodata, NaN or infinite, where a mask that is a part of the image says so, in
the file or beside it (``.msk``), where an alpha band is 0, and where a mask in another file does not say that it is
valid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags

from .. import checks
from ..errors import DtypeError, GridrTypeError, GridrValueError
from ..types import AnyArray, AnyDtype, Colour, Pair
from ..window import Window
from .bands import SourceBand, scaling_of
from .gdal import named_errors

#: Data types that are resampled.
TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")

#: Which bands make a pixel invalid: any that is selected, all of them, or each for itself.
BAND_VALIDITIES = ("any", "all", "each")

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class BandTraits:
    """What a band says of its values: it goes with them to the output.

    Attributes
    ----------
    description, units : str or None
    scale, offset : float
    colour : rasterio.enums.ColorInterp
    colours : dict
        Its colour table; empty where it has none.
    """

    description: str | None
    units: str | None
    scale: float
    offset: float
    colour: ColorInterp
    colours: dict[int, Colour] = field(default_factory=dict)


@dataclass(frozen=True)
class SourceImage:
    """The bands of an image that are resampled, checked.

    Attributes
    ----------
    dataset : OpenRaster
    indexes : list of int
        Of the bands, from 1.
    dtype : numpy.dtype
        That holds all of them.
    nodata : tuple of float or None
        Of each of them, None where it has none.
    traits : tuple of BandTraits
    alpha : int or None
        The band that is 0 where the image is transparent.
    has_mask : bool
        Whether the image has a mask that is no band of it.
    mask : SourceBand or None
        Of another file.
    mask_valid_value : numpy.generic or None
        Its value for valid pixels.
    validity : str
        One of `BAND_VALIDITIES`.
    """

    dataset: Any
    indexes: list[int]
    dtype: AnyDtype
    nodata: tuple[float | None, ...]
    traits: tuple[BandTraits, ...]
    alpha: int | None
    has_mask: bool
    mask: SourceBand | None
    mask_valid_value: Any
    validity: str

    @classmethod
    def of(cls, dataset: Any, bands: object, nodata: object, validity: object, interpolation: str) -> SourceImage:
        """Check the arguments that say what of an image is resampled; `with_mask` adds a mask of another file."""
        if validity not in BAND_VALIDITIES:
            raise GridrValueError(
                f"band_validity must be one of {', '.join(BAND_VALIDITIES)}, not {validity!r}",
                argument="band_validity",
            )
        alphas = [index for index, each in enumerate(dataset.colorinterp, start=1) if each == ColorInterp.alpha]
        indexes = _indexes(bands, dataset, alphas)
        held = [_held(dataset, index) for index in indexes]
        traits = tuple(_traits(dataset, index) for index in indexes)
        for index, each in zip(indexes, traits, strict=True):
            if each.colours and interpolation != "nearest":
                raise GridrValueError(
                    f"interpolation must be 'nearest' for a band with a colour table, as band {index} of "
                    f"{dataset.name!r} has, not {interpolation!r}: its values are no quantities",
                    argument="interpolation",
                )
        tags = [dataset.nodatavals[index - 1] for index in indexes]
        if nodata is not None:
            tags = [checks.number(nodata, "nodata") if tag is None else tag for tag in tags]
        flags = dataset.mask_flag_enums[indexes[0] - 1]
        has_mask = MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags
        alpha, dtype = (alphas[0] if alphas else None), np.result_type(*held)
        return cls(dataset, indexes, dtype, tuple(tags), traits, alpha, has_mask, None, None, str(validity))

    @property
    def shape(self) -> Pair:
        """Rows and columns."""
        height, width = self.dataset.shape
        return int(height), int(width)

    @property
    def block_shape(self) -> Pair:
        """Of the first band that is resampled."""
        height, width = self.dataset.block_shapes[self.indexes[0] - 1]
        return int(height), int(width)

    @property
    def bytes_per_pixel(self) -> int:
        """Of what is read of the image, its own mask not counted."""
        alpha = () if self.alpha is None or self.alpha in self.indexes else (self.alpha,)
        return sum(np.dtype(self.dataset.dtypes[index - 1]).itemsize for index in (*self.indexes, *alpha))

    @property
    def buffer_bytes_per_pixel(self) -> int:
        """Of what `read` returns, and allocates on the way."""
        return len(self.indexes) * (self.dtype.itemsize + 2) + (0 if self.mask is None else self.mask_bytes + 2)

    @property
    def mask_bytes(self) -> int:
        """Of a pixel of the mask of another file."""
        return 0 if self.mask_valid_value is None else int(self.mask_valid_value.itemsize)

    def read(self, window: Window) -> tuple[AnyArray, Bools, int]:
        """Read a window.

        Returns
        -------
        values : ndarray (bands, rows, columns)
        valid : ndarray of bool (bands, rows, columns)
            By `validity`: for 'any' and 'all' it is the same for all bands but where a value is no number.
        torn : ndarray of bool (rows, columns)
            Where some of the bands hold nodata and others do not.
        """
        values = self._read(self.indexes, window, self.dtype)
        held = np.ones(values.shape, np.bool_)
        for band, tag in enumerate(self.nodata):
            if tag is not None and tag == tag:
                np.not_equal(values[band], _as_held(tag, self.dtype), out=held[band])
        numbers = np.isfinite(values) if self.dtype.kind == "f" else None
        some, every = held.any(axis=0), held.all(axis=0)
        torn = some & ~every
        if self.validity == "any":
            held[:] = every
        elif self.validity == "all":
            held[:] = some
        if numbers is not None:
            held &= numbers if self.validity == "each" else numbers.all(axis=0)
        held &= self._unmasked(window)
        return values, held, torn

    def _unmasked(self, window: Window) -> Bools | bool:
        """Return where no mask makes the pixels of a window invalid."""
        valid: Bools | bool = True
        if self.alpha is not None:
            valid = valid & (self._read([self.alpha], window, self.dataset.dtypes[self.alpha - 1])[0] != 0)
        if self.has_mask:
            with named_errors(self.dataset, "read", "image"):
                valid = valid & (self.dataset.read_masks(self.indexes[0], window=window.to_rasterio()) != 0)
        if self.mask is not None:
            dataset, index, argument = self.mask
            out = np.empty((1, *window.shape), self.mask_valid_value.dtype)
            with named_errors(dataset, "read", argument):
                dataset.read([index], window=window.to_rasterio(), out=out)
            valid = valid & (out[0] == self.mask_valid_value)
        return valid

    def _read(self, indexes: Sequence[int], window: Window, dtype: Any) -> AnyArray:
        out = np.empty((len(indexes), *window.shape), dtype)
        with named_errors(self.dataset, "read", "image"):
            self.dataset.read(list(indexes), window=window.to_rasterio(), out=out)
        return out


def _indexes(bands: object, dataset: Any, alphas: list[int]) -> list[int]:
    """Take `bands`: one, several, or None for all but an alpha band."""
    count = len(dataset.dtypes)
    if bands is None:
        found = [index for index in range(1, count + 1) if index not in alphas]
        if not found:
            raise GridrValueError(f"image must have a band that is no alpha band, and {dataset.name!r} has none",
                                  argument="image")
        return found
    if isinstance(bands, str | bytes) or not isinstance(bands, int | Sequence | np.ndarray | np.integer):
        raise GridrTypeError(f"bands must be a band's number or several, from 1, not {bands!r}", argument="bands")
    several = [bands] if isinstance(bands, int | np.integer) else list(bands)
    indexes = [checks.integer(each, "bands", minimum=1) for each in several]
    if not indexes or max(indexes) > count:
        raise GridrValueError(f"bands must be of those of {dataset.name!r}, 1 to {count}, not {bands!r}",
                              argument="bands")
    return indexes


def _held(dataset: Any, index: int) -> AnyDtype:
    own = str(dataset.dtypes[index - 1])
    if own not in TYPES:
        raise DtypeError(
            f"image: band {index} of {dataset.name!r} is {own}, which is not resampled; what is: {', '.join(TYPES)}",
            argument="image",
        )
    return np.dtype(own)


def _traits(dataset: Any, index: int) -> BandTraits:
    scale, offset = scaling_of(SourceBand(dataset, index))
    colour = dataset.colorinterp[index - 1]
    colours = dataset.colormap(index) if colour == ColorInterp.palette else {}
    return BandTraits(dataset.descriptions[index - 1], dataset.units[index - 1], scale, offset, colour, colours)


def _as_held(value: float, dtype: AnyDtype) -> Any:
    """Return a nodata value as a type holds it, NaN, which equals nothing, where it does not."""
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return np.array(value).astype(dtype)[()]
    limits = np.iinfo(dtype)
    return dtype.type(int(value)) if value == int(value) and limits.min <= value <= limits.max else np.nan
