"""Small files that appear whole or not at all: reports and pictures."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..errors import DatasetError
from .partial import PartialFile


@contextmanager
def whole_file(path: Path, name: str, *, overwrite: bool = True) -> Iterator[BinaryIO]:
    """Take what is to be written to `path`, and put it there in one step when the block ends.

    That it can be written is found out before the block: an empty file is made beside it. Where the block raises,
    KeyboardInterrupt included, that is removed and `path` is what it was.

    Raises
    ------
    DatasetError
        If the file cannot be written, or is there and may not be replaced; the message starts with `name`.
    """
    content = io.BytesIO()
    with _named_errors(path, name):
        partial = PartialFile(path)
    try:
        with _named_errors(path, name):
            partial.path.write_bytes(b"")
            partial.created()
        yield content
        with _named_errors(path, name):
            with open(partial.path, "wb") as file:
                file.write(content.getvalue())
                file.flush()
                os.fsync(file.fileno())
            partial.put(overwrite=overwrite)
    except BaseException:  # Ctrl-C too: what is not whole goes, whatever ends the block
        partial.remove()
        raise


@contextmanager
def _named_errors(path: Path, name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DatasetError(f"{name}: {str(path)!r} cannot be written: {error.strerror}", argument=name) from error
