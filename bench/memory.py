"""The memory of a process and its children, where Linux tells it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

_PROC = Path("/proc")
_INTERVAL = 0.005


@dataclass
class Peak:
    """MiB in use before, and at most since."""

    before: float
    peak: float


class PeakMemory:
    """Samples the memory of a process tree inside a ``with``: proportional shares, so that shared pages count once.

    Sampling takes time from what it watches (the kernel walks the page tables): runs that are timed go without.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.result = Peak(0.0, 0.0)

    def __enter__(self) -> PeakMemory:
        now = tree_memory(self._pid)
        self.result = Peak(now, now)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.is_set():
            self.result.peak = max(self.result.peak, tree_memory(self._pid))
            time.sleep(_INTERVAL)


def can_measure() -> bool:
    """Say whether this system tells the memory of processes."""
    return (_PROC / "self" / "smaps_rollup").exists()


def tree_memory(pid: int) -> float:
    """Return the MiB that a process and its descendants hold; those that end meanwhile count nothing."""
    return sum(_own_memory(member) for member in _tree(pid))


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for child in _read(_PROC / str(pid) / "task" / str(pid) / "children").split():
        yield from _tree(int(child))


def _own_memory(pid: int) -> float:
    for line in _read(_PROC / str(pid) / "smaps_rollup").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # it has ended
        return ""
