"""A source image: which of its bands are resampled, and which of their pixels are valid.

Beside its values (nodata, NaN, infinity), a pixel is invalid where a mask that is a part of the image says so, in the
file or beside it (``.msk``), where an alpha band is 0, and where a mask in another file does not say that it is valid.
All of these are true of all bands; but a mask that is a part of the image may be a band's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags

from .. import checks
from ..errors import DtypeError, GridrTypeError, GridrValueError
from ..types import IMAGE_DTYPES, AnyArray, AnyDtype, Pair
from ..window import Window
from .bands import BandTraits, SourceBand, scaling_of
from .gdal import named_errors

#: Which bands make a pixel invalid: any that is selected, all of them, or each for itself.
BAND_VALIDITIES = ("any", "all", "each")

Bools = NDArray[np.bool_]


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
    alphas : tuple of int
        The bands that are 0 where the image is transparent.
    has_mask : bool
        Whether the image has a mask that is no band of it.
    own_masks : tuple of int
        The bands that have one each.
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
    alphas: tuple[int, ...]
    has_mask: bool
    own_masks: tuple[int, ...]
    mask: SourceBand | None
    mask_valid_value: Any
    validity: str

    @classmethod
    def of(cls, dataset: Any, bands: object, nodata: object, validity: object, interpolation: str) -> SourceImage:
        """Check the arguments that say what of an image is resampled; `with_mask` adds a mask of another file."""
        checks.one_of(validity, "band_validity", BAND_VALIDITIES)
        alphas = [index for index, each in enumerate(dataset.colorinterp, start=1) if each == ColorInterp.alpha]
        indexes = _indexes(bands, dataset, alphas)
        held = [_held(dataset, index) for index in indexes]
        traits = tuple(_traits(dataset, index) for index in indexes)
        for index, each in zip(indexes, traits, strict=True):
            if each.colours and interpolation != "nearest":
                raise GridrValueError(
                    f"interpolation must be 'nearest' for a band with a colour table, as band {index} of "
                    f"{dataset.name!r} has, not {str(interpolation)!r}: its values are no quantities",
                    argument="interpolation",
                )
        tags = [dataset.nodatavals[index - 1] for index in indexes]
        if nodata is not None:
            tags = [checks.number(nodata, "nodata") if tag is None else tag for tag in tags]
        flags = {index: dataset.mask_flag_enums[index - 1] for index in indexes}
        has_mask = any(MaskFlags.per_dataset in each and MaskFlags.alpha not in each for each in flags.values())
        return cls(
            dataset=dataset,
            indexes=indexes,
            dtype=np.result_type(*held),
            nodata=tuple(tags),
            traits=traits,
            alphas=tuple(alphas),
            has_mask=has_mask,
            own_masks=tuple(index for index, each in flags.items() if not each),
            mask=None,
            mask_valid_value=None,
            validity=str(validity),
        )

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
        read = [*self.indexes, *(index for index in self.alphas if index not in self.indexes)]
        return sum(np.dtype(self.dataset.dtypes[index - 1]).itemsize for index in read)

    @property
    def buffer_bytes_per_pixel(self) -> int:
        """Of what `read` returns, and allocates on the way."""
        masks: int = 0 if self.mask is None else int(self.mask_valid_value.itemsize) + 1
        masks += sum(np.dtype(self.dataset.dtypes[index - 1]).itemsize + 1 for index in self.alphas)
        masks += 2 * self.has_mask
        own = len(self.indexes) + 2 if self.own_masks else 0
        return len(self.indexes) * self.dtype.itemsize + masks + bool(masks) + own

    def read(self, window: Window, out: AnyArray | None = None) -> tuple[AnyArray, Bools | None]:
        """Read a window.

        Parameters
        ----------
        window : Window
        out : ndarray (bands, rows, columns), optional
            Of the image's `dtype`: the values are read there. None is a new one.

        Returns
        -------
        values : ndarray (bands, rows, columns)
        mask : ndarray of bool (rows, columns) or (bands, rows, columns), or None
            Where no mask makes pixels invalid, whatever their values; None where there is no mask.
        """
        if out is None:
            out = np.empty((len(self.indexes), *window.shape), self.dtype)
        return self._read(self.indexes, window, out), self._mask(window)

    def _mask(self, window: Window) -> Bools | None:
        shared = self._shared_mask(window)
        if not self.own_masks:
            return shared
        masks = np.ones((len(self.indexes), *window.shape), bool)
        for band, index in zip(masks, self.indexes, strict=True):
            if index in self.own_masks:
                band[:] = self._mask_of(index, window)
        return masks if shared is None else np.logical_and(masks, shared, out=masks)

    def _mask_of(self, index: int, window: Window) -> Bools:
        with named_errors(self.dataset, "read", "image"):
            valid: Bools = self.dataset.read_masks(index, window=window.to_rasterio()) != 0
        return valid

    def _shared_mask(self, window: Window) -> Bools | None:
        masks: list[Bools] = []
        for index in self.alphas:
            alpha = np.empty((1, *window.shape), self.dataset.dtypes[index - 1])
            masks.append(self._read([index], window, alpha)[0] != 0)
        if self.has_mask:
            masks.append(self._mask_of(next(index for index in self.indexes if index not in self.own_masks), window))
        if self.mask is not None:
            dataset, index, argument = self.mask
            out = np.empty((1, *window.shape), self.mask_valid_value.dtype)
            with named_errors(dataset, "read", argument):
                dataset.read([index], window=window.to_rasterio(), out=out)
            masks.append(out[0] == self.mask_valid_value)
        return np.logical_and.reduce(masks) if masks else None

    def _read(self, indexes: Sequence[int], window: Window, out: AnyArray) -> AnyArray:
        with named_errors(self.dataset, "read", "image"):
            self.dataset.read(list(indexes), window=window.to_rasterio(), out=out)
        return out


def _indexes(bands: object, dataset: Any, alphas: list[int]) -> list[int]:
    """Take `bands`: one, several, or None for all but an alpha band."""
    count = len(dataset.dtypes)
    if bands is None:
        found = [index for index in range(1, count + 1) if index not in alphas]
        if not found:
            raise GridrValueError(
                f"image must have a band that is no alpha band, and {dataset.name!r} has none", argument="image"
            )
        return found
    if isinstance(bands, str | bytes) or not isinstance(bands, int | Sequence | np.ndarray | np.integer):
        raise GridrTypeError(f"bands must be a band's number or several, from 1, not {bands!r}", argument="bands")
    several = [bands] if isinstance(bands, int | np.integer) else list(bands)
    indexes = [checks.integer(each, "bands", minimum=1) for each in several]
    if not indexes or max(indexes) > count:
        raise GridrValueError(
            f"bands must be of those of {dataset.name!r}, 1 to {count}, not {bands!r}", argument="bands"
        )
    return indexes


def _held(dataset: Any, index: int) -> AnyDtype:
    own = str(dataset.dtypes[index - 1])
    if own not in IMAGE_DTYPES:
        raise DtypeError(
            f"image: band {index} of {dataset.name!r} is {own}, which is not resampled; "
            f"what is: {', '.join(IMAGE_DTYPES)}",
            argument="image",
        )
    return np.dtype(own)


def _traits(dataset: Any, index: int) -> BandTraits:
    scale, offset = scaling_of(SourceBand(dataset, index))
    colour = dataset.colorinterp[index - 1]
    colours = dataset.colormap(index) if colour == ColorInterp.palette else {}
    return BandTraits(dataset.descriptions[index - 1], dataset.units[index - 1], scale, offset, colour, colours)
