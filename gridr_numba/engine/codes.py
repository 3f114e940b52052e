"""The one place where the causes of invalid pixels become what a mask says, and what is said of that."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..types import INVALID_COLOUR, VALID_COLOUR, AnyArray, Cause, Colour

# Pixels that are turned into codes at a time: few enough to stay in the processor's cache from pass to pass.
_PIXELS_A_PART = 1 << 18


def write_codes(causes: NDArray[np.uint8], codes: tuple[int, int] | None, out: AnyArray) -> None:
    """Write one code where there is no cause, the other where there is any.

    Parameters
    ----------
    causes : uint8 (rows, columns)
        Bits of `types.Cause`.
    codes : tuple of int or None
        For valid and invalid pixels, numbers that the output's type holds. None keeps the causes.
    out : ndarray (rows, columns)
        Of any real type and strides. Where it has one byte a pixel, it may be `causes` itself.
    """
    for rows in parts_of(causes.shape):
        _write_part(causes[rows], codes, out[rows])


def parts_of(shape: tuple[int, ...], pixels: int = _PIXELS_A_PART) -> list[slice]:
    """Cut a raster into parts of whole rows that stay in the processor's cache."""
    step = max(1, pixels // max(1, shape[1]))
    return [slice(start, min(start + step, shape[0])) for start in range(0, shape[0], step)]


def value_colours(codes: tuple[int, int] | None) -> dict[int, Colour]:
    """Return the colour of each value that `write_codes` writes: a sum of causes has that of the first."""
    if codes is not None:
        return dict(zip(codes, (VALID_COLOUR, INVALID_COLOUR), strict=True))
    sums = range(1, 2 * max(Cause))
    return {0: VALID_COLOUR, **{value: next(cause.colour for cause in Cause if cause & value) for value in sums}}


def value_tags(codes: tuple[int, int] | None) -> dict[str, str]:
    """Return what the values that `write_codes` writes mean, as tags of a band."""
    if codes is not None:
        return dict(zip((f"VALUE_{code}" for code in codes), ("valid", "invalid"), strict=True))
    return {"VALUE_0": "valid", **{f"BIT_{cause.value}": cause.label for cause in Cause}}


def _write_part(causes: NDArray[np.uint8], codes: tuple[int, int] | None, out: AnyArray) -> None:
    if codes is None:
        if out.dtype != causes.dtype or not np.may_share_memory(out, causes):
            out[...] = causes
    elif codes == (1, 0):
        np.equal(causes, 0, out=out.view(np.bool_) if out.itemsize == 1 else out, casting="unsafe")
    elif out.dtype.kind in "biu":
        # In unsigned integers of the same size: valid + (causes != 0) * (invalid - valid), round to 0 as they do.
        unsigned = out.view(f"{out.dtype.byteorder}u{out.itemsize}")
        values = np.array(codes, out.dtype).view(unsigned.dtype)
        np.not_equal(causes, 0, out=unsigned.view(np.bool_) if out.itemsize == 1 else unsigned, casting="unsafe")
        np.multiply(unsigned, values[1:] - values[:1], out=unsigned)
        np.add(unsigned, values[:1], out=unsigned)
    else:
        out[...] = np.where(causes == 0, *codes)
