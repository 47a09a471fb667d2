"""First lines that are no names of columns."""

import pandas as pd
import pytest

from synthvae.drafting.draft import draft_table
from synthvae.errors import DataError

ROWS = range(60)


def table(**columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame(columns)


@pytest.mark.parametrize(
    "columns",
    [
        {
            "0845403788": [f"{i * 7919 % 10**9:010d}" for i in ROWS],
            "70": [str(20 + i) for i in ROWS],
        },
        {"C50": [("C50", "HIV", "I10")[i % 3] for i in ROWS], "61": [str(20 + i) for i in ROWS]},
        {"2012-02-01": [f"2012-01-{1 + i % 28:02d}" for i in ROWS], "x": ["a"] * 60},
        {"21,4": [f"{20 + i % 9},{i % 10}" for i in ROWS]},
        {"1": ["0", "1"] * 30, "ward": [f"w{i % 4}" for i in ROWS]},
    ],
)
def test_a_record_in_place_of_names_is_refused_without_its_values(
    columns: dict[str, list[str]],
) -> None:
    with pytest.raises(DataError, match=r"looks like data.*--no-header.*--header") as refused:
        draft_table(pd.DataFrame(columns))
    assert not any(name in str(refused.value) for name in columns if len(name) > 1)
    assert draft_table(pd.DataFrame(columns), has_header=True).schema.fields


@pytest.mark.parametrize(
    "columns",
    [
        {str(year): [str(2000 + i % 50) for i in ROWS] for year in (2010, 2011, 2012)},
        {str(gene): [str(i % 50) for i in ROWS] for gene in range(1, 9)},
        {
            "age": [str(i) for i in ROWS],
            "2019": [str(i * 50) for i in ROWS],
            "sex": ["F", "M"] * 30,
        },
        {"diabetes": ["diabetes", ""] * 30, "age": [str(i) for i in ROWS]},
        {"column_1": ["a", "b"] * 30, "column_2": [str(i) for i in ROWS]},
    ],
)
def test_names_that_are_numbers_or_values_are_names(columns: dict[str, list[str]]) -> None:
    assert draft_table(pd.DataFrame(columns)).schema.names == tuple(columns)


def test_units_below_the_header_and_a_header_that_comes_again_are_remarked_on() -> None:
    rows = [str(50 + i % 40) for i in ROWS]
    units = draft_table(table(age=["years", *rows], weight=["kg", *rows], sex=["", *"FM" * 30]))
    assert "units or a second header" in units.text
    assert "units or a second header" in "".join(units.summary)
    again = draft_table(
        table(age=[*rows, "age"], weight=[*rows, "weight"], sex=[*"FM" * 30, "sex"])
    )
    assert "header stands among the rows again" in again.text
