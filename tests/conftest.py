"""Shared fixtures, and hypothesis profiles: `default`, `ci` (the same cases in each run), `small`, `long`."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, settings
from lanes import KERNELS, OWN, THREADS

NO_SCIPY = str(Path(__file__).parent / "no_scipy")

# Tests start processes, and some tell by a process's stderr that it warned, others that it did not: it is to see
# Python's own defaults, whatever the caller of pytest has set. In this process, pyproject.toml's filters hold anyway.
os.environ.pop("PYTHONWARNINGS", None)

# They find no scipy, which numba would load for nothing: no_scipy/scipy.py says why.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [NO_SCIPY, os.environ.get("PYTHONPATH")]))

pytest.register_assert_rewrite("command_line")

_common = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}
settings.register_profile("default", max_examples=60, **_common)
settings.register_profile("ci", max_examples=60, derandomize=True, **_common)
settings.register_profile("small", max_examples=8, derandomize=True, **_common)
# Hypothesis itself derandomizes on hosts that set CI; this profile is to look elsewhere each time, there too.
settings.register_profile("long", max_examples=3000, derandomize=False, **_common)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "default"))


def pytest_collection_modifyitems(items):
    """Mark the tests of kernels, of these the ones that one thread may run, and what the oldest lane leaves out."""
    for item in items:
        if item.path.stem in KERNELS:
            item.add_marker("kernels")
        if item.path.stem in KERNELS - THREADS:
            item.add_marker("one_thread")
        if item.path.stem in OWN or f"{item.path.stem}::{item.originalname}" in OWN:
            item.add_marker("own")


@pytest.fixture(scope="module")
def compiled_kernels():
    """Have them compiled before commands run, which say so on stderr."""
    from gridr_numba.doors.warmup import warm_up

    warm_up()


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Inputs of commands in a folder that is the current one, unless a file of tests has its own."""
    from command_line import make_files

    monkeypatch.chdir(tmp_path)
    make_files(tmp_path)
    return tmp_path


class Rasters:
    """Makes GeoTIFFs in a folder and keeps them open for the length of a test."""

    def __init__(self, folder):
        self.folder = folder
        self.count = 0
        self.opened = []

    def path(self):
        self.count += 1
        return self.folder / f"raster{self.count}.tif"

    def reader(self, array, **profile):
        """Write an array of (bands, rows, cols) or (rows, cols) and open it for reading."""
        bands = array if array.ndim == 3 else array[np.newaxis]
        path = self.path()
        with rasterio.open(path, "w", **self._profile(bands.shape, bands.dtype, profile)) as dataset:
            dataset.write(bands)
        return self.keep(rasterio.open(path))

    def writer(self, shape, dtype, bands=1, **profile):
        """Open a new file for writing."""
        return self.keep(rasterio.open(self.path(), "w", **self._profile((bands, *shape), dtype, profile)))

    def keep(self, dataset):
        self.opened.append(dataset)
        return dataset

    def content(self, writer):
        """Close a writer and read all of it."""
        writer.close()
        with rasterio.open(writer.name) as dataset:
            return dataset.read()

    @staticmethod
    def _profile(shape, dtype, profile):
        bands, height, width = shape
        dtype = np.dtype(dtype).name
        return {"driver": "GTiff", "count": bands, "height": height, "width": width, "dtype": dtype, **profile}

    def close(self):
        for dataset in self.opened:
            dataset.close()


class Double:
    """A dataset that tells of each call before it makes it: a BandSource and a BandSink like rasterio's own."""

    def __init__(self, dataset, before):
        self._dataset, self._before = dataset, before

    def __getattr__(self, name):
        return getattr(self._dataset, name)

    def read(self, *args, **kwargs):
        self._before(self._dataset, kwargs["window"])
        return self._dataset.read(*args, **kwargs)

    def write(self, *args, **kwargs):
        self._before(self._dataset, kwargs["window"])
        return self._dataset.write(*args, **kwargs)


@pytest.fixture
def rasters(tmp_path):
    made = Rasters(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared_rasters(tmp_path_factory):
    """As `rasters`, for hypothesis, which runs many examples in one test function."""
    made = Rasters(tmp_path_factory.mktemp("rasters"))
    yield made
    made.close()
