"""What is made when it is asked for: its open files, what it takes to open them anywhere, and whether they changed."""

from __future__ import annotations

import hashlib
import os
import pickle
import threading
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Generic, NamedTuple, Protocol, Self, TypeVar

from rasterio.env import env_ctx_if_needed

from ..engine.job import MaskRules
from ..errors import DatasetError, GridrValueError
from ..polygons.mask import PolygonMask
from ..types import AnyDtype, Pair
from .dense_inputs import DenseArguments, DenseInputs, rasters_of
from .in_arrays import ArraysOut, job_in_arrays
from .placement import Placement, Sources


@dataclass(frozen=True)
class Recipe:
    """All that a densifier is, files apart: what travels where it is pickled."""

    given: DenseArguments
    place: Placement
    polygons: PolygonMask | None
    rules: MaskRules
    outputs: ArraysOut
    stamps: tuple[Stamp, ...]
    threads: int | None

    @classmethod
    def of(cls, dense: DenseInputs, given: DenseArguments, outputs: ArraysOut, threads: int | None) -> Recipe:
        """Take what was checked, and look at the files that reads will need."""
        rasters = {"grid": dense.sources.rows, "grid[1]": dense.sources.cols, "mask": dense.sources.mask}
        stamps = [
            stamp
            for name, raster in rasters.items()
            if raster is not None
            for stamp in Stamp.of_all(raster.files, name)
        ]
        rules, polygons = dense.rules(outputs.grid), dense.inputs.polygons
        return cls(_of_rasters(given), dense.place, polygons, rules, outputs, tuple(stamps), threads)

    def opened(self) -> Opened:
        """Open the files that are read, for one read at a time."""
        with ExitStack() as stack:
            given, no_images = self.given, (None, None)
            sources = Sources.opened(stack, given.grid, given.mask, *no_images, allow_vrt=given.allow_vrt)
            inputs = replace(rasters_of(sources, given, self.place.extent.node_shape), polygons=self.polygons)
            job = job_in_arrays(self.place.extent, inputs, self.rules, self.outputs)
            return Opened(job, stack.pop_all())


@dataclass(frozen=True)
class Stamp:
    """A file as it was when it was opened first."""

    path: str
    argument: str
    size: int
    modified_ns: int

    @classmethod
    def of(cls, path: str, argument: str) -> Stamp:
        """Look at a file."""
        try:
            status = os.stat(path)
        except OSError as error:
            raise DatasetError(f"{argument}: {path!r} cannot be read: {error.strerror}", argument=argument) from error
        return cls(path, argument, status.st_size, status.st_mtime_ns)

    @classmethod
    def of_all(cls, paths: Iterable[str], argument: str) -> list[Stamp]:
        """Look at the files of an input."""
        return [cls.of(os.path.abspath(path), argument) for path in paths]

    def check(self) -> None:
        """Refuse a file that has changed."""
        if (now := Stamp.of(self.path, self.argument)) != self:
            raise DatasetError(
                f"{self.argument}: {self.path!r} has changed since it was first opened: it had {self.size:,} "
                f"bytes of {self.modified_ns} ns after 1970, and has {now.size:,} of {now.modified_ns}; open it anew",
                argument=self.argument,
            )


class Opened(NamedTuple):
    """What makes windows of a recipe, with its files open."""

    job: Any
    files: ExitStack


class AnyRecipe(Protocol):
    """All that something is which is made when it is asked for, files apart: what travels where it is pickled."""

    @property
    def place(self) -> Placement:
        """Which raster is made."""

    @property
    def outputs(self) -> ArraysOut:
        """What is made beside an image, if one is: its mask, and coordinates."""

    @property
    def stamps(self) -> tuple[Stamp, ...]:
        """The files that are read."""

    def opened(self) -> Opened:
        """Open the files that are read, for one read at a time."""


class FilePool:
    """The open files of a recipe, each set lent to one read at a time.

    A process that was forked leaves its parent's alone: the two would share the place in a file.
    """

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._closed = False
        self._free: dict[int, deque[Opened]] = {}

    @contextmanager
    def job(self, recipe: AnyRecipe) -> Iterator[Any]:
        """Lend what makes windows, whose files are as they were."""
        if self._closed:
            raise GridrValueError(f"the {self._owner} is closed")
        for stamp in recipe.stamps:
            stamp.check()
        free = self._free.setdefault(os.getpid(), deque())
        try:
            opened = free.pop()
        except IndexError:
            # With an environment around, datasets do not enter one of this thread's own, which no other could leave.
            with env_ctx_if_needed():
                opened = recipe.opened()
        try:
            yield opened.job
        finally:
            free.append(opened)
            if self._closed:
                self.close()

    def close(self) -> None:
        """Close what is not lent; what is will be when it comes back."""
        self._closed = True
        free = self._free.get(os.getpid(), deque())
        with suppress(IndexError):
            while True:
                free.pop().files.close()


RecipeT = TypeVar("RecipeT", bound=AnyRecipe)


class OnDemand(Generic[RecipeT]):
    """A raster and its mask, of which any window is made when it is asked for.

    Threads may share it, and it can be pickled: its recipe travels, and files are opened where they are first needed.
    """

    def __init__(self, recipe: RecipeT | bytes) -> None:
        self._given, self._loading = recipe, threading.Lock()
        self._pool = FilePool(type(self).__name__.lower())
        # Not at a thread's exit: rasterio's own environment of that thread may be gone by then.
        self._finalizer = weakref.finalize(self, self._pool.close)

    @property
    def _recipe(self) -> RecipeT:
        """What to make. Where it arrived pickled, it is unpickled when it is needed: a scheduler passes it on."""
        with self._loading:
            if isinstance(self._given, bytes):
                self._given = pickle.loads(self._given)
            recipe: Any = self._given
        return recipe  # type: ignore[no-any-return]

    @property
    def shape(self) -> Pair:
        """Rows and columns."""
        return self._recipe.place.extent.window.shape

    @property
    def crs(self) -> Any:
        """As rasterio has it; None where the inputs have none."""
        return self._recipe.place.crs

    @property
    def transform(self) -> Any:
        """From pixel corners to the map; None where the inputs have none."""
        return self._recipe.place.transform

    @property
    def mask_dtype(self) -> AnyDtype:
        """Of the mask."""
        return self._recipe.outputs.mask.dtype

    def close(self) -> None:
        """Close all files; a read that is still under way closes its own. Nothing can be read afterwards."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._given if isinstance(self._given, bytes) else pickle.dumps(self._given),)

    def __dask_tokenize__(self) -> tuple[str, str]:
        """Say what it makes, so that lazy arrays of the same have the same name."""
        return f"gridr_numba.{type(self).__name__}", hashlib.sha256(pickle.dumps(self._recipe)).hexdigest()


def recipe_of(made: OnDemand[RecipeT]) -> RecipeT:
    """Return what it takes to make a raster, for doors that write the whole of it."""
    return made._recipe


def _of_rasters(given: DenseArguments) -> DenseArguments:
    """Return what it takes to open the rasters again, wherever that is."""
    reading = ("grid_order", "row_band", "col_band", "displacement", "source_offset", "grid_nodata", "mask_band")
    kept = {name: getattr(given, name) for name in (*reading, "mask_valid_value", "allow_vrt")}
    return DenseArguments(grid=absolute(given.grid), mask=absolute(given.mask), **kept)


def absolute(path: Any) -> Any:
    """Return the absolute path of a file, or of a pair of files."""
    if path is None:
        return None
    return os.path.abspath(path) if isinstance(path, str | os.PathLike) else tuple(os.path.abspath(p) for p in path)
