"""What the README shows works as it is written there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner

from gridr_numba.cli import main
from gridr_numba.demo import job as demo_job

README = Path(__file__).parent.parent / "README.md"


@pytest.mark.large
def test_the_code_blocks(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib", reason="the extra plot is not installed")
    (tmp_path / "demo-out").mkdir()
    job = demo_job.make_job()
    demo_job.write_inputs(job, tmp_path / "demo-out")
    monkeypatch.chdir(tmp_path)
    files, windows = code_blocks("python")
    names: dict[str, object] = {}
    exec(compile(files, "README.md", "exec"), names)
    with rasterio.open("causes.tif") as causes, rasterio.open("dense.tif") as dense:
        valid = causes.read(1) == 0
        assert capsys.readouterr().out.startswith(f"{valid.sum()} {{'raster_mask': ")
        assert dense.shape == causes.shape == job.shape_row_col
        assert dense.crs == job.target_crs
        assert dense.transform.almost_equals(job.target_transform)
        coordinates = dense.read()
    assert np.array_equal(coordinates[:, ::32, ::24], np.stack(job.project_nodes()))
    assert Path("in-and-out.png").stat().st_size > 50_000
    with rasterio.open("image_on_grid.tif") as image:
        inside = image.read(1)[1000:1040, 2000:2040]
    rows, cols = coordinates[:, 1000:1040, 2000:2040]
    assert np.abs(inside - demo_job.source_image(rows, cols)).max() < 0.02  # of an amplitude of 2.8
    exec(compile(windows, "README.md", "exec"), names)
    assert np.array_equal(names["coords"], coordinates[:, 1000:1512, 2000:2512])
    assert names["mask_at"].shape == (2,)


@pytest.mark.large
def test_the_tour(tmp_path, monkeypatch):
    """Each command prints what the README says, but for how long it took, and on how many threads."""
    monkeypatch.chdir(tmp_path)
    Path("demo-out").mkdir()
    demo_job.write_inputs(demo_job.make_job(), Path("demo-out"))
    lines = "\n".join(code_blocks("console")).splitlines()
    starts = [index for index, line in enumerate(lines) if line.startswith("$ ")]
    assert len(starts) == 6
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
        "grid.tif",
        "map.tif",
        "report.html",
        "valid.png",
        "valid.tif",
    }


def test_the_tables_of_the_bench_are_made_from_its_results():
    command = [sys.executable, "-m", "bench.run", "--table", "bench/results/2-cores.json"]
    done = subprocess.run(command, cwd=README.parent, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "reads and writes alone" in done.stdout


def test_how_fast_is_what_the_bench_found():
    result = json.loads((README.parent / "bench/results/2-cores.json").read_text())
    said = README.read_text().split("## How fast")[1].split("\n## ")[0]
    first = result["cases"][0]["medians"]
    for name in ("package-2", "densify-2"):
        assert f"{first[name]:.2f} s" in said
    assert f"{result['cases'][0]['ratios']['gridr-2/package-2']:.1f}" in said


def test_how_fast_it_resamples_is_what_the_bench_found():
    result = json.loads((README.parent / "bench/results/2-cores-shared.json").read_text())
    said = re.sub(r"\s+", " ", README.read_text().split("## How fast")[1].split("\n## ")[0])
    for contender, words in (("GRIDR", "takes"), ("GDAL", "exact warp"), ("cv2", "the maps that it needs")):
        ratios = [
            entry["ratio"]
            for entry in result["resampling"]
            if entry["case"] == "1 band" and entry["contender"].startswith(contender)
        ]
        assert f"{words} {min(ratios):.2g} to {max(ratios):.2g}" in said
    tiled = [entry for entry in result["resample_files"] if entry["source"] == "tiled"]
    assert all(0.9 < entry["ratio"] < 2.1 for entry in tiled)
    assert all(0.4 < entry["memory_of_budget"] < 0.6 for entry in tiled)


def test_the_readme_is_read_in_five_minutes():
    assert len(README.read_text().splitlines()) < 200


def code_blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), re.DOTALL)


def steady(line):
    """Return what a line says on any machine."""
    return "time" if re.fullmatch(r"time +[\d.]+ s, ([\d.]+ Mpx/s, \d+ threads|[\d,]+ evaluations)", line) else line
