"""Ground -> image by rational polynomials (RPC00B), in float64.

Lines and samples of RPCs are pixel centres, as all coordinates of this package: nothing is added to them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .jit import helper, kernel

Floats = NDArray[np.float64]


@kernel
def image_of_ground(
    offsets: Floats, scales: Floats, terms: Floats, reach: float, lons: Floats, lats: Floats, height: float, out: Floats
) -> None:
    """Write the line and the sample of ground points.

    Parameters
    ----------
    offsets, scales : float64 (5,)
        Of longitude, latitude, height, line and sample.
    terms : float64 (4, 20)
        Coefficients of the line's numerator and denominator, and of the sample's, in RPC00B's order.
    reach : float
        Of a point whose normalised longitude, latitude or height is beyond this in magnitude, the polynomials say
        nothing: it gets NaN.
    lons, lats : float64 (n,)
        Degrees, longitudes within half a turn of their offset.
    height : float
        Metres above the ellipsoid.
    out : float64 (2, n)
        Written.
    """
    h = (height - offsets[2]) / scales[2]
    for i in range(len(lons)):  # without a branch, so that it vectorises
        x = (lons[i] - offsets[0]) / scales[0]
        y = (lats[i] - offsets[1]) / scales[1]
        near = (abs(x) <= reach) & (abs(y) <= reach) & (abs(h) <= reach)
        line = polynomial(terms[0], x, y, h) / polynomial(terms[1], x, y, h)
        sample = polynomial(terms[2], x, y, h) / polynomial(terms[3], x, y, h)
        out[0, i] = line * scales[3] + offsets[3] if near else np.nan
        out[1, i] = sample * scales[4] + offsets[4] if near else np.nan


@helper
def polynomial(terms: Floats, x: float, y: float, h: float) -> float:
    """Evaluate 1, x, y, h, xy, xh, yh, xx, yy, hh, xyh, xxx, xyy, xhh, xxy, yyy, yhh, xxh, yyh, hhh, nested."""
    of_h = terms[0] + h * (terms[3] + h * (terms[9] + h * terms[19]))
    of_y = terms[2] + h * (terms[6] + h * terms[16]) + y * (terms[8] + h * terms[18] + y * terms[15])
    of_xy = terms[4] + h * terms[10] + x * terms[14] + y * terms[12]
    of_x = terms[1] + h * (terms[5] + h * terms[13]) + x * (terms[7] + h * terms[17] + x * terms[11])
    value: float = of_h + y * of_y + x * (of_x + y * of_xy)
    return value
