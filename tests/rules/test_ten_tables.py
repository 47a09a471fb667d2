"""Ten simulated tables with rules: no synthetic record breaks one, by checks written by hand."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from synthvae.schema import Schema
from synthvae.synthesizer import Synthesizer
from synthvae.table import find_problems, inspect
from tests.peers.fits import short_fit
from tests.rules.ruled_table import Cells, RuledTable
from tests.rules.ten_tables import TEN_TABLES

RECORDS = 5000
MANY = 100_000  # of each table: a million together
# Of one table in ten, a good part of the records runs into a dead end, and is drawn again.


@pytest.fixture(scope="module", params=TEN_TABLES, ids=lambda table: table.name)
def table(request: pytest.FixtureRequest) -> RuledTable:
    return request.param


@pytest.fixture(scope="module")
def real(table: RuledTable) -> pd.DataFrame:
    return table.frame()


@pytest.fixture(scope="module")
def schema(table: RuledTable, tmp_path_factory: pytest.TempPathFactory) -> Schema:
    return table.load(tmp_path_factory.mktemp(table.name))


@pytest.fixture(scope="module")
def model(schema: Schema, real: pd.DataFrame) -> Synthesizer:
    return short_fit(schema, real)


@pytest.fixture(scope="module")
def records(model: Synthesizer) -> pd.DataFrame:
    return model.sample(RECORDS, seed=1)


def shares_of(real: pd.Series, synthetic: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Return the shares of a column's deciles, or of its categories, and of missing in two tables."""
    first, second = (Cells(values.to_frame())[str(values.name)] for values in (real, synthetic))
    if first.dtype == float:
        edges = np.unique(np.nanquantile(first, np.arange(0.1, 0.95, 0.1)))
        first, second = (
            np.where(np.isnan(x), "missing", np.digitize(x, edges).astype(str))
            for x in (first, second)
        )
    one, other = (
        pd.Series(x).fillna("missing").value_counts(normalize=True) for x in (first, second)
    )
    return one.align(other, fill_value=0.0)


def meets(frame: pd.DataFrame, where: Mapping[str, Any]) -> bool:
    """Return whether all rows meet conditions: values, or ranges of numbers or dates."""
    for name, value in where.items():
        low, high = value if isinstance(value, tuple) else (value, value)
        above = low is None or (frame[name] >= low).all()
        if not (above and (high is None or (frame[name] <= high).all())):
            return False
    return True


def test_a_table_keeps_its_rules_and_shuffled_columns_do_not(
    table: RuledTable, real: pd.DataFrame, schema: Schema
) -> None:
    assert not table.broken(real).any()
    assert find_problems(real, schema) == []
    shuffled = {
        name: values.sample(frac=1, random_state=seed).reset_index(drop=True)
        for seed, (name, values) in enumerate(real.items())
    }
    assert table.broken(pd.DataFrame(shuffled)).mean() > 0.7


def test_whatever_the_package_calls_broken_is_broken(
    table: RuledTable, real: pd.DataFrame, schema: Schema
) -> None:
    # Not the other way round: of a derived value, a real row may miss a step.
    for name in sorted(map(str, set(real) - schema.identifiers)):
        values = real[name].sample(frac=1, random_state=1).reset_index(drop=True)
        shuffled = real.assign(**{name: values})
        called_broken = schema.rule_set.broken(inspect(shuffled, schema).codes)
        assert not (called_broken & ~table.broken(shuffled)).any(), name


def test_no_record_breaks_a_rule(table: RuledTable, schema: Schema, records: pd.DataFrame) -> None:
    assert len(records) == RECORDS
    assert np.flatnonzero(table.broken(records)).tolist() == []
    assert find_problems(records, schema) == []


def test_margins_and_gaps_stay(
    table: RuledTable, schema: Schema, real: pd.DataFrame, records: pd.DataFrame
) -> None:
    far, gaps = {}, {}
    for name in sorted(map(str, set(real) - schema.identifiers)):
        one, other = shares_of(real[name], records[name])
        far[name] = 0.5 * (one - other).abs().sum()
        gaps[name] = abs(one.get("missing", 0.0) - other.get("missing", 0.0))
    assert {name for name, distance in far.items() if distance > table.far.get(name, 0.1)} == set()
    assert {name for name, gap in gaps.items() if gap > 0.03} == set()


def test_conditions_and_rules_hold_together(
    table: RuledTable, schema: Schema, model: Synthesizer
) -> None:
    records = model.sample(2000, where=table.where, seed=2)
    assert meets(records, table.where)
    assert not table.broken(records).any()
    assert find_problems(records, schema) == []


@pytest.mark.slow
def test_a_million_records_keep_the_rules(table: RuledTable, model: Synthesizer) -> None:
    records = model.sample(MANY, seed=3)
    assert table.broken(records).sum() == 0
