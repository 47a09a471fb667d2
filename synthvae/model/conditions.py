"""Conditions on columns for sampling: which tokens may be drawn, and which lattice points."""

import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthvae._text import nearest
from synthvae.anchors import ColumnMarginal
from synthvae.errors import ConfigError
from synthvae.field import Field
from synthvae.schema import Schema
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
    where: Mapping[str, Any], schema: Schema, marginals: tuple[ColumnMarginal, ...]
) -> dict[int, Condition]:
    """Return the conditions by column index.

    Parameters
    ----------
    where
        For each column a value, a list of categories, or, for numbers and dates, a pair
        (low, high) with both included and None for an open end; None alone means missing. A
        special value lies in a range as the number that it is.

    Raises
    ------
    ConfigError
        A column is unknown or an identifier, or a value lies outside the schema.
    """
    names = [field.name for field in schema.modelled]
    found = {}
    for name, value in where.items():
        if name in schema.identifiers:
            raise ConfigError(
                f"where names {name!r}, an identifier: identifiers are made up, not modelled; give "
                "conditions on other columns."
            )
        if name not in names:
            raise ConfigError(
                f"where names {name!r}, which is no modelled column{nearest(str(name), names)}."
            )
        j = names.index(name)
        found[j] = _condition(schema.modelled[j], marginals[j], value, schema)
    return found


def _condition(field: Field, marginal: ColumnMarginal, value: Any, schema: Schema) -> Condition:
    if field.is_lattice and isinstance(value, tuple):
        return _range(field, marginal, value, schema)
    values = list(value) if isinstance(value, list | set | frozenset | tuple) else [value]
    if not values:
        raise ConfigError(f"where {field.name!r} lists no value; name at least one.")
    codes = [_code(field, item, schema) for item in values]
    if field.is_lattice and len(codes) == 1 and codes[0] >= 0:
        return _points(marginal, codes[0], codes[0])
    if field.is_lattice and any(code >= 0 for code in codes):
        raise ConfigError(
            f"where {field.name!r} lists several values; for a {field.type} give a range (low, high)."
        )
    shares = np.zeros(marginal.tokens)
    shares[marginal.encode(np.array(codes, np.int64))] = 1.0
    return Condition(shares, None)


def _range(
    field: Field, marginal: ColumnMarginal, value: tuple[Any, ...], schema: Schema
) -> Condition:
    """Return the condition of lying in a range: its lattice points, and special values in it."""
    if len(value) != 2:
        raise ConfigError(f"where {field.name!r} is {value!r}; a range is a pair (low, high).")
    low, high = (None if end is None or end is pd.NA else end for end in value)
    first, last = 0, marginal.size - 1
    if low is not None:
        first = _end(field, low, math.ceil, schema)
    if high is not None:
        last = _end(field, high, math.floor, schema)
    specials = [
        marginal.bins + i
        for i, special in enumerate(field.special)
        if _holds(field, low, high, special)
    ]
    if last < first and not specials:
        raise ConfigError(
            f"where {field.name!r} is from {low} to {high}, which holds no value of the column; give "
            "the lower end first."
        )
    condition = _points(marginal, first, last)
    condition.shares[specials] = 1.0
    return condition


def _end(field: Field, value: Any, rounded: Callable[[Any], int], schema: Schema) -> int:
    """Return the lattice point at, or just inside of, one end of a range."""
    code = _code(field, value, schema)
    if code == MISSING:
        raise ConfigError(f"where {field.name!r} has a missing end; leave an open end out.")
    if isinstance(value, str) and not field.format_:
        value = value.strip()
    try:
        return field.units_of(value, rounded) - field.first_unit
    except (ValueError, ArithmeticError):  # a date in a form that only the table's reader knows
        return code


def _holds(field: Field, low: Any, high: Any, special: float) -> bool:
    """Whether a special value lies in a range, whose open ends are the field's bounds."""
    bottom = field.constraints.minimum if low is None else low
    top = field.constraints.maximum if high is None else high
    return float(bottom or 0) <= special <= float(top or 0)


def _points(marginal: ColumnMarginal, low: int, high: int) -> Condition:
    """Return the condition of lying on one of the lattice points from `low` to `high`."""
    shares = np.zeros(marginal.tokens)
    mass = np.bincount(marginal.cell_bin, marginal.mass_within(low, high), minlength=marginal.bins)
    shares[: marginal.bins] = mass / marginal.mass[: marginal.bins]
    return Condition(shares, (low, high))


def _code(field: Field, value: Any, schema: Schema) -> int:
    if value is None or value is pd.NA:
        if not field.nullable:
            raise ConfigError(f"where {field.name!r} is missing, but the column is never missing.")
        return MISSING
    alone = field.model_copy(update={"perPatient": False})
    only = Schema(fields=(alone,), missingValues=schema.missingValues)
    codes, invalid, problems = inspect(pd.DataFrame({field.name: [value]}), only)
    if problems and field.format_ and isinstance(value, str):
        # As bounds are written in the schema, whatever the format of the table.
        with contextlib.suppress(ValueError):
            moment = pd.Series([datetime.fromisoformat(value)])
            codes, invalid, problems = inspect(moment.to_frame(field.name), only)
    if problems or invalid.any():
        rule = problems[0].rule if problems else "outside what the schema declares"
        raise ConfigError(f"where {field.name!r} is {value!r}, which is {rule}; {_choices(field)}.")
    return int(codes[0, 0])


def _choices(field: Field) -> str:
    """Return what a condition on a column may say."""
    rules = field.constraints
    if field.is_lattice:
        return f"the schema declares {rules.minimum} to {rules.maximum}"
    return f"the schema declares {field.first_categories}"
