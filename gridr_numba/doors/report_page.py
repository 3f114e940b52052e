"""A report as one page: a picture, the causes, warnings, options, time. It asks nothing of the network."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from ..files.zarr import is_store_name
from ..types import VALID_COLOUR, Cause, Colour
from .preview import picture_of, picture_of_image
from .reports import Report

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --quiet: #888; --alarm: #b3261e }
@media (prefers-color-scheme: dark) { :root { --alarm: #ff9a8f } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; overflow-wrap: anywhere } h2 { font-size: 1.1rem; margin-top: 2rem }
img { max-width: 100%; min-width: 32rem; height: auto; margin: 1rem 0; border: 1px solid var(--line) }
table { border-collapse: collapse } .wide { overflow-x: auto }
th, td { text-align: left; vertical-align: top; padding: .25rem 1rem .25rem 0; border-bottom: 1px solid var(--line) }
th { font-weight: 600; white-space: nowrap } td { overflow-wrap: anywhere }
td.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }
.colour { display: inline-block; width: 1em; height: 1em; border: 1px solid #888; vertical-align: -.15em }
.warning { color: var(--alarm) } footer { color: var(--quiet); margin-top: 3rem; font-size: .85rem }
"""


def page_of(report: Report) -> str:
    """Return a report as a page of HTML, with a picture of the files that were made."""
    plain = report.to_dict()
    plain_name = plain.get("grid") or plain.get("image") or plain.get("mask")
    title = f"{type(report).__name__.removesuffix('Report')}: {plain_name}"
    parts = [
        _table(report.lines()),
        *_warnings(report.warnings),
        *_image(plain),
        *_causes(plain),
        *_section("Inputs", {name: ", ".join(paths) for name, paths in plain.get("inputs", {}).items()}),
        *_section("Options", plain.get("options", {})),
        *_section("Seconds", {stage: f"{seconds:.3f}" for stage, seconds in plain.get("seconds", {}).items()}),
        *_section("Versions", plain.get("versions", {})),
    ]
    version = escape(str(plain.get("versions", {}).get("gridr_numba", "")))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{escape(title)}</title><style>{_STYLE}</style></head>\n'
        f"<body><main><h1>{escape(title)}</h1>\n{chr(10).join(parts)}\n</main>"
        f"<footer>gridr_numba {version}</footer></body></html>\n"
    )


def _image(plain: Mapping[str, Any]) -> Iterator[str]:
    """Yield a picture of what was made, but for Zarr stores, which are not drawn."""
    if not any(is_store_name(plain.get(name)) for name in ("grid", "mask")):
        picture, said = _picture(plain)
        data = b64encode(picture).decode("ascii")
        yield f'<div class="wide"><img src="data:image/png;base64,{data}" alt="{escape(said)}"></div>'


def _picture(plain: Mapping[str, Any]) -> tuple[bytes, str]:
    if plain.get("image") is not None:
        return picture_of_image(plain["image"])
    values = plain.get("options", {}).get("mask_out_values")
    return picture_of(plain.get("grid"), plain.get("mask"), values[0] if isinstance(values, list) else 1)


def _table(lines: Any) -> str:
    rows = "".join(f"<tr><th>{escape(str(name))}</th><td>{escape(str(value))}</td></tr>" for name, value in lines)
    return f'<div class="wide"><table>{rows}</table></div>'


def _section(title: str, values: Mapping[str, Any]) -> Iterator[str]:
    if values:
        yield f"<h2>{title}</h2>"
        yield _table(values.items())


def _warnings(warnings: tuple[str, ...]) -> Iterator[str]:
    if warnings:
        yield "<h2>Warnings</h2>"
        yield f"<ul>{''.join(f'<li class=warning>{escape(text)}</li>' for text in warnings)}</ul>"


def _causes(plain: Mapping[str, Any]) -> Iterator[str]:
    """Yield a table of the pixels by what they are, with the colours that pictures give them."""
    if "invalid_pixels" not in plain:
        return
    counted = [("valid", "", VALID_COLOUR, plain["valid_pixels"])]
    counted += [(cause.label, cause.help, cause.colour, plain["invalid_pixels"].get(cause.key, 0)) for cause in Cause]
    total = sum(number for *_, number in counted) or 1
    rows = "".join(
        f"<tr><td>{_swatch(colour)}</td><th>{escape(label)}</th><td class=number>{number:,}</td>"
        f"<td class=number>{100 * number / total:.2f} %</td><td>{escape(help)}</td></tr>"
        for label, help, colour, number in counted
    )
    yield "<h2>Pixels, each under its first cause</h2>"
    yield f'<div class="wide"><table>{rows}</table></div>'


def _swatch(colour: Colour) -> str:
    return f'<span class="colour" style="background: rgb{colour}"></span>'
