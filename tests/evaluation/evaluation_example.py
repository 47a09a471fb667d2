"""Small tables and generators that the tests of the evaluation share."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from synthvae.evaluation.tables import Table
from synthvae.schema import Schema

SCHEMA = Schema.from_dict(
    {
        "name": "clinic",
        "target": {"column": "died", "without": ["days"]},
        "fields": [
            {"name": "age", "type": "integer", "constraints": {"minimum": 18, "maximum": 100}},
            {
                "name": "crea",
                "type": "number",
                "decimals": 1,
                "special": [-1],
                "constraints": {"minimum": 0, "maximum": 25, "required": False},
            },
            {"name": "sex", "constraints": {"enum": ["female", "male"]}, "role": "protected"},
            {"name": "ward", "constraints": {"enum": ["A", "B", "C"], "required": False}},
            {"name": "days", "type": "integer", "constraints": {"minimum": 0, "maximum": 60}},
            {"name": "died", "type": "boolean"},
        ],
    }
)


def clinic(rows: int, seed: int) -> pd.DataFrame:
    """Return real rows in which the older die more often."""
    g = np.random.default_rng(seed)
    age = g.integers(18, 101, rows)
    crea = np.round(np.clip(g.lognormal(0.2, 0.5, rows) + age / 100, 0, 25), 1)
    crea[g.random(rows) < 0.1] = np.nan
    crea[g.random(rows) < 0.05] = -1
    died = g.random(rows) < 1 / (1 + np.exp((65 - age) / 8))
    return pd.DataFrame(
        {
            "age": age,
            "crea": crea,
            "sex": g.choice(["female", "male"], rows),
            "ward": g.choice(["A", "B", "C", ""], rows),
            "days": np.where(died, g.integers(0, 30, rows), g.integers(20, 61, rows)),
            "died": died,
        }
    )


def yes_no(columns: int, **extra: object) -> Schema:
    """Return a schema of so many columns, each of the categories a, b and c."""
    fields = [{"name": f"c{j}", "constraints": {"enum": ["a", "b", "c"]}} for j in range(columns)]
    return Schema.from_dict({"name": "letters", "fields": fields, **extra})


def letters(*columns: Iterable[str]) -> pd.DataFrame:
    """Return a table from the letters of each column."""
    return pd.DataFrame({f"c{j}": list(column) for j, column in enumerate(columns)})


def table(*columns: list[int]) -> Table:
    """Return a table of codes from its columns, each row a patient."""
    codes = np.array(columns, np.int64).T
    return Table(codes, np.zeros(codes.shape, bool), np.arange(len(codes)))
