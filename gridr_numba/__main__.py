"""The command line as ``python -m gridr_numba``."""

from .cli import main

if __name__ == "__main__":
    main()
