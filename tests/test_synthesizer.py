from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from synthvae.errors import BudgetError, ConfigError, DataError
from synthvae.model import records
from synthvae.schema import Schema
from synthvae.settings import settings_for
from synthvae.synthesizer import Synthesizer, check_memory
from synthvae.table import encode, find_problems, read_table, write_table
from tests.hospital import ONE_ROW, SCHEMA, fitted, make_table, quick
from tests.simulated import simulate_fewer

CREA, COST, AGE = 'crea "mg/dL"', "cost", "âge"
KINDS = ["private", "open", "one row"]


@pytest.fixture(autouse=True)
def few_simulated_records(monkeypatch: pytest.MonkeyPatch) -> None:
    simulate_fewer(monkeypatch)


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
@pytest.mark.parametrize("kind", KINDS)
def test_fit_save_load_sample_write_read(tmp_path: Path, kind: str, ending: str) -> None:
    synthesizer = fitted(kind)
    synthesizer.save(tmp_path / "model")
    loaded = Synthesizer.load(tmp_path / "model")
    frame = loaded.sample(700, seed=3)
    pd.testing.assert_frame_equal(frame, synthesizer.sample(700, seed=3))
    assert loaded.guarantee == synthesizer.guarantee
    assert list(frame.columns) == list(SCHEMA.names)
    write_table(frame, tmp_path / f"synthetic{ending}", loaded.schema)
    back = read_table(tmp_path / f"synthetic{ending}")
    assert find_problems(back, loaded.schema) == []
    np.testing.assert_array_equal(encode(back, loaded.schema), encode(frame, loaded.schema))


@pytest.mark.parametrize("where", [None, {"sex": "male"}])
def test_the_same_seed_and_number_of_rows_give_the_same_records(
    where: dict[str, str] | None,
) -> None:
    for rows in (1, 30, 5000):
        first, again = (fitted().sample(rows, seed=5, where=where) for _ in range(2))
        pd.testing.assert_frame_equal(first, again)
        assert len(first) == rows
    assert (
        not fitted()
        .sample(30, seed=6, where=where)
        .equals(fitted().sample(30, seed=5, where=where))
    )


def test_more_rows_under_a_condition_extend_fewer() -> None:
    # Under a condition rows are drawn independently, so how many are asked for is no matter.
    few, many = (fitted().sample(rows, seed=5, where={"sex": "male"}) for rows in (30, 5000))
    pd.testing.assert_frame_equal(many.head(30), few)


def test_blocks_of_rows_have_streams_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    # Small blocks stand for the ten thousands of rows of a real one.
    monkeypatch.setattr(records, "BLOCK", 64)
    frame = fitted("one row").sample(150, seed=5)
    assert len(frame) == 150
    blocks = [frame.iloc[first : first + 64].reset_index(drop=True) for first in (0, 64)]
    assert not blocks[0]["days"].equals(blocks[1]["days"])
    # Of whole blocks, more rows do extend fewer.
    pd.testing.assert_frame_equal(fitted("one row").sample(64, seed=5), frame.head(64))
    visits = fitted().sample(150, seed=5)
    assert visits.groupby("pat.id")[AGE].nunique().max() == 1
    assert visits["pat.id"].nunique() > 64


def test_without_a_seed_records_differ() -> None:
    assert not fitted().sample(30).equals(fitted().sample(30))


def test_a_patients_rows_agree_where_the_schema_says_so() -> None:
    frame = fitted().sample(6000, seed=1)
    patients = frame.groupby("pat.id", sort=False)
    assert frame[["sex", AGE]].equals(patients[["sex", AGE]].transform("first"))
    assert patients.size().max() <= 3
    assert 1.2 < patients.size().mean() < 1.9  # 1.5 in the table
    # All rows of a patient stand together.
    assert (frame["pat.id"] != frame["pat.id"].shift()).sum() == len(patients)


def test_identifiers_are_made_up() -> None:
    real = make_table()
    for kind in KINDS:
        frame = fitted(kind).sample(1000, seed=2)
        assert not set(frame["pat.id"]) & set(real["pat.id"])
        assert frame["pat.id"].str.fullmatch(r"synthetic-\d{7}").all()
        assert frame["visit no"].is_unique


def test_the_default_is_as_many_rows_as_the_declared_table_has() -> None:
    assert 400 * 1.2 < len(fitted().sample(seed=0)) < 400 * 1.9
    assert len(fitted("one row").sample(seed=0)) == 400


def lies_between(values: pd.Series, low: float, high: float) -> bool:
    return bool(values.between(low, high).all())


@pytest.mark.filterwarnings(
    "ignore::synthvae.errors.UnlikelyConditionWarning"
)  # noise empties bins
@pytest.mark.parametrize("kind", KINDS)
def test_conditions_are_met_exactly(kind: str) -> None:
    draw = fitted(kind).sample
    assert set(draw(500, where={"sex": "male"}, seed=1)["sex"]) == {"male"}
    assert set(draw(500, where={"ward": ["A,1", "other"]}, seed=1)["ward"]) <= {"A,1", "other"}
    assert lies_between(draw(500, where={AGE: (40, 50)}, seed=1)[AGE], 40, 50)
    assert lies_between(draw(500, where={AGE: (None, 30)}, seed=1)[AGE], 0, 30)
    assert set(draw(500, where={AGE: 33}, seed=1)[AGE]) == {33}
    assert draw(500, where={CREA: None}, seed=1)[CREA].isna().all()
    assert set(draw(500, where={"code": 9}, seed=1)["code"]) == {9}
    assert not draw(500, where={"smoker": False}, seed=1)["smoker"].astype(bool).any()
    days = draw(500, where={"admitted": ("2004-01-01", "31/12/2004")}, seed=1)["admitted"]
    assert set(days.dt.year) == {2004}
    both = draw(500, where={"sex": "female", AGE: (60, None), "smoker": "yes"}, seed=1)
    assert set(both["sex"]) == {"female"}
    assert lies_between(both[AGE], 60, 110)
    assert both["smoker"].astype(bool).all()


@pytest.mark.filterwarnings("ignore::synthvae.errors.UnlikelyConditionWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_a_range_that_no_patient_is_in_is_honoured(kind: str) -> None:
    frame = fitted(kind).sample(300, where={AGE: (109, 110)}, seed=1)
    assert lies_between(frame[AGE], 109, 110)
    frame = fitted(kind).sample(300, where={COST: (199_999.5, None)}, seed=1)
    assert lies_between(frame[COST], 199_999.5, 200_000)


def test_special_values_and_conditions() -> None:
    draw = fitted().sample
    assert set(draw(300, where={COST: 0}, seed=1)[COST]) == {0.0}
    assert set(draw(300, where={COST: [0, -9]}, seed=1)[COST]) == {0.0, -9.0}
    low = draw(300, where={COST: (0, 5000)}, seed=1)[COST]
    assert lies_between(low, 0, 5000)
    assert 0.0 in set(low)
    assert draw(300, where={COST: (0, None)}, seed=1)[COST].max() >= 1
    assert (draw(300, where={COST: (None, 5000)}, seed=1)[COST] >= 1).all()
    assert set(draw(300, where={COST: (-9, 0)}, seed=1)[COST]) == {0.0, -9.0}


def test_ends_of_a_range_between_lattice_points_round_inward() -> None:
    frame = fitted().sample(300, where={CREA: (10.06, 10.34)}, seed=1)
    assert set(frame[CREA]) <= {10.1, 10.2, 10.3}


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"sexx": "male"}, r"'sexx', which is no modelled column \(did you mean 'sex'\?\)"),
        ({"pat.id": "P00001"}, "'pat.id', an identifier"),
        ({"sex": "diverse"}, "'sex' is 'diverse', which is not one of female, male"),
        ({"sex": []}, "'sex' lists no value"),
        ({"sex": None}, "'sex' is missing, but the column is never missing"),
        ({AGE: 111}, "is 111, which is above 110; the schema declares 0 to 110"),
        ({AGE: "old"}, "is 'old', which is not a number"),
        ({AGE: 33.3}, "33.3, which is not a whole number"),
        ({AGE: (50, 40)}, "from 50 to 40, which holds no value"),
        ({AGE: (1, 2, 3)}, "a range is a pair"),
        ({AGE: [1, 2]}, "give a range"),
        ({CREA: (float("nan"), 3)}, "a missing end"),
        ({CREA: (10.32, 10.38)}, "holds no value"),
        ({CREA: 99}, "outside what the schema declares"),
        ({"admitted": "soon"}, "not a date"),
    ],
)
def test_wrong_conditions_are_named(where: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        fitted().sample(5, where=where, seed=0)


@pytest.mark.parametrize("rows", [0, -1, 2.5, True, "7"])
def test_rows_must_be_a_number_of_rows(rows: object) -> None:
    with pytest.raises(ConfigError, match=r"rows is .*; it must be a whole number of at least 1"):
        fitted().sample(rows)  # type: ignore[arg-type]


def test_more_rows_than_memory_are_refused() -> None:
    with pytest.raises(ConfigError, match="rows is 1000000000000, which need about"):
        fitted().sample(10**12)
    check_memory(1000, SCHEMA)


@pytest.mark.parametrize("seed", [-1, 0.5, True])
def test_seeds_are_whole_numbers(seed: object) -> None:
    with pytest.raises(ConfigError, match=r"seed is .*; it must be a whole number of at least 0"):
        fitted().sample(5, seed=seed)  # type: ignore[arg-type]


def test_a_test_seed_repeats_and_says_so() -> None:
    again = Synthesizer(SCHEMA, 3.0, settings=quick(SCHEMA, 3.0), test_seed=7).fit(make_table())
    pd.testing.assert_frame_equal(again.sample(50, seed=0), fitted("test").sample(50, seed=0))
    assert not again.guarantee.valid
    assert "TEST MODE" in str(again.guarantee.why_void)
    assert fitted().guarantee.valid


def test_nothing_is_promised_without_a_budget() -> None:
    guarantee = fitted("open").guarantee
    assert not guarantee.valid
    assert str(guarantee.why_void).startswith("NOT PRIVATE")
    assert guarantee.epsilon is None
    assert guarantee.stages == ()


def test_columns_as_pandas_holds_them_give_the_same_model() -> None:
    table = make_table(schema=ONE_ROW)
    typed = table.convert_dtypes()
    typed["sex"] = typed["sex"].astype("category")
    typed["ward"] = typed["ward"].astype(pd.CategoricalDtype(["x", *ONE_ROW["ward"].categories]))
    typed["code"] = typed["code"].astype("category")
    typed["days"] = typed["days"].astype("int16")
    np.testing.assert_array_equal(encode(typed, ONE_ROW), encode(table, ONE_ROW))
    first, second = (
        Synthesizer(ONE_ROW, 3.0, settings=quick(ONE_ROW, 3.0), test_seed=1)
        .fit(frame)
        .sample(50, seed=0)
        for frame in (table, typed)
    )
    pd.testing.assert_frame_equal(first, second)


def small(fields: list[dict[str, object]], **more: object) -> Schema:
    return Schema.from_dict({"name": "small", "patients": 50, "fields": fields, **more})


SILENT: list[tuple[dict[str, object], object]] = [
    ({"constraints": {"enum": ["only"]}}, "only"),
    ({"constraints": {"enum": ["a", "b"], "required": False}}, None),
    ({"type": "integer", "constraints": {"minimum": 4, "maximum": 4}}, 4),
    ({"type": "integer", "constraints": {"minimum": 0, "maximum": 900}}, 7),
    ({"type": "number", "constraints": {"minimum": 0, "maximum": 9, "required": False}}, None),
    ({"type": "number", "special": [-1], "constraints": {"minimum": 0, "maximum": 9}}, -1.0),
    ({"type": "boolean"}, True),
]


@pytest.mark.parametrize("epsilon", [1.0, None])
def test_columns_that_say_nothing(epsilon: float | None) -> None:
    """One category only, all missing, constant."""
    schema = small([{"name": f"x{i}"} | field for i, (field, _) in enumerate(SILENT)])
    frame = pd.DataFrame({f"x{i}": [value] * 50 for i, (_, value) in enumerate(SILENT)})
    synthesizer = Synthesizer(schema, epsilon, settings=quick(schema, epsilon)).fit(frame)
    made = synthesizer.sample(40, seed=0)
    assert find_problems(made, schema) == []
    for i, (_, value) in enumerate(SILENT):
        if epsilon is None:
            assert made[f"x{i}"].isna().all() if value is None else set(made[f"x{i}"]) == {value}


@pytest.mark.parametrize("place", [0, 1, 4])
def test_a_table_of_one_column_that_says_nothing(place: int) -> None:
    field, value = SILENT[place]
    schema = small([{"name": "x"} | field])
    frame = pd.DataFrame({"x": [value] * 50})
    made = Synthesizer(schema, 1.0, settings=quick(schema, 1.0)).fit(frame).sample(40, seed=0)
    assert find_problems(made, schema) == []


def test_ten_rows_are_enough_and_nine_are_not() -> None:
    schema = small([{"name": "sex", "constraints": {"enum": ["f", "m"]}}], patients=10)
    frame = pd.DataFrame({"sex": ["f", "m"] * 5})
    synthesizer = Synthesizer(schema, 1.0, settings=quick(schema, 1.0)).fit(frame)
    assert len(synthesizer.sample()) == 10
    for rows in (9, 1):
        with pytest.raises(DataError, match=rf"The table has {rows} patients?; a model needs at"):
            Synthesizer(schema, 1.0, settings=quick(schema, 1.0)).fit(frame.head(rows))
    with pytest.raises(ConfigError, match="patients is 9; a model needs at least 10"):
        Synthesizer(schema.replace(patients=9), 1.0)


def test_few_patients_with_many_rows_are_few_patients() -> None:
    with pytest.raises(DataError, match="The table has 9 patients"):
        Synthesizer(SCHEMA, 1.0, settings=quick(SCHEMA, 1.0)).fit(make_table(9))


@pytest.mark.parametrize(
    ("epsilon", "delta", "message"),
    [
        (0, None, "epsilon is 0; it must be a finite number above 0"),
        (-1.0, None, "epsilon is -1.0"),
        (float("nan"), None, "epsilon is nan"),
        (float("inf"), None, "epsilon is inf"),
        (1000.0, None, "above 100 it protects nobody"),
        (1.0, 0.0, "delta is 0.0; it must be a number between 0 and 1"),
        (1.0, float("nan"), "delta is nan"),
        (1.0, 1 / 400, "not below 1/n for 400 declared patients"),
        (None, 1e-6, "delta is given without epsilon"),
    ],
)
def test_budgets_that_promise_nothing(
    epsilon: float | None, delta: float | None, message: str
) -> None:
    with pytest.raises(BudgetError, match=message):
        Synthesizer(SCHEMA, epsilon, delta)


def test_before_a_fit_there_is_nothing() -> None:
    synthesizer = Synthesizer(SCHEMA, 1.0, settings=quick(SCHEMA, 1.0))
    for use in (synthesizer.sample, synthesizer.state, lambda: synthesizer.guarantee):
        with pytest.raises(ConfigError, match="has not been fitted; call fit first"):
            use()


def test_a_loaded_model_is_not_fitted_again(tmp_path: Path) -> None:
    fitted().save(tmp_path / "model")
    with pytest.raises(ConfigError, match="cannot be fitted again"):
        Synthesizer.load(tmp_path / "model").fit(make_table())


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", [1.0, None])
def test_three_hundred_columns(epsilon: float | None) -> None:
    kinds: list[dict[str, object]] = [
        {"type": "number", "decimals": 1, "constraints": {"minimum": 0, "maximum": 100}},
        {"constraints": {"enum": ["a", "b", "c", "d", "e"]}},
        {"type": "boolean"},
    ]
    schema = small([{"name": f"c{i}"} | kinds[i % 3] for i in range(300)])
    draws = np.random.default_rng(0)
    values = [
        draws.integers(0, 100, 200),
        draws.choice(list("abcde"), 200),
        draws.random(200) < 0.3,
    ]
    frame = pd.DataFrame({f"c{i}": values[i % 3] for i in range(300)})
    settings = settings_for(schema, epsilon).model_copy(update={"steps": 5})
    made = Synthesizer(schema, epsilon, settings=settings).fit(frame).sample(100, seed=0)
    assert find_problems(made, schema) == []
