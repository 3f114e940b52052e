"""Folders that one job at a time publishes to."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ..types import Warn

logger = logging.getLogger(__name__)

#: Seconds after which a job that waits for a folder says so.
PATIENCE = 5.0


@contextmanager
def locked(folders: Iterable[Path], warn: Warn) -> Iterator[None]:
    """Hold folders for this job, and wait while another job, of any process or thread, holds one of them.

    The folders themselves are locked: no lock file remains. All jobs take them in the order of their real paths, so no
    two wait for one another. Where a file system has no such locks, that is warned of.
    """
    held: list[os.stat_result] = []
    with ExitStack() as stack:
        for folder in sorted({os.path.realpath(folder) for folder in folders}):
            try:
                descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
                stack.callback(os.close, descriptor)
                identity = os.fstat(descriptor)
                if any(os.path.samestat(identity, other) for other in held):
                    continue  # one folder under two names, where a file system is mounted twice
                _lock(descriptor, folder)
                stack.callback(_unlock, descriptor)
                held.append(identity)
            except (ImportError, OSError) as error:
                reason = getattr(error, "strerror", error)
                warn(
                    f"{folder!r} cannot be locked ({reason}): two jobs that publish the same files at once may "
                    "leave one's grid and the other's mask"
                )
        yield


def _lock(descriptor: int, folder: str) -> None:
    import fcntl  # Unix alone has it

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        waiting = threading.Timer(PATIENCE, logger.warning, ("waits for a program that holds a lock on %r", folder))
        waiting.start()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        finally:
            waiting.cancel()


def _unlock(descriptor: int) -> None:
    """Unlock, also where a process that was forked meanwhile has the descriptor too."""
    import fcntl

    fcntl.flock(descriptor, fcntl.LOCK_UN)
