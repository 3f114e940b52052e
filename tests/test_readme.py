"""What the README shows works as it is written there."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import oracles
import pytest
import rasterio
import shapely
from click.testing import CliRunner

from gridr_numba.cli import main
from gridr_numba.demo import job as demo_job

README = Path(__file__).parent.parent / "README.md"


@pytest.mark.large
def test_the_code_blocks(tmp_path, monkeypatch, capsys):
    (tmp_path / "demo-out").mkdir()
    job = demo_job.make_job()
    demo_job.write_inputs(job, tmp_path / "demo-out")
    monkeypatch.chdir(tmp_path)
    product, chain, windows = code_blocks("python")
    names: dict[str, object] = {}
    exec(compile(product, "README.md", "exec"), names)
    said = capsys.readouterr().out
    with rasterio.open("valid.tif") as valid:
        strict = valid.read(1)
    assert said.startswith(f"{strict.sum()} {{'raster_mask': ")
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
    assert np.array_equal(strict <= mask, np.ones_like(strict, bool))  # densify wants every contributing node
    pytest.importorskip("dask")
    exec(compile(windows, "README.md", "exec"), names)
    assert names["valid"].tolist() == strict[[1000, 1000], [2000, 2011]].tolist()
    assert np.array_equal(names["lazy"]["mask"].values, strict)


@pytest.mark.large
def test_the_tour(tmp_path, monkeypatch):
    """Each command prints what the README says, but for how long it took, and on how many threads."""
    monkeypatch.chdir(tmp_path)
    Path("demo-out").mkdir()
    demo_job.write_inputs(demo_job.make_job(), Path("demo-out"))
    lines = "\n".join(code_blocks("console")).splitlines()
    starts = [index for index, line in enumerate(lines) if line.startswith("$ ")]
    assert len(starts) == 7
    for start, stop in pairwise([*starts, len(lines)]):
        command, *expected = lines[start][2:].split()
        shown = [line for line in lines[start + 1 : stop] if line]
        if command == "cat":
            Path(expected[0]).write_text("\n".join(shown))
            continue
        result = CliRunner().invoke(main, expected)
        assert [steady(line) for line in result.output.splitlines() if line] == [steady(line) for line in shown]
    assert {path.name for path in Path().glob("*")} >= {
        "dense.tif",
        "valid.tif",
        "report.json",
        "dense.png",
        "causes.png",
    }


def test_the_tables_of_the_bench_are_the_printed_ones():
    command = [sys.executable, "-m", "bench.run", "--table", "bench/results/2-cores.json"]
    done = subprocess.run(command, cwd=README.parent, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    section = README.read_text().split("## How fast")[1].split("\n## ")[0]
    assert done.stdout.strip() in section
    for line in section.split(done.stdout.strip()):
        assert "|" not in line


def code_blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), re.DOTALL)


def steady(line):
    """Return what a line says on any machine."""
    return "time" if re.fullmatch(r"time +[\d.]+ s, [\d.]+ Mpx/s, \d+ threads", line) else line
