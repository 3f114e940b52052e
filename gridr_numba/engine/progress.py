"""How far a job is, said to a callable of the caller's or shown as tqdm's bar."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import GridrValueError
from ..types import Progress


@contextmanager
def progress_of(progress: Progress | bool | None, pixels: int) -> Iterator[Progress | None]:
    """Yield what to call after each window of so many pixels in all: a bar, for True; None where nobody is to know.

    Raises
    ------
    GridrValueError
        Where a bar is wanted and there is no tqdm.
    """
    if progress is True:
        with progress_bar(pixels) as advance:
            yield advance
    else:
        yield progress or None


@contextmanager
def progress_bar(pixels: int | None, **options: Any) -> Iterator[Progress]:
    """Show tqdm's bar, in a terminal or a notebook, and close it at last. A notebook's must know how many there are."""
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise GridrValueError(
            f"progress=True shows a bar of tqdm, which is not installed ({error}): pip install tqdm, or give a "
            "callable (pixels_done, pixels_total)",
            argument="progress",
        ) from error
    with tqdm(total=pixels, unit="px", unit_scale=True, **options) as bar:

        def advance(pixels_done: int, pixels: int) -> None:
            bar.total = pixels
            bar.update(pixels_done - bar.n)

        yield advance
