"""The command line: ``gridr-numba``, and the same commands as ``rio grid-densify``."""

from .commands import main

__all__ = ["main"]
