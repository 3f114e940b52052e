"""The checksum of what is written: against a slow twin, and for what it must never miss."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridr_numba.files.outputs import Checksum
from gridr_numba.kernels.checksum import LANES, fold

TYPES = ("u1", "i2", "u4", "f4", "f8", "i8")


def arrays(dtype, min_rows=0):
    return st.tuples(st.integers(min_rows, 9), st.integers(1, 21)).flatmap(
        lambda shape: st.binary(min_size=np.dtype(dtype).itemsize * shape[0] * shape[1], max_size=8 * 9 * 21).map(
            lambda content: np.frombuffer(content, dtype, shape[0] * shape[1]).reshape(shape)
        )
    )


@given(st.data(), st.sampled_from(TYPES))
def test_it_is_that_of_the_slow_twin_however_the_rows_are_cut(data, dtype):
    values = data.draw(arrays(dtype))
    checksum = Checksum()
    for part in np.split(values, sorted(data.draw(st.lists(st.integers(0, len(values)), max_size=4)))):
        checksum.add(part)
    expected = oracles.checksum(values.tobytes(), values.shape[1] * values.itemsize)
    assert checksum.value == np.array(expected, np.uint64).tobytes()


@given(st.data(), st.sampled_from(TYPES))
def test_one_number_that_is_another_one_is_always_seen(data, dtype):
    values = data.draw(arrays(dtype, min_rows=1)).copy()
    before, after = Checksum(), Checksum()
    before.add(values)
    numbers = values.reshape(-1).view(f"u{values.itemsize}")
    flipped = data.draw(st.integers(1, 2 ** (8 * values.itemsize) - 1))
    numbers[data.draw(st.integers(0, len(numbers) - 1))] ^= numbers.dtype.type(flipped)
    after.add(values)
    assert before.value != after.value


@pytest.mark.parametrize("change", [np.negative, np.zeros_like, np.flip, lambda values: np.roll(values, LANES)])
def test_what_goes_wrong_as_a_whole_is_seen(change):
    values = np.random.default_rng(4).normal(size=(16, 256))
    before, after = Checksum(), Checksum()
    before.add(values)
    after.add(np.ascontiguousarray(change(values)))
    assert before.value != after.value


def test_the_words_of_a_window_are_those_of_its_rows():
    values = np.arange(60.0).reshape(5, 12)
    whole, rows = Checksum(), Checksum()
    whole.add(values)
    for row in values:
        rows.add(row[np.newaxis])
    assert whole.value == rows.value


def test_nothing_is_zero():
    lanes = np.zeros(LANES, np.uint64)
    fold(np.empty(0, np.uint8), 0, lanes)
    assert not lanes.any()
    assert Checksum().value == bytes(8 * LANES)
