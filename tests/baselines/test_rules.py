"""No baseline breaks a rule of the schema, and each says how many of its records did."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from synthvae._frozen import read_value
from synthvae.baselines import NAMES, NEEDS_PGM, make
from synthvae.baselines.base import Baseline
from synthvae.comparison.worker import Done, Job, do
from synthvae.errors import ConfigError, RedrawnWarning
from synthvae.schema import Schema
from synthvae.table import find_problems, read_table

NEEDED = pytest.mark.skipif(find_spec("mbi") is None, reason="the extra pgm (mbi) is not installed")
METHODS = [pytest.param(n, marks=NEEDED) if n in NEEDS_PGM else n for n in NAMES]
ROWS = 600
FIELDS = [
    {"name": "sex", "constraints": {"enum": ["female", "male"]}},
    {
        "name": "births",
        "type": "integer",
        "constraints": {"minimum": 0, "maximum": 9, "required": False},
    },
    {"name": "from", "type": "date", "constraints": {"minimum": "2020-01-01", "maximum": "2022-12-31"}},
    {"name": "to", "type": "date", "constraints": {"minimum": "2020-01-01", "maximum": "2022-12-31"}},
    {"name": "drugs", "type": "integer", "constraints": {"minimum": 0, "maximum": 3000}},
    {"name": "visits", "type": "integer", "constraints": {"minimum": 0, "maximum": 3000}},
    {"name": "paid", "type": "integer", "constraints": {"minimum": 0, "maximum": 6000}},
    {"name": "stay", "type": "integer", "constraints": {"minimum": 0, "maximum": 400}},
]  # fmt: skip
ORDER, SUM = "to >= `from`", "paid == drugs + visits"
RULES = [
    ORDER,
    SUM,
    {"if": "sex == 'male'", "then": "births is missing"},
    {"derive": "stay", "as": "to - `from`"},
]


def schema_of(*rules: object) -> Schema:
    return Schema.from_dict({"name": "r", "patients": ROWS, "fields": FIELDS, "rules": [*rules]})


RULED = schema_of(*RULES)


@cache
def real() -> pd.DataFrame:
    draw = np.random.default_rng(0)
    sex = draw.choice(["female", "male"], ROWS)
    begin, stay = draw.integers(0, 600, ROWS), draw.integers(0, 401, ROWS)
    drugs, visits = (draw.exponential(300, ROWS).astype(int).clip(0, 3000) for _ in range(2))
    day = pd.Timestamp("2020-01-01")
    return pd.DataFrame(
        {
            "sex": sex,
            "births": pd.Series(draw.integers(0, 5, ROWS), dtype="Int64").mask(sex == "male"),
            "from": day + pd.to_timedelta(begin, "D"),
            "to": day + pd.to_timedelta(begin + stay, "D"),
            "drugs": drugs,
            "visits": visits,
            "paid": drugs + visits,
            "stay": stay,
        }
    )


@cache
def fitted(name: str, schema: Schema) -> Baseline:
    with pytest.MonkeyPatch.context() as quick:
        # How well a method learns does not matter here, and takes the time.
        quick.setattr("synthvae.baselines.pgm.GraphicalModel.fit", lambda *_: None)
        quick.setattr("synthvae.baselines.plain_vae.STEPS", 30)
        return make(name, schema, 20.0, 1e-5, test_seed=1).fit(real())


@pytest.mark.parametrize("name", METHODS)
def test_no_record_breaks_a_rule(name: str) -> None:
    with pytest.warns(RedrawnWarning, match=rf"of {name} broke a rule .* for 3,000 that keep them"):
        made = fitted(name, RULED).sample(3000, seed=2)
    assert (made["to"] >= made["from"]).all()
    assert (made["paid"] == made["drugs"] + made["visits"]).all()
    assert made["births"][made["sex"] == "male"].isna().all()
    assert ((made["to"] - made["from"]).dt.days == made["stay"]).all()
    assert find_problems(made, RULED) == []
    assert made["births"].notna().any()


def test_records_are_drawn_again_where_that_helps_and_else_repaired() -> None:
    drawn = fitted("independent", schema_of(ORDER)).draw_records(2000, seed=0)
    assert drawn.repaired == 0
    assert 300 < drawn.refused < 4000
    drawn = fitted("independent", schema_of(SUM)).draw_records(2000, seed=0)
    assert drawn.repaired > 1900


def test_what_is_kept_is_the_method_given_the_rules() -> None:
    free = fitted("independent", schema_of()).sample(40_000, seed=1)
    made = fitted("independent", schema_of(ORDER)).draw_records(10_000, seed=2)
    ruled = fitted("independent", schema_of(ORDER)).table_of(made)
    kept = free[free["to"] >= free["from"]]
    for name in ("from", "to"):
        apart = (ruled[name].mean() - kept[name].mean()).days
        assert abs(apart) < 12
    assert (kept["from"].mean() - free["from"].mean()).days < -40


@pytest.mark.filterwarnings("ignore::synthvae.errors.RedrawnWarning")
def test_the_same_seed_gives_the_same_records() -> None:
    model = fitted("independent", RULED)
    pd.testing.assert_frame_equal(model.sample(300, seed=4), model.sample(300, seed=4))
    assert not model.sample(300, seed=5).equals(model.sample(300, seed=4))


def test_without_rules_codes_are_the_methods_own() -> None:
    model = fitted("independent", schema_of())
    drawn = np.random.default_rng(7)
    tokens = model._draw(500, drawn)
    columns = [
        marginal.decode(tokens[:, j], drawn.random(500))
        for j, marginal in enumerate(model._marginals)
    ]
    records = model.draw_records(500, seed=7)
    assert (records.codes == np.stack(columns, axis=1)).all()
    assert (records.refused, records.repaired) == (0, 0)


def test_a_comparison_is_told_how_many_records_broke_a_rule(tmp_path: Path) -> None:
    for schema in (RULED, schema_of()):
        (tmp_path / "schema.yaml").write_text(schema.to_yaml(), encoding="utf-8")
        real().to_parquet(tmp_path / "train.parquet", index=False)
        job = Job(
            method="independent",
            settings={},
            epsilon=20.0,
            delta=1e-5,
            rows=200,
            seed=0,
            schema_file=tmp_path / "schema.yaml",
            train=tmp_path / "train.parquet",
            records=tmp_path / "records.parquet",
            done=tmp_path / "done.json",
        )
        do(job)
        done = read_value(job.done, Done)
        if schema.rules:
            assert (done.refused or 0) >= 0.7  # about one for each that was kept
            assert 0.9 < (done.repaired or 0) <= 1.0
        else:
            assert (done.refused, done.repaired) == (None, None)
        assert find_problems(read_table(job.records), schema) == []


def test_what_cannot_be_drawn_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synthvae.baselines.ruled.MOST_REPAIRS", 0)
    with pytest.raises(
        ConfigError, match="records could not be drawn in 0 trials: the rules leave"
    ):
        fitted("independent", RULED).sample(50, seed=0)
