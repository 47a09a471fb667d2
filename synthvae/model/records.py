"""Conditions on columns for sampling: which tokens may be drawn, and which lattice points."""

import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from synthvae._runtime import Progress
from synthvae._text import nearest
from synthvae._types import Floats, Ints
from synthvae.errors import ConfigError
from synthvae.field import Field
from synthvae.marginals.column import ColumnMarginal
from synthvae.model.layout import Layout
from synthvae.model.sampling import ROUGH_STEPS, Sampler, block_generator
from synthvae.schema import Schema
from synthvae.table import MISSING, inspect

BLOCK = 65_536  # rows that are balanced together, at most
CONDITIONED_BLOCK = 4096
MOST_CELLS = 2**26  # rows of a block times tokens of a column: half a gigabyte of probabilities
LARGEST_PLACE = 1 - 1e-12
OVERSAMPLING = 8  # candidates for each record that is drawn under a condition
CALIBRATION_SEED = 20_240_229
POPULATION = 16_384
LARGEST = 4.0


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


def draw_records(
    sampler: Sampler,
    conditions: Mapping[int, Condition],
    row_shares: Floats | None,
    shared: int,
    rows: int,
    seed: int,
    progress: Progress,
) -> tuple[Ints, Ints]:
    """Draw records block by block.

    Parameters
    ----------
    conditions
        What some columns may be, by column index.
    row_shares
        Share of patients with 1, 2, ... rows; None where each row is one patient.
    shared
        How many of the first columns are the same in all rows of a patient.

    Returns
    -------
    codes
        Shape (rows, columns).
    patients
        Whose each row is, counted from 0, shape (rows,).
    """
    blocks: list[Ints] = []
    patients: list[Ints] = []
    made = people = 0
    widest = max(marginal.tokens for marginal in sampler.layout.marginals)
    block = max(OVERSAMPLING, MOST_CELLS // widest)
    while made < rows:
        generator = block_generator(seed, len(blocks))
        if conditions:
            size = min(CONDITIONED_BLOCK, block)
            codes = _draw_under_conditions(sampler, conditions, size, generator)
            whose = np.arange(len(codes))
        else:
            whose = draw_patients(row_shares, min(BLOCK, block, rows - made), generator)
            codes = _draw_block(sampler, whose, shared, generator)
        blocks.append(codes)
        patients.append(whose + people)
        made += len(codes)
        people = int(patients[-1][-1]) + 1
        progress("sampling", min(1.0, made / rows))
    return np.concatenate(blocks)[:rows], np.concatenate(patients)[:rows]


def draw_patients(row_shares: Floats | None, rows: int, generator: np.random.Generator) -> Ints:
    """Return whose each row of a block is, shape (rows,), with numbers of rows as measured.

    A block holds whole patients, as many as fit.
    """
    if row_shares is None:
        return np.arange(rows)
    counts = generator.choice(np.arange(1, len(row_shares) + 1), rows, p=row_shares)
    whole = max(1, int(np.searchsorted(np.cumsum(counts), rows, side="right")))
    return np.repeat(np.arange(whole), counts[:whole])


def _draw_block(sampler: Sampler, whose: Ints, shared: int, generator: np.random.Generator) -> Ints:
    """Draw the codes of one block of records, shape (rows, columns)."""
    firsts = np.searchsorted(whose, whose)
    settings = sampler.layout.settings
    tokens, _ = sampler.draw(
        len(whose),
        generator,
        patients=(firsts, shared),
        to_margins=settings.calibration_rounds > 0,
    )
    columns = []
    for j, marginal in enumerate(sampler.layout.marginals):
        own = np.unique(firsts) if j < shared else np.arange(len(firsts))
        places = np.zeros(len(firsts))
        places[own] = _places(tokens[own, j], generator, spread=settings.balance_steps > 0)
        codes = marginal.decode(tokens[:, j], places)
        columns.append(codes[firsts] if j < shared else codes)
    return np.stack(columns, axis=1)


def _places(tokens: Ints, generator: np.random.Generator, *, spread: bool) -> Floats:
    """Return where in its token each row is, uniform on [0, 1), shape (rows,).

    Spread, rows of the same token have one place in each of as many strata as they are: each is
    uniform, and the values inside a bin come out as its cells have them.
    """
    places = generator.random(len(tokens))
    if not spread:
        return places
    mixed = generator.permutation(len(tokens))
    order = mixed[np.argsort(tokens[mixed], kind="stable")]
    counts = np.bincount(tokens)
    rank = np.arange(len(tokens)) - np.repeat(np.cumsum(counts) - counts, counts)
    places[order] = (rank + places[order]) / np.repeat(counts, counts)
    return np.minimum(places, LARGEST_PLACE)


def _draw_under_conditions(
    sampler: Sampler,
    conditions: Mapping[int, Condition],
    size: int,
    generator: np.random.Generator,
) -> Ints:
    """Draw the codes of records that meet conditions, each of a patient of its own."""
    shares = {j: condition.shares for j, condition in conditions.items()}
    tokens, log_weights = sampler.draw(size, generator, shares)
    tokens = tokens[_resample(log_weights, size // OVERSAMPLING, generator)]
    columns = []
    for j, marginal in enumerate(sampler.layout.marginals):
        limits = conditions[j].limits if j in conditions else None
        columns.append(marginal.decode(tokens[:, j], generator.random(len(tokens)), limits))
    return np.stack(columns, axis=1)


def _resample(log_weights: Floats, count: int, generator: np.random.Generator) -> Ints:
    """Return systematically resampled indices in random order (Douc and Cappé 2005, section 2.4)."""
    weights = np.exp(log_weights - log_weights.max())
    ends = np.cumsum(weights) / weights.sum()
    aims = (np.arange(count) + generator.random()) / count
    return generator.permutation(np.minimum(np.searchsorted(ends, aims), len(ends) - 1))


def calibrate_margins(
    layout: Layout,
    weights: Mapping[str, Floats],
    progress: Callable[[float], None] | None = None,
) -> list[Floats]:
    """Return, for each column, what to add to its tokens' logits so that margins meet the marginals."""
    offsets = [np.zeros(marginal.tokens) for marginal in layout.marginals]
    rounds = layout.settings.calibration_rounds
    for done in range(rounds):
        sampler = Sampler(layout, weights, offsets)
        tokens, _ = sampler.draw(
            POPULATION, block_generator(CALIBRATION_SEED, 0), steps=ROUGH_STEPS
        )
        for j, marginal in enumerate(layout.marginals):
            seen = np.bincount(tokens[:, j], minlength=marginal.tokens) / len(tokens)
            # Half a row of mass on either side keeps an empty token from running away.
            half = 0.5 / len(tokens)
            step = np.log((marginal.mass + half) / (seen + half))
            offsets[j] = np.clip(offsets[j] + step, -LARGEST, LARGEST)
        if progress is not None:
            progress((done + 1) / rounds)
    return offsets
