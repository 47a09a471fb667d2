"""`--where`: values as people write them, and what a model holds impossible."""

import dataclasses
import functools
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from synthvae.console import read_conditions
from synthvae.errors import ConfigError, UnlikelyConditionWarning
from synthvae.model.conditions import _code, parse_conditions
from synthvae.model.records import draw_records
from synthvae.model.sampling import Sampler
from synthvae.schema import Schema
from synthvae.synthesizer import Synthesizer
from tests.cli.in_process import Run
from tests.hospital import quick
from tests.simulated import simulate_fewer

PATIENTS = 600
WARDS = Schema.from_dict(
    {
        "patients": PATIENTS,
        "fields": [
            {"name": "sex", "constraints": {"enum": ["F", "M"]}},
            {"name": "died", "type": "boolean", "trueValues": ["1"], "falseValues": ["0"]},
            {"name": "coded", "type": "integer", "constraints": {"enum": [0, 1]}},
            {"name": "rare", "constraints": {"enum": ["usual", "rare"]}},
            {
                "name": "pregnancies",
                "type": "integer",
                "constraints": {"minimum": 0, "maximum": 10, "required": False},
            },
            {
                "name": "dose",
                "type": "number",
                "decimals": 1,
                "decimalChar": ",",
                "groupChar": ".",
                "censored": {"<1": 0.5},
                "constraints": {"minimum": 1, "maximum": 2000},
            },
            {
                "name": "seen",
                "type": "date",
                "format": "%d.%m.%Y",
                "constraints": {"minimum": "2004-01-01", "maximum": "2005-12-31"},
            },
        ],
    }
)


@functools.cache
def wards() -> Synthesizer:
    draws = np.random.default_rng(0)
    female = draws.random(PATIENTS) < 0.5
    days = pd.Timestamp("2004-01-01") + pd.to_timedelta(draws.integers(0, 731, PATIENTS), "D")
    dose = draws.uniform(1, 2000, PATIENTS).round(1)
    frame = pd.DataFrame(
        {
            "sex": np.where(female, "F", "M"),
            "died": draws.integers(0, 2, PATIENTS).astype(str),
            "coded": draws.integers(0, 2, PATIENTS),
            "rare": np.where(draws.random(PATIENTS) < 0.01, "rare", "usual"),
            "pregnancies": np.where(female, draws.integers(0, 6, PATIENTS), np.nan),
            "dose": [str(value).replace(".", ",") for value in dose],
            "seen": days.strftime("%d.%m.%Y"),
        }
    )
    frame.loc[np.flatnonzero(~female)[:2], "pregnancies"] = 3  # two slips of the pen
    with pytest.MonkeyPatch.context() as patch:
        simulate_fewer(patch)
        made = Synthesizer(WARDS, 50.0, settings=quick(WARDS, 50.0), test_seed=1)
        return made.fit(frame)


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    wards().save(tmp_path / "model")
    return tmp_path / "model"


def sampled(run: Run, *conditions: str) -> pd.DataFrame:
    words = [word for condition in conditions for word in ("--where", condition)]
    ended = run("sample", "model", "--rows", "40", "--out", "made.csv", "--force", *words)
    assert ended.code == 0, ended.err
    return pd.read_csv("made.csv", dtype=str, keep_default_na=False)


@pytest.mark.parametrize("word", ["true", "True", "1", "yes", "Y", "t"])
@pytest.mark.parametrize("column", ["died", "coded"])
def test_a_yes_is_understood_however_it_is_written(
    run: Run, saved: Path, column: str, word: str
) -> None:
    assert set(sampled(run, f"{column}={word}")[column]) == {"1"}


def test_an_unknown_word_is_told_all_spellings(run: Run, saved: Path) -> None:
    ended = run("sample", "model", "--out", "made.csv", "--where", "died=dead")
    assert ended.code == ConfigError.exit_code
    assert (
        "true or false, which may be written as 1/true/t/yes/y and 0/false/f/no/n" in ended.message
    )
    ended = run("sample", "model", "--out", "made.csv", "--where", "sex=true")
    assert "the schema declares F, M" in ended.message


@pytest.mark.parametrize(
    ("condition", "low", "high"),
    [
        ("dose=1.000,5..1.500", 1000.5, 1500),
        ("dose=1000.5..1500.25", 1000.5, 1500.2),
        ("dose=12,5", 12.5, 12.5),
        ("dose=1.500..", 1500, 2000),
    ],
)
def test_numbers_are_read_as_the_field_spells_them_or_plainly(
    condition: str, low: float, high: float
) -> None:
    where = read_conditions([condition], WARDS)
    assert wards().sample(40, where=where, seed=1)["dose"].between(low, high).all()


@pytest.mark.parametrize("condition", ["seen=01.03.2005..", "seen=2005-03-01.."])
def test_dates_are_read_in_the_schemas_format_or_as_bounds_are(
    run: Run, saved: Path, condition: str
) -> None:
    seen = pd.to_datetime(sampled(run, condition)["seen"], format="%d.%m.%Y")
    assert seen.min() >= pd.Timestamp("2005-03-01")


def test_a_rare_category_gives_the_rows_that_were_asked_for(run: Run, saved: Path) -> None:
    frame = sampled(run, "rare=rare")
    assert len(frame) == 40
    assert set(frame["rare"]) == {"rare"}


@pytest.mark.parametrize("where", [{"pregnancies": 3}, {"pregnancies": (1, 5)}])
def test_pregnant_men_are_warned_of(where: dict[str, Any]) -> None:
    with pytest.warns(
        UnlikelyConditionWarning, match="'sex=M' and 'pregnancies=.* nearly impossible"
    ):
        frame = wards().sample(200, where={"sex": "M"} | where, seed=1)
    assert len(frame) == 200


def test_the_warning_is_a_note_on_the_terminal(run: Run, saved: Path) -> None:
    words = ("--where", "sex=M", "--where", "pregnancies=3")
    ended = run("sample", "model", "--rows", "20", "--out", "made.csv", *words)
    assert ended.code == 0
    assert (
        "Note: The model holds 'sex=M' and 'pregnancies=3' nearly impossible together" in ended.err
    )
    assert len(pd.read_csv("made.csv")) == 20


@pytest.mark.parametrize(
    "where",
    [{"sex": "F", "pregnancies": 3}, {"sex": "M", "pregnancies": None}, {"dose": 1234.5}],
)
def test_what_is_ordinary_is_not_warned_of(where: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wards().sample(100, where=where, seed=1)


def test_what_a_model_cannot_make_is_an_error_and_no_empty_table() -> None:
    state = wards().state()
    marginals = state.layout.marginals
    conditions = parse_conditions({"sex": "M", "died": True}, WARDS, marginals)
    never = {
        j: dataclasses.replace(condition, shares=0 * condition.shares)
        for j, condition in conditions.items()
    }
    sampler = Sampler(state.layout, state.weights, state.offsets)
    with pytest.raises(
        ConfigError, match="'sex=M' and 'died=True', which the model holds impossible"
    ):
        draw_records(sampler, WARDS.rule_set, never, None, 0, 10, 1, lambda *_: None)


def test_declared_spellings_are_known_whatever_their_case() -> None:
    icu = {"name": "icu", "type": "boolean", "trueValues": ["ja"], "falseValues": ["nein"]}
    kinds = {"name": "kind", "constraints": {"enum": ["early", "Late", "LATE"]}}
    schema = Schema.from_dict({"fields": [icu, kinds]})
    read = schema["icu"], schema["kind"]
    assert [_code(read[0], word, schema) for word in ("Ja", "JA", "ja")] == [1, 1, 1]
    assert _code(read[0], "Nein", schema) == 0
    assert read[1].categories[_code(read[1], "EARLY", schema)] == "early"
    with pytest.raises(ConfigError, match="'late'"):
        _code(read[1], "late", schema)
