"""What the doors that write files report, as lines, in notebooks and as JSON."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from typing import Any, ClassVar

import numpy as np
import rasterio

from .. import __version__
from ..engine.counts import Tally
from ..engine.job import Extent, Limits, Warnings
from ..kernels.jit import usable_threads
from ..types import Cause, Pair
from .stages import Stages


@dataclass(frozen=True, kw_only=True, repr=False)
class Report(ABC):
    """What a door that writes files made, and of what.

    Attributes
    ----------
    seconds : dict
        By stage.
    versions : dict
        Of the package and of what it computes with.
    verified : bool
        Whether the files were read back and compared before they replaced anything.
    warnings : tuple of str
        What looked wrong and was no error; it was logged too.
    inputs : dict
        The paths that were given, by the argument's name; each a list.
    options : dict
        The other arguments that were not as by default.
    """

    seconds: dict[str, float]
    versions: dict[str, str]
    verified: bool
    warnings: tuple[str, ...] = ()
    inputs: dict[str, list[str]] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    #: The lines that say enough where there is no room for all.
    _brief: ClassVar[tuple[str, ...]]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
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


@dataclass(frozen=True, kw_only=True, repr=False)
class DenseReport(Report):
    """What was made of a dense raster: pixels by cause.

    Attributes
    ----------
    mask : str or None
        The file.
    shape : tuple of int
        Rows and columns.
    valid_pixels : int
    invalid_pixels : dict
        By the `key` of each `Cause`. A pixel counts once, under its first cause.
    mpx_per_second : float
        Of the whole call.
    threads : int
    applied : dict
        To the stored values of the grid, in this order and as far as it changed them: ``scale`` and ``offset`` (row,
        column), ``displacement``, ``source_offset`` (row, column).
    resolution : tuple of int
        Dense pixels a node, along rows and columns.
    window : tuple
        The part of the dense raster that was made, ``((row_start, row_stop), (col_start, col_stop))``.
    """

    mask: str | None
    shape: Pair
    valid_pixels: int
    invalid_pixels: dict[str, int]
    mpx_per_second: float
    threads: int
    applied: dict[str, Any] = field(default_factory=dict)
    resolution: Pair = (1, 1)
    window: tuple[Pair, Pair] = ((0, 0), (0, 0))

    def _made_lines(self, name: str, path: str | None) -> Iterator[tuple[str, str]]:
        """Yield lines of the files, and of what was applied to the grid's stored values."""
        for what, file in ((name, path), ("mask", self.mask)):
            if file is not None:
                yield what, f"{file}, {'verified' if self.verified else 'not verified'}"
        if self.applied:
            yield "applied", ", ".join(applied_texts(self.applied))

    def _pixels_line(self, counted: int) -> tuple[str, str]:
        """Return a line of the valid pixels, of so many."""
        rows, cols = self.shape
        share = 100 * self.valid_pixels / counted
        return "pixels", f"{rows} x {cols}, {self.valid_pixels:,} valid ({share:.1f} %)"

    def _invalid_lines(self) -> Iterator[tuple[str, str]]:
        """Yield a line of the causes that there are, if any."""
        labels = {cause.key: cause.label for cause in Cause}
        if causes := [f"{labels[key]} {count:,}" for key, count in self.invalid_pixels.items() if count]:
            yield "invalid", ", ".join(causes)

    def _time_line(self) -> tuple[str, str]:
        """Return a line of how long it took."""
        return "time", f"{sum(self.seconds.values()):.2f} s, {self.mpx_per_second:.1f} Mpx/s, {self.threads} threads"


def of_dense(extent: Extent, counts: Tally, limits: Limits, warnings: Warnings, stages: Stages) -> dict[str, Any]:
    """Return what a `DenseReport` says of a job, but for its files and arguments."""
    window = extent.window
    height, width = window.shape
    return {
        "shape": (height, width),
        "valid_pixels": counts.valid,
        "invalid_pixels": {cause.key: count for cause, count in counts.invalid.items()},
        "seconds": stages.seconds,
        "mpx_per_second": height * width / 1e6 / sum(stages.seconds.values()),
        "threads": usable_threads(limits.threads),
        "versions": versions(),
        "warnings": tuple(warnings.messages),
        "resolution": extent.resolution,
        "window": ((window.row_start, window.row_stop), (window.col_start, window.col_stop)),
    }


def applied_texts(applied: Mapping[str, Any]) -> Iterator[str]:
    """Say what made coordinates of the stored values of a grid, step by step."""
    for name, value in applied.items():
        words = name.replace("_", " ")
        yield words if value is True else f"{words} {value[0]:.10g} {value[1]:.10g}"


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
