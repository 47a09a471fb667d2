"""A disk that fills up, and who may read what was written."""

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from synthvae._files import private_folder, read_ordinary
from synthvae.comparison.results import Cell, Log
from synthvae.errors import StorageError
from synthvae.pipeline import RunProducts, write_custodian
from synthvae.schema import Schema
from synthvae.synthesizer import Synthesizer
from synthvae.table import write_table
from tests.cli.in_process import everything_in
from tests.comparison.comparison_example import outcome
from tests.hostile.examples import write_model

WARD = Schema.from_dict({"fields": [{"name": "ward", "constraints": {"enum": ["a", "b"]}}]})
FULL = """
import resource, signal, sys
from pathlib import Path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
from synthvae.cli import main
sys.argv = ["synthvae", *sys.argv[1:]]
main()
"""


def run_on_a_full_disk(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command that can write 20 KB a file and no more."""
    return subprocess.run(
        [sys.executable, "-c", FULL, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("ending", ["csv", pytest.param("parquet", marks=pytest.mark.slow)])
def test_records_that_do_not_fit_leave_what_was_there(tmp_path: Path, ending: str) -> None:
    write_model(tmp_path / "model")
    (tmp_path / f"made.{ending}").write_text("precious")
    before = everything_in(tmp_path)
    words = ("sample", "model", "--rows", "3000", "--out", f"made.{ending}", "--force")
    done = run_on_a_full_disk(tmp_path, *words)
    assert (done.returncode, "Traceback" in done.stderr) == (10, False)
    assert f"There is no room left on the disk for made.{ending}" in done.stderr
    assert everything_in(tmp_path) == before


def test_a_full_disk_in_the_middle_of_a_model_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Synthesizer.load(write_model(tmp_path / "model"))
    before = everything_in(tmp_path)
    usual, calls = Path.write_text, []

    def full(path: Path, *words: object, **more: object) -> int:
        calls.append(path)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return usual(path, *words, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(StorageError, match="what was there before is untouched"):
        model.save(tmp_path / "model", force=True)
    monkeypatch.undo()
    assert everything_in(tmp_path) == before
    Synthesizer.load(tmp_path / "model")


def test_a_log_on_a_full_disk_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log.create(tmp_path / "runs.jsonl", {})
    before = (tmp_path / "runs.jsonl").read_bytes()

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("synthvae.comparison.results.os.fsync", full)
    with pytest.raises(StorageError, match="no room left"):
        log.add(outcome(Cell(method="aim", epsilon=1.0, run=0)))
    monkeypatch.undo()
    assert (tmp_path / "runs.jsonl").read_bytes().startswith(before)
    assert Log.resume(tmp_path / "runs.jsonl", {}).origin == {}


def test_nobody_else_may_enter_a_custodians_folder(tmp_path: Path) -> None:
    before = os.umask(0o000)
    try:
        private_folder(tmp_path / "other")
        model = Synthesizer.load(write_model(tmp_path / "model"))
        write_custodian(tmp_path / "run" / "custodian", RunProducts(model))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "other").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "run" / "custodian").stat().st_mode) == 0o700


def test_a_draft_is_closed_to_others_while_it_is_written(tmp_path: Path) -> None:
    seen: list[int] = []

    class Watched(pd.DataFrame):
        pass

    frame = Watched({"ward": ["a"] * 5})
    usual = os.fsync

    def look(handle: int) -> None:
        seen.extend(stat.S_IMODE(item.stat().st_mode) for item in tmp_path.iterdir())
        usual(handle)

    before = os.fsync
    os.fsync = look  # type: ignore[assignment]
    try:
        write_table(frame, tmp_path / "t.csv", WARD)
    finally:
        os.fsync = before
    assert seen == [0o600]


def test_a_file_is_read_to_its_limit_and_no_further(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"12345")
    assert read_ordinary(tmp_path / "f", 5) == b"12345"
    with pytest.raises(OSError, match="larger than"):
        read_ordinary(tmp_path / "f", 4)
    with pytest.raises(OSError, match="null"):
        read_ordinary(tmp_path / "a\0b", 4)
