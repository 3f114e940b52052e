"""A report as a page: what it says is what the report says, and it asks nothing of the network."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner

import gridr_numba as gn
from gridr_numba.cli import main
from gridr_numba.doors.report_page import page_of
from gridr_numba.types import Cause


class Page(HTMLParser):
    """The tags of a page with their attributes, and its words."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.open = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "link", "img", "!doctype"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    i, j = np.mgrid[0:6, 0:7].astype(float)
    profile = {"driver": "GTiff", "height": 6, "width": 7}
    with rasterio.open("g<&>.tif", "w", count=2, dtype="float64", **profile) as dataset:
        dataset.write(np.stack([5 * i + 0.1 * j, 5 * j]))
    with rasterio.open("m.tif", "w", count=1, dtype="uint8", **profile) as dataset:
        dataset.write((j < 5).astype(np.uint8), 1)
    return tmp_path


def check(text):
    page = Page(text)
    assert not page.open  # each tag is closed
    assert not re.search(r"(src|href)=.?(https?:)?//", text)
    assert "url(" not in text
    assert "<script" not in text
    ((_, image),) = [(tag, attributes) for tag, attributes in page.tags if tag == "img"]
    kind, data = image["src"].split(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(data).startswith(b"\x89PNG")
    assert len(image["alt"]) > 20
    return page, " ".join(page.words)


def test_a_page_says_what_the_report_says(files):
    report = gn.densify("g<&>.tif", "out.tif", resolution=5, mask="m.tif", mask_out="v.tif", invalid=[])
    page, words = check(page_of(report))
    assert f"{report.valid_pixels:,}" in words
    for cause in Cause:
        assert cause.label in words
        assert cause.help in words
    assert f"{report.invalid_pixels['raster_mask']:,}" in words
    for text in (*report.warnings, "g<&>.tif", "gdal"):
        assert text in words
    assert report.warnings
    for stage in report.seconds:
        assert stage in words
    assert "resolution" in words
    assert ("html", {"lang": "en"}) in page.tags


def test_a_mask_alone_and_a_coarse_grid_have_pages_too(files):
    mask = gn.densify(None, None, resolution=5, mask="m.tif", mask_out="v.tif", mask_out_values=(7, 9))
    check(page_of(mask))
    grid = gn.make_grid(lambda rows, cols: (2 * rows, cols), "coarse.tif", shape=(50, 60))
    _, words = check(page_of(grid))
    assert "coarse.tif" in words


def test_a_store_has_a_page_without_a_picture(files):
    pytest.importorskip("zarr", minversion="3.0.8", reason="Zarr stores need zarr 3")
    report = gn.densify("g<&>.tif", "out.zarr", resolution=5)
    text = page_of(report)
    assert "<img" not in text
    assert "out.zarr" in text
    assert f"{report.valid_pixels:,}" in text


def test_the_command_line_writes_pages_by_the_suffix(files):
    done = CliRunner().invoke(
        main, ["densify", "g<&>.tif", "o.tif", "-r", "5", "--report", "r.html"], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    check((files / "r.html").read_text())
    again = CliRunner().invoke(
        main, ["densify", "g<&>.tif", "p.tif", "-r", "5", "--report", "r.html"], catch_exceptions=False
    )
    assert again.exit_code == 2
    assert not (files / "p.tif").exists()
