"""What a grid that `make_grid` made says of itself in a tag: its resolution, and of which target it is."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from .. import checks
from ..engine.job import GridIn
from ..errors import GridrValueError
from ..files.inputs import OpenRaster
from ..types import Pair, Warn

#: The tag, of the dataset.
GRID_TAG = "GRIDR_NUMBA_GRID"

Coefficients = tuple[float, ...]


@dataclass(frozen=True)
class GridTag:
    """The tag's content. Transforms are six coefficients, or None where there is none.

    Attributes
    ----------
    resolution : tuple of int
        Target pixels a node along rows and columns.
    target_shape, target_transform
        Of the raster that the grid is for.
    node_shape, node_transform
        Of the grid itself: where the file's are others, it was cut or resampled, and the tag is no longer true.
    model : str
        What the mapping is of.
    """

    resolution: Pair
    target_shape: Pair
    target_transform: Coefficients | None
    node_shape: Pair
    node_transform: Coefficients | None
    model: str

    @classmethod
    def of(cls, grid: OpenRaster | None, warn: Warn) -> GridTag | None:
        """Read the tag of a grid; None where there is none, or, with a warning, where it is not of this file."""
        text = None if grid is None else grid.tags().get(GRID_TAG)
        if grid is None or text is None:
            return None
        tag = cls._read(text)
        place = None if grid.transform.is_identity else tuple(grid.transform)[:6]
        if tag is None or (tag.node_shape, tag.node_transform) != (tuple(grid.shape), place):
            why = "is of a grid of another shape or place: this one was changed" if tag else "cannot be understood"
            warn(f"the tag {GRID_TAG} of {grid.name!r} {why}; it is ignored")
            return None
        return tag

    @classmethod
    def _read(cls, text: str) -> GridTag | None:
        try:
            said: dict[str, Any] = json.loads(text)
            said = {key: tuple(value) if isinstance(value, list) else value for key, value in said.items()}
            tag = cls(**said)
            for pair in (tag.resolution, tag.target_shape, tag.node_shape):
                checks.integer_pair(pair, "tag", minimum=1)
        except (TypeError, ValueError, AttributeError):
            return None
        return tag

    def text(self) -> str:
        """Return the tag: numbers come back to the bit."""
        return json.dumps(asdict(self))

    def check(self, grid_order: object, displacement: object, grid_in: GridIn | None) -> None:
        """Refuse what would read this grid as another one.

        Raises
        ------
        GridrValueError
        """
        exchanged = grid_in is not None and [band.number for band in grid_in.bands] != [1, 2]
        for name, wrong in (
            ("grid_order", grid_order != "row_col"),
            ("displacement", bool(displacement)),
            ("row_band", exchanged),
        ):
            if wrong:
                raise GridrValueError(
                    f"{name} must not be given: the grid's tag says that its bands are source rows and source columns",
                    argument=name,
                )


def resolution_of(given: object, tag: GridTag | None) -> Pair:
    """Take the resolution that is given, or else the tag's."""
    if given is None:
        if tag is None:
            raise GridrValueError(
                "resolution must be given, as (along rows, along columns) or one integer for both; only a grid of "
                "make_grid says its own",
                argument="resolution",
            )
        return tag.resolution
    pair = checks.one_or_two_resolutions(given, "resolution")
    if tag is not None and pair != tag.resolution:
        raise GridrValueError(
            f"resolution must be {tag.resolution}, as the grid says in its tag, or not given; not {given!r}",
            argument="resolution",
        )
    return pair


def target_of_tag(tag: GridTag, like: Any) -> Pair:
    """Return the shape of the target; an image that is given must have it."""
    if like is not None and tuple(like.shape) != tag.target_shape:
        raise GridrValueError(
            f"like must have the shape of the grid's target, {tag.target_shape}, and {like.name!r} has {like.shape}",
            argument="like",
        )
    return tag.target_shape
