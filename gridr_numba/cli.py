"""The command line: ``gridr-numba``.

Each command imports what it needs when it runs, so that help and version come at once.
"""

# mypy: allow-untyped-decorators

from __future__ import annotations

from pathlib import Path

import click

from . import __version__
from .errors import GridrError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="gridr-numba")
def main() -> None:
    """Make coarse resampling grids and their masks dense."""


@main.command()
@click.argument("directory", metavar="[DIR]", default="demo-out", type=click.Path(file_okay=False, path_type=Path))
@click.pass_context
def demo(context: click.Context, directory: Path) -> None:
    """Make a real job in DIR (demo-out), run it and verify it.

    The resampling grid of a map projection, 20 million pixels, with a mask, a footprint and clouds. Writes about 360 MB
    and replaces the files of a former demo. Exits with 1 if a check fails.
    """
    from .demo import run_demo

    try:
        passed = run_demo(directory, echo=click.echo)
    except (GridrError, OSError) as error:
        raise click.ClickException(str(error)) from error
    if not passed:
        context.exit(1)
