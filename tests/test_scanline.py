"""The polygon engine against shapely, centre by centre, and what it promises of memory, strips and threads."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
import shapely
import strategies as own
from hypothesis import example, given, settings
from hypothesis import strategies as st

import gridr_numba as gn

PREDICATES = st.sampled_from(list(gn.ShapelyPredicate))
TINY_SHAPES = st.one_of(
    st.tuples(st.integers(1, 30), st.integers(1, 30)), st.sampled_from([(1, 60), (60, 1), (1, 1), (70, 20), (129, 9)])
)


def rasterized(polygons, shape, origin, step, predicate):
    return gn.grid_rasterize(
        None, shape, origin, step, None, 1, 0, 0, polygons, alg=2, dtype=bool, shapely_predicate=predicate
    )


def assert_as_shapely(polygons, shape, origin, step, predicate):
    got = rasterized(polygons, shape, origin, step, predicate)
    expected = oracles.inside_prepared(polygons, shape, predicate, origin, step)
    assert np.array_equal(got, expected), np.argwhere(got != expected)[:5]


# -- law 6 --------------------------------------------------------------------------------------------------------


@given(own.scanned(TINY_SHAPES, st.integers(0, 12)), PREDICATES)
@settings(max_examples=10 * settings.default.max_examples)
def test_a_few_centres(scanned, predicate):
    assert_as_shapely(*scanned, predicate)


@pytest.mark.large
def test_fifty_million_centres():
    """All that hypothesis finds, on windows of a megapixel: not one centre differs."""
    examples = max(64, settings.default.max_examples)
    compared = 0

    @settings(max_examples=examples)
    @given(own.scanned(st.sampled_from([(1000, 1000), (800, 1250), (1250, 800)]), st.integers(0, 200)), PREDICATES)
    def compare(scanned, predicate):
        nonlocal compared
        assert_as_shapely(*scanned, predicate)
        compared += scanned[1][0] * scanned[1][1]

    compare()
    assert compared >= 50_000_000
