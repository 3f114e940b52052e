"""Seconds of a call, by stage."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stages:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time what is inside, and add it to what the stage took before."""
        start = time.perf_counter()
        yield
        seconds = self.seconds.get(stage, 0.0) + time.perf_counter() - start
        self.seconds[stage] = round(seconds, 6)
