"""Files: read within limits, written whole or not at all, worked on by one process at a time.

What is written goes into a draft beside the goal, which is then renamed.

Locks are the operating system's, which lifts them when a process ends. filelock was tried: it makes
the lock's folder itself where the last holder has just removed it, with rights that let others in;
takes a file that has just been removed for one that is held; and neither removes its file nor goes on
where a file system has no locks. What it would spare are the lines that call `flock`.
"""

import contextlib
import errno
import functools
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path

from synthvae.errors import OutputExistsError, StorageError

ELSEWHERE = "choose another place"  # where nothing is lost by it
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP)  # on this file system, of a folder
OTHERS_FIRST = (errno.EEXIST, errno.ENOTEMPTY)
HELD = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)  # by another process
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # on this file system: go on without
DRAFT = re.compile(r"\.(.+)\.[a-z0-9_]{8}\.(partial|replaced)")

if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def read_ordinary(path: Path, most: int, *, links: bool = True) -> bytes:
    """Return the content of an ordinary file of at most `most` bytes, by a symbolic link if `links`.

    A pipe is not waited for, and a device, which may have no end, is not read.

    Raises
    ------
    OSError
        The file does not exist, cannot be read, is no ordinary file, or is larger: see `strerror`.
    """
    if not links and path.is_symlink():
        raise OSError(errno.EINVAL, "it is no ordinary file")
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except ValueError as cause:  # a NUL byte in the name
        raise OSError(errno.EINVAL, str(cause)) from None
    with os.fdopen(handle, "rb") as file:
        about = os.fstat(handle)
        if stat.S_ISDIR(about.st_mode):
            raise OSError(errno.EISDIR, "Is a directory")
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, "it is no ordinary file")
        # Its size is looked at first, so that no memory is spent; and again, for it may grow.
        content = b"" if about.st_size > most else file.read(most + 1)
    if max(about.st_size, len(content)) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most / 10**6:,.0f} MB")
    return content


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn a full disk or a folder that cannot be written into one clear `StorageError`."""
    try:
        yield
    except OSError as cause:
        if cause.errno in NO_ROOM:
            raise StorageError(
                f"There is no room left on the disk for {path}; what was there before is untouched. "
                f"Free some space, or {ELSEWHERE}."
            ) from cause
        raise StorageError(
            f"{path} cannot be written: {cause.strerror or cause}; {ELSEWHERE}."
        ) from cause


def check_output(
    path: Path,
    force: bool,
    *,
    inputs: tuple[Path, ...] = (),
    folder_of: tuple[str, ...] | None = None,
) -> None:
    """Refuse an output that cannot be written or would cost something, before any work is done.

    Parameters
    ----------
    force
        Whether what stands there is to be replaced.
    inputs
        What the work reads: never replaced.
    folder_of
        Names of what an output folder may hold to be replaced; None where the output is a file.

    Raises
    ------
    OutputExistsError
        Something stands at `path` and is not to be replaced.
    StorageError
        `path` cannot be written.
    """
    with storage_errors(path):
        goal = path.resolve()
        for given in inputs:
            if given.exists() and goal in (given.resolve(), *given.resolve().parents):
                raise OutputExistsError(
                    f"{path} is or holds the input {given}, which would be lost; choose another "
                    "output."
                )
        refuse_existing(path, force)
        if path.exists():
            _check_kind(path, folder_of)
        # Whether a draft can be made there, or in the nearest folder that exists.
        _draft_file(goal, next(parent for parent in goal.parents if parent.exists())).unlink()


def _check_kind(path: Path, folder_of: tuple[str, ...] | None) -> None:
    kind = "a folder" if path.is_dir() else "a file" if path.is_file() else "no ordinary file"
    goal = "a file" if folder_of is None else "a folder"
    if kind != goal:
        raise OutputExistsError(f"{path} is {kind}, where {goal} should go; name another output.")
    foreign = {item.name for item in path.iterdir()} - set(folder_of) if folder_of else ()
    if foreign:
        raise OutputExistsError(
            f"{path} holds '{min(foreign)}', which is not what synthvae would replace there; move it "
            "away, or choose another output."
        )


def _draft_file(path: Path, folder: Path) -> Path:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=folder)
    os.close(handle)
    return Path(name)


def refuse_existing(path: Path, force: bool) -> None:
    """Raise `OutputExistsError` where something stands at `path` and is not to be replaced."""
    if path.exists() and not force:
        raise OutputExistsError(f"{path} exists already; pass --force to replace it.")


@contextlib.contextmanager
def whole_file(path: Path, *, mode: int = 0o666) -> Iterator[Path]:
    """Yield a draft's path that replaces `path` when the block ends, and vanishes if it fails.

    The umask takes some of the rights in `mode` away; nobody else may read the draft.
    """
    with storage_errors(path):
        path = path.resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = _draft_file(path, path.parent)
        try:
            yield draft
            _sync(draft)
            draft.chmod(mode & ~_umask())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)


def write_whole(path: Path, text: str, *, mode: int = 0o666) -> None:
    """Write a text file whole or not at all, with the rights that `whole_file` gives it."""
    with whole_file(path, mode=mode) as draft:
        draft.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def whole_folder(path: Path, force: bool = False) -> Iterator[Path]:
    """Yield a draft folder that becomes `path` when the block ends, and vanishes if it fails.

    Raises
    ------
    OutputExistsError
        `path` exists and `force` is not given: checked before anything is made. If it came to be
        meanwhile, the draft is kept beside it, under the name that the error says.
    """
    refuse_existing(path, force)
    with storage_errors(path):
        path = path.resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
        try:
            yield draft
            for item in (*draft.rglob("*"), draft):
                if item.is_dir():
                    sync_folder(item)
                else:
                    _sync(item)
            draft.chmod(0o777 & ~_umask())
            if force:
                _replace_folder(draft, path)
            elif not _take_place(draft, path):
                beside = free_name(path)
                draft.rename(beside)
                raise OutputExistsError(
                    f"{path} was written by somebody else meanwhile and is left alone; what was made "
                    f"here is in {beside}."
                )
            sync_folder(path.parent)  # before what was kept in case it failed goes
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def clean_drafts(folder: Path, name: str | None = None) -> None:
    """Remove what writers of `name`, or of anything, left when they were killed; undo their moves.

    Call it while nobody else can be writing in the folder.
    """
    if not folder.is_dir():
        return
    for item in sorted(folder.iterdir()):
        match = DRAFT.fullmatch(item.name)
        if match is None or name not in (None, match[1]):
            continue
        if match[2] == "replaced" and not (folder / match[1]).exists():
            item.rename(folder / match[1])
        else:
            _remove(item)


def private_folder(path: Path) -> None:
    """Make a folder, where there is none, that nobody but its owner may enter."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)


def free_name(path: Path) -> Path:
    """Return the first of `path-2`, `path-3`, ... that does not exist."""
    number = 2
    while (beside := path.with_name(f"{path.name}-{number}")).exists():
        number += 1
    return beside


def _take_place(draft: Path, path: Path) -> bool:
    """Rename a folder to a name that should be free; return False where it is taken."""
    if path.exists():
        return False
    try:
        draft.rename(path)
    except OSError as cause:
        if cause.errno not in OTHERS_FIRST:
            raise
        return False
    return True


def _replace_folder(draft: Path, path: Path) -> None:
    """Put a folder in another's place; the other is back where this fails or is interrupted."""
    old = draft.with_suffix(".replaced")
    try:
        while not _take_place(draft, path):  # somebody else may come in between
            _remove(old)
            with contextlib.suppress(FileNotFoundError):
                path.rename(old)
        sync_folder(path.parent)  # before the old one goes
    finally:
        if old.exists() and not path.exists():
            old.rename(path)
        _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Have a folder's list of names on the disk, where the system can do that."""
    if os.name == "nt":
        return
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:  # one that may be written to and not listed
        return
    try:
        os.fsync(handle)
    except OSError as cause:
        if cause.errno not in NO_SYNC:
            raise
    finally:
        os.close(handle)


@contextlib.contextmanager
def locked(file: Path, what: Path) -> Iterator[None]:
    """Hold a lock file while the block runs; it goes at the end, and so does its folder if empty.

    The folder is made, for its owner alone, where there is none. `OutputExistsError` says that another
    process is at work on `what`.
    """
    with storage_errors(file):
        lock = _take_lock(file, what)
    try:
        with lock:
            try:
                yield
            finally:
                with contextlib.suppress(OSError):  # Windows removes no open file
                    file.unlink()
    finally:
        with contextlib.suppress(OSError):  # something is in it, such as another process's lock
            file.parent.rmdir()


def _take_lock(file: Path, what: Path) -> BufferedIOBase:
    """Return the open and locked file, which is still the one that its name says.

    It is a file object and no bare handle, so that it closes wherever an interrupt comes.
    """
    while True:
        private_folder(file.parent)
        with contextlib.ExitStack() as closing:
            try:
                for_owner = functools.partial(os.open, mode=0o600)
                lock = closing.enter_context(open(file, "ab", opener=for_owner))
            except FileNotFoundError:  # whoever held it has just removed the folder
                continue
            try:
                _lock(lock.fileno())
            except OSError as cause:
                if cause.errno in HELD:
                    raise OutputExistsError(
                        f"Another process is at work on {what}; wait until it is done, or choose "
                        "another output."
                    ) from None
                if cause.errno not in NO_LOCKS:
                    raise
            if _is_at(lock.fileno(), file):
                closing.pop_all()
                return lock


def _is_at(handle: int, file: Path) -> bool:
    """Whether a file is still there: its last holder may have removed it meanwhile."""
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except FileNotFoundError:
        return False
