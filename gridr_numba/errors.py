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

    Examples
    --------
    >>> from gridr_numba import GridrError, grid_full_resolution_shape
    >>> try:
    ...     grid_full_resolution_shape((3, 5), (10, 0))
    ... except GridrError as error:
    ...     print(error.argument, "-", error)
    resolution - resolution[1] must be at least 1, not 0
    """

    def __init__(self, message: str, argument: str | None = None) -> None:
        super().__init__(message)
        name = re.match(r"\w+", argument or "")
        self.argument = name[0] if name else None


class GridrValueError(GridrError, ValueError):
    """An argument of the right kind has a wrong value.

    Examples
    --------
    >>> from gridr_numba import GridrValueError
    >>> issubclass(GridrValueError, ValueError)
    True
    """


class GridrTypeError(GridrError, TypeError):
    """An argument is the wrong kind of thing.

    Examples
    --------
    >>> from gridr_numba import GridrTypeError
    >>> issubclass(GridrTypeError, TypeError)
    True
    """


class DtypeError(GridrTypeError, ValueError):
    """A data type that cannot hold what it should, such as an integer output for coordinates.

    GRIDR raises ``ValueError`` for some of these; programs that catch it there are served here too.

    Examples
    --------
    >>> from gridr_numba import DtypeError
    >>> issubclass(DtypeError, TypeError), issubclass(DtypeError, ValueError)
    (True, True)
    """


class InvalidGeometryError(GridrValueError):
    """A polygon that is not valid by the OGC's rules, or has a vertex that is not finite.

    Examples
    --------
    >>> import shapely
    >>> from gridr_numba import InvalidGeometryError, build_mask
    >>> bowtie = shapely.Polygon([(0, 0), (4, 4), (4, 0), (0, 4)])
    >>> try:
    ...     build_mask((5, 5), (1, 1), None, (0.0, 0.0), (bowtie, None))
    ... except InvalidGeometryError as error:
    ...     print(error.argument)
    geometry_pair
    """


class StrictError(GridrError):
    """Something was warned of, and the caller wants no output then.

    Examples
    --------
    >>> import os
    >>> from gridr_numba import StrictError, densify
    >>> nowhere = {"type": "Polygon", "coordinates": [[(90, 90), (95, 90), (95, 95), (90, 90)]]}
    >>> try:
    ...     densify(None, None, shape=(3, 4), resolution=10, mask_out="mask.tif", invalid=nowhere, strict=True)
    ... except StrictError:
    ...     print(os.path.exists("mask.tif"))
    False
    """


class DatasetError(GridrError, OSError):
    """A dataset could not be read or written.

    Examples
    --------
    >>> from gridr_numba import DatasetError, densify
    >>> try:
    ...     densify("none.tif", "dense.tif", resolution=10)
    ... except DatasetError as error:
    ...     print(error.argument, "-", error)
    grid - grid: there is no file 'none.tif'
    """
