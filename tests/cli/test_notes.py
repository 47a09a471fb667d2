"""What commands say of a table on the terminal, and nowhere else."""

from pathlib import Path

import pandas as pd
import pytest

from synthvae.errors import EvaluationError
from tests.cli.in_process import Run, everything_in
from tests.hospital import SCHEMA, write_schema

RUN = """\
name: notes
data: {path: train.csv}
schema: schema.yaml
epsilon: none
settings: {steps: 5}
evaluation: {depth: screen}
"""


@pytest.fixture
def noted(work: Path) -> Path:
    """A working folder whose table has values to round and rows to drop."""
    frame = pd.read_csv("train.csv", dtype=str, keep_default_na=False)
    frame.loc[0, 'crea "mg/dL"'] = "1.2345"
    several = frame["pat.id"].value_counts().index[0]
    extra = frame[frame["pat.id"] == several].assign(cost="7")
    pd.concat([frame, extra]).to_csv("train.csv", index=False)
    write_schema(work, SCHEMA.replace(maxRows=5), "wide.yaml")
    (work / "run.yaml").write_text(RUN)
    return work


def test_check_says_what_is_rounded_and_what_is_not_used(run: Run, noted: Path) -> None:
    ended = run("schema", "check", "schema.yaml", "train.csv")
    assert ended.code == 0, ended.err
    assert (
        "- note: column 'crea \"mg/dL\"': 1 row: rounded to 1 decimal (first: '1.2345'" in ended.out
    )
    assert "maxRows is 3, and 1 patient of 400 has more rows (up to 6): 3 rows of" in ended.out
    ended = run("schema", "check", "wide.yaml", "train.csv")
    assert "`maxRows: 3` would divide it by 1.67" in ended.out


def test_fit_and_run_say_it_once_and_write_it_nowhere(
    run: Run, noted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = run(
        *("fit", "train.csv", "--schema", "schema.yaml"), "--epsilon", "none", "--out", "m"
    )
    assert fitted.code == 0, fitted.err
    assert "Columns that are not modelled: invented: pat.id, visit no." in fitted.out

    def refuse(*_tables: object, **_options: object) -> None:
        raise EvaluationError("Not scored.")

    monkeypatch.setattr("synthvae.scoring.evaluate", refuse)
    done = run("run", "run.yaml", "--out", "done")
    assert done.code == EvaluationError.exit_code
    for ended in (fitted, done):
        assert ended.err.count("Note: column 'crea \"mg/dL\"': 1 row: rounded to 1 decimal") == 1
        assert ended.err.count("Note: maxRows is 3, and 1 patient of 400") == 1
    written = everything_in(noted / "m") | everything_in(noted / "done")
    assert "notes/release/guarantee.json" in written
    assert not [name for name, content in written.items() if b"1 patient of 400" in content]


def test_sample_names_what_is_invented(run: Run, model: Path) -> None:
    ended = run("sample", model, "--rows", "5", "--out", "made.csv")
    assert "Columns that are not modelled: invented: pat.id, visit no." in ended.out


def test_a_delta_without_a_budget_is_refused(run: Run, work: Path) -> None:
    words = ("--epsilon", "none", "--delta", "1e-6", "--out", "m")
    ended = run("fit", "train.csv", "--schema", "schema.yaml", *words)
    assert ended.code == 7
    assert "delta is given without epsilon (as 1e-06)" in ended.message
    assert not (work / "m").exists()


def test_one_problem_is_one_problem(run: Run, work: Path) -> None:
    frame = pd.read_csv("train.csv", dtype=str, keep_default_na=False)
    frame.drop(columns="died").to_csv("train.csv", index=False)
    assert run("schema", "check", "schema.yaml", "train.csv").message == "1 problem found."
