"""How kernels are compiled and launched.

Never fork a process that has launched a kernel: the OpenMP threading layer hangs in the child. The package itself
starts no processes.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])

# The workqueue threading layer aborts the process when two threads launch parallel kernels at the same time; the other
# layers would only run more threads than there are cores. So one launch at a time, whatever the layer.
_LAUNCH_LOCK = threading.Lock()

_warned = False


def kernel(*, parallel: bool = False) -> Callable[[Function], Function]:
    """Compile a function without the GIL, kept in numba's cache; with one warning, uncached where no cache can be.

    Helpers stand in the same file as the kernels that call them: a cached caller would keep the old code of a helper
    that was edited elsewhere.
    """

    def compile_lazily(function: Function) -> Function:
        options = {"parallel": parallel, "nogil": True, "error_model": "numpy"}
        uncached = numba.njit(**options)(function)
        try:
            cached = numba.njit(cache=True, **options)(function)
        except RuntimeError as error:
            # Numba finds no writable place for its cache. It is not pointed to a world-writable one: a cache entry is a
            # pickle, and whoever can write it can run code.
            _warn_once(str(error))
            return uncached  # type: ignore[no-any-return]

        @wraps(function)
        def call(*arguments: Any) -> Any:
            nonlocal cached
            try:
                return cached(*arguments)
            except Exception as error:  # whatever unpickling a damaged cache raises; kernels themselves raise nothing
                if cached is uncached:
                    raise
                cached = uncached
                _warn_once(f"{type(error).__name__}: {error}")
                return cached(*arguments)

        call.dispatcher = cached  # type: ignore[attr-defined]
        return call  # type: ignore[return-value]

    return compile_lazily


def _warn_once(reason: str) -> None:
    global _warned
    if _warned:
        return
    _warned = True
    warnings.warn(
        f"numba's cache cannot be used ({reason}): kernels are compiled anew in each process. "
        "Set NUMBA_CACHE_DIR to a folder that only you can write, or empty the damaged one.",
        RuntimeWarning,
        stacklevel=3,
    )


def helper(function: Function) -> Function:
    """Compile a function for kernels of the same file to call: without a cache, and without what Python calls need.

    The cached kernel holds the code of its helpers; a cache and wrappers for each would triple the time to compile.
    """
    jit = numba.njit(nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
    return jit(function)  # type: ignore[no-any-return]


@contextmanager
def launch(threads: int | None) -> Iterator[None]:
    """Launch kernels inside with so many threads (None: all that the process may use), one caller at a time.

    Numba's thread count belongs to the calling thread: it is as before when the block ends.
    """
    with _LAUNCH_LOCK:
        before = numba.get_num_threads()
        numba.set_num_threads(usable_threads(threads))
        try:
            yield
        finally:
            numba.set_num_threads(before)


def usable_threads(threads: int | None) -> int:
    """Return how many threads `launch` uses where so many are asked for."""
    available: int = numba.config.NUMBA_NUM_THREADS
    return available if threads is None else min(threads, available)
