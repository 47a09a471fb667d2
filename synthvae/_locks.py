"""One process at a time: locks on files, which the operating system lifts when a process ends."""

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from synthvae._files import storage_errors
from synthvae.errors import OutputExistsError

HELD = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)  # by another process
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # on this file system: go on without

if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextlib.contextmanager
def locked(file: Path, what: Path, mode: int = 0o777) -> Iterator[None]:
    """Hold a lock file while the block runs; it goes at the end, and so does its folder if empty.

    Parameters
    ----------
    file
        The lock. Its folder is made where there is none.
    what
        What is worked on, for the error.
    mode
        Who may enter the folder if it has to be made, less the user's mask.

    Raises
    ------
    OutputExistsError
        Another process holds the lock.
    """
    with storage_errors(file):
        handle = _take(file, what, mode)
    try:
        yield
    finally:
        try:
            with contextlib.suppress(OSError):  # Windows removes no open file
                file.unlink()
        finally:
            os.close(handle)
        with contextlib.suppress(OSError):  # something is in it, such as another process's lock
            file.parent.rmdir()


def _take(file: Path, what: Path, mode: int) -> int:
    """Return the open and locked file, which is still the one that its name says."""
    while True:
        file.parent.parent.mkdir(parents=True, exist_ok=True)
        file.parent.mkdir(mode=mode, exist_ok=True)
        try:
            handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:  # whoever held it has just removed the folder
            continue
        try:
            _lock(handle)
        except OSError as cause:
            if cause.errno not in NO_LOCKS:
                os.close(handle)
            if cause.errno in HELD:
                raise OutputExistsError(
                    f"Another process is at work on {what}; wait until it is done, or choose another "
                    "output."
                ) from None
            if cause.errno not in NO_LOCKS:
                raise
        if _is_at(handle, file):
            return handle
        os.close(handle)


def _is_at(handle: int, file: Path) -> bool:
    """Whether a file is still there: its last holder may have removed it meanwhile."""
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except FileNotFoundError:
        return False
