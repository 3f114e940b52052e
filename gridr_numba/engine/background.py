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


class Ahead:
    """One call at a time that runs on another thread, and whose result is taken later.

    What the call raises is raised where its result is taken. Once it is closed, no thread and no call is left behind.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="gridr_numba-reader")
        self._running: Future[Any] | None = None

    def start(self, call: Callable[[], Any]) -> None:
        """Start a call, when the one before it is done."""
        from rasterio.env import getenv, hasenv

        self._running = self._thread.submit(_in_environment, call, dict(getenv()) if hasenv() else {})

    def take(self) -> Any:
        """Wait for the call that was started last, and return what it returned."""
        running, self._running = self._running, None
        return None if running is None else running.result()

    def close(self) -> None:
        """Wait for what runs."""
        self._thread.shutdown(cancel_futures=True)


def _in_environment(call: Callable[[], Done], options: dict[str, Any]) -> Done:
    """Make a call with the caller's rasterio environment, which belongs to a thread."""
    from rasterio.env import Env

    with Env(**options):
        return call()
