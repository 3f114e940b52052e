"""One loop over windows: the package's only one. What it makes of a window is a step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import cycle

from ..files.bands import WindowBuffer, WindowWriter
from ..files.gdal import block_cache
from ..kernels.jit import usable_threads
from ..plan import Piece, WindowPlan, plan_windows
from ..types import AnyArray
from .background import in_background
from .job import Limits, Services
from .memory import memory_beside
from .progress import progress_of
from .step import Step


def run_windows(step: Step, limits: Limits, services: Services) -> None:
    """Read, compute and write window after window.

    The first window is the largest. Before anything is written, it has been computed: all buffers are allocated and
    touched by then, and all kernels compiled.

    With two threads or more, one of them writes while the others read and compute the next window.
    """
    start = time.perf_counter()
    threads = usable_threads(limits.threads)
    plan = plan_of(step, limits)
    rows, cols = plan.piece_shape
    buffers = step.memory(plan.piece_shape, plan.buffer_sets)
    spare = memory_beside(buffers, f"{step.name}: windows of {rows} x {cols} pixels")
    cache = min(limits.bounds.memory_budget - buffers, spare) // step.threads_with_files
    with block_cache.at_most(cache), closing(step):
        step.reserve(plan.piece_shape, plan.node_shape)
        _run_planned(step, plan, services, threads)
    step.report(services.warn)
    pixels = step.window.shape[0] * step.window.shape[1]
    seconds = time.perf_counter() - start
    services.warn.logger.info(
        "%s: %d x %d pixels in %d windows, %d threads, %.1f Mpx/s",
        step.name,
        *step.window.shape,
        len(plan),
        threads,
        pixels / 1e6 / seconds,
    )


def _run_planned(step: Step, plan: WindowPlan, services: Services, threads: int) -> None:
    behind = plan.buffer_sets > 1
    sets = [_Outputs(step, plan, services) for _ in range(plan.buffer_sets)]
    pieces = zip(_each_and_next(plan), cycle(sets), strict=False)
    computed = (_computed(step, *both, to, threads - behind) for both, to in pieces)
    written = in_background(computed) if behind else (write() for write in computed)
    done, pixels = 0, step.window.shape[0] * step.window.shape[1]
    with progress_of(services.progress, pixels) as progress, closing(written):
        for piece in written:
            done += piece.target.shape[0] * piece.target.shape[1]
            services.warn.logger.debug("%s: %s written", step.name, piece.target)
            if progress is not None:
                progress(done, pixels)


def plan_of(step: Step, limits: Limits) -> WindowPlan:
    """Plan the windows of a step. Where two fit in the budget and there are threads for it, there are buffers for two.

    Raises
    ------
    MemoryError
        If no window fits in the budget.
    """
    datasets = {id(band.dataset): band.dataset for target in step.targets for band in target.bands}
    blocks = {shape for dataset in datasets.values() for shape in dataset.block_shapes}
    bounds = replace(limits.bounds, buffer_sets=2 if usable_threads(limits.threads) > 1 else 1)
    what = step.name, step.window, step.resolution, step.memory, sorted(blocks), bounds
    plans = {plan.piece_shape: plan for plan in (plan_windows(*what, aspect_row_col=each) for each in step.aspects)}
    best = next(iter(plans.values())) if len(plans) == 1 else min(plans.values(), key=step.cost)
    return replace(best, serpentine=step.serpentine)


def _each_and_next(plan: WindowPlan) -> Iterator[tuple[Piece, Piece | None]]:
    """Yield each window with the one that comes after it."""
    before = None
    for piece in plan:
        if before is not None:
            yield before, piece
        before = piece
    if before is not None:
        yield before, None


def _computed(
    step: Step, piece: Piece, following: Piece | None, outputs: _Outputs, threads: int
) -> Callable[[], Piece]:
    """Read and compute a window, and return the call that writes it."""
    step.expect(following)
    arrays = outputs.arrays(piece)
    step.run(piece, arrays, threads)
    outputs.finish(piece, arrays)
    return partial(outputs.write, piece)


class _Outputs:
    """Arrays for one window's pixels, and the way to their files."""

    def __init__(self, step: Step, plan: WindowPlan, services: Services) -> None:
        self._buffers = [WindowBuffer(len(target.bands), target.dtype) for target in step.targets]
        for buffer in self._buffers:
            buffer.reserve(plan.piece_shape)
        self._writers = [WindowWriter(target.bands, services.watch) for target in step.targets]

    def arrays(self, piece: Piece) -> list[AnyArray]:
        return [buffer.part(piece.dense.shape) for buffer in self._buffers]

    def finish(self, piece: Piece, arrays: Sequence[AnyArray]) -> None:
        for writer, values in zip(self._writers, arrays, strict=True):
            writer.finish(piece.target, values)

    def write(self, piece: Piece) -> Piece:
        for writer in self._writers:
            writer.write(piece.target)
        return piece
