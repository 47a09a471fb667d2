"""Records from the model: conditions on columns, patients with their rows, and calibrated margins.

`parse_conditions` reads what a caller asks of columns; `draw_records` draws codes block by block, with
or without conditions; `calibrate_margins` ends a fit. All of it is post-processing.
"""

import contextlib
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from synthvae._runtime import Progress
from synthvae._text import brief, nearest
from synthvae._types import Floats, Ints
from synthvae.errors import ConfigError, UnlikelyConditionWarning
from synthvae.field import Field
from synthvae.marginals.column import ColumnMarginal
from synthvae.model.layout import Layout
from synthvae.model.sampling import ROUGH_STEPS, Sampler, block_generator
from synthvae.schema import Schema
from synthvae.table import MISSING, inspect
from synthvae.table.cells import as_float, spelled_number

TRUTHS = {"true": True, "t": True, "yes": True, "y": True, "1": True}
TRUTHS |= {"false": False, "f": False, "no": False, "n": False, "0": False}
BLOCK = 65_536  # rows that are balanced together, at most
CONDITIONED_BLOCK = 4096  # candidates, before resampling
MOST_CELLS = 2**26  # rows of a block times tokens of a column: half a gigabyte of probabilities
LARGEST_PLACE = 1 - 1e-12
OVERSAMPLING = 8  # candidates for each record that is drawn under a condition
UNLIKELY = 1e-3  # probability of conditions, below which records that meet them rest on little
# Or a larger one, where it is this part of what it would be if the columns were independent.
RARE, RARE_PART = 0.02, 0.1
LEAST_WORTH = 0.1  # of records, as independent ones
CALIBRATION_SEED = 20_240_229
POPULATION = 16_384  # rows whose margins are calibrated; fewer of more than 40 columns
FEWEST_CALIBRATED = 4096
LARGEST_OFFSET = 4.0


@dataclass(frozen=True)
class Condition:
    """The share of each token of a column that may be drawn, and the first and last lattice point."""

    shares: Floats
    limits: tuple[int, int] | None
    # Lattice points from one to the other, relative to all of the bins that they lie in. A cost of
    # exactly 1234.56 is unlikely as such: what tells is how likely values like it are.
    fineness: float = 1.0
    text: str = ""  # the condition in words


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
        condition = _condition(schema.modelled[j], marginals[j], value, schema)
        conditions[j] = replace(condition, text=_condition_text(name, value))
    return conditions


def _condition_text(name: str, value: Any) -> str:
    if isinstance(value, tuple) and len(value) == 2:
        low, high = ("" if end is None or end is pd.NA else str(end) for end in value)
        return f"{name}={low}..{high}"
    values = value if isinstance(value, list | set | frozenset | tuple) else [value]
    return f"{name}=" + "|".join(
        "" if item is None or item is pd.NA else str(item) for item in values
    )


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
    bottom, top = field.constraints.minimum, field.constraints.maximum
    bottom, top = (
        default if end is None else _plain_number(field, end)
        for end, default in ((low, bottom), (high, top))
    )
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
    return replace(condition, fineness=1.0) if specials else condition


def _end(field: Field, value: Any, rounded: Callable[[Any], int], schema: Schema) -> int:
    """Return the lattice point at, or just inside of, one end of a range."""
    # An end may lie between two steps; only as a value of the column it would be refused.
    plain = Field.model_validate(field.model_dump() | {"step": None})
    code = _code(plain, value, schema)
    if code == MISSING:
        raise ConfigError(f"where {field.name!r} has a missing end; leave an open end out.")
    try:
        return field.units_of(_plain_number(field, value), rounded) - field.first_unit
    except (ValueError, ArithmeticError):  # a date in a form that only the table's reader knows
        seconds = plain.seconds_at(code + plain.first_unit)
        return rounded(field.seconds_to_units(seconds)) - field.first_unit


def _plain_number(field: Field, value: Any) -> Any:
    """Return the number, or moment, that text means: as the field spells it, or else plainly."""
    if not isinstance(value, str):
        return value
    if field.is_moment:
        with contextlib.suppress(ValueError):
            return datetime.strptime(value.strip(), field.format_)
        return value
    number = spelled_number(field, value)
    return as_float(value.strip()) if math.isnan(number) else number


def _points(marginal: ColumnMarginal, low: int, high: int) -> Condition:
    """Return the condition of lying on one of the lattice points from `low` to `high`."""
    shares = np.zeros(marginal.tokens)
    mass = np.bincount(marginal.cell_bin, marginal.mass_within(low, high), minlength=marginal.bins)
    shares[: marginal.bins] = mass / marginal.mass[: marginal.bins]
    ends = marginal.starts + marginal.cell_sizes
    inside = np.maximum(np.minimum(ends, high + 1) - np.maximum(marginal.starts, low), 0)
    points = np.bincount(marginal.cell_bin, inside)
    touched = np.bincount(marginal.cell_bin, marginal.cell_sizes)[points > 0]
    fineness = points.sum() / touched.sum() if touched.size else 1.0
    return Condition(shares, (low, high), float(fineness))


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
        raise ConfigError(
            f"where {field.name!r} is {value!r}, which is {rule}; the schema declares "
            f"{_declared_values(field)}."
        )
    return int(read.codes[0, 0])


def _declared_values(field: Field) -> str:
    """Return what a condition on a column may name."""
    if field.is_lattice:
        return f"{field.constraints.minimum} to {field.constraints.maximum}"
    if field.type != "boolean":
        return field.first_categories
    words = [
        "/".join(dict.fromkeys((*own, *(word for word, truth in TRUTHS.items() if truth is meant))))
        for own, meant in ((field.trueValues, True), (field.falseValues, False))
    ]
    return f"true or false, which may be written as {words[0]} and {words[1]}"


def _plain_values(field: Field, value: Any) -> Iterator[Any]:
    """Yield what a condition may mean that is not spelled as in the table's file."""
    truth = TRUTHS.get(str(value).strip().lower())
    spelled = (
        [*field.trueValues, *field.falseValues] if field.type == "boolean" else field.categories
    )
    alike = [each for each in spelled if each.casefold() == str(value).strip().casefold()]
    if len(alike) == 1:
        yield alike[0]
    if truth is not None and field.type == "boolean":
        yield truth
    elif truth is not None and field.categories:
        # Two categories that say yes and no, such as 0 and 1.
        meanings = {TRUTHS.get(label.lower()): label for label in field.categories}
        if len(field.categories) == 2 and meanings.keys() == {True, False}:
            yield meanings[truth]
    elif isinstance(value, str) and field.is_moment:  # as bounds are written in the schema
        with contextlib.suppress(ValueError):
            yield datetime.fromisoformat(value)
    elif isinstance(value, str) and field.is_number and not math.isnan(as_float(value)):
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

    Raises
    ------
    ConfigError
        No record of the model can meet the conditions.

    Warns
    -----
    UnlikelyConditionWarning
        The model holds the conditions together nearly impossible.
    """
    codes: list[Ints] = []
    patients: list[Ints] = []
    evidence: list[Floats] = []
    drawn = first_patient = 0
    widest = max(marginal.tokens for marginal in sampler.layout.marginals)
    size = max(OVERSAMPLING, MOST_CELLS // widest)
    while drawn < rows:
        generator = block_generator(seed, len(codes))
        if conditions:
            candidates = min(CONDITIONED_BLOCK, size)
            block, log_weights = _draw_under_conditions(sampler, conditions, candidates, generator)
            evidence.append(log_weights)
            owners = np.arange(len(block))
        else:
            owners = draw_patients(row_shares, min(BLOCK, size, rows - drawn), generator)
            block = _draw_block(sampler, owners, shared, generator)
        codes.append(block)
        patients.append(owners + first_patient)
        drawn += len(block)
        first_patient = int(patients[-1][-1]) + 1
        progress("sampling", min(1.0, drawn / rows))
    if conditions:
        independent = math.prod(
            float(sampler.layout.marginals[j].mass @ condition.shares) / condition.fineness
            for j, condition in conditions.items()
        )
        _warn_if_unlikely([*conditions.values()], np.concatenate(evidence), rows, independent)
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
) -> tuple[Ints, Floats]:
    """Draw the codes of records that meet conditions, each of a patient of its own.

    Also returns the log-likelihood of the conditions for each candidate, shape (candidates,).
    """
    shares = {j: condition.shares for j, condition in conditions.items()}
    tokens, log_weights = sampler.draw(candidates, generator, shares)
    if not np.isfinite(log_weights).any():
        raise ConfigError(
            f"where asks for {_listed(conditions.values())}, which the model holds impossible"
            + (" together" if len(conditions) > 1 else "")
            + ": none of its records can meet it; leave a condition out, or widen it."
        )
    tokens = tokens[_resample(log_weights, candidates // OVERSAMPLING, generator)]
    columns = []
    for j, marginal in enumerate(sampler.layout.marginals):
        limits = conditions[j].limits if j in conditions else None
        columns.append(marginal.decode(tokens[:, j], generator.random(len(tokens)), limits))
    return np.stack(columns, axis=1), log_weights


def _listed(conditions: Iterable[Condition]) -> str:
    texts = [brief(condition.text) for condition in conditions]
    return " and ".join(filter(None, (", ".join(texts[:-1]), texts[-1])))


def _warn_if_unlikely(
    conditions: Sequence[Condition], log_weights: Floats, rows: int, independent: float
) -> None:
    """Warn where the model holds conditions together nearly impossible, or rows rest on little.

    The mean weight of the candidates is the probability of the conditions, to compare with that of
    `independent` columns. The square of the weights' sum over the sum of their squares is the number of
    independent candidates that they are worth (effective sample size; Kong 1992, "A Note on Importance
    Sampling Using Standardized Weights").
    """
    logs = log_weights - sum(math.log(condition.fineness) for condition in conditions)
    largest = float(logs.max())
    weights = np.exp(logs - largest)
    probability = math.exp(min(0.0, largest + math.log(float(weights.mean()))))
    part = probability / max(independent, 1e-300)
    worth = min(float(weights.sum() ** 2 / (weights**2).sum()), rows)
    is_rare = probability < UNLIKELY or (probability < RARE and part < RARE_PART)
    if not is_rare and worth >= LEAST_WORTH * rows:
        return
    together = " together" if len(conditions) > 1 else ""
    held = f"nearly impossible{together}" if is_rare else f"seldom{together}"
    odds = (
        f"about 1 in {1 / probability:,.0f}" if probability > 1e-9 else "less than 1 in a billion"
    )
    fewer = ""
    if is_rare and part < RARE_PART:
        times = f"{1 / part:,.0f}" if part > 1e-6 else "over a million"
        fewer = f", {times} times fewer than if the columns did not depend on each other"
    warnings.warn(
        f"The model holds {_listed(conditions)} {held}: {odds} of its records{fewer}. The {rows:,} rows "
        f"that were asked for are worth about {worth:,.0f} independent ones, and rest on the model's "
        "noise more than on what such patients are like.",
        UnlikelyConditionWarning,
        stacklevel=4,
    )


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
    # A fit of many columns is a matter of time; balanced rows have the margins to a few rows.
    rows = min(POPULATION, max(FEWEST_CALIBRATED, POPULATION * 40 // layout.columns))
    for done in range(rounds):
        sampler = Sampler(layout, weights, offsets)
        tokens, _ = sampler.draw(rows, block_generator(CALIBRATION_SEED, 0), steps=ROUGH_STEPS)
        half = 0.5 / len(tokens)  # a row, which keeps an empty token from running away
        for j, marginal in enumerate(layout.marginals):
            drawn = np.bincount(tokens[:, j], minlength=marginal.tokens) / len(tokens)
            step = np.log((marginal.mass + half) / (drawn + half))
            offsets[j] = np.clip(offsets[j] + step, -LARGEST_OFFSET, LARGEST_OFFSET)
        progress((done + 1) / rounds)
    return offsets
