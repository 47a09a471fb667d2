"""Conditions on columns that a caller asks records to meet, read against the schema.

`parse_conditions` reads them; a condition on a column that rules name, or that is derived, becomes a
rule that these records keep besides.
"""

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from synthvae._text import brief, nearest
from synthvae._types import Bools, Floats, Ints
from synthvae.errors import ConfigError
from synthvae.field import Field
from synthvae.marginals.column import ColumnMarginal
from synthvae.model.layout import rule_masks
from synthvae.model.masks import RuleMasks
from synthvae.rules import ranges
from synthvae.rules.compiled import CompiledRule, RuleSet
from synthvae.rules.domains import Domain
from synthvae.rules.ranges import Range, Truth
from synthvae.rules.solver import clashing
from synthvae.rules.values import MISSING, ColumnValues, Known
from synthvae.schema import Schema
from synthvae.table import inspect
from synthvae.table.cells import as_float, spelled_number

UNLIKELY = 1e-3  # probability of conditions, below which records that meet them rest on little
# Or a larger one, where it is this part of what it would be if the columns were independent.
RARE, RARE_PART = 0.02, 0.1
TRUTHS = {"true": True, "t": True, "yes": True, "y": True, "1": True}
TRUTHS |= {"false": False, "f": False, "no": False, "n": False, "0": False}


@dataclass(frozen=True)
class Condition:
    """The share of each token of a column that may be drawn, and the first and last lattice point."""

    shares: Floats
    limits: tuple[int, int] | None
    # Lattice points from one to the other, relative to all of the bins that they lie in. A cost of
    # exactly 1234.56 is unlikely as such: what tells is how likely values like it are.
    fineness: float = 1.0
    text: str = ""  # the condition in words

    def met(self, codes: Ints, marginal: ColumnMarginal) -> Bools:
        """Return which codes of the column meet the condition."""
        met: Bools = self.shares[marginal.encode(codes)] > 0
        if self.limits is not None:
            low, high = self.limits
            met = met & ((codes < 0) | ((codes >= low) & (codes <= high)))
        return met

    def as_rule(self, values: ColumnValues, place: int) -> CompiledRule:
        """Return the condition as a rule about the column at a place."""
        field = values.field
        points = len(self.shares) - len(field.specials) - field.nullable
        missing = bool(field.nullable and self.shares[-1] > 0)
        specials = np.array(field.specials, float)
        single = specials[self.shares[points : points + len(specials)] > 0]
        if values.points is not None:
            single = np.append(single, values.points[self.shares[:points] > 0])
        single = np.sort(single)

        def judge(known: Known) -> Truth:
            value = known(place)
            count = np.searchsorted(single, value.high, "right") - np.searchsorted(
                single, value.low, "left"
            )
            sure = (count > 0) & (value.low == value.high)
            inside = Truth(count > 0, ~sure, np.zeros_like(value.none))
            if self.limits is not None:
                low, high = (Range.constant(end) for end in values.at(np.array(self.limits)))
                inside |= ranges.at_most(low, value) & ranges.at_most(value, high)
            return Truth(
                (value.some & inside.yes) | (value.none & missing),
                (value.some & inside.no) | (value.none & (not missing)),
                np.zeros_like(value.none),
            )

        return CompiledRule(self.text, frozenset({place}), judge)


def parse_conditions(
    where: Mapping[str, Any], schema: Schema, marginals: tuple[ColumnMarginal, ...]
) -> dict[int, Condition]:
    """Return the conditions by column index, of drawn columns and derived ones.

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
        field = schema.modelled[j]
        marginal = marginals[j] if j < len(marginals) else uniform_marginal(field)
        condition = _condition(field, marginal, value, schema)
        conditions[j] = replace(condition, text=_condition_text(name, value))
    return conditions


def listed(conditions: Iterable[Condition]) -> str:
    """Return conditions in words."""
    texts = [brief(condition.text) for condition in conditions]
    return " and ".join(filter(None, (", ".join(texts[:-1]), texts[-1])))


def condition_masks(
    rules: RuleSet,
    marginals: Sequence[ColumnMarginal],
    asked: Sequence[CompiledRule],
    conditions: Iterable[Condition],
    who: str,
) -> RuleMasks:
    """Return the masks of rules together with conditions, some of which are `asked` for as rules.

    Raises
    ------
    ConfigError
        Nobody can keep the rules and meet the conditions, whoever that is: a record, say.
    """
    whole = [Domain.whole(values) for values in rules.columns.meanings]
    clash = clashing(rules.columns, whole, (*rules.sampled, *asked))
    if clash:
        titles = rules.titles([rule for rule in clash if rule not in asked])
        against = f" with {', '.join(map(brief, titles))}" if titles else ""
        raise ConfigError(
            f"where asks for {listed(conditions)}, which no {who} can meet{against}; change the "
            "condition, or the rules."
        )
    return rule_masks(marginals, rules, asked)


@dataclass(frozen=True)
class Rarity:
    """How likely conditions are together, beside what independent columns would give."""

    probability: float
    independent: float

    @property
    def part(self) -> float:
        """What is left of the probability under independence."""
        return self.probability / max(self.independent, 1e-300)

    @property
    def is_rare(self) -> bool:
        """Whether records that meet the conditions rest on little."""
        unlike = self.probability < RARE and self.part < RARE_PART
        return self.probability < UNLIKELY or unlike

    @property
    def odds(self) -> str:
        """The probability in words."""
        if self.probability <= 1e-9:
            return "less than 1 in a billion"
        return f"about 1 in {1 / self.probability:,.0f}"

    @property
    def fewer(self) -> str:
        """By how much columns depend on each other, where that makes the conditions rare."""
        if not self.is_rare or self.part >= RARE_PART:
            return ""
        times = f"{1 / self.part:,.0f}" if self.part > 1e-6 else "over a million"
        return f", {times} times fewer than if the columns did not depend on each other"


def uniform_marginal(field: Field) -> ColumnMarginal:
    """Return a marginal for a column that is derived, which has none: all that it may hold, alike."""
    size = field.lattice_size if field.is_lattice else len(field.categories)
    starts = np.arange(1 if field.is_lattice else size)
    tokens = len(starts) + len(field.specials) + field.nullable
    mass = np.full(tokens, 1 / tokens)
    specials = len(field.specials)
    return ColumnMarginal(starts, mass[: len(starts)], starts, mass, size, specials, field.nullable)


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
    if low == high:  # one value: what tells is how likely those of its bin are
        fineness = float(shares.max())
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
