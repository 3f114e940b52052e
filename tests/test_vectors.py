"""Vector instructions compute what their plain twins say, to the bit."""

import numba
import numpy as np
import pytest

from gridr_numba.engine.resampling import taps_of
from gridr_numba.kernels import vectors
from gridr_numba.types import Interpolation

pytestmark = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="the twins alone run")

N, STRIDE, ROWS = 16, 23, 40


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["linear", "cubic", "lanczos3"])
def test_pixels_are_those_of_the_twin(kind, dtype):
    compiled, plain, count = {
        "linear": (vectors.eight_linear, vectors._plain_linear, 8),
        "cubic": (vectors.eight_cubic, vectors._plain_cubic, 8),
        "lanczos3": (vectors.four_lanczos, vectors._plain_lanczos, 4),
    }[kind]
    random = np.random.default_rng(3)
    pixels = (random.random(ROWS * STRIDE) * 65535).astype(dtype)
    pixels[100] = np.nan
    pixels[200:210] = -0.0
    whole = random.integers(0, (ROWS - 8) * STRIDE, N)
    whole[:2] = 94, 195  # NaN, and zeros with a sign
    places = (whole + vectors.PLACE_BASE).view(np.int64)
    fractions = random.random((2, N)).astype(dtype)
    most = np.nextafter(np.dtype(dtype).type(1), np.dtype(dtype).type(0))
    fractions[:, :4] = [[0, 0, most, 0.5], [most, 0, 0, 0.25]]
    base = 5
    more = (taps_of(Interpolation.LANCZOS3, np.dtype(dtype)).lanczos,) if kind == "lanczos3" else ()

    @numba.njit(error_model="numpy")
    def run(pixels, places, down, across, out, more):
        for j in range(0, places.shape[0], count):
            compiled(pixels, np.uint64(base), np.uint64(STRIDE), places, down, across, np.uint64(j), out, *more)

    got, expected = np.zeros((2, N), dtype)
    run(pixels, places, *fractions, got, more)
    for j in range(0, N, count):
        plain(pixels, base, STRIDE, places, *fractions, j, expected, *more)
    assert np.isnan(expected).any()
    assert got.tobytes() == expected.tobytes()


@pytest.mark.parametrize("pixel", ["uint8", "int8", "uint16", "int16"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_of_integers_are_those_of_their_numbers(pixel, dtype):
    random = np.random.default_rng(4)
    limits = np.iinfo(pixel)
    pixels = random.integers(limits.min, limits.max, ROWS * STRIDE, pixel, endpoint=True)
    pixels[:4] = limits.min, limits.max, limits.max, limits.min
    places = (random.integers(0, (ROWS - 2) * STRIDE, N) * (np.arange(N) > 0) + vectors.PLACE_BASE).view(np.int64)
    fractions = random.random((2, N)).astype(dtype)
    fractions[:, :2] = [[1, 0], [0, 1]]

    @numba.njit(error_model="numpy")
    def run(pixels, places, down, across, out):
        for j in range(0, places.shape[0], 8):
            vectors.eight_linear(pixels, np.uint64(0), np.uint64(STRIDE), places, down, across, np.uint64(j), out)

    of_integers, of_numbers, of_twin = np.zeros((3, N), dtype)
    run(pixels, places, *fractions, of_integers)
    run(pixels.astype(dtype), places, *fractions, of_numbers)
    for j in range(0, N, 8):
        vectors._plain_linear(pixels, 0, STRIDE, places, *fractions, j, of_twin)
    assert of_integers.tobytes() == of_numbers.tobytes() == of_twin.tobytes()
