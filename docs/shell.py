"""The cell magic `%%bash` of the site's pages: what commands say is printed in one piece, as a terminal shows it."""

from __future__ import annotations

import subprocess

from IPython.core.magic import register_cell_magic


@register_cell_magic
def bash(line: str, cell: str) -> None:
    """Run a cell's commands, and fail with the first that fails."""
    done = subprocess.run(["bash", "-euc", cell], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(done.stdout, end="")
    done.check_returncode()
