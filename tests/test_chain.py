"""What the chains do beside the laws: progress, and what cancels a job."""

from __future__ import annotations

import numpy as np
import pytest

import gridr_numba as gn


def run(rasters, **kwargs):
    out = rasters.writer((9, 5), np.uint8)
    gn.build_mask_chain((5, 3), (2, 2), out, np.uint8, None, None, None, np.float64, None, None, **kwargs)
    return rasters.content(out)


def test_progress_counts_pixels(rasters):
    seen = []
    assert run(rasters, io_strip_size=2, progress=lambda done, total: seen.append((done, total))).all()
    assert seen == [(4 * 5, 9 * 5), (8 * 5, 9 * 5), (9 * 5, 9 * 5)]


def test_what_progress_raises_ends_the_job(rasters):
    class CancelledError(Exception):
        pass

    def cancel(done, total):
        raise CancelledError

    with pytest.raises(CancelledError):
        run(rasters, progress=cancel)


def test_progress_must_be_callable(rasters):
    with pytest.raises(TypeError, match="progress must be a callable"):
        run(rasters, progress=1)
