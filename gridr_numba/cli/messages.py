"""Errors in one line, what the package logs, and how much of it is said."""

# mypy: allow-untyped-decorators

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import click

from ..errors import GridrError, GridrTypeError, GridrValueError

_LOGGER = logging.getLogger("gridr_numba")
_COMPILER = logging.getLogger("gridr_numba.kernels.jit")  # says that kernels are being compiled
_DEBUG, QUIET = "gridr_numba.debug", "gridr_numba.quiet"
_BAD_ARGUMENTS, _FAILURE, _INTERRUPTED = 2, 1, 130


class Commands(click.Group):  # type: ignore[misc]
    """Commands whose errors are one line on stderr, also where another program's command line runs them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; what is wrong is said in a line."""
        with _one_line_errors(ctx):
            return super().parse_args(ctx, args)  # type: ignore[no-any-return]

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, with the package's log on stderr."""
        _open_standard_streams()
        with _messages_on_stderr(), _tidy_when_terminated(), _one_line_errors(ctx):
            return super().invoke(ctx)


@contextmanager
def _one_line_errors(context: click.Context) -> Iterator[None]:
    """Exit with 2 for bad arguments, 1 for failures and 130 for Ctrl-C; the traceback is shown only with --debug."""
    try:
        yield
    except (click.exceptions.Exit, click.Abort, BrokenPipeError):
        raise  # click's own business
    except click.UsageError as error:
        if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
            raise
        hint = f" See '{error.ctx.command_path} --help'." if error.ctx else ""
        _fail(context, error.format_message() + hint, _BAD_ARGUMENTS)
    except (GridrValueError, GridrTypeError) as error:
        _fail(context, str(error), _BAD_ARGUMENTS)
    except (GridrError, OSError, MemoryError, click.ClickException) as error:
        _fail(context, str(error) or type(error).__name__, _FAILURE)
    except KeyboardInterrupt:
        _fail(context, "interrupted", _INTERRUPTED)
    except Exception as error:
        _fail(context, f"unexpected {type(error).__name__}: {error} (--debug shows where)", _FAILURE)


@contextmanager
def _tidy_when_terminated() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind as Ctrl-C does, so that no partial file is left.

    Batch systems end jobs with the one, terminals that close with the other (where it is not ignored, as by nohup).
    """

    def end(number: int, _: Any) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say what signals do
        return
    numbers = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) is not signal.SIG_IGN]
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _fail(context: click.Context, message: str, code: int) -> None:
    if context.meta.get(_DEBUG):
        _say(traceback.format_exc().rstrip("\n"))
    _say(f"Error: {in_options(' '.join(message.split()))}")
    context.exit(code)


def _say(text: str) -> None:
    """Write a line to stderr. Where nobody reads it, the job goes on."""
    try:
        click.echo(text, err=True)
    except (OSError, ValueError):
        with suppress(OSError, ValueError):  # what is left in its buffer would fail again when the process ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _open_standard_streams() -> None:
    """Open what the process was started without, to nowhere.

    Else the next file that is opened would get its number, and what libraries write to stderr would be in that file.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115  # for the rest of the process


# What the package's messages call by its Python name, and the command line otherwise.
_SPOKEN = [
    (
        r"\b(overwrite|repair_geometry|allow_vrt|overviews|displacement)=True\b",
        lambda match: "--" + match[1].replace("_", "-"),
    ),
    (r"\bstrict=True\b", "--strict"),
    (r"\bsee allow_vrt\b", "see --allow-vrt"),
    (r"\bpass grid_nodata=\(\)", "give --grid-nodata none"),
    (r"\bmemory_budget\b", "--memory"),
    (r"\bsee grid_order\b", "see --xy"),
    (r"\bsource_offset\b", "--source-offset"),
    (r"\bunreachable='void'", "--unreachable void"),
    (r"\bheight must\b", "--height must"),
    (r"\bmax_evaluations\b", "--max-evaluations"),
    (r"\bgeometry_layer\b", "--layer"),
    (r"\bgeometry_crs\[0\]", "--valid-crs"),
    (r"\bgeometry_crs\[1\]", "--invalid-crs"),
    (r"\bgeometry_crs\b", "--geometry-crs"),
    (r"\bgeometry_origin\b", "--origin"),
    (r"\brow_band and col_band\b", "--row-band and --col-band"),
    (r"\bmask_valid_value\b", "--mask-valid-value"),
    (r"\bmask_band\b", "--mask-band"),
    (r"\bmask_out_values\b", "--mask-values or --causes"),
    (r"\bwithout mask_out\b", "without --mask-out"),
    (r"\bgrid_nodata\b", "--grid-nodata"),
]


# What the messages quote: names of files and values, which are the caller's own.
_QUOTED = re.compile(r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")


def in_options(message: str) -> str:
    """Call the package's arguments by the names of the command line's options; what is quoted stays as it is."""
    parts = _QUOTED.split(message)
    replacement: Any
    for pattern, replacement in _SPOKEN:
        parts[::2] = [re.sub(pattern, replacement, part) for part in parts[::2]]
    return "".join(parts)


class _StderrHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _say(f"{record.levelname}: {in_options(record.getMessage())}")


@contextmanager
def _messages_on_stderr() -> Iterator[None]:
    """Show what the package logs, and warnings, a line each."""
    handler, propagated, compilers = _StderrHandler(), _LOGGER.propagate, _COMPILER.level
    _LOGGER.addHandler(handler)
    _LOGGER.propagate = False
    _COMPILER.setLevel(max(_LOGGER.level, logging.INFO))
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Dataset has no geotransform")  # as rasters in pixels should
            # What libraries, as rasterio 1.3 and affine 3, tell one another, whatever Python's options are.
            warnings.simplefilter("ignore", PendingDeprecationWarning)
            warnings.showwarning = lambda message, *_: _LOGGER.warning("%s", message)
            yield
    finally:
        _LOGGER.removeHandler(handler)
        _LOGGER.propagate = propagated
        _COMPILER.setLevel(compilers)


def set_verbose(context: click.Context, _: click.Parameter, count: int) -> None:
    """Say more of what is logged, for the length of the command."""
    if count:
        _set_level(context, logging.INFO if count == 1 else logging.DEBUG)


def set_quiet(context: click.Context, _: click.Parameter, given: bool) -> None:
    """Say only errors."""
    if given:
        context.meta[QUIET] = True
        _set_level(context, logging.ERROR)


def _set_level(context: click.Context, level: int) -> None:
    for logger, lowest in ((_LOGGER, level), (_COMPILER, max(level, logging.INFO))):
        context.call_on_close(partial(logger.setLevel, logger.level))
        logger.setLevel(lowest)


def set_debug(context: click.Context, _: click.Parameter, given: bool) -> None:
    """Show a traceback with an error."""
    if given:
        context.meta[_DEBUG] = True
