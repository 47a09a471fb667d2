"""Locks: one process at a time, and nothing left behind."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from synthvae._files import locked
from synthvae.errors import OutputExistsError, StorageError


def failing(cause: BaseException) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise cause

    return fail


def test_a_lock_whose_holder_removed_it_is_taken_anew(tmp_path: Path) -> None:
    file = tmp_path / "work" / "lock"
    with locked(file, tmp_path):
        file.unlink()
        with locked(file, tmp_path), pytest.raises(OutputExistsError), locked(file, tmp_path):
            raise AssertionError("two at once")
    assert not file.parent.exists()


def test_an_interrupt_while_a_lock_is_taken_lifts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "work" / "lock"
    with monkeypatch.context() as patch:
        patch.setattr("synthvae._files._is_at", failing(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt), locked(file, tmp_path):
            pass
    with locked(file, tmp_path):
        assert file.stat().st_mode & 0o777 == 0o600
    assert not file.parent.exists()


def test_a_file_system_without_locks_is_worked_on_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "work" / "lock"
    monkeypatch.setattr("synthvae._files._lock", failing(OSError(errno.ENOLCK, "No locks")))
    with locked(file, tmp_path):
        assert file.exists()
    monkeypatch.setattr("synthvae._files._lock", failing(OSError(errno.EIO, "I/O error")))
    with pytest.raises(StorageError, match="I/O error"), locked(file, tmp_path):
        pass
