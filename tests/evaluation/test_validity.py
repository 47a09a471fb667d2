"""Figures of validity at their bounds, and of what the rows of a patient share."""

import numpy as np
import pandas as pd
import pytest

from synthvae.config import Rule
from synthvae.errors import ConfigError
from synthvae.evaluation.results import Score
from synthvae.evaluation.tables import prepare
from synthvae.evaluation.validity import check_patients, check_rules, check_validity, read_rules
from synthvae.levels import judge, with_threshold
from synthvae.schema import Schema
from tests.evaluation.evaluation_example import SCHEMA, clinic


def judged(scores: tuple[Score, ...], key: str) -> str:
    (score,) = (score for score in scores if score.key == key)
    return judge(with_threshold(score, {}))


@pytest.mark.parametrize(("bad", "expected"), [(0, "green"), (1, "amber"), (30, "red")])
def test_a_small_table_without_a_bad_cell_is_good_and_with_one_is_not(
    bad: int, expected: str
) -> None:
    made = clinic(60, 3).astype({"sex": object})
    made.loc[: bad - 1, "sex"] = "neither"
    tables = prepare(clinic(60, 1), clinic(60, 2), made, SCHEMA, np.random.default_rng(0))
    scores = check_validity(tables)
    assert judged(scores, "valid_cells") == expected
    assert (judged(scores, "valid_rows") == "green") == (not bad)


def test_one_bad_cell_of_millions_does_not_round_to_none() -> None:
    made = clinic(60, 3)
    tables = prepare(clinic(60, 1), clinic(60, 2), made, SCHEMA, np.random.default_rng(0))
    invalid = np.zeros((1_000_000, 6), bool)
    invalid[5, 2] = True
    codes = np.zeros((1_000_000, 6), np.int64)
    wide = type(tables.synthetic)(codes, invalid, np.arange(1_000_000))
    cells = check_validity(type(tables)(**{**vars(tables), "synthetic": wide}))[0]
    assert cells.value is not None
    assert cells.value < 1
    assert judge(with_threshold(cells, {})) == "amber"


def test_a_rule_that_no_row_of_a_small_table_breaks_is_good() -> None:
    rules = read_rules([Rule(name="adults", then="age >= 18")], SCHEMA)
    tables = prepare(clinic(60, 1), clinic(60, 2), clinic(60, 3), SCHEMA, np.random.default_rng(0))
    (score,) = check_rules(tables, rules)
    assert score.interval is not None
    assert score.interval.high > 0.02  # which is poor, had more rows been drawn
    assert judge(with_threshold(score, {})) == "green"


def repeated(per_patient: bool = False) -> Schema:
    sex: dict[str, object] = {"name": "sex", "constraints": {"enum": ["f", "m"]}}
    if per_patient:
        sex["perPatient"] = True
    pressure = {"name": "sbp", "type": "integer", "constraints": {"minimum": 0, "maximum": 300}}
    return Schema.from_dict(
        {"patientKey": "id", "maxRows": 2, "fields": [{"name": "id"}, sex, pressure]}
    )


def patients(number: int, seed: int, mixed: float = 0.0) -> pd.DataFrame:
    """Return two rows of each patient, of whom a share has two sexes."""
    g = np.random.default_rng(seed)
    sex = np.repeat(g.integers(0, 2, number), 2)
    sex[1 : 2 * round(mixed * number) : 2] ^= 1
    return pd.DataFrame(
        {
            "id": np.repeat([f"{seed}.{i}" for i in range(number)], 2),
            "sex": np.array(["f", "m"])[sex],
            "sbp": g.integers(90, 200, 2 * number),
        }
    )


@pytest.mark.parametrize(("mixed", "expected"), [(0.0, "green"), (0.04, "amber"), (0.5, "red")])
def test_patients_of_two_sexes_are_not_good(mixed: float, expected: str) -> None:
    made = patients(200, 3, mixed)
    tables = prepare(patients(200, 1), patients(60, 2), made, repeated(), np.random.default_rng(0))
    (score,) = check_patients(tables)
    assert score.value == pytest.approx(1 - mixed)
    assert score.references == {"train": 1.0, "holdout": 1.0}
    assert "'sex'" in score.detail
    assert "sbp" not in score.detail  # which varies in real patients, too
    assert judged((score,), "within_patient") == expected


def test_nothing_asks_where_the_column_is_declared_or_varies() -> None:
    generator = np.random.default_rng(0)
    declared = prepare(
        patients(50, 1), patients(30, 2), patients(50, 3), repeated(per_patient=True), generator
    )
    varies = prepare(patients(50, 1, 0.3), patients(30, 2), patients(50, 3), repeated(), generator)
    alone = prepare(clinic(60, 1), clinic(60, 2), clinic(60, 3), SCHEMA, generator)
    assert check_patients(declared) == check_patients(varies) == check_patients(alone) == ()
    single = patients(50, 3).drop_duplicates("id")
    lonely = prepare(patients(50, 1), patients(30, 2), single, repeated(), generator)
    assert check_patients(lonely)[0].not_run == "no synthetic patient has two rows"


def visits(patients: int, *steps: int, key: bool = True) -> pd.DataFrame:
    """Return patients whose doses rise by these steps, the rows of the first ones in any order."""
    doses = np.cumsum([1, *steps])
    rows = [(whose, year, dose) for whose in range(patients) for year, dose in enumerate(doses)]
    frame = pd.DataFrame(rows, columns=["id", "year", "dose"]).sample(frac=1, random_state=1)
    return frame if key else frame.drop(columns="id")


def test_rules_that_look_back_are_scored_within_the_patient_in_time() -> None:
    numbers = [
        {"name": name, "type": "integer", "constraints": {"minimum": 0, "maximum": 9}}
        for name in ("year", "dose")
    ]
    schema = Schema.from_dict(
        {
            "patientKey": "id",
            "maxRows": 3,
            "orderBy": "year",
            "fields": [{"name": "id"}, *numbers],
            "rules": ["dose >= dose_prev", "dose < 9"],
        }
    )
    asked = [Rule(name="slow", condition="year_prev == 1", then="dose - dose_prev <= 2")]
    rules = read_rules(asked, schema)
    real, held = visits(30, 1, 1), visits(9, 1, 3).assign(id=lambda frame: frame["id"] + 100)
    tables = prepare(real, held, visits(20, 3, -1), schema, np.random.default_rng(0))
    falls, high, slow = check_rules(tables, rules)
    assert falls.value == pytest.approx(1 / 3)
    assert falls.references == {"train": 0.0, "holdout": 0.0}
    assert "It concerns 40 rows." in falls.detail
    assert set(high.references) == {"train", "holdout", "independent"}
    assert slow.value == 0.0
    assert slow.references["holdout"] == pytest.approx(1 / 3)
    assert "It concerns 20 rows." in slow.detail
    loose = prepare(real, held, visits(20, 3, -1, key=False), schema, np.random.default_rng(0))
    assert check_rules(loose, rules)[0].value == 0.0  # nobody knows who is whose
    with pytest.raises(ConfigError, match="rows are in no order"):
        read_rules(asked, schema.replace(orderBy=None, rules=[]))
