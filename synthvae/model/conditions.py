"""Conditions on columns for sampling: which tokens may be drawn, and which lattice points."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthvae._checks import nearest
from synthvae.anchors import ColumnAnchor
from synthvae.errors import ConfigError
from synthvae.schema import Field, Schema
from synthvae.table import MISSING, inspect

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Condition:
    """What one column may be: the share of each token, and limits on lattice points.

    `limits` are the first and last lattice point that may be drawn, or None for no limits.
    """

    shares: Floats
    limits: tuple[int, int] | None


def parse_conditions(
    where: Mapping[str, Any], schema: Schema, anchors: tuple[ColumnAnchor, ...]
) -> dict[int, Condition]:
    """Return the conditions by column index.

    Parameters
    ----------
    where
        For each column a value, a list of categories, or, for numbers and dates, a pair
        (low, high) with both included and None for an open end; None alone means missing.

    Raises
    ------
    ConfigError
        A column is unknown or an identifier, or a value lies outside the schema.
    """
    names = [field.name for field in schema.modelled]
    found = {}
    for name, value in where.items():
        if name not in names:
            raise ConfigError(
                f"where names {name!r}, which is no modelled column{nearest(name, names)}."
            )
        j = names.index(name)
        field, anchor = schema.modelled[j], anchors[j]
        if field.is_lattice and isinstance(value, tuple):
            if len(value) != 2:
                raise ConfigError(f"where {name!r} is {value!r}; a range is a pair (low, high).")
            low = 0 if value[0] is None else _code(field, value[0], schema)
            high = anchor.size - 1 if value[1] is None else _code(field, value[1], schema)
            if low < 0 or high < low:
                raise ConfigError(f"where {name!r} is {value!r}; the range is empty.")
            found[j] = _range(anchor, low, high)
            continue
        values = list(value) if isinstance(value, list | set | tuple) else [value]
        codes = [_code(field, item, schema) for item in values]
        if field.is_lattice and len(codes) == 1 and codes[0] >= 0:
            found[j] = _range(anchor, codes[0], codes[0])
        elif field.is_lattice and any(code >= 0 for code in codes):
            raise ConfigError(
                f"where {name!r} lists several values; for a {field.type} give a range (low, high)."
            )
        else:
            tokens = anchor.encode(np.array(codes, np.int64))
            shares = np.zeros(anchor.tokens)
            shares[tokens] = 1.0
            found[j] = Condition(shares, None)
    return found


def _range(anchor: ColumnAnchor, low: int, high: int) -> Condition:
    inside = anchor.within(low, high)
    shares = np.zeros(anchor.tokens)
    mass = np.bincount(anchor.cell_bin, anchor.cell_mass * inside, minlength=anchor.bins)
    shares[: anchor.bins] = mass / anchor.mass[: anchor.bins]
    return Condition(shares, (low, high))


def _code(field: Field, value: Any, schema: Schema) -> int:
    if value is None or value is pd.NA:
        if not field.nullable:
            raise ConfigError(f"where {field.name!r} is missing, but the column is never missing.")
        return MISSING
    only = Schema(fields=(field,), missingValues=schema.missingValues)
    codes, invalid, problems = inspect(pd.DataFrame({field.name: [value]}), only)
    if problems or invalid.any():
        rule = problems[0].rule if problems else "outside what the schema declares"
        raise ConfigError(f"where {field.name!r} is {value!r}, which is {rule}.")
    return int(codes[0, 0])
