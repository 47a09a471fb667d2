"""Statements about one record, read from text into functions of what is known of it.

A statement is parsed with Python's grammar, of which only an allow-list of nodes is understood; none
of it is ever executed as Python. Columns stand by name (in backquotes where they are no plain
words); there are comparisons, also in chains, `and`, `or`, `not`, `+ - * /`, powers with a constant
exponent, `a if condition else b`, `abs`, `min`, `max`, `floor`, `round`, `year`, numbers, text, dates as
text, `is missing` and `in [...]`.

In arithmetic true counts as 1 and false as 0. A category of a column whose categories are all numbers
counts as that number in arithmetic and in comparisons of order.
"""

import ast
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial, reduce
from itertools import chain
from typing import Any, NoReturn

import numpy as np

from synthvae._text import nearest
from synthvae._types import Bools, Ints
from synthvae.declared import LARGEST
from synthvae.errors import ConfigError
from synthvae.field import Field
from synthvae.rules import ranges
from synthvae.rules.ranges import Range, Truth
from synthvae.rules.terms import (
    ORDERS,
    Kind,
    Term,
    applied,
    as_number,
    column_of,
    compared,
    fixed,
    is_missing,
    labelled,
    numbered,
)
from synthvae.rules.values import Columns, Known, digits

DEEPEST = 60
DAY = 86_400.0
LARGEST_EXPONENT = 16
KINDS = {"number": "a number", "text": "text", "date": "a date", "truth": "true or false"}

_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`([^`]+)`")
_SUMS: dict[type[ast.operator], Callable[[Range, Range], Range]] = {
    ast.Add: ranges.add,
    ast.Sub: ranges.subtract,
    ast.Mult: ranges.multiply,
    ast.Div: ranges.divide,
}
_FUNCTIONS: dict[str, Callable[[Range], Range]] = {
    "abs": ranges.absolute,
    "floor": ranges.floor,
    "round": ranges.rounded,
}
_EXTREMES = {
    "min": partial(ranges.extreme, np.minimum),
    "max": partial(ranges.extreme, np.maximum),
}
_HINT = (
    "write `==` for equal, `and`, `or`, `not` in small letters, and in backquotes the name of a column "
    "that has blanks or is one of Python's words"
)
CALLS = "missing, abs, floor, round, min, max and year"
_UNKNOWN = {
    ast.Attribute: "a dot is not understood; write a column's name that has one in backquotes",
    ast.Call: f"only {CALLS} can be called",
    ast.Pow: "a power needs a constant exponent",
}


@dataclass(frozen=True)
class Statement:
    """A statement that fits the columns: a term, and the places of the columns that it names."""

    term: Term
    columns: Columns
    places: frozenset[int]

    def holds(self, codes: Ints) -> tuple[Bools, Bools]:
        """Return for each row whether the statement holds, and whether that is decided.

        Codes have the shape (rows, columns).
        """
        truth = self.judge(self.columns.known(codes))
        shape = len(codes)
        return np.broadcast_to(truth.yes, shape), ~np.broadcast_to(truth.unknown, shape)

    def judge(self, known: Known) -> Truth:
        """Return what may come about, given what is known of the columns."""
        truth: Truth = self.term.of(known)
        return truth


def read_statement(text: str, columns: Columns, where: str) -> Statement:
    """Read a statement and check it against columns; `where`, for the message: "the rule 'adults'".

    Raises
    ------
    ConfigError
        The statement cannot be read, or does not fit the columns; the text says where in it.

    Examples
    --------
    >>> age = Field.model_validate({"name": "age", "type": "integer", "constraints": {
    ...     "minimum": 0, "maximum": 110}})
    >>> adults = read_statement("18 <= age < 65", Columns((age,)), "the rule 'adults'")
    >>> adults.holds(np.array([[17], [18]]))
    (array([False,  True]), array([ True,  True]))
    """
    reader = _Reader(" ".join(text.split()), columns, where)
    term = reader.read()
    if term.kind != "truth":
        reader.refuse(f"it is {KINDS[term.kind]}, not a statement that holds or does not")
    if not term.places:
        reader.refuse("it names no column")
    return Statement(term, columns, term.places)


def read_value(text: str, columns: Columns, target: Field, where: str) -> Statement:
    """Read what a column is computed from, as a term of the column's own kind.

    Raises
    ------
    ConfigError
        It cannot be read, does not fit the columns, or is of another kind than the column.
    """
    reader = _Reader(" ".join(text.split()), columns, where)
    goal = column_of(target, columns.places[target.name])
    term, kind = reader.alike(reader.read(), goal), goal.kind
    for choice in term.choices if term.kind == kind else ():
        reader.alike(choice, goal)
    numbers = digits(target) if kind == "text" else None
    if term.kind == "truth" and (kind == "number" or numbers is not None):
        term = as_number(term)
    elif kind == "number":
        term = reader.counted(term)
    if term.kind == "number" and numbers is not None:
        labels = np.array([columns.labels[label] for label in target.categories])
        term = Term("text", partial(labelled, term.of, labels, numbers), parts=(term,))
    if term.kind != kind:
        reader.refuse(f"it is {KINDS[term.kind]}, but '{target.name}' is {KINDS[kind]}")
    if not term.places:
        reader.refuse("it names no column")
    return Statement(term, columns, term.places)


class _Reader:
    """Turns one statement's syntax tree into terms; everything it does not know is refused."""

    def __init__(self, text: str, columns: Columns, where: str) -> None:
        self.text, self.columns, self.where = text, columns, where
        self.quoted: dict[int, str] = {}
        self.plain = _QUOTED.sub(self._hide, text)

    def _hide(self, match: re.Match[str]) -> str:
        """Put a plain word of the same length in the place of a name in backquotes."""
        if match[1] is None:
            return match[0]
        self.quoted[match.start()] = match[1]
        return "_" * len(match[0])

    def refuse(self, what: str, node: ast.AST | None = None) -> NoReturn:
        at = "" if node is None else f" at character {self._start(node) + 1}"
        text = "" if self.where.endswith(f"'{self.text}'") else f", '{self.text}'"
        raise ConfigError(f"In {self.where}{text}{at}: {what}.")

    def _start(self, node: ast.AST) -> int:
        offset = getattr(node, "col_offset", 0)
        return len(self.plain.encode()[:offset].decode(errors="ignore"))

    def read(self) -> Term:
        try:
            # Python warns about odd escapes in text.
            with warnings.catch_warnings(action="ignore"):
                tree = ast.parse(self.plain, mode="eval").body
        except SyntaxError as cause:
            at = f" near character {cause.offset}" if cause.offset else ""
            self.refuse(f"it cannot be read{at} ({cause.msg}); {_HINT}")
        except (ValueError, RecursionError, MemoryError):
            self.refuse("it cannot be read: it is nested too deeply or has odd characters")
        if _depth(tree) > DEEPEST:
            self.refuse(f"it is nested more than {DEEPEST} deep; divide it into several")
        return self.term(tree)

    def term(self, node: ast.expr) -> Term:
        """Return what a node of the tree means; a node of any other kind is refused."""
        match node:
            case ast.Constant():
                term = self._constant(node)
            case ast.Name():
                term = self._name(node)
            case ast.Call(func=ast.Name(id=name), keywords=[]):
                term = self._call(name, node)
            case ast.BoolOp():
                # One part that is known to hold, or to fail, may decide the whole.
                parts = [self._truth(value) for value in node.values]
                join = Truth.__or__ if isinstance(node.op, ast.Or) else Truth.__and__
                term = reduce(lambda a, b: applied("truth", join, a, b), parts)
            case ast.UnaryOp(op=ast.Not()):
                term = applied("truth", Truth.__invert__, self._truth(node.operand))
            case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
                term = self._signed(node)
            case ast.BinOp(op=ast.Pow()):
                term = self._power(node)
            case ast.BinOp() if type(node.op) in _SUMS:
                term = self._sum(node)
            case ast.IfExp():
                term = self._choice(node)
            case ast.Compare():
                sides = [node.left, *node.comparators]
                links = map(self._link, sides[:-1], node.ops, sides[1:])
                term = reduce(lambda a, b: applied("truth", Truth.__and__, a, b), links)
            case _:
                unknown = node.op if isinstance(node, ast.BinOp) else node
                text = self.text[self._start(node) :][:30]
                self.refuse(_UNKNOWN.get(type(unknown), f"'{text}' is not understood"), node)
        return term

    def _constant(self, node: ast.Constant) -> Term:
        value = node.value
        if isinstance(value, bool):
            return fixed("truth", value, value)
        if isinstance(value, int | float):
            if not abs(value) <= LARGEST:
                self.refuse(f"numbers must lie between {-LARGEST:g} and {LARGEST:g}", node)
            return fixed("number", float(value), float(value))
        if isinstance(value, str):
            return fixed("text", value, self.columns.labels.get(value, -1))
        return self.refuse(f"'{value!r}' is neither a number nor text", node)

    def _name(self, node: ast.Name) -> Term:
        quoted, places = self.quoted.get(self._start(node)), self.columns.places
        name = node.id if quoted is None else quoted
        if name not in places:
            if quoted is None and name in ("true", "false"):
                return fixed("truth", name == "true", name == "true")
            if quoted is None and name == "missing":
                self.refuse("'missing' goes with `is`: write `column is missing`", node)
            self.refuse(self.columns.refusal(name), node)
        return column_of(self.columns.fields[places[name]], places[name])

    def _truth(self, node: ast.expr) -> Term:
        term = self.term(node)
        if term.kind != "truth":
            self.refuse(f"needs a statement here, not {KINDS[term.kind]}", node)
        return term

    def _number(self, node: ast.expr) -> Term:
        term = self.counted(self.term(node))
        if term.kind != "number":
            self.refuse(f"needs a number here, not {KINDS[term.kind]}", node)
        return term

    def counted(self, term: Term) -> Term:
        """Return a truth, or a category of a column of numbers, as the number that it counts as."""
        if term.kind == "truth" and term.field is not None:
            return as_number(term)
        numbers = digits(term.field) if term.kind == "text" and term.field else None
        if numbers is None or term.field is None:
            return term
        labels = [self.columns.labels[label] for label in term.field.categories]
        return Term("number", partial(numbered, term.of, np.array(labels), numbers), parts=(term,))

    def _signed(self, node: ast.UnaryOp) -> Term:
        term, negative = self._number(node.operand), isinstance(node.op, ast.USub)
        if term.constant is not None:
            value = -term.constant if negative else term.constant
            return fixed("number", value, value)
        return applied("number", Range.turned, term) if negative else term

    def _power(self, node: ast.BinOp) -> Term:
        exponent = self.term(node.right).constant
        if isinstance(exponent, bool | str) or exponent is None:
            self.refuse(_UNKNOWN[ast.Pow], node)
        if not abs(exponent) <= LARGEST_EXPONENT:
            self.refuse(f"an exponent must be at most {LARGEST_EXPONENT}", node)
        power = partial(ranges.power, exponent=float(exponent))
        return applied("number", power, self._number(node.left))

    def _sum(self, node: ast.BinOp) -> Term:
        left, right = self.term(node.left), self.term(node.right)
        function, elapsed = _SUMS[type(node.op)], self.columns.elapsed
        ends = left.place, right.place
        if elapsed and isinstance(node.op, ast.Sub) and ends == (elapsed.later, elapsed.earlier):
            unit = elapsed.unit / DAY if left.kind == "date" else elapsed.unit
            gap = column_of(self.columns.fields[elapsed.gap], elapsed.gap)
            return applied("number", ranges.multiply, gap, fixed("number", unit, unit))
        day = fixed("number", DAY, DAY)
        if left.kind == "date" and isinstance(node.op, ast.Sub) and right.kind == "date":
            return applied("number", ranges.divide, applied("number", function, left, right), day)
        if left.kind == "date" and isinstance(node.op, ast.Add | ast.Sub):
            days = applied("number", ranges.multiply, self._number(node.right), day)
            return applied("date", function, left, days)
        return applied("number", function, self._number(node.left), self._number(node.right))

    def _call(self, name: str, node: ast.Call) -> Term:
        if name == "missing" and len(node.args) == 1:
            return self._is_missing(node.args[0])
        if name in _FUNCTIONS and len(node.args) == 1:
            return applied("number", _FUNCTIONS[name], self._number(node.args[0]))
        if name == "year" and len(node.args) == 1:
            moment = self.term(node.args[0])
            if moment.kind != "date":
                self.refuse(f"year() needs a date, not {KINDS[moment.kind]}", node)
            return applied("number", ranges.year, moment)
        if name in _EXTREMES and len(node.args) > 1:
            terms = [self.term(argument) for argument in node.args]
            kind: Kind = "date" if all(term.kind == "date" for term in terms) else "number"
            if kind == "number":
                terms = [self._number(argument) for argument in node.args]
            return reduce(partial(applied, kind, _EXTREMES[name]), terms)
        known = name in ("missing", "year", *_FUNCTIONS, *_EXTREMES)
        wrong = f"{name}() has the wrong number of arguments"
        return self.refuse(wrong if known else _UNKNOWN[ast.Call], node)

    def _choice(self, node: ast.IfExp) -> Term:
        condition = self._truth(node.test)
        left, right = self.term(node.body), self.term(node.orelse)
        if left.kind != right.kind:
            left, right = self.counted(left), self.counted(right)
        if left.kind != right.kind:
            self.refuse(f"it is {KINDS[left.kind]} or else {KINDS[right.kind]}", node)
        kind: Kind = "number" if left.kind == "truth" else left.kind
        choices = (part.choices or (part,) for part in (left, right))
        return Term(
            kind,
            lambda known: ranges.either(condition.of(known), left.range(known), right.range(known)),
            choices=tuple(chain.from_iterable(choices)),
            parts=(condition, left, right),
        )

    def _is_missing(self, node: ast.expr) -> Term:
        return is_missing(self.term(node))

    def _link(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Term:
        if isinstance(op, ast.Is | ast.IsNot):
            if not (isinstance(right, ast.Name) and right.id == "missing"):
                self.refuse("`is` goes with `missing` or `not missing` only; use ==", right)
            term = self._is_missing(left)
        elif isinstance(op, ast.In | ast.NotIn):
            if not isinstance(right, ast.List | ast.Tuple | ast.Set) or not right.elts:
                self.refuse("`in` needs a list of values in square brackets", right)
            terms = [self._pair(left, ast.Eq(), item) for item in right.elts]
            term = reduce(lambda a, b: applied("truth", Truth.__or__, a, b), terms)
        else:
            return self._pair(left, op, right)
        negated = isinstance(op, ast.IsNot | ast.NotIn)
        return applied("truth", Truth.__invert__, term) if negated else term

    def _pair(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Term:
        first, second = self.term(left), self.term(right)
        constant = first.constant is not None or second.constant is not None
        differ = first.kind != second.kind
        if (type(op) in ORDERS and (differ or first.kind == "text")) or (differ and not constant):
            first, second = self.counted(first), self.counted(second)
        second = self.alike(second, first, right)
        first = self.alike(first, second, left)
        if first.kind != second.kind:
            self.refuse(f"{KINDS[first.kind]} is compared with {KINDS[second.kind]}", left)
        if first.kind in ("text", "truth") and type(op) in ORDERS:
            self.refuse(f"{KINDS[first.kind]} has no order; use == or in [...]", left)
        return compared(op, first, second)

    def alike(self, term: Term, other: Term, node: ast.expr | None = None) -> Term:
        """Return a constant as the kind of value that it is compared with."""
        value, field = term.constant, other.field
        if value is None:
            return term
        if other.kind == "date" and term.kind == "text":
            return self._moment(value, field, node)
        if field is None:
            return term
        text = _spelt(value)
        if other.kind == "truth" and term.kind != "truth":
            if text not in (*field.trueValues, *field.falseValues):
                self.refuse(f"'{text}' is no value of '{field.name}'; use true or false", node)
            return fixed("truth", text in field.trueValues, text in field.trueValues)
        if other.kind == "text":
            if text not in field.categories:
                hint = nearest(text, field.categories)
                self.refuse(f"'{text}' is no category of '{field.name}'{hint}", node)
            return fixed("text", text, self.columns.labels[text])
        return term

    def _moment(self, text: str, field: Field | None, node: ast.expr | None) -> Term:
        readers: list[Callable[[str], datetime]] = [datetime.fromisoformat]
        if field is not None:
            readers.append(lambda text: datetime.strptime(text, field.format_))
        for read in readers:
            try:
                moment = read(text).replace(tzinfo=None)
            except ValueError:
                continue
            seconds = (moment - datetime(1970, 1, 1)).total_seconds()
            return fixed("date", seconds, seconds)
        return self.refuse(f"'{text}' is no date; write it as '2000-12-31'", node)


def _depth(tree: ast.AST) -> int:
    deepest, waiting = 0, [(tree, 1)]
    while waiting:
        node, depth = waiting.pop()
        deepest = max(deepest, depth)
        waiting += [(child, depth + 1) for child in ast.iter_child_nodes(node)]
    return deepest


def _spelt(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.15g}"
    return str(value).lower() if isinstance(value, bool) else str(value)
