"""The command line, run in this process."""

from __future__ import annotations

from click.testing import CliRunner

from gridr_numba.cli import main


def run(*arguments):
    """Run the command line as a user does; stdout and stderr are kept apart."""
    try:
        runner = CliRunner(mix_stderr=False)  # before click 8.2
    except TypeError:
        runner = CliRunner()
    return runner.invoke(main, [str(argument) for argument in arguments], prog_name="gridr-numba")
