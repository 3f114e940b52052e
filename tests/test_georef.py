"""Map coordinates and pixel centres, with rotated and non-square pixels."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from hypothesis import assume, given
from hypothesis import strategies as st

from gridr_numba import GridrValueError, dense_transform, map_to_pixel, pixel_to_map
from gridr_numba.georef import centres, lattice_transform

sizes = st.floats(0.1, 1000)
transforms = st.builds(
    lambda x, y, w, h, angle: (
        Affine.translation(x, y) @ Affine.rotation(angle) @ Affine.scale(w, -h)
        if hasattr(Affine, "__matmul__")
        else Affine.translation(x, y) * Affine.rotation(angle) * Affine.scale(w, -h)
    ),
    st.floats(-1e6, 1e6),
    st.floats(-1e6, 1e6),
    sizes,
    sizes,
    st.floats(-180, 180),
)


def apply(transform, x, y):
    a, b, c, d, e, f = transform[:6]
    return a * x + b * y + c, d * x + e * y + f


def compose(*transforms):
    product = np.eye(3)
    for transform in transforms:
        product = product @ np.array(transform).reshape(3, 3)
    return product


@given(transforms, st.floats(-1e4, 1e4), st.floats(-1e4, 1e4))
def test_map_to_pixel_is_the_inverse_transform_less_half_a_pixel(transform, col, row):
    x, y = apply(transform, col + 0.5, row + 0.5)  # where GDAL puts the centre of pixel (row, col)
    rows, cols = map_to_pixel(transform, x, y)
    tolerance = 1e-9 * (1e6 + abs(x) + abs(y)) / min(abs(transform.a) + abs(transform.b), 1.0)
    assert abs(float(rows) - row) < tolerance
    assert abs(float(cols) - col) < tolerance
    assert np.allclose(pixel_to_map(transform, rows, cols), (x, y), rtol=1e-9, atol=1e-6)


def test_the_centre_of_the_first_pixel_is_zero():
    rows, cols = map_to_pixel(Affine(10, 0, 500, 0, -20, 900), [505.0, 515.0], [890.0, 870.0])
    assert rows.tolist() == [0.0, 1.0]
    assert cols.tolist() == [0.0, 1.0]


@given(transforms, st.tuples(st.integers(1, 64), st.integers(1, 64)))
def test_the_dense_transform_is_the_formula_and_keeps_node_centres(transform, resolution):
    rr, rc = resolution
    dense = dense_transform(transform, resolution)
    assert type(dense) is Affine
    formula = compose(
        transform, Affine.translation(0.5, 0.5), Affine.scale(1 / rc, 1 / rr), Affine.translation(-0.5, -0.5)
    )
    scale = 1e-9 * (1 + np.abs(formula).max())
    assert np.allclose(np.array(dense).reshape(3, 3), formula, rtol=1e-12, atol=scale)
    for row, col in ((0, 0), (3, 5)):
        node = pixel_to_map(transform, row, col)
        pixel = pixel_to_map(dense, row * rr, col * rc)
        assert np.allclose(node, pixel, rtol=1e-12, atol=scale)


def test_transforms_may_be_tuples_and_are_checked():
    assert dense_transform((1.0, 0.0, 0.0, 0.0, 1.0, 0.0), (2, 4)) == (0.25, 0.0, 0.375, 0.0, 0.5, 0.25)
    with pytest.raises(GridrValueError, match="transform must have six coefficients"):
        map_to_pixel((1, 2, 3), 0, 0)
    with pytest.raises(GridrValueError, match=r"resolution_row_col\[0\] must be at least 1"):
        dense_transform(Affine.identity(), (0, 3))


def test_a_transform_that_cannot_be_inverted_is_refused():
    with pytest.raises(GridrValueError, match="transform must be invertible"):
        map_to_pixel(Affine(1, 2, 0, 2, 4, 0), 0, 0)


@given(st.floats(-1e6, 1e6), st.floats(0.01, 100), st.integers(0, 2**40), st.integers(1, 9))
def test_centres_do_not_depend_on_the_window(origin, step, start, length):
    assume(start + length < 2**53)
    got = centres(origin, step, start, start + length)
    assert got.tolist() == [origin + step * float(j) for j in range(start, start + length)]


def test_the_lattice_transform_puts_gdals_corners_around_centres():
    a, b, c, d, e, f = lattice_transform((7.0, 3.0), (2.0, 4.0))
    assert (a * 0.5 + b * 0.5 + c, d * 0.5 + e * 0.5 + f) == (3.0, 7.0)
