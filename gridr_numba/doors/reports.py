"""What the doors that write files report, as lines, in notebooks and as JSON."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from html import escape
from typing import Any, ClassVar

import numpy as np
import rasterio

from .. import __version__
from ..types import Cause


class Report(ABC):
    """What a report's own lines become; the report itself is a frozen dataclass, without its `repr`."""

    warnings: tuple[str, ...]

    #: The lines that say enough where there is no room for all.
    _brief: ClassVar[tuple[str, ...]]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))  # type: ignore[call-overload]
        return plain

    def to_text(self) -> str:
        """Return lines for people."""
        return "\n".join(f"{name:8} {text}" for name, text in self._lines())

    def __repr__(self) -> str:
        said = [f"{name} {text}" for name, text in self._lines() if name in self._brief]
        if number := len(self.warnings):
            said.append(f"{number} warning{'s' if number > 1 else ''}")
        return f"<{type(self).__name__}: {'; '.join(said)}>"

    def _repr_html_(self) -> str:
        """Return a table: what notebooks show."""
        lines = [*self._lines(), *(("warning", text) for text in self.warnings)]
        rows = (f"<tr><th>{name}</th><td>{escape(text)}</td></tr>" for name, text in lines)
        return f"<table>{''.join(rows)}</table>"

    def lines(self) -> list[tuple[str, str]]:
        """Return what each line is about, and what it says."""
        return list(self._lines())

    @abstractmethod
    def _lines(self) -> Iterator[tuple[str, str]]:
        """Yield what each line is about, and what it says."""


def applied_texts(applied: Mapping[str, Any]) -> Iterator[str]:
    """Say what made coordinates of the stored values of a grid, step by step."""
    for name, value in applied.items():
        words = name.replace("_", " ")
        yield words if value is True else f"{words} {value[0]:.10g} {value[1]:.10g}"


def made_lines(
    files: Mapping[str, str | None], applied: Mapping[str, Any], *, verified: bool
) -> Iterator[tuple[str, str]]:
    """Yield lines of what was made, and of what was applied to the grid's stored values."""
    for name, path in files.items():
        if path is not None:
            yield name, f"{path}, {'verified' if verified else 'not verified'}"
    if applied:
        yield "applied", ", ".join(applied_texts(applied))


def invalid_lines(invalid_pixels: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Yield a line of the causes that there are, if any."""
    labels = {cause.key: cause.label for cause in Cause}
    if causes := [f"{labels[key]} {count:,}" for key, count in invalid_pixels.items() if count]:
        yield "invalid", ", ".join(causes)


def time_line(seconds: Mapping[str, float], mpx_per_second: float, threads: int) -> tuple[str, str]:
    """Return a line of how long it took."""
    return "time", f"{sum(seconds.values()):.2f} s, {mpx_per_second:.1f} Mpx/s, {threads} threads"


def span(pair: Sequence[float]) -> str:
    """Say a range of coordinates."""
    return f"{pair[0]:.10g} to {pair[1]:.10g}"


def versions() -> dict[str, str]:
    """Return the versions of the package and of what it computes with."""
    return {
        "gridr_numba": __version__,
        "gdal": rasterio.__gdal_version__,
        **{module.__name__: module.__version__ for module in (np, rasterio)},
    }
