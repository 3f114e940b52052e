"""The command line as a process: in pipes, on terminals, with signals."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import termios
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import JOB, process

pytestmark = pytest.mark.usefixtures("compiled_kernels")


def test_a_process_says_nothing_in_a_pipe_but_the_summary(files):
    with process(*JOB, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as job:
        said, complaints = job.communicate(timeout=120)
    assert (job.returncode, complaints) == (0, "")
    assert said.startswith("grid     out.tif, verified\n")
    with process("densify", "missing.tif", "x.tif", "-r", 3, 4, stderr=subprocess.PIPE) as job:
        assert job.communicate(timeout=120)[1] == "Error: grid: there is no file 'missing.tif'\n"
    assert job.returncode == 1


@pytest.mark.parametrize("arguments", [JOB, (*JOB, "--quiet")])
def test_a_bar_on_a_terminal(files, arguments):
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (24, 80))
    with process(*arguments, stdout=subprocess.PIPE, stderr=its) as job:
        job.communicate(timeout=120)
    os.close(its)
    shown = b""
    try:
        while piece := os.read(ours, 4096):
            shown += piece
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(ours)
    assert job.returncode == 0
    assert (b"px/s" in shown) is ("--quiet" not in arguments)


@pytest.mark.parametrize("closed", [(2, 3), (0, 3)])
def test_a_closed_stderr_is_no_failure(files, closed):
    with process("-v", *JOB, stdout=subprocess.PIPE, preexec_fn=lambda: os.closerange(*closed)) as job:
        said = job.communicate(timeout=120)[0]
    assert job.returncode == 0
    assert ("verified" in said) is (closed == (2, 3))
    with process(*JOB, preexec_fn=lambda: os.closerange(*closed)) as again:
        again.communicate(timeout=120)
    assert again.returncode == 2  # it exists


@pytest.mark.parametrize("how", ["full", "unread", "hung up"])
def test_a_stderr_that_cannot_be_written_to_is_no_failure(files, how):
    """Nor does the process end with Python's own error, when it flushes what it could not write."""
    reading, writing = pty.openpty() if how == "hung up" else os.pipe()
    if how == "full":
        os.close(writing)
        writing = os.open("/dev/full", os.O_WRONLY)
    if how == "hung up":
        termios.tcsetwinsize(writing, (24, 80))
    else:
        os.close(reading)
    with process("-v", *JOB, stdout=subprocess.PIPE, stderr=writing) as job:
        os.close(writing)
        if how == "hung up":
            assert b"px/s" in os.read(reading, 4096)  # the bar is there, and goes on
            os.close(reading)
        said = job.communicate(timeout=120)[0]
    assert job.returncode == 0
    assert said.startswith("grid     out.tif, verified\n")


def large_job(rasters):
    """A grid whose 64 million pixels take seconds to compress."""
    nodes = np.random.default_rng(0).random((2, 401, 401))
    return (
        "densify",
        rasters.reader(nodes).name,
        "big.tif",
        "-r",
        20,
        20,
        "--co",
        "COMPRESS=DEFLATE",
        "--mask-out",
        "m.tif",
    )


@pytest.mark.large
@pytest.mark.parametrize(
    ("number", "code", "complaint"),
    [(signal.SIGINT, 130, "Error: interrupted\n"), (signal.SIGTERM, 143, ""), (signal.SIGHUP, 129, "")],
)
def test_ctrl_c_and_termination_leave_nothing(files, rasters, number, code, complaint):
    arguments = (*large_job(rasters), "--report", "a.json")
    before = sorted(os.listdir())
    # Whoever runs the tests may ignore a signal (nohup does), and children inherit that.
    ignored = signal.getsignal(number) is signal.SIG_IGN
    if ignored:
        signal.signal(number, signal.SIG_DFL)
    with process(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as job:
        if ignored:
            signal.signal(number, signal.SIG_IGN)
        deadline = time.monotonic() + 120
        while not list(Path().glob(".big.tif.*.partial")) and time.monotonic() < deadline:
            time.sleep(0.01)
        job.send_signal(number)
        said, complaints = job.communicate(timeout=120)
    assert (job.returncode, said, complaints) == (code, "", complaint)
    assert sorted(os.listdir()) == before
