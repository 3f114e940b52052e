"""Small files that appear whole or not at all: reports and pictures."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..errors import DatasetError


def partial_path(path: Path) -> Path:
    """Return where a file is made before it is whole: beside `path`, in this process's name."""
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


@contextmanager
def whole_file(path: Path, name: str) -> Iterator[BinaryIO]:
    """Take what is to be written to `path`, which it replaces in one step when the block ends.

    That it can be written is found out before the block: an empty file is made beside it. Where the block raises,
    KeyboardInterrupt included, that is removed and `path` is what it was.

    Raises
    ------
    DatasetError
        If the file cannot be written; the message starts with `name`.
    """
    partial = partial_path(path)
    content = io.BytesIO()
    try:
        with _named_errors(path, name):
            partial.write_bytes(b"")
        yield content
        with _named_errors(path, name):
            with open(partial, "wb") as file:
                file.write(content.getvalue())
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
    except BaseException:  # Ctrl-C too: what is not whole goes, whatever ends the block
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def _named_errors(path: Path, name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DatasetError(f"{name}: {str(path)!r} cannot be written: {error.strerror}", argument=name) from error
