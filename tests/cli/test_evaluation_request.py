"""What is asked of an evaluation reaches it from a run's settings and from the command line."""

import json
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd
import pytest

import synthvae.scoring
from synthvae._frozen import write_yaml
from synthvae.cli import app
from synthvae.config import RunConfig
from synthvae.console import run_command
from synthvae.errors import ConfigError
from synthvae.pipeline import load_schema, plan_fit, run
from synthvae.synthesizer import Synthesizer
from synthvae.table import write_table
from tests.hospital import SCHEMA, make_table, write_schema
from tests.simulated import simulate_fewer

RULE = {"name": "adults", "then": "âge >= 18"}


class Reached(Exception):
    """Raised in place of the evaluation, to look at what reached it."""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_table(make_table(), tmp_path / "train.csv", SCHEMA)
    write_schema(tmp_path)
    monkeypatch.chdir(tmp_path)
    simulate_fewer(monkeypatch)
    return tmp_path


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    seen: dict[str, Any] = {}

    def look(
        train: pd.DataFrame, holdout: pd.DataFrame, made: pd.DataFrame, *_: Any, **more: Any
    ) -> NoReturn:
        seen.update(more, made=made, train=train, holdout=holdout)
        raise Reached("here")

    monkeypatch.setattr(synthvae.scoring, "evaluate", look)
    return seen


def settings(folder: Path, evaluation: dict[str, Any]) -> RunConfig:
    values = {
        "name": "trial",
        "data": {"path": "train.csv"},
        "schema": "schema.yaml",
        "epsilon": 2,
        "settings": {"steps": 10},
        "evaluation": evaluation,
    }
    (folder / "run.yaml").write_text(write_yaml(values), encoding="utf-8")
    return RunConfig.load(folder / "run.yaml")


def test_a_run_hands_on_draws_rules_and_a_way_to_retrain(
    work: Path, reached: dict[str, Any]
) -> None:
    config = settings(work, {"draws": 3, "rules": [RULE]})
    with pytest.raises(Exception, match="here"):
        run(config)
    assert reached["asked"] == config.evaluation
    assert len(reached["draws"]) == 2
    tables = [reached["made"], *reached["draws"]]
    assert {len(table) for table in tables} == {len(reached["made"])}
    assert not any(tables[0].equals(other) for other in reached["draws"])
    assert not tables[1].equals(tables[2])
    again = reached["retrain"](reached["holdout"], 3)
    assert len(again) == len(reached["holdout"])
    assert list(again.columns) == list(reached["made"].columns)


def test_rules_are_checked_before_anything_is_spent(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_words: object, **_options: object) -> None:
        raise AssertionError("fitted")

    monkeypatch.setattr(Synthesizer, "fit", refuse)
    config = settings(work, {"rules": [{"name": "adults", "then": "âgee >= 18"}]})
    with pytest.raises(ConfigError, match=r"'âgee' is no column \(did you mean 'âge'\?\)"):
        run(config)
    with pytest.raises(ConfigError, match="'âgee' is no column"):
        plan_fit(config, load_schema(config))
    assert not (work / "reports").exists()


def test_the_command_reads_what_is_asked(
    work: Path, reached: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    (work / "asked.yaml").write_text(write_yaml({"evaluation": {"rules": [RULE]}}))
    words = ["evaluate", "train.csv", "--train", "train.csv", "--holdout", "train.csv"]
    words += ["--schema", "schema.yaml", "--out", "scores.json", "--config", "asked.yaml"]
    assert run_command(app, [*words, "--depth", "screen", "--draw", "train.csv"], False) == 1
    assert reached["asked"].depth == "screen"
    assert reached["asked"].rules[0].then == "âge >= 18"
    assert [len(table) for table in reached["draws"]] == [len(reached["made"])]
    capsys.readouterr()
    assert run_command(app, [*words, "--depth", "bottomless"], False) == ConfigError.exit_code
    assert "depth is 'bottomless'; it must be one of screen" in capsys.readouterr().err
    (work / "asked.yaml").write_text(json.dumps({"evaluation": {"limits": {"tvd9": {}}}}))
    assert run_command(app, words, False) == ConfigError.exit_code
    assert "good: missing" in capsys.readouterr().err
