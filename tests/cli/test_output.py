"""What is already written is never lost, and what is half-made is never taken for whole."""

import errno
import os
import stat
from pathlib import Path

import pytest

import synthvae._files
from synthvae._files import whole_file, whole_folder
from synthvae.errors import OutputExistsError, StorageError
from tests.cli.in_process import Run, everything_in
from tests.hospital import fitted

EXISTS, STORAGE = 8, 10
FIT = ("fit", "train.csv", "--schema", "schema.yaml", "--epsilon", "1", "--out")
TABLES = ("train.csv", "--train", "train.csv", "--holdout", "train.csv", "--schema", "schema.yaml")


def refused(run: Run, work: Path, message: str, *words: str | Path, code: int = EXISTS) -> None:
    before = everything_in(work)
    ended = run(*words)
    assert (ended.code, message in ended.message) == (code, True), ended.err
    assert everything_in(work) == before


def test_an_output_that_exists_is_refused(run: Run, work: Path, model: Path) -> None:
    (work / "made.csv").write_text("precious")
    (work / "page.html").write_text("precious")
    for words in (
        (*FIT, "model"),
        ("sample", "model", "--out", "made.csv"),
        ("evaluate", *TABLES, "--out", "page.html"),
        ("report", "evaluation.json", "--out", "page.html"),
        ("schema", "init", "train.csv", "--out", "schema.yaml"),
    ):
        refused(run, work, "exists already; pass --force to replace it", *words)


def test_an_input_is_never_replaced_not_even_by_force(run: Run, work: Path, model: Path) -> None:
    (work / "scores.json").write_text("{}")
    for words in (
        (*FIT, "train.csv"),
        (*FIT, "schema.yaml"),
        (*FIT, "."),
        (*FIT, ".."),
        ("evaluate", *TABLES[1:], "scores.json", "--out", "scores.json"),
        ("report", "scores.json", "--out", "scores.json"),
        (
            "report",
            "x.json",
            "--guarantee",
            "model/guarantee.json",
            "--out",
            "model/guarantee.json",
        ),
        ("schema", "init", "train.csv", "--out", "train.csv"),
        ("schema", "init", "train.csv", "--out", "./model/../train.csv"),
    ):
        refused(run, work, "would be lost", *words, "--force")


def test_folders_and_files_do_not_take_each_others_place(run: Run, work: Path, model: Path) -> None:
    (work / "notes.csv").mkdir()
    (work / "home").mkdir()
    (work / "home" / "thesis.txt").write_text("years")
    refused(
        run, work, "is a folder, where a file", "sample", model, "--out", "notes.csv", "--force"
    )
    refused(run, work, "holds 'thesis.txt'", *FIT, "home", "--force")
    (work / "file").write_text("x")
    refused(run, work, "is a file, where a folder", *FIT, "file", "--force")
    words = ("sample", model, "--out", "file/made.csv")
    refused(run, work, "cannot be written: Not a directory", *words, code=STORAGE)
    refused(run, work, "cannot be written: Not a directory", *FIT, "file/m", code=STORAGE)
    name = "a" * 300
    refused(run, work, "File name too long", *FIT, name, code=STORAGE)


def test_a_device_is_not_replaced(run: Run, work: Path, model: Path) -> None:
    os.mkfifo(work / "pipe.csv")
    ended = run("sample", model, "--rows", "5", "--out", "pipe.csv", "--force")
    assert ended.code == EXISTS
    assert "no ordinary file" in ended.message
    assert stat.S_ISFIFO((work / "pipe.csv").stat().st_mode)


def test_a_folder_that_cannot_be_written(
    run: Run, work: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_words: object, **_options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(synthvae._files.tempfile, "mkstemp", refuse)
    for words in (
        (*FIT, "m"),
        ("sample", model, "--out", "made.csv"),
        ("evaluate", *TABLES, "--out", "scores.json"),
        ("schema", "init", "train.csv", "--out", "draft.yaml"),
    ):
        refused(run, work, "cannot be written: Permission denied", *words, code=STORAGE)


def test_a_full_disk_leaves_the_model_that_was_there(
    work: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(synthvae._files, "_sync", full)
    before = everything_in(work)
    with pytest.raises(StorageError, match="what was there before is untouched"):
        fitted("open").save(model, force=True)
    assert everything_in(work) == before


def test_force_replaces_and_leaves_nothing_else(run: Run, work: Path, model: Path) -> None:
    before = everything_in(work)
    for seed in ("1", "2"):
        ended = run("sample", model, "--rows", "5", "--seed", seed, "--out", "made.csv", "--force")
        assert ended.code == 0
    assert set(everything_in(work)) == {*before, "made.csv"}


def test_folders_are_made_and_links_followed(run: Run, work: Path, model: Path) -> None:
    assert run("sample", model, "--rows", "5", "--out", "new/folder/made.csv").code == 0
    (work / "link.csv").symlink_to(work / "new" / "made elsewhere.csv")
    assert run("sample", model, "--rows", "5", "--out", "link.csv").code == 0
    assert (work / "link.csv").is_symlink()
    assert (work / "new" / "made elsewhere.csv").is_file()


def test_files_are_as_private_as_the_user_asked(work: Path) -> None:
    before = os.umask(0o077)
    try:
        with whole_file(work / "a.txt") as draft:
            draft.write_text("x")
        with whole_folder(work / "b") as folder:
            (folder / "c").write_text("x")
    finally:
        os.umask(before)
    for path in ("a.txt", "b", "b/c"):
        assert (work / path).stat().st_mode & 0o077 == 0


def write_while_another_does(path: Path, force: bool) -> None:
    with whole_folder(path, force) as slow:
        (slow / "x").write_text("slow")
        with whole_folder(path, force) as fast:
            (fast / "x").write_text("fast")


def test_two_at_once_lose_nothing(tmp_path: Path) -> None:
    with pytest.raises(OutputExistsError, match=r"what was made here is in .*model-2"):
        write_while_another_does(tmp_path / "model", force=False)
    assert everything_in(tmp_path) == {"model/x": b"fast", "model-2/x": b"slow"}
    write_while_another_does(tmp_path / "model", force=True)  # the last one stands
    assert everything_in(tmp_path) == {"model/x": b"slow", "model-2/x": b"slow"}


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError, SystemExit])
def test_a_block_that_ends_early_leaves_what_was_there(
    tmp_path: Path, stop: type[BaseException]
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "x").write_text("old")
    (tmp_path / "file").write_text("old")

    def write_half() -> None:
        with whole_folder(tmp_path / "model", force=True) as folder:
            (folder / "x").write_text("new")
            with whole_file(tmp_path / "file") as draft:
                draft.write_text("new")
                raise stop

    with pytest.raises(stop):
        write_half()
    assert everything_in(tmp_path) == {"file": b"old", "model/x": b"old"}


def test_a_swap_that_is_interrupted_puts_the_old_one_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model"
    path.mkdir()
    (path / "x").write_text("old")
    rename = Path.rename

    def interrupted(self: Path, target: Path) -> Path:
        if self.suffix == ".partial":
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), whole_folder(path, force=True):
        pass
    assert everything_in(tmp_path) == {"model/x": b"old"}
