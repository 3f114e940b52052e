"""Calls that run on one other thread while the next are prepared."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Done = TypeVar("Done")


def in_background(calls: Iterable[Callable[[], Done]]) -> Generator[Done, None, None]:
    """Make calls in order on one thread of their own, each while the next one is being prepared.

    Yields what they return, as soon as the next call is prepared. Two calls are never prepared ahead of the one that
    runs, so two sets of buffers are enough. What a call raises is raised here, with its own traceback, before another
    call is made; once it is at its end, or closed, no thread and no call that runs is left behind.
    """
    from rasterio.env import getenv, hasenv

    with ThreadPoolExecutor(1, thread_name_prefix="gridr_numba-writer") as thread:
        running: Future[Done] | None = None
        for call in calls:
            if running is not None:
                yield running.result()
            running = thread.submit(_in_environment, call, dict(getenv()) if hasenv() else {})
        if running is not None:
            yield running.result()


def _in_environment(call: Callable[[], Done], options: dict[str, Any]) -> Done:
    """Make a call with the caller's rasterio environment, which belongs to a thread."""
    from rasterio.env import Env

    with Env(**options):
        return call()
