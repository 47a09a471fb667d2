"""Records from the model: conditions on columns, patients with their rows, and calibrated margins.

`parse_conditions` reads what a caller asks of columns; `draw_records` draws codes block by block, with
or without conditions; `calibrate_margins` ends a fit. All of it is post-processing.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
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
from synthvae.table.cells import as_float

TRUTHS = {"true": True, "t": True, "yes": True, "y": True, "1": True}
TRUTHS |= {"false": False, "f": False, "no": False, "n": False, "0": False}
BLOCK = 65_536  # rows that are balanced together, at most
CONDITIONED_BLOCK = 4096  # candidates, before resampling
MOST_CELLS = 2**26  # rows of a block times tokens of a column: half a gigabyte of probabilities
LARGEST_PLACE = 1 - 1e-12
OVERSAMPLING = 8  # candidates for each record that is drawn under a condition
CALIBRATION_SEED = 20_240_229
POPULATION = 16_384  # rows whose margins are calibrated
LARGEST_OFFSET = 4.0


@dataclass(frozen=True)
class Condition:
    """The share of each token of a column that may be drawn, and the first and last lattice point."""

    shares: Floats
    limits: tuple[int, int] | None


def parse_conditions(
    where: Mapping[str, Any], schema: Schema, marginals: tuple[ColumnMarginal, ...]
) -> dict[int, Condition]:
    """Return the conditions by column index.

    A condition is a value, a list of categories, or, for numbers and dates, a pair (low, high) with both
    included and None for an open end; None alone means missing. A special value lies in a range as the
    number that it is.

    Raises
    ------
    ConfigError
        A column is unknown or an identifier, or a value lies outside the schema.
    """
    names = [field.name for field in schema.modelled]
    conditions = {}
    for name, value in where.items():
        if name in schema.identifiers:
            raise ConfigError(
                f"where names {name!r}, an identifier: identifiers are invented, not modelled; give "
                "conditions on other columns."
            )
        if name not in names:
            raise ConfigError(
                f"where names {name!r}, which is no modelled column{nearest(str(name), names)}."
            )
        j = names.index(name)
        conditions[j] = _condition(schema.modelled[j], marginals[j], value, schema)
    return conditions


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
    first = 0 if low is None else _end(field, low, math.ceil, schema)
    last = marginal.size - 1 if high is None else _end(field, high, math.floor, schema)
    bottom = field.constraints.minimum if low is None else low
    top = field.constraints.maximum if high is None else high
    specials = [
        marginal.bins + i
        for i, special in enumerate(field.specials)
        if float(bottom or 0) <= special <= float(top or 0)
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
    read = inspect(pd.DataFrame({field.name: [value]}), only)
    for plain in _plain_values(field, value) if read.problems else ():
        again = inspect(pd.DataFrame({field.name: [plain]}), only)
        read = read if again.problems else again
    if read.problems or read.invalid.any():
        rule = read.problems[0].rule if read.problems else "outside what the schema declares"
        declared = field.first_categories
        if field.is_lattice:
            declared = f"{field.constraints.minimum} to {field.constraints.maximum}"
        raise ConfigError(
            f"where {field.name!r} is {value!r}, which is {rule}; the schema declares {declared}."
        )
    return int(read.codes[0, 0])


def _plain_values(field: Field, value: Any) -> Iterator[Any]:
    """Yield what a condition may mean that is not spelled as in the table's file."""
    if not isinstance(value, str):
        return
    if field.type == "boolean" and value.strip().lower() in TRUTHS:
        yield TRUTHS[value.strip().lower()]
    elif field.is_moment:  # as bounds are written in the schema
        with contextlib.suppress(ValueError):
            yield datetime.fromisoformat(value)
    elif field.is_number and not math.isnan(as_float(value)):
        yield as_float(value)


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
    row_shares
        Share of patients with 1, 2, ... rows; None where each row is one patient.
    shared
        Number of first columns that are the same in all rows of a patient.

    Returns
    -------
    tuple
        Codes, shape (rows, columns), and the patient of each row, from 0, shape (rows,).
    """
    codes: list[Ints] = []
    patients: list[Ints] = []
    drawn = first_patient = 0
    widest = max(marginal.tokens for marginal in sampler.layout.marginals)
    size = max(OVERSAMPLING, MOST_CELLS // widest)
    while drawn < rows:
        generator = block_generator(seed, len(codes))
        if conditions:
            candidates = min(CONDITIONED_BLOCK, size)
            block = _draw_under_conditions(sampler, conditions, candidates, generator)
            owners = np.arange(len(block))
        else:
            owners = draw_patients(row_shares, min(BLOCK, size, rows - drawn), generator)
            block = _draw_block(sampler, owners, shared, generator)
        codes.append(block)
        patients.append(owners + first_patient)
        drawn += len(block)
        first_patient = int(patients[-1][-1]) + 1
        progress("sampling", min(1.0, drawn / rows))
    return np.concatenate(codes)[:rows], np.concatenate(patients)[:rows]


def draw_patients(row_shares: Floats | None, rows: int, generator: np.random.Generator) -> Ints:
    """Return the patient of each row of a block, which holds as many whole patients as fit."""
    if row_shares is None:
        return np.arange(rows)
    counts = generator.choice(np.arange(1, len(row_shares) + 1), rows, p=row_shares)
    whole = max(1, int(np.searchsorted(np.cumsum(counts), rows, side="right")))
    return np.repeat(np.arange(whole), counts[:whole])


def _draw_block(
    sampler: Sampler, owners: Ints, shared: int, generator: np.random.Generator
) -> Ints:
    """Draw the codes of one block of records, shape (rows, columns)."""
    firsts = np.searchsorted(owners, owners)
    settings = sampler.layout.settings
    raked = settings.calibration_rounds > 0
    tokens, _ = sampler.draw(len(owners), generator, patients=(firsts, shared), to_margins=raked)
    columns = []
    for j, marginal in enumerate(sampler.layout.marginals):
        own = np.unique(firsts) if j < shared else np.arange(len(firsts))
        places = np.zeros(len(firsts))
        places[own] = _places(tokens[own, j], generator, spread=settings.balance_steps > 0)
        codes = marginal.decode(tokens[:, j], places)
        columns.append(codes[firsts] if j < shared else codes)
    return np.stack(columns, axis=1)


def _places(tokens: Ints, generator: np.random.Generator, *, spread: bool) -> Floats:
    """Return the place of each row in its token, uniform on [0, 1), shape (rows,).

    Spread, the rows of one token have as many strata, and one place in each: the values inside a bin
    come out as its cells have them.
    """
    places = generator.random(len(tokens))
    if not spread:
        return places
    order = generator.permutation(len(tokens))
    order = order[np.argsort(tokens[order], kind="stable")]
    counts = np.bincount(tokens)
    rank = np.arange(len(tokens)) - np.repeat(np.cumsum(counts) - counts, counts)
    places[order] = (rank + places[order]) / np.repeat(counts, counts)
    return np.minimum(places, LARGEST_PLACE)


def _draw_under_conditions(
    sampler: Sampler,
    conditions: Mapping[int, Condition],
    candidates: int,
    generator: np.random.Generator,
) -> Ints:
    """Draw the codes of records that meet conditions, each of a patient of its own."""
    shares = {j: condition.shares for j, condition in conditions.items()}
    tokens, log_weights = sampler.draw(candidates, generator, shares)
    tokens = tokens[_resample(log_weights, candidates // OVERSAMPLING, generator)]
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
    progress: Callable[[float], None] = lambda _: None,
) -> list[Floats]:
    """Return, for each column, offsets of its tokens' logits with which margins meet the marginals.

    Training noise and clipping bias move the margins. The model is sampled with common random numbers,
    and each column's logits are raked towards its marginal (Deming and Stephan 1940).
    """
    offsets = [np.zeros(marginal.tokens) for marginal in layout.marginals]
    rounds = layout.settings.calibration_rounds
    for done in range(rounds):
        sampler = Sampler(layout, weights, offsets)
        tokens, _ = sampler.draw(
            POPULATION, block_generator(CALIBRATION_SEED, 0), steps=ROUGH_STEPS
        )
        half = 0.5 / len(tokens)  # a row, which keeps an empty token from running away
        for j, marginal in enumerate(layout.marginals):
            drawn = np.bincount(tokens[:, j], minlength=marginal.tokens) / len(tokens)
            step = np.log((marginal.mass + half) / (drawn + half))
            offsets[j] = np.clip(offsets[j] + step, -LARGEST_OFFSET, LARGEST_OFFSET)
        progress((done + 1) / rounds)
    return offsets
