"""How kernels are compiled, and who runs them: serial or parallel is decided here, and here alone.

Kernels are compiled without numba's `parallel`, with which a loop's body is compiled five times over, and once only:
serial and parallel runs are the same machine code. There are two ways to have the work done by several threads.

`share` lets Python threads take parts of the work from one iterator. The calling thread is one of them, and waits for
no other that has not begun: on a machine that is busy with something else it does the work alone, at no loss. So it is
the way for what takes a millisecond or two, such as a window's polygons; callers do not wait for one another, and the
process may fork.

`team` is numba's parallel loop, for what takes longer: one launch for a whole window. A kernel is given the address of
a loop and hands its pieces to `run_pieces`. `SERIAL` runs them in the calling thread. What `team` yields is the address
of `run_in_parallel`, the only function here that holds a ``prange``: it is given a piece as an address too, and so it
is compiled once for all kernels. A serial run starts no threading layer and takes no lock. Never fork a process that
has used the parallel loop: the OpenMP threading layer hangs in the child. The package itself starts no processes.

*What of numba's internals this relies on*, all of it below "pieces by address". A compiled function is, to LLVM, one
that takes its arguments by numba's calling convention (``context.call_conv``: the address of the result, that of an
error, then the arguments) and returns a status. `_define_piece` writes such a function, which loads a kernel's
arguments from an address and calls a helper with them; `_call_piece` calls one, and returns early with its status if
that is an error. The address of `run_in_parallel` is that of its C wrapper, which any code may call. Besides, a cached
kernel has a stamp, with which numba tells that its source was edited; and of an array whose `meminfo` is null, as it is
of one that `borrowed` returns, numba counts no references.
"""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, update_wrapper
from pathlib import Path
from typing import Any, TypeVar

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

Function = TypeVar("Function", bound=Callable[..., Any])

_LOGGER = logging.getLogger(__name__)

#: In place of a parallel loop's address: the pieces are run one after another in the calling thread.
SERIAL = 0

# The workqueue threading layer aborts the process when two threads launch parallel kernels at the same time; the other
# layers would only run more threads than there are cores. So one launch at a time, whatever the layer.
_LAUNCH_LOCK = threading.Lock()

# About what all kernels together take to compile.
_SECONDS_TO_COMPILE = 20

_said: set[str] = set()  # what is said once a process


# -- compiling ----------------------------------------------------------------------------------------------------


def kernel(function: Callable[..., Any]) -> Kernel:
    """Compile a function without the GIL, kept in numba's cache; with one warning, uncached where no cache can be.

    A kernel holds the code of its helpers: what is cached is as good as the newest file in this folder is old, and
    helpers stand nowhere else.
    """
    return Kernel(function)


class Kernel:
    """A function that is compiled, or loaded from numba's cache, when it is first called.

    Attributes
    ----------
    dispatcher : numba.core.dispatcher.Dispatcher
        Or the function itself, where numba is told not to compile.
    """

    __name__: str

    def __init__(self, function: Callable[..., Any], *, parallel: bool = False) -> None:
        update_wrapper(self, function)
        self.dispatcher = numba.njit(nogil=True, error_model="numpy", parallel=parallel)(function)
        if self.dispatcher is function:  # NUMBA_DISABLE_JIT
            return
        try:
            self.dispatcher.enable_caching()
        except RuntimeError as error:
            # Numba finds no writable place for its cache. It is not pointed to a world-writable one: a cache entry is a
            # pickle, and whoever can write it can run code.
            _warn_of_cache(str(error))
        else:
            self.dispatcher._cache._cache_file._source_stamp = _stamp_of_helpers()
        self.dispatcher._cache = _ForgivingCache(self.dispatcher._cache)

    def __call__(self, *arguments: Any) -> Any:
        """Run it."""
        return self.dispatcher(*arguments)


@cache
def _stamp_of_helpers() -> Any:
    """Return what changes with any file of this folder, in place of numba's stamp of the one file with the kernel."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return tuple((file.name, file.stat().st_mtime, file.stat().st_size) for file in files)


class _ForgivingCache:
    """A dispatcher's cache, given up with one warning where it fails; what a kernel itself raises is not its business.

    It is asked before a kernel is compiled, so it knows when one will be, and says so once a process.
    """

    def __init__(self, cache: Any) -> None:
        self._cache = cache

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        found = None
        try:
            found = self._cache.load_overload(signature, target_context)
        except Exception as error:  # whatever unpickling a damaged entry raises
            self._give_up(error)
        if found is None and "compiling" not in _said:
            _said.add("compiling")
            once = "" if self._cache.cache_path is None else ", once per machine"
            _LOGGER.info("compiling kernels%s: about %d s", once, _SECONDS_TO_COMPILE)
        return found

    def save_overload(self, signature: Any, data: Any) -> None:
        try:
            self._cache.save_overload(signature, data)
        except Exception as error:  # a full disk, a folder that is gone or not ours, a damaged index
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._cache.disable()
        _warn_of_cache(f"{type(error).__name__}: {error}")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)


def _warn_of_cache(reason: str) -> None:
    if "cache" in _said:
        return
    _said.add("cache")
    warnings.warn(
        f"numba's cache cannot be used ({reason}): kernels are compiled anew in each process. "
        "Set NUMBA_CACHE_DIR to a folder that only you can write, or empty the damaged one.",
        RuntimeWarning,
        stacklevel=3,
    )


def helper(function: Function) -> Function:
    """Compile a function for kernels to call: without a cache, and without what Python calls need.

    The cached kernel holds the code of its helpers.
    """
    jit = numba.njit(nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
    return jit(function)  # type: ignore[no-any-return]


def inlined(function: Function) -> Function:
    """Compile a helper into what calls it, always: for those that are called for each row."""
    jit = numba.njit(nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True, forceinline=True)
    return jit(function)  # type: ignore[no-any-return]


def summing_helper(function: Function) -> Function:
    """Compile a helper whose sums may be added in any order, which lets them be many at a time."""
    jit = numba.njit(
        nogil=True,
        error_model="numpy",
        no_cpython_wrapper=True,
        no_cfunc_wrapper=True,
        fastmath={"reassoc", "contract", "nsz"},
    )
    return jit(function)  # type: ignore[no-any-return]


@intrinsic  # type: ignore[untyped-decorator]
def _borrowed(_: Any, array: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        given = context.make_array(signature.args[0])(context, builder, arguments[0])
        for owner in ("meminfo", "parent"):
            setattr(given, owner, ir.Constant(getattr(given, owner).type, None))
        return given._getvalue()

    return array(array), generate


#: In a kernel or a helper, ``borrowed(array)`` is an array that it was given, without its owner: slices and views of it
#: count no references, which takes longer than the arithmetic of a few pixels. The caller holds the array, or the
#: function that made it, with `hold`.
borrowed: Any = (lambda array: array) if numba.config.DISABLE_JIT else _borrowed


@inlined
def hold(_: Any) -> None:
    """Keep an array, or a tuple of them, until here: numba frees it after the last line that names it."""


@intrinsic  # type: ignore[untyped-decorator]
def _seen_as(_: Any, array: Any, dtype: Any) -> Any:
    seen = types.Array(dtype.dtype, 1, "C")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        given = context.make_array(signature.args[0])(context, builder, arguments[0])
        result = context.make_array(seen)(context, builder)
        number = context.get_data_type(seen.dtype)
        size = context.get_constant(types.intp, context.get_abi_sizeof(number))
        count = builder.udiv(builder.mul(given.nitems, given.itemsize), size)
        data = builder.bitcast(given.data, number.as_pointer())
        populate_array(result, data, (count,), (size,), size, None)
        return result._getvalue()

    return seen(array, dtype), generate


#: In a kernel or a helper, ``seen_as(array, np.uint16)`` is what ``array.view(np.uint16)`` is, of a flat array without
#: gaps, borrowed. Nothing is checked, which takes longer than the arithmetic of some pixels.
seen_as: Any = (lambda array, dtype: array.view(dtype)) if numba.config.DISABLE_JIT else _seen_as


# -- launching ----------------------------------------------------------------------------------------------------


def usable_threads(threads: int | None) -> int:
    """Return how many threads are used where so many are asked for; None is all that the process may use."""
    available: int = numba.config.NUMBA_NUM_THREADS
    return available if threads is None else min(threads, available)


def share(work: Callable[[], None], threads: int) -> None:
    """Have `work` called by so many threads at once, the calling one included.

    Parameters
    ----------
    work : callable
        Takes parts from an iterator that all share, until there is none, and calls kernels, which let go of the GIL.
    threads : int
        As `usable_threads` returns it. One thread starts no other.
    """
    others = [_helpers().submit(work) for _ in range(threads - 1)]
    try:
        work()
    finally:
        # One that has not begun never will: there is nothing left to do, and another job may have the cores for long.
        begun = [other for other in others if not other.cancel()]
        for other in begun:
            other.result()


@cache
def _helpers() -> ThreadPoolExecutor:
    """Return the threads that help all callers: together these use no more than the process may."""
    return ThreadPoolExecutor(max(1, usable_threads(None) - 1), thread_name_prefix="gridr-numba")


if hasattr(os, "register_at_fork"):  # threads do not survive a fork: the child starts its own
    os.register_at_fork(after_in_child=_helpers.cache_clear)


@contextmanager
def team(threads: int | None, *, parallel: bool = True) -> Iterator[int]:
    """Yield the loop for a kernel's pieces: parallel with so many threads (None: all that the process may use).

    One thread, or `parallel` being False, is the serial loop. Of the parallel one there is one user at a time. Numba's
    thread count belongs to the calling thread: it is as before when the block ends.
    """
    if not parallel or usable_threads(threads) == 1:
        yield SERIAL
        return
    with _LAUNCH_LOCK:
        before = numba.get_num_threads()
        numba.set_num_threads(usable_threads(threads))
        try:
            yield parallel_loop()
        finally:
            numba.set_num_threads(before)


# -- pieces by address ----------------------------------------------------------------------------------------------

# A piece as the parallel loop sees it: the address of a function in numba's own calling convention, which takes the
# address of the kernel's arguments and the number of the piece. Errors come back as from any numba function.
_PIECE = (types.int64, types.int64)


def _call_piece(context: Any, builder: Any, function: Any, arguments: Any) -> None:
    status, _ = context.call_conv.call_function(builder, function, types.none, _PIECE, arguments)
    with cgutils.if_unlikely(builder, status.is_error):
        context.call_conv.return_status_propagate(builder, status)


@intrinsic  # type: ignore[untyped-decorator]
def _run_piece(_: Any, piece: Any, arguments: Any, index: Any) -> Any:
    """Call a piece by its address."""

    def generate(context: Any, builder: Any, _: Any, values: Any) -> Any:
        function_type = context.call_conv.get_function_type(types.none, _PIECE)
        _call_piece(context, builder, builder.inttoptr(values[0], function_type.as_pointer()), values[1:])
        return context.get_dummy_value()

    return types.none(piece, arguments, index), generate


def _run_in_parallel(piece: int, arguments: int, count: int) -> None:
    """Run the pieces of a kernel, any thread any piece."""
    for index in numba.prange(count):
        _run_piece(piece, arguments, numba.int64(index))


run_in_parallel = Kernel(_run_in_parallel, parallel=True)


def parallel_loop() -> int:
    """Return the address of the parallel loop, compiled or loaded by now."""
    dispatcher = run_in_parallel.dispatcher
    signature = (types.int64, types.int64, types.int64)
    if numba.config.DISABLE_JIT:
        return SERIAL
    dispatcher.compile(signature)
    compiled = dispatcher.overloads[signature]
    address: int = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_cfunc_wrapper_name)
    return address


def _run_pieces_uncompiled(piece: Callable[..., None], arguments: Any, count: int, _: int) -> None:
    for index in range(count):
        piece(arguments, index)


@intrinsic  # type: ignore[untyped-decorator]
def _run_pieces(typing_context: Any, piece: Any, arguments: Any, count: Any, loop: Any) -> Any:
    signature = typing_context.resolve_function_type(piece, (arguments, types.int64), {})

    def generate(context: Any, builder: Any, _: Any, values: Any) -> Any:
        function = _define_piece(context, builder, piece, signature)
        place = cgutils.alloca_once_value(builder, values[1])
        integer = ir.IntType(64)
        address = builder.ptrtoint(place, integer)
        is_serial = builder.icmp_unsigned("==", values[3], values[3].type(SERIAL))
        with builder.if_else(is_serial) as (serial, parallel):
            with serial, cgutils.for_range(builder, values[2], intp=integer) as each:
                _call_piece(context, builder, function, (address, each.index))
            with parallel:
                loop_type = ir.FunctionType(context.get_value_type(types.none), [integer] * 3)
                run = builder.inttoptr(values[3], loop_type.as_pointer())
                builder.call(run, (builder.ptrtoint(function, integer), address, values[2]))
        return context.get_dummy_value()

    return types.none(piece, arguments, types.int64, types.int64), generate


def _define_piece(context: Any, builder: Any, piece: Any, signature: Any) -> Any:
    """Add a function to a kernel's code that calls a helper with the arguments at an address."""
    function_type = context.call_conv.get_function_type(types.none, _PIECE)
    function = ir.Function(builder.module, function_type, builder.module.get_unique_name("piece"))
    function.linkage = "internal"
    context.call_conv.decorate_function(function, ("arguments", "index"), _PIECE)
    inside = ir.IRBuilder(function.append_basic_block("entry"))
    address, index = context.call_conv.get_arguments(function)
    place = inside.inttoptr(address, context.get_value_type(signature.args[0]).as_pointer())
    call = context.get_function(piece, signature)
    for library in getattr(call, "libs", ()):
        context.active_code_library.add_linking_library(library)
    call(inside, (inside.load(place), index))
    context.call_conv.return_value(inside, context.get_dummy_value())
    return function


#: In a kernel, ``run_pieces(piece, arguments, count, loop)`` calls the helper ``piece(arguments, index)`` for each
#: index from 0 to `count`, with the loop that `team` yielded. The arguments are one tuple.
run_pieces: Any = _run_pieces_uncompiled if numba.config.DISABLE_JIT else _run_pieces
