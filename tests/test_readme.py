"""What the README shows works as it is written there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import oracles
import pytest
import rasterio
import shapely

from gridr_numba import demo

README = Path(__file__).parent.parent / "README.md"


@pytest.mark.large
def test_the_code_blocks(tmp_path, monkeypatch, capsys):
    (tmp_path / "demo-out").mkdir()
    job = demo.make_job()
    demo.write_inputs(job, tmp_path / "demo-out")
    monkeypatch.chdir(tmp_path)
    chain, product = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(chain, "README.md", "exec"), names)
    with rasterio.open("dense.tif") as dense, rasterio.open("valid.tif") as valid:
        assert dense.shape == valid.shape == job.shape_row_col
        assert dense.crs == job.target_crs
        assert dense.transform.almost_equals(job.target_transform)
        mask = valid.read(1)
        nodes = dense.read()[:, ::32, ::24]
    cloud = shapely.Point(2000, 2500).buffer(700)
    assert not mask[2500, 2000]
    for i, j in ((2500, 1300), (2500, 1299), (1800, 2000), (1799, 2000)):
        coarse = oracles.inside_shapely([cloud], (1, 1), 1, (float(i), float(j)))
        assert not (mask[i, j] and coarse[0, 0])
    assert np.array_equal(nodes, np.stack(job.project_nodes()))
    exec(compile(product, "README.md", "exec"), names)
    said = capsys.readouterr().out
    with rasterio.open("valid.tif") as valid:
        strict = valid.read(1)
    assert said.startswith(f"{strict.sum()} {{'raster_mask': ")
    assert np.array_equal(strict <= mask, np.ones_like(strict, bool))  # densify wants every contributing node
