"""Windows are written on one thread while the next are computed: in order, and with nothing left behind."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from itertools import islice

import numpy as np
import pytest
import rasterio
from conftest import Double
from rasterio.env import getenv

import gridr_numba as gn
from gridr_numba.engine.background import in_background
from gridr_numba.plan import Bounds


class StopError(Exception):
    pass


def writer_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("gridr_numba")]


# -- the background alone --------------------------------------------------------------------------------------------


def test_calls_run_in_order_on_one_other_thread_one_at_a_time():
    running, most, threads = 0, 0, set()

    def call(number):
        nonlocal running, most
        running += 1
        most = max(most, running)
        threads.add(threading.get_ident())
        time.sleep(0.002)
        running -= 1
        return number

    assert list(in_background(lambda number=number: call(number) for number in range(20))) == list(range(20))
    assert most == 1
    assert len(threads) == 1
    assert threading.get_ident() not in threads
    assert not writer_threads()


def test_one_call_is_prepared_while_another_runs_and_never_two():
    prepared, done, ahead = 0, 0, set()

    def call():
        nonlocal done
        time.sleep(0.01)
        done += 1

    def calls():
        nonlocal prepared
        for _ in range(10):
            prepared += 1
            ahead.add(prepared - done)  # with the one that is being prepared
            yield call

    list(in_background(calls()))
    assert ahead == {1, 2}


def test_what_a_call_raises_is_raised_with_its_traceback_and_no_other_call_is_made():
    made = []

    def call(number):
        made.append(number)
        if number == 1:
            raise StopError

    with pytest.raises(StopError) as caught:
        list(in_background(lambda number=number: call(number) for number in range(9)))
    assert made == [0, 1]
    assert caught.traceback[-1].name == "call"
    assert not writer_threads()


def test_what_preparing_raises_waits_for_the_call_that_runs():
    made = []

    def call():
        time.sleep(0.05)
        made.append(1)

    def calls():
        yield call
        raise StopError

    with pytest.raises(StopError):
        list(in_background(calls()))
    assert made == [1]
    assert not writer_threads()


def test_abandoned_it_leaves_no_thread():
    with closing(in_background((lambda: None) for _ in range(9))) as done:
        next(done)
        assert writer_threads()
    assert not writer_threads()


def test_calls_see_the_environment_of_the_caller():
    seen = []

    def job():
        with rasterio.Env(GDAL_NUM_THREADS="3"):
            list(in_background([lambda: seen.append(getenv()["GDAL_NUM_THREADS"])]))

    thread = threading.Thread(target=job)
    thread.start()
    thread.join()
    assert seen == ["3"]


# -- in the chain ----------------------------------------------------------------------------------------------------


@pytest.fixture
def two_threads(monkeypatch):
    """Let a machine of one core show what two do."""
    monkeypatch.setattr("gridr_numba.engine.loop.usable_threads", lambda threads: 2 if threads is None else threads)


def run_chain(rasters, ncpu=None, before_read=None, before_write=None, **kwargs):
    """Make 41 x 21 pixels in strips of 2 rows, a grid in two files and a mask."""
    rows, cols = np.mgrid[0:5, 0:3] * 10.0
    grid_in = Double(rasters.reader(np.array([rows, cols])), before_read or (lambda dataset, window: None))
    row_out, col_out = (rasters.writer((41, 21), np.float64) for _ in range(2))
    mask_out = rasters.writer((41, 21), np.uint8)
    doubles = (Double(out, before_write or (lambda dataset, window: None)) for out in (row_out, col_out, mask_out))
    gn.build_grid_mask_chain(
        (10, 10), grid_in, None, 1, 2, *islice(doubles, 2), 1, 1, next(doubles), np.uint8, None, None, None, np.float64,
        None, None, io_strip_size=2, io_strip_size_target=gn.GridRIOMode.OUTPUT, ncpu=ncpu, **kwargs,
    )  # fmt: skip
    return [rasters.content(out)[0] for out in (row_out, col_out, mask_out)]


@pytest.mark.parametrize("ncpu", [1, None])
def test_each_dataset_is_used_by_one_thread_alone(rasters, two_threads, ncpu):
    users = {}

    def note(dataset, window):
        users.setdefault(id(dataset), set()).add(threading.current_thread())

    rows, cols, mask = run_chain(rasters, ncpu, note, note)
    np.testing.assert_array_equal(rows[:, 0], np.arange(41))
    np.testing.assert_array_equal(cols[0], np.arange(21))
    assert mask.all()
    assert len(users) == 4
    assert all(len(threads) == 1 for threads in users.values())
    assert len(set.union(*users.values())) == (1 if ncpu == 1 else 2)


@pytest.mark.parametrize("ncpu", [1, None])
def test_what_a_write_raises_ends_the_chain(rasters, two_threads, ncpu):
    written = []

    def failing(dataset, window):
        if window.row_off >= 20:
            raise gn.DatasetError("the disk is full")
        written.append(window.row_off)

    with pytest.raises(gn.DatasetError, match="the disk is full") as caught:
        run_chain(rasters, ncpu, before_write=failing)
    assert caught.traceback[-1].name == "failing"
    assert max(written) == 18
    assert not writer_threads()


@pytest.mark.parametrize("ncpu", [1, None])
@pytest.mark.parametrize("error", [StopError, KeyboardInterrupt])
def test_what_progress_raises_leaves_no_thread(rasters, two_threads, ncpu, error):
    seen = []

    def stop(done, total):
        seen.append(done)
        if done >= 6 * 21:
            raise error

    with pytest.raises(error):
        run_chain(rasters, ncpu, progress=stop)
    assert seen == [2 * 21, 4 * 21, 6 * 21]
    assert not writer_threads()


def test_one_thread_starts_no_other(rasters, two_threads):
    seen = []
    run_chain(rasters, 1, progress=lambda done, total: seen.append(writer_threads()))
    assert seen == [[]] * 21


def test_without_memory_for_two_strips_there_is_no_other_thread(rasters, two_threads):
    seen = []

    def note(done, total):
        seen.append((done, bool(writer_threads())))

    def run(budget):
        out = rasters.writer((64, 1001), np.uint8, tiled=True, blockxsize=16, blockysize=32)
        gn.build_mask_chain(
            (64, 1001), (1, 1), out, np.uint8, None, None, None, np.float64, None, None, ncpu=None,
            memory_budget=budget, progress=note,
        )  # fmt: skip
        assert rasters.content(out).all()

    two_strips = Bounds(0).budget_for(2 * 32 * 1001)
    run(two_strips)
    run(two_strips - 3)
    half, whole = 32 * 1001, 64 * 1001
    assert seen == [(half, True), (whole, True), (half, False), (whole, False)]
