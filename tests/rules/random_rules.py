"""Random schemas with rules of every kind that some records keep.

Rows are drawn first; a rule stays only if some of them keep it, and the rows that do are the table.
"""

import math
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.rules.row_terms import (
    FIRST_DAY,
    Column,
    Row,
    RuledCase,
    Term,
    both,
    constant,
    either,
    is_missing,
    joined,
    one_of,
    opposite,
)

COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")
NAMES = ("a", "b", "c x", "d", "e", "f")
WITNESSES = 150


def columns_of(case: RuledCase, *kinds: str) -> list[Column]:
    return [column for column in case.columns if column.kind in kinds]


@st.composite
def columns(draw: st.DrawFn, name: str) -> Column:
    """A column of any kind, narrow more often than wide."""
    kind = draw(st.sampled_from(["number", "number", "tenths", "flag", "text", "digits", "date"]))
    rules: dict[str, Any] = {"required": not draw(st.booleans())}
    values: dict[str, Any] = {"name": name, "constraints": rules}
    low, width = draw(st.integers(-2, 5)), draw(st.sampled_from([1, 2, 4, 8, 60]))
    points: list[Any]
    if kind == "number":
        points = [Decimal(low + k) for k in range(width + 1)]
        values |= {"type": "integer", "special": draw(st.sampled_from([[], [], [99]]))}
        rules |= {"minimum": low, "maximum": low + width}
        points += map(Decimal, values["special"])
    elif kind == "tenths":
        points = [Decimal(10 * low + k) / 10 for k in range(width + 1)]
        values |= {"type": "number", "decimals": 1}
        rules |= {"minimum": float(points[0]), "maximum": float(points[-1])}
    elif kind == "date":
        points = [low + 2 + k for k in range(width + 1)]
        values["type"] = "date"
        ends = (str(FIRST_DAY + timedelta(days=points[end])) for end in (0, -1))
        rules["minimum"], rules["maximum"] = ends
    elif kind == "flag":
        points = [False, True]
        values["type"] = "boolean"
    else:
        every = ["0", "1", "2", "5"] if kind == "digits" else ["no", "low", "mid", "high"]
        points = every[: draw(st.integers(2, 4))]
        values["type"], rules["enum"] = "string", points
    return Column(values, "number" if kind == "tenths" else kind, tuple(points))


@st.composite
def atoms(draw: st.DrawFn, case: RuledCase) -> Term:
    """A plain statement about one column or two, true of some record that keeps the rules so far."""
    witness = draw(st.sampled_from(case.rows))
    column = draw(st.sampled_from(case.columns))
    sign, coin, die = (
        draw(st.sampled_from(COMPARISONS)),
        draw(st.booleans()),
        draw(st.integers(0, 4)),
    )
    value = witness[column.name]
    if value is None or draw(st.booleans()):
        value = draw(st.sampled_from(column.domain))
    if column.nullable and die == 0:
        return is_missing(column, coin)
    if column.kind == "flag":
        return column.term if coin else opposite(column.term)
    if die == 1 or (column.kind in ("text", "digits") and coin):
        return one_of(column, list(dict.fromkeys([value, draw(st.sampled_from(column.domain))])))
    if column.kind in ("text", "digits"):
        return joined("==" if die > 2 else "!=", column.term, constant(value, column.kind))
    others = [o for o in columns_of(case, column.kind) if o.name != column.name]
    if others and coin:
        return draw(pairs(column, draw(st.sampled_from(others)), witness))
    return joined(sign, column.term, constant(value, column.kind))


@st.composite
def pairs(draw: st.DrawFn, left: Column, right: Column, witness: Row) -> Term:
    """A statement about two numbers or two dates."""
    sign = draw(st.sampled_from(COMPARISONS))
    if draw(st.booleans()):
        return joined(sign, left.term, right.term)
    kind = "-" if left.kind == "date" else draw(st.sampled_from("+-*"))
    both_of = joined(kind, left.number, right.number)
    form = draw(st.sampled_from(["", "", "abs", "max"]))
    if form == "abs":
        inside = both_of
        both_of = Term(f"abs({inside.text})", partial(_absolute, inside))
    elif form == "max" and left.kind == "number":
        both_of = Term(f"max({left.term.text}, {right.term.text})", partial(_largest, left, right))
    goal = both_of.of(witness)
    return joined(sign, both_of, constant(1 if goal is None else goal))


def _largest(left: Column, right: Column, row: Row) -> Any:
    values = row[left.name], row[right.name]
    return None if None in values else max(values)


def _absolute(inside: Term, row: Row) -> Any:
    value = inside.of(row)
    return None if value is None else abs(value)


@st.composite
def with_statement(draw: st.DrawFn, case: RuledCase) -> RuledCase:
    """A case with a statement more, of one part or two, or an implication."""
    first, second = draw(atoms(case)), draw(atoms(case))
    form = draw(st.sampled_from(["one", "or", "and", "not", "if", "if", "sum"]))
    if form == "if":
        rule = either(opposite(first), second)
        return case.with_rule({"if": first.text, "then": second.text}, rule.keeps)
    if form == "sum":
        numeric = columns_of(case, "number", "flag", "digits")
        if len(numeric) < 2:
            return case
        some = draw(st.permutations(numeric))[: draw(st.integers(2, 4))]
        total = some[0].number
        for column in some[1:]:
            total = joined("+", total, column.number)
        goal = total.of(draw(st.sampled_from(case.rows)))
        sign = draw(st.sampled_from(COMPARISONS))
        first = joined(sign, total, constant(2 if goal is None else goal))
    forms = {"or": either(first, second), "and": both(first, second), "not": opposite(first)}
    rule = forms.get(form, first)
    return case.with_rule(draw(st.sampled_from([rule.text, {"rule": rule.text}])), rule.keeps)


@st.composite
def with_together(draw: st.DrawFn, case: RuledCase) -> RuledCase:
    """A case in which some columns are missing together."""
    nullable = [column.name for column in case.columns if column.nullable]
    if len(nullable) < 2:
        return case
    names = draw(st.lists(st.sampled_from(nullable), min_size=2, max_size=3, unique=True))
    return case.with_rule(
        {"together": names}, lambda row: len({row[n] is None for n in names}) == 1
    )


@st.composite
def with_allowed(draw: st.DrawFn, case: RuledCase) -> RuledCase:
    """A case in which two columns of categories have some combinations only."""
    named = columns_of(case, "text", "digits")
    if len(named) < 2:
        return case
    one, two = draw(st.permutations(named))[:2]
    witnesses = draw(st.lists(st.sampled_from(case.rows), min_size=1, max_size=5))
    allowed = {(row[one.name], row[two.name]) for row in witnesses}
    allowed = {pair for pair in allowed if None not in pair}
    if not allowed:
        return case

    def keeps(row: Row) -> bool:
        pair = (row[one.name], row[two.name])
        return None in pair or pair in allowed

    values = [list(pair) for pair in sorted(allowed)]
    return case.with_rule({"allowed": [one.name, two.name], "values": values}, keeps)


@st.composite
def with_derived(draw: st.DrawFn, case: RuledCase) -> RuledCase:
    """A case with one more column, which follows from others."""
    name = f"derived{sum(c.name.startswith('derived') for c in case.columns)}"
    form = draw(st.sampled_from(["sum", "half", "flag", "choice", "date"]))
    numeric = columns_of(case, "number", "flag", "digits")
    days = columns_of(case, "date")
    whole = [c for c in numeric if c.declared.get("type") != "number"]
    if form == "date" and days and whole:
        rule = joined("+", draw(st.sampled_from(days)).term, draw(st.sampled_from(whole)).number)
        return draw(_derived_number(case, name, "date", rule, Decimal(0)))
    if form in ("sum", "half") and numeric:
        left, right = (draw(st.sampled_from(numeric)).number for _ in range(2))
        rule = joined(draw(st.sampled_from("+-")), left, right)
        if form == "half":
            inside = rule
            rule = Term(f"({inside.text}) / 2", partial(_half, inside))
        # A sum of tenths is rounded as well where the column holds whole numbers.
        return draw(_derived_number(case, name, "number", rule, Decimal("0.5")))
    truth = draw(atoms(case))
    if form == "choice":
        rule = Term(
            f"'high' if {truth.text} else 'low'",
            lambda row: {True: "high", False: "low", None: None}[truth.of(row)],
        )
        values = {"name": name, "constraints": {"enum": ["low", "high"], "required": False}}
        column = Column(values, "text", ("low", "high"))
    else:
        rule = truth
        values = {"name": name, "type": "boolean", "constraints": {"required": False}}
        column = Column(values, "flag", (False, True))
    return _with_column(case, column, rule, {row_key(row): rule.of(row) for row in case.rows}, 0)


@st.composite
def _derived_number(
    draw: st.DrawFn, case: RuledCase, name: str, kind: str, rule: Term, slack: Decimal
) -> RuledCase:
    exact = {row_key(row): rule.of(row) for row in case.rows}
    known = [value for value in exact.values() if value is not None]
    if not known:
        return case
    whole = int if kind == "date" else Decimal
    rounded = {key: None if v is None else whole(_half_up(v)) for key, v in exact.items()}
    low, high = _half_up(min(known)), _half_up(max(known))
    if draw(st.booleans()):  # bounds that other records would leave
        low = high = int(draw(st.sampled_from([v for v in rounded.values() if v is not None])))
        high += draw(st.integers(0, 2))
    rules: dict[str, Any] = {"minimum": low, "maximum": high, "required": False}
    if kind == "date":
        ends = (str(FIRST_DAY + timedelta(days=int(end))) for end in (low, high))
        rules["minimum"], rules["maximum"] = ends
    values = {"name": name, "type": "date" if kind == "date" else "integer", "constraints": rules}
    domain = tuple(map(whole, range(int(low), int(high) + 1)))
    return _with_column(case, Column(values, kind, domain), rule, rounded, slack)


def _half_up(value: Any) -> int:
    return math.floor(value + Decimal("0.5"))


def _half(inside: Term, row: Row) -> Any:
    value = inside.of(row)
    return None if value is None else Decimal(value) / 2


def row_key(row: Row) -> tuple[Any, ...]:
    return tuple(row.values())


def _with_column(
    case: RuledCase, column: Column, rule: Term, derived: dict[tuple[Any, ...], Any], slack: Any
) -> RuledCase:
    """Return a case with a derived column, whose values may be off by rounding; or as it was."""
    inside = {None, *column.domain}
    rows = tuple(
        row | {column.name: derived[row_key(row)]}
        for row in case.rows
        if derived[row_key(row)] in inside
    )
    if not rows:
        return case

    def keeps(row: Row) -> bool:
        exact, found = rule.of(row), row[column.name]
        if exact is None or found is None:
            return exact is found
        return abs(exact - found) <= slack if slack else bool(exact == found)

    wider = replace(case, columns=(*case.columns, column), rows=rows)
    return wider.with_rule({"derive": column.name, "as": rule.text}, keeps)


def any_rows(chosen: tuple[Column, ...], seed: int) -> list[Row]:
    """Return rows of any values, whether they keep rules or not."""
    generator, rows = np.random.default_rng(seed), []
    for _ in range(WITNESSES):
        values = {c.name: c.domain[generator.integers(len(c.domain))] for c in chosen}
        gaps = {c.name: c.nullable and generator.random() < 0.2 for c in chosen}
        rows.append({name: None if gaps[name] else value for name, value in values.items()})
    return rows


@st.composite
def ruled_cases(draw: st.DrawFn) -> RuledCase:
    """Two to six columns with one to eight rules, and rows that keep them all, of patients or alone."""
    chosen = tuple(draw(columns(name)) for name in NAMES[: draw(st.integers(2, 6))])
    case = RuledCase(chosen, tuple(any_rows(chosen, draw(st.integers(0, 2**32)))))
    goal = draw(st.integers(1, 8))
    makers = [
        with_statement,
        with_statement,
        with_statement,
        with_together,
        with_allowed,
        with_derived,
    ]
    for _ in range(2 * goal):
        if len(case.settings) < goal:
            case = draw(draw(st.sampled_from(makers))(case))
    if not case.settings or draw(st.booleans()):
        return case
    names = [column.name for column in chosen]
    shared = tuple(draw(st.permutations(names))[: draw(st.integers(0, len(names) - 1))])
    varying = [name for name in names if name not in shared]
    unique = draw(st.sampled_from([None, *varying]))
    return replace(case, shared=shared, unique=unique)
