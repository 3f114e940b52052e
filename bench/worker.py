"""One contender in a process of its own: ``python -m bench.worker CONTENDER CASE FOLDER``.

Commands come as lines of standard input, answers go as lines of JSON to standard output: ``run`` answers with the
seconds of one run. A process each, since the contenders would disturb one another: OpenMP does not survive a fork,
and the peak of memory is a process's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path
from types import TracebackType
from typing import Any

from .cases import CASES, Case, OpenFiles, opened_inputs, opened_outputs
from .contenders import Densify, Run, make_contender


def main(contender: str, case_name: str, folder: str) -> None:
    """Serve commands until standard input ends."""
    answers = _private_stdout()
    case = CASES[case_name]
    run = make_contender(contender, case)
    for command in sys.stdin:
        if command.strip() != "run":
            raise SystemExit(f"unknown command {command!r}")
        print(json.dumps({"seconds": timed_run(run, case, Path(folder), contender)}), file=answers, flush=True)


def timed_run(run: Run | Densify, case: Case, folder: Path, prefix: str) -> float:
    """Time one run: making the outputs, the chain, and closing them."""
    if isinstance(run, Densify):
        start = time.perf_counter()
        run.run_in(folder, prefix)
        return time.perf_counter() - start
    with opened_inputs(folder) as (grid_in, mask_in):
        start = time.perf_counter()
        with opened_outputs(case, folder, prefix) as (grid_out, mask_out):
            run(OpenFiles(grid_in, mask_in, grid_out, mask_out))
        return time.perf_counter() - start


def _private_stdout() -> Any:
    """Keep standard output for answers; what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


class Worker:
    """The driver's end of a worker process."""

    def __init__(self, contender: str, case: Case, folder: Path) -> None:
        self.contender = contender
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker", contender, case.name, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def run(self) -> float:
        """Run once, and return the seconds that it took."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None  # noqa: PT018
        stdin.write("run\n")
        stdin.flush()
        answer = stdout.readline()
        if not answer:
            raise RuntimeError(f"contender {self.contender} ended with code {self._process.wait()}")
        seconds: float = json.loads(answer)["seconds"]
        return seconds

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._process.kill()
        # Closes standard input, at which the worker ends, and waits for that.
        self._process.communicate()


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # that rasters in pixel coordinates have no georeferencing
    main(*sys.argv[1:])
