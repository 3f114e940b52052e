"""Ground -> image by rational polynomials (RPC00B), in float64.

Lines and samples of RPCs are pixel centres, as all coordinates of this package: nothing is added to them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .jit import kernel

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
    for i in range(len(lons)):
        x = (lons[i] - offsets[0]) / scales[0]
        y = (lats[i] - offsets[1]) / scales[1]
        if not (abs(x) <= reach and abs(y) <= reach and abs(h) <= reach):
            out[0, i] = out[1, i] = np.nan
            continue
        xx, yy, hh, xy, xh, yh = x * x, y * y, h * h, x * y, x * h, y * h
        cubic = (xy * h, xx * x, x * yy, x * hh, xx * y, yy * y, y * hh, xx * h, yy * h, hh * h)
        powers = (1.0, x, y, h, xy, xh, yh, xx, yy, hh, *cubic)
        line_top = line_bottom = sample_top = sample_bottom = 0.0
        for k in range(20):
            line_top += terms[0, k] * powers[k]
            line_bottom += terms[1, k] * powers[k]
            sample_top += terms[2, k] * powers[k]
            sample_bottom += terms[3, k] * powers[k]
        out[0, i] = line_top / line_bottom * scales[3] + offsets[3]
        out[1, i] = sample_top / sample_bottom * scales[4] + offsets[4]
