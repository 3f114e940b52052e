"""Small files that appear whole or not at all: reports and pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .errors import DatasetError


@contextmanager
def whole_file(path: Path, name: str) -> Iterator[BinaryIO]:
    """Open a file beside `path` at once, which shows that it can be written; it replaces `path` when the block ends.

    Where the block raises, KeyboardInterrupt included, the file is removed and `path` is what it was.

    Raises
    ------
    DatasetError
        If the file cannot be written; the message starts with `name`.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        file = open(partial, "wb")  # noqa: SIM115 (it is closed below, and errors of the block are not its own)
    except OSError as error:
        raise DatasetError(f"{name}: {str(path)!r} cannot be written: {error.strerror}") from error
    try:
        with file:
            yield file
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
