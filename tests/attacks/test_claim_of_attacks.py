"""The claim about attacks: green for fresh real rows, red where records of train are copied."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from synthvae.attacks import run_attacks
from synthvae.attacks.membership import find_exact_copies
from synthvae.config import Depth
from synthvae.evaluation import significance, validity
from synthvae.evaluation.tables import Tables, prepare
from synthvae.levels import Level, with_threshold
from synthvae.report.decision import decide
from tests.attacks.known_generators import PEOPLE, people
from tests.report import report_example as example

VISITS = PEOPLE.replace(
    patientKey="id", maxRows=3, fields=[{"name": "id"}, *PEOPLE.to_dict()["fields"]]
)
NARROW = PEOPLE.replace(fields=PEOPLE.to_dict()["fields"][-3:])


def visits(patients: int, seed: int) -> pd.DataFrame:
    """Return one to three rows of each patient, who hold some columns."""
    g = np.random.default_rng(seed)
    repeated = np.repeat(np.arange(patients), g.integers(1, 4, patients))
    table = people(patients, seed).loc[repeated].reset_index(drop=True)
    table["lab 0"] = np.clip(np.round(table["lab 0"] + g.normal(0, 4, len(table)), 1), 0, 100)
    table.insert(0, "id", [f"{seed}.{patient}" for patient in repeated])
    return table


def narrow(patients: int, seed: int) -> pd.DataFrame:
    return people(patients, seed)[list(NARROW.names)]


KINDS = {"wide": (PEOPLE, people), "narrow": (NARROW, narrow), "visits": (VISITS, visits)}


def tables_of(kind: str, patients: int, copied: float, seed: int) -> Tables:
    """Return train, a fifth as holdout, and fresh rows with copies of a share of train's patients."""
    schema, draw = KINDS[kind]
    train, holdout, made = (
        draw(round(share * patients), 3 * seed + part) for part, share in enumerate((0.8, 0.2, 0.8))
    )
    key = train["id"] if "id" in train else pd.Series(train.index)
    drawn = key.drop_duplicates().sample(frac=copied, random_state=seed)
    made = pd.concat([made.iloc[round(copied * len(train)) :], train[key.isin(drawn)]])
    return prepare(train, holdout, made, schema, np.random.default_rng(seed))


def level_of(tables: Tables, depth: Depth, seed: int) -> Level:
    """Return the level of the claim about attacks, under a guarantee that holds."""
    found = run_attacks(tables, depth, np.random.default_rng(seed))
    scores = [*validity.check_validity(tables), *significance.adjusted(found.scores)]
    evaluation = example.evaluation(
        3,
        depth=depth,
        attacks=found.attacks,
        risks=found.risks,
        scores=tuple(with_threshold(score, {}) for score in scores),
    )
    guarantee = example.guarantee(epsilon=5.0, epsilon_budget=5.0)
    return decide(evaluation, guarantee).claim("attacks").level


@pytest.mark.parametrize(("copied", "expected"), [(0.0, "green"), (0.05, "red")])
def test_one_table_is_judged_by_whether_it_copies(copied: float, expected: Level) -> None:
    assert level_of(tables_of("wide", 400, copied, 1), "screen", 1) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "patients", "depth", "runs"),
    [
        ("wide", 300, "screen", 40),
        ("narrow", 600, "screen", 40),
        ("visits", 400, "screen", 40),
        ("wide", 1000, "standard", 20),
    ],
)
def test_fresh_rows_are_green_and_copies_red(
    kind: str, patients: int, depth: Depth, runs: int
) -> None:
    levels = Counter(
        level_of(tables_of(kind, patients, 0.0, seed), depth, seed) for seed in range(runs)
    )
    # At 2.5 %, five or more of 40 that are not green happen once in 250 times, and three of 20 in 80.
    assert levels["green"] >= runs - (4 if runs == 40 else 2), levels
    assert not levels["red"], levels
    if kind != "narrow":  # where new patients equal old ones, copies are hidden among them
        copies = {
            level_of(tables_of(kind, patients, 0.05, seed), depth, seed)
            for seed in range(runs // 4)
        }
        assert copies == {"red"}


def test_patients_who_are_copied_are_counted_on_both_sides() -> None:
    tables = tables_of("visits", 200, 0.1, 2)
    (risk,), (score,) = find_exact_copies(tables).risks, find_exact_copies(tables).scores
    assert (risk.members, risk.others, risk.control) == (160, 40, 0.0)
    assert risk.success == 0.1
    assert "16 of 160 patients of train and 0 of 40 of the holdout" in risk.detail
    assert score.p_value is not None
    assert score.p_value < significance.ERROR / significance.FAMILY


def test_a_constant_table_that_equals_one_patient_is_no_proof() -> None:
    """A generator that fell on one point copies one patient, however often."""
    train, holdout = people(160, 1), people(40, 2)
    made = train.iloc[[0] * 160]
    tables = prepare(train, holdout, made, PEOPLE, np.random.default_rng(0))
    (score,) = find_exact_copies(tables).scores
    assert score.p_value is not None
    assert score.p_value > 0.1


def test_few_patients_say_so() -> None:
    tables = prepare(people(20, 1), people(4, 2), people(20, 3), PEOPLE, np.random.default_rng(0))
    (score,) = find_exact_copies(tables).scores
    assert "there are 4" in str(score.not_run)
