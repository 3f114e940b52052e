"""The package as Python shows it to a user: names, types, `python -m`, reports, bars."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import rasterio
import tqdm.auto

import gridr_numba as gn

PACKAGE = Path(gn.__file__).parent


@pytest.fixture
def grid(rasters):
    rows, cols = np.meshgrid(np.arange(5.0), np.arange(6.0), indexing="ij")
    return rasters.reader(np.stack((rows, cols)), transform=rasterio.Affine.scale(2)).name


@pytest.fixture
def made(grid, tmp_path):
    """A call's arguments."""
    return {"grid": grid, "out": tmp_path / "dense.tif", "resolution": (3, 2)}


# -- names --------------------------------------------------------------------------------------------------------


def test_dir_shows_public_names_only():
    assert dir(gn) == sorted(gn.__all__)
    assert len(set(gn.__all__)) == len(gn.__all__)
    code = "import gridr_numba; assert dir(gridr_numba) == sorted(gridr_numba.__all__), dir(gridr_numba)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert {"Cause", "StrictError"} <= set(gn.__all__)


def test_every_public_name_has_a_home():
    assert set(gn._HOMES) | {"__version__"} == set(gn.__all__)


def test_python_m_is_the_command_line():
    def said(*arguments):
        done = subprocess.run([sys.executable, "-m", "gridr_numba", *arguments], capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    assert said("--version")[:2] == (0, f"gridr-numba, version {gn.__version__}\n")
    assert "Usage: python -m gridr_numba [OPTIONS] COMMAND" in said("--help")[1]
    assert said("info", "missing.tif") == (1, "", "Error: grid: there is no file 'missing.tif'\n")


# -- types --------------------------------------------------------------------------------------------------------

USERS = '''
from pathlib import Path
from typing import Any

import numpy as np

import gridr_numba
from gridr_numba import Cause, DensifyReport, GridrError, build_grid, densify


class Crs:
    """As rasterio's and pyproj's are."""

    def to_wkt(self, version: str | None = None) -> str:
        """Say it."""
        return ""


def make(folder: Path, like: str | None, window: list[list[int]]) -> DensifyReport:
    """What a user may write."""
    densify("grid.tif", folder / "dense.tif", resolution=(3, 2), like=like, progress=True)
    densify([folder / "rows.tif", "cols.tif"], "dense.tif", resolution=(3, 2), window=window)
    densify(("rows.tif", "cols.tif"), "dense.tif", resolution=(3, 2), window=((0, 3), (1, 4)), progress=print)
    densify(None, None, shape=(4, 5), resolution=(3, 2), mask_out=folder / "mask.tif", window=np.array(window))
    densify("grid.tif", "dense.tif", geometry_crs=4326)
    densify("grid.tif", "dense.tif", geometry_crs=("pixels", Crs()))
    densify("grid.tif", "dense.tif", geometry_crs=[None, "EPSG:4326"])
    build_grid((1, 1), np.zeros((2, 3, 3)), ((0, 1), (0, 1)), (3, 2), None)
    try:
        return densify("grid.tif", "dense.tif", resolution=(3, 2), valid=["a.geojson", folder / "b.wkt"])
    except GridrError as error:
        raise SystemExit(error.argument) from error


def look(report: DensifyReport) -> tuple[int, dict[str, int], int]:
    return report.valid_pixels, report.invalid_pixels, gridr_numba.Cause.NODE | Cause.RASTER_MASK


densify(3, "dense.tif", resolution=(3, 2))  # wrong: grid
densify("grid.tif", 4, resolution=(3, 2))  # wrong: out
densify("grid.tif", "dense.tif", resolution=(3, 2), like=5)  # wrong: like
densify("grid.tif", "dense.tif", resolution=(3, 2), window=6)  # wrong: window
densify("grid.tif", "dense.tif", resolution=(3, 2), mask=7)  # wrong: mask
densify("grid.tif", None, resolution=(3, 2), mask_out=8)  # wrong: mask_out
densify("grid.tif", "dense.tif", resolution=(3, 2), geometry_crs=3.5)  # wrong: geometry_crs
build_grid((1, 1), np.zeros((2, 3, 3)), "all", (3, 2), None)  # wrong: grid_target_win
'''


@pytest.mark.large  # not for the compiler: mypy takes seconds, and what it says does not depend on it
def test_a_users_file_passes_mypy_in_strict_mode_and_its_mistakes_do_not(tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "users.py").write_text(USERS)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", ".cache", "users.py"],
        cwd=tmp_path,
        env={key: value for key, value in os.environ.items() if not key.startswith("MYPY")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    found = {int(line): text for line, text in re.findall(r"^users\.py:(\d+): error: (.*)$", done.stdout, re.M)}
    wrong = {number for number, line in enumerate(USERS.splitlines(), 1) if "  # wrong" in line}
    assert set(found) == wrong, done.stdout + done.stderr
    assert all("has incompatible type" in text for text in found.values()), done.stdout


def test_the_wheel_says_that_it_has_types():
    assert (PACKAGE / "py.typed").is_file()


# -- reports ------------------------------------------------------------------------------------------------------


def test_a_report_is_short_in_words(made, tmp_path):
    report = gn.densify(**made, mask_out=tmp_path / "mask.tif")
    text = repr(report)
    assert text == (
        f"<DensifyReport: grid {tmp_path / 'dense.tif'}, verified; mask {tmp_path / 'mask.tif'}, verified; "
        "pixels 13 x 11, 143 valid (100.0 %)>"
    )
    alone = gn.densify(None, None, shape=(2, 2), resolution=(1, 1), mask_out=tmp_path / "m.tif", verify=False)
    assert repr(alone) == (f"<DensifyReport: mask {tmp_path / 'm.tif'}, not verified; pixels 2 x 2, 4 valid (100.0 %)>")
    assert pickle.loads(pickle.dumps(report)) == report


def test_a_reports_warnings_are_counted_in_words(made):
    report = gn.densify(**made)
    for number, ending in ((1, "; 1 warning>"), (2, "; 2 warnings>")):
        warned = type(report)(**{**vars(report), "warnings": ("what was seen",) * number})
        assert repr(warned).endswith(ending)


def test_a_report_is_a_table_in_a_notebook(made, tmp_path):
    report = gn.densify(**made, mask_out=tmp_path / "a<b>&c.tif")
    warned = type(report)(**{**vars(report), "warnings": ("bands < look > exchanged",)})
    shown = warned._repr_html_()
    assert shown.startswith("<table>")
    assert shown.endswith("</table>")
    assert "a&lt;b&gt;&amp;c.tif" in shown
    assert "bands &lt; look &gt; exchanged" in shown
    assert "<b>" not in shown
    assert "13 x 11, 143 valid (100.0 %)" in shown
    for name in ("grid", "mask", "pixels", "source", "time", "warning"):
        assert f"<th>{name}</th>" in shown
    assert "<th>warning</th>" not in report._repr_html_()


# -- progress -----------------------------------------------------------------------------------------------------


class Bar(tqdm.auto.tqdm):
    """Keeps what was shown."""

    made: ClassVar[list[Bar]] = []

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.made.append(self)
        self.closed = False

    def close(self):
        self.closed = True
        super().close()


@pytest.fixture
def bars(monkeypatch):
    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)
    monkeypatch.setattr(Bar, "made", [])
    return Bar.made


def chain(rasters, **options):
    out = rasters.writer((5, 5), np.uint8)
    gn.build_mask_chain((3, 3), (2, 2), out, np.uint8, None, None, None, np.float64, None, None, **options)


def test_progress_true_shows_tqdms_bar(bars, made, rasters, capfd):
    gn.densify(**made, progress=True)
    chain(rasters, progress=True, io_strip_size=1)
    grid_bar, mask_bar = bars
    assert (grid_bar.n, grid_bar.total, grid_bar.closed) == (13 * 11, 13 * 11, True)
    assert (mask_bar.n, mask_bar.total, mask_bar.closed) == (25, 25, True)
    shown = capfd.readouterr().err
    assert "143/143" in shown
    assert "px/s" in shown


@pytest.mark.parametrize("progress", [False, None])
def test_no_progress_shows_nothing(bars, made, capfd, progress):
    gn.densify(**made, progress=progress)
    assert bars == []
    assert capfd.readouterr().err == ""


def test_a_bar_is_closed_where_the_job_fails(bars, rasters, monkeypatch):
    monkeypatch.setattr(Bar, "update", lambda self, n: (_ for _ in ()).throw(KeyError("stop")))
    with pytest.raises(KeyError, match="stop"):
        chain(rasters, progress=True)
    assert [bar.closed for bar in bars] == [True]


def test_without_tqdm_a_bar_is_our_error_and_nothing_is_written(made, rasters, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(gn.GridrValueError, match=r"progress=True .* tqdm, which is not installed") as error:
        gn.densify(**made, progress=True)
    assert error.value.argument == "progress"
    with pytest.raises(gn.GridrValueError, match="tqdm"):
        chain(rasters, progress=True)
    assert not list(tmp_path.glob("*dense*"))
    gn.densify(**made)


def test_progress_is_a_callable_or_a_boolean(made):
    with pytest.raises(gn.GridrTypeError, match=r"progress must be .* not 1") as error:
        gn.densify(**made, progress=1)
    assert error.value.argument == "progress"


# -- warnings of others -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2])
def test_no_warning_of_a_file_without_a_place_for_files_of_our_own(made, tmp_path, threads):
    """The grid has a place; a mask made with `shape` has none, and is not asked for one."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gn.densify(**made, mask_out=tmp_path / "mask.tif", threads=threads)
        gn.densify(None, None, shape=(2, 2), resolution=(2, 2), mask_out=tmp_path / "alone.tif", threads=threads)
        gn.densify(
            None, None, shape=(2, 2), resolution=(2, 2), mask_out=tmp_path / "b.tif", verify=False, threads=threads
        )


def test_the_callers_warning_filters_are_as_before(tmp_path):
    before = list(warnings.filters)
    gn.densify(None, None, shape=(2, 2), resolution=(2, 2), mask_out=tmp_path / "alone.tif")
    assert warnings.filters == before
