"""The documentation site, as it was built into the folder that GRIDR_NUMBA_SITE names: in files, and in a browser."""

from __future__ import annotations

import base64
import io
import os
import re
import time
from html.parser import HTMLParser
from inspect import isfunction
from pathlib import Path

import browser
import numpy as np
import pytest
import rasterio

import gridr_numba
from gridr_numba.cli import main
from gridr_numba.doors import legend
from gridr_numba.doors.report_page import page_of

SITE = Path(os.environ.get("GRIDR_NUMBA_SITE", ""))
pytestmark = pytest.mark.skipif(
    "GRIDR_NUMBA_SITE" not in os.environ, reason="no site: GRIDR_NUMBA_SITE names the folder that it was built into"
)
DOCS = Path(__file__).parent.parent / "docs"
in_a_browser = pytest.mark.skipif(not (browser.CHROMIUM and browser.DRIVER), reason=browser.LACKING)


def pages():
    """Return the addresses of all pages that have a source, and of the pages that Sphinx adds."""
    written = [path.relative_to(DOCS).with_suffix(".html").as_posix() for path in sorted(DOCS.rglob("*.md"))]
    return [*written, "genindex.html", "search.html"]


class Loaded(HTMLParser):
    """What a page has a browser load, and its pictures."""

    def __init__(self, text):
        super().__init__()
        self.addresses, self.pictures = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag == "img":
            self.pictures.append(given)
        if tag == "link" and given.get("rel") in ("canonical", "next", "prev", "author", "index", "search"):
            return
        if tag in ("script", "img", "iframe", "source", "video", "audio", "object", "embed"):
            self.addresses += [value for key, value in given.items() if key in ("src", "srcset", "data") and value]
        elif tag == "link" and given.get("href"):
            self.addresses.append(given["href"])


@pytest.mark.parametrize("page", pages())
def test_a_page_asks_nothing_of_the_network(page):
    loaded = Loaded((SITE / page).read_text())
    assert [address for address in loaded.addresses if re.match(r"(\w+:)?//", address)] == []


def test_styles_ask_nothing_of_the_network():
    for sheet in SITE.rglob("*.css"):
        addresses = re.findall(r"(?:url\(|@import\s+)[\s\"']*([^\"')\s;]+)", sheet.read_text())
        assert [address for address in addresses if re.match(r"(https?:)?//", address)] == [], sheet.name


@pytest.mark.parametrize("page", pages())
def test_pictures_have_alternative_texts_and_sizes(page):
    for picture in Loaded((SITE / page).read_text()).pictures:
        assert len(picture.get("alt") or "") > 20, picture
        assert not (picture["alt"] or "").endswith((".png", ".svg")), picture
        assert {"width", "height"} <= picture.keys(), picture


def test_every_public_name_is_in_the_reference():
    text = (SITE / "reference/api.html").read_text()
    for name in set(gridr_numba.__all__) - {"__version__"}:
        assert f'id="gridr_numba.{name}"' in text, name


@pytest.mark.parametrize("name", ["lazy", "plot"])
def test_every_function_of_a_module_is_in_the_reference(name):
    text = (SITE / "reference/api.html").read_text()
    module = pytest.importorskip(f"gridr_numba.{name}")
    for each in vars(module).values():
        if isfunction(each) and each.__module__ == module.__name__ and not each.__name__.startswith("_"):
            assert f'id="{module.__name__}.{each.__name__}"' in text, each.__name__


def test_every_command_and_option_is_in_the_reference():
    text = (SITE / "reference/cli.html").read_text()
    for name, command in main.commands.items():
        assert f'<section id="{name}">' in text, name
        for option in (option for parameter in command.params for option in parameter.opts):
            assert not option.startswith("--") or option in text, option


def test_every_concept_has_a_figure():
    concepts = [page for page in pages() if page.startswith("concepts/") and not page.endswith("index.html")]
    assert len(concepts) == 7
    for page in concepts:
        assert Loaded((SITE / page).read_text()).pictures, page


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    with browser.serving(SITE) as root, browser.browsing(tmp_path_factory.mktemp("profile")) as opened:
        opened.root = root
        yield opened


@pytest.fixture(scope="module", params=pages())
def page(request):
    """Have all tests of a page run one after another: those that see it in one way open it once."""
    return request.param


def show(window, page, width=1400, scheme="light"):
    """Open a page so wide and in a colour scheme, unless it is what is shown; return what it asked for when opened."""
    if getattr(window, "shown", None) != (page, width, scheme):
        window.size(width, 1000)
        window.colour_scheme(scheme)
        window.asked, window.shown = window.open(f"{window.root}/{page}"), (page, width, scheme)
    return window.asked


def letters_of(file):
    """Return how high a picture's smallest letters are, in its own pixels: of a font's size, in CSS pixels."""
    from PIL import Image  # which matplotlib brings

    from gridr_numba import drawing

    with Image.open(file) as opened:
        said, picture = opened.info, np.asarray(opened.convert("RGB"))
    if "Points" in said:  # as docs/figures.py notes it
        return float(said["Points"]) / 72 * said["dpi"][0]
    if "matplotlib" in said.get("Software", ""):  # by `plot.save`
        return drawing.POINTS / 72 * said["dpi"][0]
    # By `preview`, whose letters are of pixels, seven of them for the 0.73 of a font's size that capitals have.
    ink = (picture == legend._INK).all(axis=-1)
    for scale in (1, 2, 3, 4):
        first = ink[6 * scale : 14 * scale : scale, 6 * scale : 11 * scale : scale]
        if any(np.array_equal(first, legend._LETTERS[letter]) for letter in "GMI"):  # Grid, Mask, Image
            return 7 * scale / 0.73
    raise AssertionError(f"{file} does not say how large its letters are")


# The contrast of the text with what is behind it, as WCAG counts it.
CONTRAST = """
const numbers = text => text.match(/[\\d.]+/g).map(Number);
const linear = v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
const behind = element => {
    for (let e = element; e; e = e.parentElement) {
        const colour = numbers(getComputedStyle(e).backgroundColor);
        if (colour.length < 4 || colour[3] > 0.9) return colour;
    }
    return [255, 255, 255];
};
return [...document.querySelectorAll('main p, main li, main td, main h1, main h2, main pre, main pre span')].map(e => {
    const [a, b] = [light(numbers(getComputedStyle(e).color)), light(behind(e))];
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.textContent.slice(0, 60)];
}).filter(([contrast, text]) => text.trim() && contrast < 4.5);
"""


@in_a_browser
@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_text_stands_out_in_light_and_dark(window, page, scheme):
    show(window, page, scheme=scheme)
    assert window.run("return document.documentElement.dataset.theme") == scheme
    assert window.run(CONTRAST) == []


@in_a_browser
def test_a_page_loads_without_errors_or_missing_files(window, page):
    asked = show(window, page)
    elsewhere = [address for address in asked if address.startswith("http") and not address.startswith(window.root)]
    assert elsewhere == []
    missing = [address for address, status in asked.items() if status is not None and status >= 400]
    assert missing == []
    assert window.complaints() == []
    broken = "return [...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.src)"
    window.run("document.querySelectorAll('img[loading=lazy]').forEach(i => i.loading = 'eager')")
    assert window.run(broken) == []


@in_a_browser
@pytest.mark.parametrize("width", [1400, 390])
def test_a_page_is_readable_at_a_width(window, page, width):
    """Nothing sticks out of the page, letters are not tiny, and pictures keep their proportions."""
    show(window, page, width)
    assert window.run("return document.documentElement.scrollWidth") <= width
    assert window.run("return parseFloat(getComputedStyle(document.querySelector('main')).fontSize)") >= 14
    for shown, natural in window.run(
        "return [...document.querySelectorAll('main img')].filter(i => i.offsetParent)"
        ".map(i => [i.clientWidth / i.clientHeight, i.naturalWidth / i.naturalHeight])"
    ):
        assert shown == pytest.approx(natural, rel=0.03)
    widest = "return Math.max(0, ...[...document.querySelectorAll('main img')].map(i => i.clientWidth))"
    assert window.run(widest) <= width


@in_a_browser
@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1400, "light")])
def test_letters_in_pictures_are_readable_at_a_width(window, page, width, scheme):
    show(window, page, width, scheme)
    shown = window.run(
        "return [...document.querySelectorAll('main img')].filter(i => i.offsetParent)"
        ".map(i => [i.src, i.clientWidth - parseFloat(getComputedStyle(i).paddingLeft) * 2, i.naturalWidth])"
    )
    assert len(shown) > 0 or not Loaded((SITE / page).read_text()).pictures
    for address, wide, natural in shown:
        assert letters_of(SITE / address.removeprefix(f"{window.root}/")) * wide / natural >= 9.0, address


# On how many lines a number stands.
LINES_OF_NUMBERS = """
return [...new Set([...document.querySelectorAll('td.number')].map(e => {
    const range = document.createRange();
    range.selectNodeContents(e);
    return range.getClientRects().length;
}))];
"""


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """Serve the report pages of `densify` and of `resample`."""
    folder = tmp_path_factory.mktemp("reports")
    i, j = np.mgrid[0:40, 0:60].astype(float)
    gridr_numba.make_grid(lambda rows, cols: (rows + 3, cols), folder / "grid.tif", shape=(390, 590), step=10)
    with rasterio.open(
        folder / "image.tif", "w", driver="GTiff", height=390, width=590, count=1, dtype="uint8"
    ) as made:
        made.write(np.hypot(*np.mgrid[:390, :590] / 4).astype(np.uint8), 1)
    with rasterio.open(folder / "mask.tif", "w", driver="GTiff", height=40, width=60, count=1, dtype="uint8") as made:
        made.write((np.hypot(i - 20, j - 30) > 9).astype(np.uint8), 1)
    grid, mask = folder / "grid.tif", folder / "mask.tif"
    dense = gridr_numba.densify(grid, folder / f"{'d' * 60}.tif", mask=mask, mask_out=folder / "valid.tif")
    image = gridr_numba.resample(folder / "image.tif", grid, folder / "out.tif", nodata=0)
    for name, report in (("densify", dense), ("resample", image)):
        (folder / f"{name}.html").write_text(page_of(report))
    with browser.serving(folder) as root:
        yield root


@in_a_browser
@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (390, "light"), (390, "dark")])
@pytest.mark.parametrize("name", ["densify", "resample"])
def test_a_report_page_asks_for_nothing_and_is_readable(window, reports, name, width, scheme):
    window.shown = None
    window.size(width, 1000)
    window.colour_scheme(scheme)
    address = f"{reports}/{name}.html"
    assert [each for each in window.open(address) if not each.startswith("data:")] == [address]
    assert window.complaints() == []
    assert window.run("return document.documentElement.scrollWidth") <= width
    assert window.run(LINES_OF_NUMBERS) == [1]
    assert window.run("return getComputedStyle(document.documentElement).colorScheme") == "light dark"
    if scheme == "light":
        assert window.run(CONTRAST) == []
    ((source, wide, natural),) = window.run(
        "return [...document.images].map(i => [i.src, i.clientWidth, i.naturalWidth])"
    )
    picture = io.BytesIO(base64.b64decode(source.partition(",")[2]))
    assert letters_of(picture) * wide / natural >= 9.0
    assert wide <= natural


@in_a_browser
def test_search_finds_threshold(window):
    window.shown = None
    window.open(f"{window.root}/search.html?q=threshold")
    found = []
    for _ in range(100):
        found = window.run("return [...document.querySelectorAll('#search-results li a')].map(a => a.textContent)")
        if any("threshold" in title for title in found):
            break
        time.sleep(0.1)
    assert any("threshold" in title for title in found), found
    assert window.complaints() == []
