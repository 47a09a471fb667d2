"""Files as hospitals have them, through the commands: notes are shown, and options win over schemas."""

from pathlib import Path

import pandas as pd
import pytest

from synthvae.config import Source
from synthvae.errors import ConfigError, InputFileError
from synthvae.pipeline import load_source
from synthvae.schema import Dialect, Schema
from tests.cli.in_process import Run

INPUT = 5
TEXT = "centre;age;bmi\n" + "Zürich;59;21,4\nGenève;48;29,3\n" * 30


@pytest.fixture(autouse=True)
def _there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text(TEXT, encoding="cp1252")


def test_a_draft_from_a_guess_says_so_and_declares_it(run: Run) -> None:
    ended = run("schema", "init", "t.csv", "--out", "s.yaml")
    assert ended.code == 0, ended.err
    assert "is read as cp1252, a guess: it reads 'Zürich', 'Genève'" in ended.err
    assert "cells are separated by semicolons" in ended.err
    assert Schema.load("s.yaml").dialect == Dialect(delimiter=";", encoding="cp1252")
    checked = run("schema", "check", "s.yaml", "t.csv")
    assert (checked.code, "a guess" in checked.err) == (0, False), checked.err


def test_a_fit_does_not_guess(run: Run) -> None:
    run("schema", "init", "t.csv", "--out", "s.yaml")
    text = Path("s.yaml").read_text().replace("encoding: cp1252", "sheet: x")
    Path("s.yaml").write_text(text.replace("review: true", "review: false") + "patients: 60\n")
    words = ("t.csv", "--schema", "s.yaml", "--epsilon", "none", "--out", "m")
    refused = run("fit", *words)
    assert (refused.code, "Pass `--encoding cp1252`" in refused.message) == (INPUT, True)
    assert run("schema", "check", "s.yaml", "t.csv", "--encoding", "cp1252").code == 0


@pytest.mark.parametrize("name", ["t.csv.gz", "t.xlsx", "t.dta"])
def test_other_files_are_drafted_and_checked(run: Run, name: str) -> None:
    frame = pd.read_csv("t.csv", sep=";", decimal=",", encoding="cp1252")
    if name.endswith(".gz"):
        frame.to_csv(name, index=False)
    else:
        frame.to_excel(name, index=False) if name.endswith("xlsx") else frame.to_stata(name)
    assert run("schema", "init", name, "--out", "s.yaml").code == 0
    checked = run("schema", "check", "s.yaml", name)
    assert checked.code == 0, checked.out


def test_a_runs_own_words_win_over_the_schemas() -> None:
    source = Source(path=Path("t.csv"), encoding="cp1252")
    assert load_source(source, Dialect(encoding="ascii")).shape == (60, 3)
    with pytest.raises(InputFileError, match="Pass `--encoding cp1252`"):
        load_source(Source(path=Path("t.csv")))
    nameless = Source(path=Path("t.csv"), header=False, delimiter=";", encoding="cp1252")
    assert load_source(nameless).shape == (61, 3)
    with pytest.raises(ConfigError, match="encoding 'klingon' is none that is known"):
        Source.from_dict({"path": "t.csv", "encoding": "klingon"})


def test_a_name_that_a_format_forbids_is_said_before_sampling(run: Run, model: Path) -> None:
    refused = run("sample", model, "--out", "made.dta")
    assert refused.code == 3
    assert "a name in a file of Stata" in refused.message
    assert not Path("made.dta").exists()


@pytest.mark.parametrize("name", ["made.csv.gz", "made.xlsx"])
def test_samples_are_written_by_the_ending(run: Run, model: Path, name: str) -> None:
    assert run("sample", model, "--rows", "40", "--out", name, "--seed", "1").code == 0
    assert run("schema", "check", "schema.yaml", name).code == 0
