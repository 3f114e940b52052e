"""How much memory there is for a job, and what to say where there is not enough.

A job that asks first fails before it has written anything, and can say what it would need. The kernel's killer of
processes that take too much, and the libraries that abort where an allocation fails, can do neither.
"""

from __future__ import annotations

from pathlib import Path

# For what the libraries allocate beside: threads' stacks, GDAL's compression, Python itself.
_RESERVE = 32 << 20


def memory_beside(needed: int, what: str) -> int:
    """Return how many bytes are left for caches beside what is needed.

    Raises
    ------
    MemoryError
        If there is not enough, saying what is needed and what there is.
    """
    available = available_memory()
    if needed + _RESERVE > available:
        raise MemoryError(f"{what} need {in_mb(needed + _RESERVE)} of memory, and {in_mb(available)} are available")
    return available - needed - _RESERVE // 2


def in_mb(size: int) -> str:
    """Write a number of bytes for people."""
    return f"{size / 1e6:.1f} MB" if size < 100e6 else f"{size / 1e6:.0f} MB"


def available_memory() -> int:
    """Return the bytes that this process can still take, a very large number where the system does not tell.

    The machine's, and what is left of the process's limit of address space (``ulimit -v``), as batch systems set it.
    """
    return min(_machines_memory(), _rest_of_address_space())


_UNKNOWN = 1 << 62


def _machines_memory() -> int:
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return _UNKNOWN


def _rest_of_address_space() -> int:
    try:
        import resource
    except ImportError:  # not Unix
        return _UNKNOWN
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return _UNKNOWN
    for line in _lines("/proc/self/statm"):
        return max(0, limit - int(line.split()[0]) * resource.getpagesize())
    return _UNKNOWN


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
