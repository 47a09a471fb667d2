"""Statements over boxes of values: never narrower than what the points of the box give.

At points they are what a plain interpreter of Python's own arithmetic says, with None for missing.
"""

import ast
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthvae._types import Ints
from synthvae.rules import language, ranges
from synthvae.rules.domains import Domain, known_of
from synthvae.rules.language import read_statement, read_value
from synthvae.rules.ranges import Range, Truth
from synthvae.rules.terms import Term
from synthvae.rules.values import Columns
from synthvae.schema import Schema
from tests.rules.ruled_table import choice, day, flag, integer, number

SCHEMA = Schema.from_dict(
    {
        "name": "boxes",
        "fields": [
            integer("x", -3, 5, gaps=True),
            integer("y", 40, 60, special=[-1]),
            number("h", -1, 2, step=0.5, gaps=True),
            choice("g", ["5", "1", "2.5"], gaps=True),
            choice("s", ["low", "mid", "high"], gaps=True),
            flag("f", gaps=True),
            day("d", "2020-12-25", "2021-01-05", gaps=True),
            day("e", "2020-12-30", "2021-01-02"),
            number("goal", -1e6, 1e6),
        ],
    }
)
COLUMNS: Columns = SCHEMA.columns
NAMES = [field.name for field in COLUMNS.fields]
SIGNS = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
Row = dict[str, Any]


def numbers(truths: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Numbers of columns that are numbers, digits, flags or dates."""
    leaf = st.sampled_from(
        ["x", "y", "h", "(g + 0)", "(f + 0)", "2", "0.5", "-3", "0", "(e - d)", "year(d)", "x", "y"]
    )

    def grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        exponents = st.sampled_from(["2", "3", "0.5", "0", "-1", "-2"])
        return st.one_of(
            st.builds("({} {} {})".format, inner, st.sampled_from("+-*/"), inner),
            st.builds("{}({})".format, st.sampled_from(["abs", "floor", "round"]), inner),
            st.builds("{}({}, {})".format, st.sampled_from(["min", "max"]), inner, inner),
            st.builds("({}) ** {}".format, inner, exponents),
            st.builds("(-({}))".format, inner),
            st.builds("({} if {} else {} + 0)".format, inner, truths, inner),
        )

    return st.recursive(leaf, grown, max_leaves=4)


def truths(inner: st.SearchStrategy[str] | None = None) -> st.SearchStrategy[str]:
    """Statements that hold, fail, or are undecided."""
    one = numbers(st.just("f")) if inner is None else inner
    leaf = st.one_of(
        st.builds("{} {} {}".format, one, SIGNS, one),
        st.builds("{} {} {} {} {}".format, one, SIGNS, one, SIGNS, one),
        st.builds("missing({})".format, one),
        st.builds("d + x {} e".format, SIGNS),
        st.builds("min(d, e) {} '2020-12-31'".format, SIGNS),
        st.sampled_from(["f", "s == 'mid'", "s not in ['low', 'high']", "x in [1, 2, 5]"]),
        st.sampled_from(["s is missing", "(d if f else e) > '2021-01-01'", "f == true", "g == 1"]),
        st.sampled_from(["('low' if x > 0 else s) == s"]),
    )

    def grown(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        joined = st.builds("({} {} {})".format, parts, st.sampled_from(["and", "or"]), parts)
        return joined | st.builds("(not {})".format, parts)

    return st.recursive(leaf, grown, max_leaves=3)


class Plain:
    """Python's own arithmetic of one row; None is missing, and what is no number."""

    def __init__(self, row: Row) -> None:
        self.row = row

    def of(self, node: ast.expr) -> Any:  # noqa: PLR0911
        match node:
            case ast.Constant(value=str() as text):
                return np.datetime64(text).astype(int) if text[:2] == "20" else text
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return True if name == "true" else self.row[name]
            case ast.BoolOp(op=op, values=values):
                return kleene(isinstance(op, ast.Or), [self.of(value) for value in values])
            case ast.UnaryOp(op=ast.Not(), operand=inner):
                return apply(lambda a: not a, self.of(inner))
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                return apply(lambda a: -a, as_number(self.of(inner)))
            case ast.IfExp(test=test, body=body, orelse=orelse):
                condition = self.of(test)
                return None if condition is None else self.of(body if condition else orelse)
            case ast.BinOp(left=left, op=op, right=right):
                return apply(OPERATIONS[type(op)], *map(as_number, map(self.of, (left, right))))
            case ast.Call(func=ast.Name(id=name), args=args):
                return CALLS[name](*map(self.of, args))
            case ast.Compare(left=left, ops=ops, comparators=sides):
                values = [left, *sides]
                triples = zip(values[:-1], ops, values[1:], strict=True)
                return kleene(False, [self.link(*triple) for triple in triples])
        raise AssertionError(ast.dump(node))

    def link(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> bool | None:
        first = self.of(left)
        if isinstance(op, ast.Is):
            return first is None
        if isinstance(op, ast.In | ast.NotIn):
            found = apply(lambda a: a in [self.of(item) for item in right.elts], first)
            return found if isinstance(op, ast.In) else apply(lambda a: not a, found)
        second = self.of(right)
        return apply(COMPARISONS[type(op)], as_number(first), as_number(second))


def apply(function: Callable[..., Any], *values: Any) -> Any:
    if any(value is None for value in values):
        return None
    try:
        result = function(*values)
    except ZeroDivisionError:
        return None
    return None if isinstance(result, float) and not math.isfinite(result) else result


def as_number(value: Any) -> Any:
    """Return a flag as 0 or 1, and digits as a number."""
    return value if value is None or isinstance(value, str) else float(value)


def kleene(any_of: bool, parts: list[bool | None]) -> bool | None:
    return any_of if any_of in parts else None if None in parts else not any_of


def near(a: Any, b: Any) -> bool:
    if isinstance(a, str):
        return bool(a == b)
    largest = max(1.0, abs(a), abs(b))
    return bool(abs(a - b) <= min(1e-9 * largest, max(1e-4, 1e-14 * largest)))


def to_power(base: float, exponent: float) -> float:
    with np.errstate(all="ignore"):
        return float(np.power(base, float(exponent)))


OPERATIONS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Pow: to_power,
}
COMPARISONS: dict[type[ast.AST], Callable[..., bool]] = {
    ast.Lt: lambda a, b: a < b and not near(a, b),
    ast.LtE: lambda a, b: a < b or near(a, b),
    ast.Gt: lambda a, b: a > b and not near(a, b),
    ast.GtE: lambda a, b: a > b or near(a, b),
    ast.Eq: near,
    ast.NotEq: lambda a, b: not near(a, b),
}
CALLS: dict[str, Callable[..., Any]] = {
    "missing": lambda value: value is None,
    "abs": lambda value: apply(abs, as_number(value)),
    "floor": lambda value: apply(lambda a: float(math.floor(a)), as_number(value)),
    "round": lambda value: apply(lambda a: float(round(a)), as_number(value)),
    "min": lambda *values: apply(min, *map(as_number, values)),
    "max": lambda *values: apply(max, *map(as_number, values)),
    "year": lambda value: apply(lambda a: float(np.datetime64(int(a), "D").item().year), value),
}


def rows_of(codes: Ints) -> list[Row]:
    """Return codes as plain values: dates in days since 1970."""
    columns: dict[str, list[Any]] = {}
    for place, field in enumerate(COLUMNS.fields):
        exact = COLUMNS.meanings[place].exact(codes[:, place])
        found: list[Any] = (exact.low / (86_400 if field.is_moment else 1)).tolist()
        if field.type == "string":
            labels = [field.categories[code] for code in codes[:, place]]
            found = list(map(float, labels)) if field.name == "g" else labels
        if field.type == "boolean":
            found = list(map(bool, found))
        columns[field.name] = [
            None if m else v for v, m in zip(found, exact.none.tolist(), strict=True)
        ]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def any_box(generator: np.random.Generator, columns: Columns = COLUMNS) -> list[Domain]:
    """Return for each column some codes between two, and some of the others; often one code alone."""
    box = []
    for values in columns.meanings:
        low, high = np.sort(generator.integers(0, values.size, 2))
        if generator.random() < 0.4:
            high = low
        others = tuple(c for c in Domain.whole(values).others if generator.random() < 0.3)
        empty = others and generator.random() < 0.2
        box.append(Domain(0, -1, others) if empty else Domain(int(low), int(high), others))
    return box


def points_of(box: list[Domain], count: int, generator: np.random.Generator) -> Ints:
    """Return points of a box, its corners among them, shape (points, columns)."""
    columns = []
    for domain in box:
        codes = [*domain.others]
        if domain.low <= domain.high:
            inside = generator.integers(domain.low, domain.high + 1, 4).tolist()
            codes += [domain.low, domain.high, *inside]
        columns.append(generator.choice(codes, count))
    return np.stack(columns, axis=1)


def term_of(text: str, is_truth: bool) -> Term:
    if is_truth:
        return read_statement(text, COLUMNS, "r").term
    return read_value(text, COLUMNS, SCHEMA["goal"], "r").term


def value_at(value: Range | Truth, at: int) -> Any:
    """Return what is known exactly at one of many points; None where it is missing."""
    if isinstance(value, Truth):
        yes, no, unknown = (
            bool(np.broadcast_to(part, 1_000)[at] if np.ndim(part) == 0 else part[at])
            for part in (value.yes, value.no, value.unknown)
        )
        assert yes + no + unknown == 1
        return None if unknown else yes
    some = value.some if np.ndim(value.some) == 0 else value.some[at]
    return float(value.low if np.ndim(value.low) == 0 else value.low[at]) if some else None


def check(text: str, is_truth: bool, seed: int, count: int = 25) -> None:
    if not set(re.findall(r"\b[a-z]\b", text)):
        return  # it names no column
    generator = np.random.default_rng(seed)
    term, tree = term_of(text, is_truth), ast.parse(text, mode="eval").body
    box = any_box(generator)
    codes = points_of(box, count, generator)
    exact, wide = term.of(COLUMNS.known(codes)), term.of(known_of(COLUMNS, box, {}))
    for at, row in enumerate(rows_of(codes)):
        value, expected = value_at(exact, at), Plain(row).of(tree)
        if not is_truth:
            expected = as_number(expected)
        context = (text, row, box)
        assert value == expected or (value is not None and near(value, expected)), context
        if isinstance(wide, Truth):
            assert {None: wide.unknown, True: wide.yes, False: wide.no}[value], context
        elif value is None:
            assert wide.none, context
        else:
            assert wide.some, context
            slack = 1e-9 * max(1.0, abs(value))
            assert wide.low - slack <= value <= wide.high + slack, context


def check_many(text: str) -> None:
    for seed in range(40):
        check(text, False, seed)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (0.1 + 0.2, 0.3, True),
        (1e6 + 0.1 - 1e6, 0.1, True),
        (1e12 / 3 * 3 + 1e-4, 1e12, True),
        (1e-9, 3e-9, False),
        (1.0, 1.00001, False),
        (2e9, 2e9 + 1, False),
        (1e13, 1e13 + 1, False),
    ],
)
def test_numbers_that_count_as_equal(first: float, second: float, same: bool) -> None:
    one, two = Range.constant(first), Range.constant(second)
    assert bool(ranges.equal(one, two).yes) is same
    assert bool(ranges.at_most(two, one).yes) is (same or second <= first)


few = settings(max_examples=200, deadline=None)


@few
@given(numbers(truths(st.sampled_from(["x", "h", "2"]))), st.integers(0, 2**32))
def test_a_box_holds_the_numbers_of_its_points(text: str, seed: int) -> None:
    check(text, False, seed)


@few
@given(truths(), st.integers(0, 2**32))
def test_a_box_allows_what_its_points_say(text: str, seed: int) -> None:
    check(text, True, seed)


@pytest.mark.parametrize(
    "text",
    [
        "floor(y / y)",  # 49 * (1 / 49) is less than 1
        "floor(98 / y) + x",
        "x ** -1",
        "(h + 0.5) ** -2",
        "(x + h) ** 0.5",
        "x ** 3 - x ** 2",
        "(x / h) ** 16",
        "abs(h) / abs(h)",
        "1 / (x - x)",
        "(x / y) / (e - d) ** -2",
        "(y ** 16) ** 16 * (y ** 16) ** 4 - 1",
        "1 / (h ** 16 / y ** 16) ** 16",
        "round(h) * round(y / 2)",
        "max(x, h, g) - min(y, f, 3)",
        "(x if f else h) * (g if x > 1 else f)",
        "year(e) - year(d)",
    ],
)
def test_numbers_that_are_easily_wrong(text: str) -> None:
    check_many(text)


def test_a_box_of_one_point_is_as_exact_as_the_point() -> None:
    generator = np.random.default_rng(0)
    for text in ("x ** -1", "x ** 0.5", "y / h", "x / h * h", "floor(y / 7)"):
        for _ in range(30):
            codes = points_of(any_box(generator), 1, generator)
            box = [Domain(c, c) if c >= 0 else Domain(0, -1, (c,)) for c in codes[0].tolist()]
            term = term_of(text, False)
            point, alone = term.of(COLUMNS.known(codes)), term.of(known_of(COLUMNS, box, {}))
            assert bool(alone.some) == bool(point.some[0]), (text, codes)
            assert bool(alone.none) == bool(point.none[0]), (text, codes)
            if alone.some:
                assert np.allclose([alone.low, alone.high], point.low[0], rtol=1e-12), (text, codes)


def test_a_box_that_is_too_narrow_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_ends_alone(left: Range, right: Range) -> Range:
        exact = left.is_exact and right.is_exact
        low = left.low * right.low
        return Range(low, low if exact else left.high * right.high, *ranges._both(left, right))

    monkeypatch.setitem(language._SUMS, ast.Mult, of_ends_alone)
    with pytest.raises(AssertionError, match=r"x \* h"):
        check_many("x * h")
