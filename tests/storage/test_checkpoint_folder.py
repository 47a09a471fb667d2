"""Unfinished work is put in order when it ends, and what went wrong first is what is said."""

from pathlib import Path

import pytest

from synthvae.errors import StorageError
from synthvae.storage import checkpoint
from synthvae.storage.checkpoint import unfinished_folder, unfinished_work


def refuse(_folder: Path) -> None:
    raise PermissionError(13, "Permission denied")


def test_an_error_is_not_hidden_by_one_of_tidying_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint.UnfinishedWork, "forget", refuse)
    for cause in (ValueError("the reason"), KeyboardInterrupt()):
        with (
            pytest.raises(type(cause)) as ended,
            unfinished_work(tmp_path / "model", force=False, start_over=False),
        ):
            raise cause
        assert ended.value is cause


def test_a_result_that_stands_is_said_to_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint.UnfinishedWork, "forget", refuse)
    with (
        pytest.raises(StorageError, match=r"The result stands, but .* remove it by hand") as ended,
        unfinished_work(tmp_path / "model", force=False, start_over=False),
    ):
        pass
    assert "another place" not in str(ended.value)


def test_what_is_not_scored_goes_with_the_result_alone(tmp_path: Path) -> None:
    unscored = unfinished_folder(tmp_path / "run") / "unscored" / "release"
    unscored.mkdir(parents=True)
    with (
        pytest.raises(ValueError, match="no table"),
        unfinished_work(tmp_path / "run", force=False, start_over=False),
    ):
        raise ValueError("no table")
    assert unscored.exists()
    with unfinished_work(tmp_path / "run", force=False, start_over=False):
        pass
    assert not unscored.exists()
