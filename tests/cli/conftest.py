import io
from collections.abc import Callable
from pathlib import Path

import pytest

from synthvae.table import write_table
from tests.cli.in_process import Ended, Run, runner
from tests.hospital import SCHEMA, fitted, make_table, write_schema
from tests.simulated import simulate_fewer


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process."""
    return runner(capsys)


@pytest.fixture
def answer(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """Review the draft in the working folder with the lines that are typed."""
    monkeypatch.chdir(tmp_path)

    def typed(*lines: str, words: tuple[str, ...] = ()) -> Ended:
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        return run("schema", "review", "draft.yaml", *words)

    return typed


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a table and its schema."""
    write_table(make_table(), tmp_path / "train.csv", SCHEMA)
    write_schema(tmp_path)
    monkeypatch.chdir(tmp_path)
    simulate_fewer(monkeypatch)
    return tmp_path


@pytest.fixture
def model(work: Path) -> Path:
    """A fitted model in the working folder."""
    fitted().save(work / "model")
    return work / "model"
