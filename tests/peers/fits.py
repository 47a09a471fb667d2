"""Short fits of small tables, and schemas from a few fields."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from synthvae.schema import Schema
from synthvae.synthesizer import Synthesizer
from tests.simulated import quick, simulate_fewer


def schema_of(*fields: dict[str, Any], **settings: Any) -> Schema:
    """Return a schema of 400 patients, unless the settings say otherwise."""
    return Schema.from_dict({"patients": 400, **settings, "fields": list(fields)})


def short_fit(schema: Schema, frame: pd.DataFrame, epsilon: float = 3.0) -> Synthesizer:
    """Return a model that learned little of what columns have to do with each other.

    Its noise comes from a fixed seed.
    """
    with pytest.MonkeyPatch.context() as patch:
        simulate_fewer(patch, 512)
        model = Synthesizer(
            schema, epsilon, settings=quick(schema, epsilon, balance_steps=50), test_seed=1
        )
        return model.fit(frame)


def any_of(values: list[Any], rows: int = 400, seed: int = 0, **chances: Any) -> Any:
    """Return values drawn at random."""
    return np.random.default_rng(seed).choice(values, rows, **chances)


def forbid_releases(patch: pytest.MonkeyPatch) -> None:
    """Let whatever would draw noise fail: what is refused has to be refused before."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("something was released")

    patch.setattr("synthvae.synthesizer.Mechanisms", refuse)


def wide_table(rows: int, columns: int) -> tuple[Schema, pd.DataFrame]:
    """Return a table of numbers, categories, flags and dates that follow a common cause."""
    draw = np.random.default_rng(0)
    cause = draw.normal(size=rows)
    cells: dict[str, Any] = {}
    fields: list[dict[str, Any]] = []
    for i in range(columns):
        name, noise = f"column {i}", draw.normal(size=rows)
        rules: dict[str, Any] = {"required": i % 2 == 0}
        field: dict[str, Any] = {"name": name, "constraints": rules}
        values = pd.Series(np.clip(50 + 5 * cause + 10 * noise, 0, 100).round(1))
        if i % 4 == 0:
            field |= {"type": "number", "decimals": 1}
            rules |= {"minimum": 0, "maximum": 100}
        elif i % 4 == 1:
            rules["enum"] = [f"c{k}" for k in range(3 + i % 5)]
            values = pd.Series(draw.choice(rules["enum"], rows))
        elif i % 4 == 2:
            field["type"] = "boolean"
            values = pd.Series(cause + noise > 1)
        else:
            field["type"] = "date"
            rules |= {"minimum": "2020-01-01", "maximum": "2020-12-31"}
            days = (values.round() * 3).to_numpy().astype("timedelta64[D]")
            values = pd.Series(np.datetime64("2020-01-01") + days)
        cells[name] = values.where(draw.random(rows) > 0.1) if i % 2 else values
        fields.append(field)
    return schema_of(*fields, patients=rows), pd.DataFrame(cells)
