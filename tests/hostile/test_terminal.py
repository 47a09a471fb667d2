"""Text from files and data on a terminal: shown, never obeyed."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthvae._runtime import console_progress
from synthvae._text import printable
from synthvae.console import print_comparison, print_evaluation
from tests.cli.in_process import Run, runner
from tests.comparison.comparison_example import comparison
from tests.hostile.examples import evaluation

STEERING = (
    "\x1b[2J\x1b[31mred",
    "\x1b]8;;file:///etc/passwd\x07link\x1b]8;;\x07",
    "\x9b31m",
    "\x07\x08\x7f\r",
    "\u202egnp.exe",
    "[red]x[/red]",
    "[/nothing]",
    "[link=file:///etc/passwd]x[/link]",
)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(capsys)


def tame(text: str) -> bool:
    return not any(mark in text for mark in "\x1b\x9b\x07\x08\x7f\r\u202e")


@settings(deadline=None)
@given(st.text())
def test_only_line_feeds_are_left_of_control_characters(text: str) -> None:
    shown = printable(text)
    assert tame(shown)
    assert all(ord(sign) >= 32 or sign == "\n" for sign in shown)
    shown.encode("utf-8")
    assert text != text.encode("ascii", "ignore").decode() or printable(shown) == shown


@pytest.mark.parametrize("text", STEERING)
def test_names_of_columns_and_files_in_messages(run: Run, tmp_path: Path, text: str) -> None:
    name = text.replace("/", "")
    (tmp_path / "t.csv").write_text(f'"{text}",age\n"{text}",1\n', encoding="utf-8")
    (tmp_path / f"{name}.yaml").write_text(
        "fields:\n  - {name: age, constraints: {enum: ['2']}}\n", encoding="utf-8"
    )
    for words in (
        ("schema", "check", tmp_path / f"{name}.yaml", tmp_path / "t.csv"),
        ("schema", "check", tmp_path / f"{name}.yaml", tmp_path / f"{name}.csv"),
        ("sample", tmp_path / name, "--out", tmp_path / "out.csv"),
        ("report", tmp_path / f"{name}.json", "--out", tmp_path / "out.html"),
    ):
        ended = run(*words)
        assert ended.code != 0
        assert tame(ended.out + ended.err)
        assert "Error: " in ended.err


@pytest.mark.parametrize("text", STEERING)
def test_tables_of_scores_and_methods(capsys: pytest.CaptureFixture[str], text: str) -> None:
    print_evaluation(evaluation(text), Path(f"{text}.json"))
    found = comparison()
    changed = tuple(
        one.model_copy(update={"method": text, "failed": (text,)}) for one in found.summaries
    )
    print_comparison(found.model_copy(update={"name": text, "summaries": changed}), Path(text))
    said = capsys.readouterr()
    assert tame(said.out + said.err)


@pytest.mark.parametrize("text", STEERING)
def test_progress(capsys: pytest.CaptureFixture[str], text: str) -> None:
    with console_progress() as show:
        show(f"comparing: {text}", 0.5)
    assert "\x1b[2J" not in capsys.readouterr().err


def test_a_long_name_is_cut_short(run: Run, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x" * 100_000 + ",age\n" + "y" * 1_000_000 + ",1\n")
    (tmp_path / "s.yaml").write_text("fields:\n  - {name: age, constraints: {enum: ['2']}}\n")
    ended = run("schema", "check", tmp_path / "s.yaml", tmp_path / "t.csv")
    assert len(ended.out + ended.err) < 2000


def test_words_that_a_spreadsheet_would_run_are_pointed_out(run: Run, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("ward\n=1+1\n")
    (tmp_path / "s.yaml").write_text("fields:\n  - {name: ward, constraints: {enum: ['=1+1']}}\n")
    ended = run("schema", "check", tmp_path / "s.yaml", tmp_path / "t.csv")
    assert ended.code == 0
    assert "column 'ward': '=1+1' begins like a formula" in ended.out
