"""Datasets are whatever the protocols say: the chains read and write doubles that have nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

import gridr_numba as gn


@dataclass
class Source:
    """The members of `BandSource`, over an array."""

    name: str
    array: np.ndarray

    @property
    def shape(self):
        return self.array.shape[1:]

    @property
    def dtypes(self):
        return (self.array.dtype.name,) * len(self.array)

    @property
    def block_shapes(self):
        return [(1, self.shape[1])] * len(self.array)

    @property
    def nodatavals(self):
        return (None,) * len(self.array)

    @property
    def descriptions(self):
        return (None,) * len(self.array)

    def read(self, indexes, *, window, out):
        rows, cols = window.toslices()
        for index, band in zip(indexes, out, strict=True):
            band[...] = self.array[index - 1, rows, cols]


class Sink:
    """The members of `BandSink`, over an array a band, each of a type of its own."""

    name = "sink"

    def __init__(self, shape, *dtypes):
        self.shape = shape
        self.dtypes = dtypes
        self.block_shapes = [(16, 16)] * len(dtypes)
        self.bands = [np.zeros(shape, dtype) for dtype in dtypes]

    def write(self, values, indexes, *, window):
        for index, band in zip(indexes, values, strict=True):
            assert band.dtype == self.dtypes[index - 1]
            self.bands[index - 1][window.toslices()] = band


@pytest.mark.parametrize("dtypes", [("float64", "float64"), ("float32", "float64"), ("float64", "float32")])
def test_a_chain_on_doubles_each_band_in_its_own_type(dtypes):
    nodes = np.random.default_rng(2).random((2, 9, 7)) / 3
    out, mask = Sink((33, 25), *dtypes), Sink((33, 25), "int16")
    gn.build_grid_mask_chain(
        (4, 4), Source("grid", nodes), None, 1, 2, out, None, 1, 2, mask, np.int16, Source("mask", np.ones((1, 9, 7))),
        1, 1, np.float64, None, None, mask_out_values=(-3, 700), io_strip_size=2,
    )  # fmt: skip
    for band, dtype, expected in zip(out.bands, dtypes, nodes, strict=True):
        np.testing.assert_array_equal(band[::4, ::4], expected.astype(dtype))
    assert (mask.bands[0] == -3).all()


def test_what_lacks_a_member_is_refused():
    with pytest.raises(gn.GridrTypeError, match="mask_out_ds must be a dataset open for writing"):
        gn.build_mask_chain(
            (9, 7), (4, 4), Source("mask", np.ones((1, 33, 25))), np.uint8, None, None, None, np.float64, None, None
        )
