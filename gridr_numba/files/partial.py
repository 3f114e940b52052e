"""Files and folders that are made beside their destination, and put in its place when they are complete."""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import shutil
import stat
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

logger = logging.getLogger(__name__)


def partial_path(path: Path) -> Path:
    """Return where a file is made before it is whole: beside `path`, in this process's name."""
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


class PartialFile:
    """A file that is not whole yet. Whoever makes it writes to `path`, and says that it is `created`.

    Its folder is held open, so that it is found and removed where the folder is renamed in mid-job. So is the file: on
    another machine, or in another container, a process of the same number may make one of the same name.

    Parameters
    ----------
    destination : Path
        The place that it is for.

    Raises
    ------
    OSError
        If there is no such folder.
    """

    # What its maker may do with it, whatever mode it is to have.
    _rights = stat.S_IRUSR | stat.S_IWUSR

    def __init__(self, destination: Path) -> None:
        self.destination = destination
        self.path = partial_path(destination)
        self._folder = self._held(destination.parent)
        self._file: int | None = None
        self._over = False

    def created(self) -> None:
        """Know it again, now that it is there; let nobody read it who may not read what it is to replace."""
        self._file = self._held(self.path)
        with suppress(FileNotFoundError):
            _give_mode(self.path, _mode_of(self.destination) | self._rights)

    def remove(self) -> None:
        """Remove it, and what GDAL may have written beside it; before it is created, what a killed run left there."""
        if self._file is None or self._is_at(self.path.name, self._folder):
            for name in (self.path.name, f"{self.path.name}.aux.xml"):
                remove(name, self._folder)

    def put(self, *, overwrite: bool) -> None:
        """Put it in its place in one step, with the mode of what was there, and its owner and group where it may.

        Raises
        ------
        FileExistsError
            If something is there and may not be replaced.
        OSError
            If it cannot be put there; the destination is what it was.
        """
        self._check_it_is_there()
        self._over = overwrite and os.path.lexists(self.destination)
        if not overwrite:
            _put_where_nothing_is(self.path, self.destination)
            return
        with suppress(FileNotFoundError):
            _give_owner(self.path, self.destination)
            _give_mode(self.path, _mode_of(self.destination))  # after its owner, which may change it
        os.replace(self.path, self.destination)

    @property
    def replaced(self) -> bool:
        """Whether it is in its place, and something else was there."""
        return self._over and self._is_at(self.destination)

    def withdraw(self) -> None:
        """Remove it from its place where nothing was; what another program has put there since stays."""
        if not self._over and self._is_at(self.destination):
            os.unlink(self.destination)

    def _check_it_is_there(self) -> None:
        if not self._is_at(self.path):
            raise FileNotFoundError(f"{str(self.path)!r} is not there, or is another process's")

    def _is_at(self, path: str | Path, folder: int | None = None) -> bool:
        return _is(self._file, path, folder)

    def _held(self, path: Path) -> int:
        """Open a file or folder, without a right to read it, to know it by; while it is open no other is the same."""
        descriptor = os.open(path, os.O_PATH)
        weakref.finalize(self, os.close, descriptor)
        return descriptor


class PartialFolder(PartialFile):
    """A folder that is not whole yet, with all that is in it. What it replaces goes once it is in its place.

    Where the file system can exchange two names, the destination is the old folder or the new one at any moment. Where
    it cannot, the old one is moved aside first: for that moment, nothing is there.
    """

    _rights = stat.S_IRWXU

    def __init__(self, destination: Path) -> None:
        super().__init__(destination)
        self._old: int | None = None

    @property
    def _aside(self) -> Path:
        """Where the old folder waits, where names cannot be exchanged."""
        return self.path.with_suffix(".replaced")

    def remove(self) -> None:
        """Remove it, and what it replaced; before it is created, what a killed run left there."""
        if self._file is None or self._is_at(self.path.name, self._folder):
            remove_tree(self.path.name, self._folder)
        self._remove_old()

    def put(self, *, overwrite: bool) -> None:
        """Put it in its place, with the mode of what was there, which is removed.

        Raises
        ------
        FileExistsError
            If something is there and may not be replaced.
        OSError
            If it cannot be put there; the destination is what it was.
        """
        self._check_it_is_there()
        self._over = overwrite and os.path.lexists(self.destination)
        if not self._over:
            _put_where_nothing_is(self.path, self.destination)
            return
        self._old = self._held(self.destination)
        _give_mode(self.path, _mode_of(self.destination))
        try:
            _renameat2(self.path, self.destination, _RENAME_EXCHANGE)
        except OSError:  # the file system has no such way, or the next one fails too
            self._put_after_moving_aside()
        self._remove_old()

    def _put_after_moving_aside(self) -> None:
        os.rename(self.destination, self._aside)
        try:
            os.rename(self.path, self.destination)
        except BaseException:  # Ctrl-C too: the destination is to be what it was
            os.rename(self._aside, self.destination)
            raise

    def _remove_old(self) -> None:
        for path in (self.path, self._aside):
            if _is(self._old, path.name, self._folder):
                try:
                    _give_mode(path, _mode_of(path) | self._rights)
                    remove_tree(path.name, self._folder)
                except OSError as error:  # the new one is in its place
                    logger.warning("%r, which was replaced, cannot be removed: %s", str(path), error)

    def withdraw(self) -> None:
        """Remove it from its place where nothing was; what another program has put there since stays."""
        if not self._over and self._is_at(self.destination):
            remove_tree(self.destination)


def _is(held: int | None, path: str | Path, folder: int | None) -> bool:
    """Say whether what is at a path, in an open folder if one is given, is what is held open."""
    try:
        there = os.stat(path, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return held is not None and os.path.samestat(there, os.fstat(held))


def remove_tree(path: str | Path, folder: int | None = None) -> None:
    """Remove a folder with all that is in it, or a file, in an open folder if one is given, unless there is none."""
    try:
        shutil.rmtree(path, dir_fd=folder)
    except NotADirectoryError:
        remove(path, folder)
    except FileNotFoundError:
        pass


def sync_tree(folder: Path) -> None:
    """Wait until a folder, and all files and folders in it, are on the disk."""
    for place, _, names in os.walk(folder, topdown=False):
        for path in (*(os.path.join(place, name) for name in names), place):
            sync(path)


def sync(path: str | Path) -> None:
    """Wait until a file or a folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: str | Path, folder: int | None = None) -> None:
    """Remove a file, in an open folder if one is given, unless there is none; none has a name that is too long."""
    try:
        os.unlink(path, dir_fd=folder)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENAMETOOLONG):
            raise


def _mode_of(path: Path) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def _give_mode(path: Path, mode: int) -> None:
    if _mode_of(path) != mode:  # file systems without modes refuse to set them
        os.chmod(path, mode)


def _give_owner(path: Path, other: Path) -> None:
    """Give a file the group and the owner of another one, each if this process may."""
    own, wanted = os.stat(path), os.stat(other)
    if own.st_gid != wanted.st_gid:
        with suppress(OSError):
            os.chown(path, -1, wanted.st_gid)
    if own.st_uid != wanted.st_uid:
        with suppress(OSError):
            os.chown(path, wanted.st_uid, -1)


# -- never over what is there -------------------------------------------------------------------------------------


def _put_where_nothing_is(path: Path, destination: Path) -> None:
    """Rename a file or a folder to a place where nothing is, by the first way that the file system has.

    Looking first and renaming then would replace what is made in between.
    """
    for way in (_by_link, _by_rename):
        try:
            way(path, destination)
        except FileExistsError:
            raise
        except OSError:  # the file system has no such way, or the next one fails too
            continue
        return
    _by_reservation(path, destination)


def _by_link(path: Path, destination: Path) -> None:
    os.link(path, destination)  # folders have no such links
    with suppress(OSError):  # it is in its place, whatever becomes of its other name
        os.unlink(path)


def _by_rename(path: Path, destination: Path) -> None:
    """Rename as Linux can, where there are no hard links."""
    _renameat2(path, destination, _RENAME_NOREPLACE)


_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2
_AT_FDCWD = -100


def _renameat2(path: Path, destination: Path, how: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "renameat2"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    names = os.fsencode(path), os.fsencode(destination)
    if library.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], how):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path), None, str(destination))


def _by_reservation(path: Path, destination: Path) -> None:
    """Make an empty file or folder where nothing is, and rename over that. A process killed in between leaves it."""
    if path.is_dir():
        os.mkdir(destination)
        release: Callable[[Path], None] = os.rmdir
    else:
        os.close(os.open(destination, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        release = os.unlink
    try:
        os.replace(path, destination)
    except BaseException:  # Ctrl-C too: what is empty is nobody's
        release(destination)
        raise
