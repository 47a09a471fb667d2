"""Whole patients under conditions: they are those of the model that meet them, and no others."""

import functools
from typing import Any

import numpy as np
import pandas as pd
import pytest

from synthvae._types import Floats
from synthvae.errors import ConfigError, UnlikelyConditionWarning
from synthvae.model import people
from synthvae.model.sampling import block_generator
from synthvae.model.visit_conditions import VisitSieve, split_name
from synthvae.table import decode
from tests.courses import COURSES, fitted

FAR = 4.0  # standard errors between means
HOLD = {
    "sex": lambda visits: visits["sex"] == "male",
    "first:year": lambda visits: visits["year"] == 2002,
    "first:lab": lambda visits: visits["lab"] >= 12,
    "first:twice": lambda visits: visits["twice"] == 6,
    "any:admitted": lambda visits: visits["admitted"].astype(bool),
    "any:lab": lambda visits: visits["lab"].isna(),
}


@functools.cache
def unconditional() -> pd.DataFrame:
    """Patients of the model, as plain as they come."""
    sampler = fitted().state().sampler
    frames, blocks, size = [], 6, 4096
    for block in range(blocks):
        histories = sampler.draw(size, block_generator(9, block), 0)
        codes = people.schema_codes(sampler.timeline, histories)
        kept = ~people.broken_patients(sampler.timeline, histories, codes)[histories.whose]
        frame = decode(codes[kept], COURSES)
        frames.append(frame.assign(patient=histories.whose[kept] + block * size))
    return pd.concat(frames)


def met(frame: pd.DataFrame, name: str) -> pd.Series:
    """Return which visits belong to patients who meet a condition."""
    holds = HOLD[name](frame)
    if not name.startswith("any:"):
        holds &= ~frame["patient"].duplicated()
    return holds.groupby(frame["patient"]).transform("any")


def by_patient(frame: pd.DataFrame) -> Floats:
    """Return what tells patients apart, shape (patients, figures)."""
    grouped = frame.groupby("patient", sort=False)
    figures = [grouped.size(), grouped["lab"].mean().fillna(8), grouped["admitted"].mean()]
    figures += [grouped[name].first() for name in ("age", "year", "births")]
    figures.append(grouped["age"].last())
    return np.column_stack([np.asarray(each, float) for each in figures])


def distance(one: pd.DataFrame, other: pd.DataFrame) -> float:
    """Return the largest difference of means, in standard errors."""
    a, b = by_patient(one), by_patient(other)
    error = np.sqrt(a.var(axis=0) / len(a) + b.var(axis=0) / len(b))
    return float((np.abs(a.mean(axis=0) - b.mean(axis=0)) / np.maximum(error, 1e-9)).max())


@pytest.mark.parametrize(
    "where",
    [
        {"sex": "male", "first:year": 2002, "first:lab": (12, None)},  # of about 1 %
        {"first:twice": 6},  # derived, of what a rule names
        {"first:year": (2002, 2002), "any:admitted": True},
        {"any:lab": None, "any:admitted": True},
    ],
    ids=str,
)
def test_they_are_the_models_patients_who_meet_them(where: dict[str, Any]) -> None:
    drawn, all_of_them = fitted().sample(3000, where=where, seed=5), unconditional()
    expected = np.logical_and.reduce([met(all_of_them, name) for name in where])
    for name in where:
        assert met(drawn, name).all()
    assert distance(drawn, all_of_them[expected]) < FAR


def test_patients_who_pass_whatever_their_weight_would_be_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    where, left = {"first:lab": (12, None)}, unconditional()[met(unconditional(), "first:lab")]
    assert distance(fitted().sample(3000, where=where, seed=5), left) < FAR
    usual = VisitSieve.conditioned

    def unweighted(self: VisitSieve, *given: Any) -> Any:
        found = usual(self, *given)
        self._log_weights = None
        return found

    monkeypatch.setattr(VisitSieve, "conditioned", unweighted)
    assert distance(fitted().sample(3000, where=where, seed=5), left) > FAR


def test_the_same_seed_gives_the_same_patients() -> None:
    where = {"first:age": (60, 80), "any:admitted": True}
    one, same, other = (fitted().sample(200, where=where, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one, same)
    assert not one.equals(other)
    names = one["patient"].unique()
    assert len(one) <= 200
    assert list(names) == [f"synthetic-{number + 1:07d}" for number in range(len(names))]


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"age": 50}, "'age', which varies .* write 'first:age' for the first visit, or 'any:age'"),
        ({"any:sex": "male"}, "'sex' is the same at all visits of a patient; write 'sex'"),
        ({"any:agge": 50}, "'agge', which is no modelled column .did you mean 'age'"),
        ({"patient": "p1"}, "'patient', an identifier"),
        ({"first:age": 19}, "the schema declares 20 to 99"),
        ({"sex": "male", "first:births": 2}, "no patient can meet with \"if sex == 'male'"),
        ({"first:age": (90, 99), "any:age": (20, 30)}, "impossible together: none of .* patients"),
    ],
    ids=str,
)
def test_what_nobody_can_meet_is_refused(
    where: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "LEAST_ASKED", 2**15)
    with pytest.raises(ConfigError, match=said):
        fitted().sample(10, where=where, seed=1)


def test_a_column_may_be_called_like_a_condition_on_the_first_visit() -> None:
    assert set(fitted().sample(50, where={"first:site": "b"}, seed=1)["first:site"]) == {"b"}
    assert split_name("any:first:site") == ("any:", "first:site")


def test_how_rare_patients_are_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    rare = {"sex": "male", "first:site": "c", "first:year": 2002, "first:age": (78, 99)}
    with pytest.warns(UnlikelyConditionWarning, match=r"nearly impossible together: about 1 in \d"):
        fitted().sample(20, where=rare, seed=1)
    monkeypatch.setattr(people, "MOST_ASKED", 2**15)
    with pytest.raises(
        ConfigError, match=r"about 1 in [\d,]+ of its patients. 50,000 rows .* ask for"
    ):
        fitted().sample(50_000, where={"any:lab": (14, None)}, seed=1)
