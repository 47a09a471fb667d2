"""Write files and folders whole or not at all: into a draft beside the goal, then renamed."""

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from synthvae.errors import OutputExistsError, StorageError


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn a full disk or a folder that cannot be written into one clear `StorageError`."""
    try:
        yield
    except OSError as cause:
        if cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StorageError(
                f"There is no room left on the disk for {path}; what was there before is untouched."
            ) from cause
        raise StorageError(f"{path} cannot be written: {cause.strerror or cause}.") from cause


def refuse_existing(path: Path, force: bool) -> None:
    """Raise `OutputExistsError` where something stands at `path` and is not to be replaced."""
    if path.exists() and not force:
        raise OutputExistsError(f"{path} exists already; pass --force to replace it.")


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a draft's path that replaces `path` when the block ends, and vanishes if it fails."""
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
        os.close(handle)
        draft = Path(name)
        try:
            yield draft
            _sync(draft)
            draft.chmod(0o644)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(path: Path, force: bool = False) -> Iterator[Path]:
    """Yield a draft folder that becomes `path` when the block ends, and vanishes if it fails.

    Raises
    ------
    OutputExistsError
        `path` exists and `force` is not given; checked before anything is made.
    """
    refuse_existing(path, force)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
        old = draft.with_suffix(".replaced")
        try:
            yield draft
            for file in draft.rglob("*"):
                if file.is_file():
                    _sync(file)
            draft.chmod(0o755)
            if path.exists():
                path.rename(old)
            draft.rename(path)
        finally:
            if old.exists() and not path.exists():
                old.rename(path)
            for leftover in (draft, old):
                _remove(leftover)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
