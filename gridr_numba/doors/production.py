"""Files made at their partial paths, verified, and put in their places: what every door that makes rasters does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..engine.job import Limits, Warnings
from ..errors import StrictError
from ..files.bands import Watch
from ..files.gdal import block_cache
from ..files.outputs import (
    Checksums,
    OutputFormat,
    check_space,
    partial_files,
    publish,
    publishing,
    warn_of_sidecars,
)
from ..kernels.jit import usable_threads
from .stages import Stages


@dataclass(frozen=True)
class Production:
    """The files that a door makes, in the order in which they are published, and how.

    Attributes
    ----------
    files : sequence of OutputFormat
    inputs : sequence of Path
        Which are not to be removed.
    overwrite : bool
        Whether anything else may be replaced.
    checksums : Checksums or None
        Of what is written; None reads nothing back.
    threads : int
        To read back with.
    memory_budget : int
        For GDAL's block cache.
    strict : bool
        Whether nothing is published where there is a warning.
    """

    files: Sequence[OutputFormat]
    inputs: Sequence[Path]
    overwrite: bool
    checksums: Checksums | None
    threads: int
    memory_budget: int
    strict: bool = False

    @classmethod
    def of(
        cls,
        files: Sequence[OutputFormat],
        inputs: Sequence[Path],
        limits: Limits,
        warn: Warnings,
        *,
        overwrite: bool,
        verify: bool,
        strict: bool,
    ) -> Production:
        """Find out whether there is room for the files, and warn of what lies beside them and speaks of others."""
        check_space(files)
        warn_of_sidecars(files, inputs, warn)
        checksums, used = Checksums() if verify else None, usable_threads(limits.threads)
        return cls(files, inputs, overwrite, checksums, used, limits.bounds.memory_budget, strict)

    @property
    def watch(self) -> Watch | None:
        """Told of each window as its file gets it; None where nothing is read back."""
        return None if self.checksums is None else self.checksums.watch

    def run(self, write: Callable[[], None], stages: Stages, warn: Warnings) -> None:
        """Have the files written, verify them, and put them in their places."""
        with partial_files(self.files):
            with stages("compute and write"):
                write()
                with block_cache.at_most(self.memory_budget):
                    for file in self.files:
                        file.close()
            with stages("check blocks" if self.checksums is None else "verify"):
                if self.checksums is None:
                    for file in self.files:
                        file.check()
                else:
                    self.checksums.verify(self.files, self.threads, self.memory_budget)
            with stages("publish"), publishing(self.files, warn):
                if self.strict and warn.messages:
                    raise StrictError(f"strict=True, and there is what to warn of: {' '.join(warn.messages)}")
                publish(self.files, self.inputs, overwrite=self.overwrite)
