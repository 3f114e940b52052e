"""The errors that the package raises on purpose.

Each is a `GridrError` and also the builtin that fits, so that a caller may catch either.
"""

import re


class GridrError(Exception):
    """Root of the package's errors.

    Attributes
    ----------
    argument : str or None
        The argument that is wrong, by the name that the caller wrote; None where it is no single one. The message also
        says where in it: ``valid[2]`` or ``resolution[0]`` is `argument` ``valid`` or ``resolution``.
    """

    def __init__(self, message: str, argument: str | None = None) -> None:
        super().__init__(message)
        name = re.match(r"\w+", argument or "")
        self.argument = name[0] if name else None


class GridrValueError(GridrError, ValueError):
    """An argument of the right kind has a wrong value."""


class GridrTypeError(GridrError, TypeError):
    """An argument is the wrong kind of thing."""


class DtypeError(GridrTypeError, ValueError):
    """A data type that cannot hold what it should, such as an integer output for coordinates.

    GRIDR raises ``ValueError`` for some of these; programs that catch it there are served here too.
    """


class InvalidGeometryError(GridrValueError):
    """A polygon that is not valid by the OGC's rules, or has a vertex that is not finite."""


class StrictError(GridrError):
    """Something was warned of, and the caller wants no output then."""


class DatasetError(GridrError, OSError):
    """A dataset could not be read or written."""
