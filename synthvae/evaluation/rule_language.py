"""Statements about one record, read from text into functions of codes, with missing values in mind.

A value that is missing is null. Truth has three values (Kleene 1952, Introduction to Metamathematics,
section 64): what depends on a missing value is undecided, unless the rest decides it.

A statement is parsed with Python's grammar, of which only an allow-list of nodes is understood; none
of it is ever executed as Python. Columns stand by name (in backquotes where they are no plain
words); there are comparisons, also in chains, `and`, `or`, `not`, `+ - * /`, numbers, text, dates as
text, `is missing` and `in [...]`.
"""

import ast
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import reduce
from typing import Any, Literal, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synthvae._text import nearest
from synthvae._types import Bools, Ints
from synthvae.declared import LARGEST
from synthvae.errors import ConfigError
from synthvae.evaluation.tables import number_of
from synthvae.field import Field
from synthvae.schema import Schema

Kind = Literal["number", "text", "date", "truth"]
Values = Any  # an Arrow array of one value for each row, or a scalar for all

TOLERANCE = 1e-9  # relative, of numbers: 0.1 + 0.2 equals 0.3
MOMENT = 1e-3  # seconds, of dates
DEEPEST = 60
DAY = 86_400.0
KINDS = {"number": "a number", "text": "text", "date": "a date", "truth": "true or false"}
ORDERS = {ast.Lt: pc.less, ast.LtE: pc.less, ast.Gt: pc.greater, ast.GtE: pc.greater}

_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`([^`]+)`")
_SUMS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: pc.add,
    ast.Sub: pc.subtract,
    ast.Mult: pc.multiply,
    ast.Div: pc.divide,
}
_UNKNOWN = {
    ast.Attribute: "a dot is not understood; write a column's name that has one in backquotes",
    ast.Call: "only missing(column) can be called",
    ast.Pow: "powers are not understood; use + - * /",
}


@dataclass(frozen=True)
class Term:
    """A part of a statement: what kind of value it has, and how to find it for rows of codes.

    `field` is the column that the term is, `constant` the value that it spells out.
    """

    kind: Kind
    of: Callable[[Ints], Values]
    field: Field | None = None
    constant: Any = None

    def holds(self, codes: Ints) -> tuple[Bools, Bools]:
        """Return for each row whether it holds, of a truth, and whether that is decided.

        Codes have the shape (rows, columns), the columns of `schema.modelled`.
        """
        values = self.of(codes)
        known = pc.is_valid(values)
        return np.asarray(pc.and_kleene(values, known)), np.asarray(known)


def read_statement(text: str, schema: Schema, where: str) -> Term:
    """Read a statement and check it against a schema; `where`, for the message: "the rule 'adults'".

    Raises
    ------
    ConfigError
        The statement cannot be read, or does not fit the schema; the text says where in it.

    Examples
    --------
    >>> schema = Schema.from_dict({"name": "demo", "fields": [
    ...     {"name": "age", "type": "integer", "constraints": {"minimum": 0, "maximum": 110}}]})
    >>> read_statement("18 <= age < 65", schema, "the rule 'adults'").holds(np.array([[17], [18]]))
    (array([False,  True]), array([ True,  True]))
    """
    reader = _Reader(" ".join(text.split()), schema, where)
    term = reader.read()
    if term.kind != "truth":
        reader.refuse(f"it is {KINDS[term.kind]}, not a statement that holds or does not")
    if not reader.names_column:
        reader.refuse("it names no column")
    return term


def fixed(kind: Kind, value: Any) -> Term:
    """Return the same value for every row."""
    return Term(kind, lambda _: pa.scalar(value), constant=value)


def column_of(field: Field, place: int) -> Term:
    """Return a column's values: dates in seconds since 1970, special values as numbers."""
    kind: Kind = "date" if field.is_moment else "number" if field.is_number else "text"

    def on_lattice(codes: Ints) -> Values:
        units = number_of(field, codes[:, place]) + field.first_unit
        values = field.seconds_at(units) if field.is_moment else field.numbers_at(units)
        return pa.array(values, mask=np.isnan(values))

    if field.is_lattice:
        return Term(kind, on_lattice, field)
    if field.type == "boolean":
        kind, labels = "truth", pa.array([False, True])
    else:
        labels = pa.array([float(x) if field.is_number else x for x in field.categories])

    def of_category(codes: Ints) -> Values:
        return labels.take(pa.array(codes[:, place], mask=codes[:, place] < 0))

    return Term(kind, of_category, field)


def applied(kind: Kind, function: Callable[..., Values], *terms: Term) -> Term:
    """Return a function of the values of other terms."""
    return Term(kind, lambda codes: function(*(term.of(codes) for term in terms)))


def truth(function: Callable[..., Values], *terms: Term) -> Term:
    """Return a truth that follows from other terms."""
    return applied("truth", function, *terms)


def combined(function: Callable[[Values, Values], Values], left: Term, right: Term) -> Term:
    """Return a number made of two; what is not finite, as after dividing by 0, is unknown."""

    def finite(a: Values, b: Values) -> Values:
        values = function(a, b)
        return pc.if_else(pc.is_finite(values), values, None)

    return applied("number", finite, left, right)


def compared(op: ast.cmpop, left: Term, right: Term) -> Term:
    """Return how two values of the same kind compare, unknown where either is."""

    def same(a: Values, b: Values) -> Values:
        if left.kind in ("text", "truth"):
            return pc.equal(a, b)
        largest = pc.max_element_wise(1.0, pc.abs(a), pc.abs(b))
        slack = MOMENT if left.kind == "date" else pc.multiply(largest, TOLERANCE)
        return pc.less_equal(pc.abs(pc.subtract(a, b)), slack)

    def ordered(a: Values, b: Values) -> Values:
        alike, strictly = same(a, b), ORDERS[type(op)](a, b)
        if isinstance(op, ast.LtE | ast.GtE):
            return pc.or_(strictly, alike)
        return pc.and_(strictly, pc.invert(alike))

    if type(op) in ORDERS:
        return truth(ordered, left, right)
    equal = truth(same, left, right)
    return equal if isinstance(op, ast.Eq) else truth(pc.invert, equal)


class _Reader:
    """Turns one statement's syntax tree into terms; everything it does not know is refused."""

    def __init__(self, text: str, schema: Schema, where: str) -> None:
        self.text, self.schema, self.where = text, schema, where
        self.quoted: dict[int, str] = {}
        self.plain = _QUOTED.sub(self._hide, text)
        self.names_column = False
        self.places = {field.name: j for j, field in enumerate(schema.modelled)}

    def _hide(self, match: re.Match[str]) -> str:
        """Put a plain word of the same length in the place of a name in backquotes."""
        if match[1] is None:
            return match[0]
        self.quoted[match.start()] = match[1]
        return "_" * len(match[0])

    def refuse(self, what: str, node: ast.AST | None = None) -> NoReturn:
        at = "" if node is None else f" at character {self._start(node) + 1}"
        raise ConfigError(f"In {self.where}, '{self.text}'{at}: {what}.")

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
            self.refuse(f"it cannot be read{at} ({cause.msg})")
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
            case ast.Call(func=ast.Name(id="missing"), args=[inside], keywords=[]):
                term = truth(pc.is_null, self.term(inside))
            case ast.BoolOp():
                # One part that is known to hold, or to fail, may decide the whole.
                join = pc.or_kleene if isinstance(node.op, ast.Or) else pc.and_kleene
                term = reduce(lambda a, b: truth(join, a, b), map(self._truth, node.values))
            case ast.UnaryOp(op=ast.Not()):
                term = truth(pc.invert, self._truth(node.operand))
            case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
                term = self._signed(node)
            case ast.BinOp() if type(node.op) in _SUMS:
                term = self._sum(node)
            case ast.Compare():
                sides = [node.left, *node.comparators]
                links = map(self._link, sides[:-1], node.ops, sides[1:])
                term = reduce(lambda a, b: truth(pc.and_kleene, a, b), links)
            case _:
                unknown = node.op if isinstance(node, ast.BinOp) else node
                text = self.text[self._start(node) :][:30]
                self.refuse(_UNKNOWN.get(type(unknown), f"'{text}' is not understood"), node)
        return term

    def _constant(self, node: ast.Constant) -> Term:
        value = node.value
        if isinstance(value, bool):
            return fixed("truth", value)
        if isinstance(value, int | float):
            if not abs(value) <= LARGEST:
                self.refuse(f"numbers must lie between {-LARGEST:g} and {LARGEST:g}", node)
            return fixed("number", float(value))
        if isinstance(value, str):
            return fixed("text", value)
        return self.refuse(f"'{value!r}' is neither a number nor text", node)

    def _name(self, node: ast.Name) -> Term:
        quoted = self.quoted.get(self._start(node))
        name = node.id if quoted is None else quoted
        if name not in self.places:
            if quoted is None and name in ("true", "false"):
                return fixed("truth", name == "true")
            if quoted is None and name == "missing":
                self.refuse("'missing' goes with `is`: write `column is missing`", node)
            if name in self.schema.names:
                self.refuse(f"'{name}' is an identifier, which is never modelled", node)
            self.refuse(f"'{name}' is no column{nearest(name, self.places)}", node)
        self.names_column = True
        return column_of(self.schema[name], self.places[name])

    def _truth(self, node: ast.expr) -> Term:
        term = self.term(node)
        if term.kind != "truth":
            self.refuse(f"needs a statement here, not {KINDS[term.kind]}", node)
        return term

    def _number(self, node: ast.expr) -> Term:
        term = self.term(node)
        if term.kind == "truth" and term.field is not None:
            return applied("number", lambda values: pc.cast(values, pa.float64()), term)
        if term.kind != "number":
            self.refuse(f"needs a number here, not {KINDS[term.kind]}", node)
        return term

    def _signed(self, node: ast.UnaryOp) -> Term:
        term, sign = self._number(node.operand), -1.0 if isinstance(node.op, ast.USub) else 1.0
        if term.constant is not None:
            return fixed("number", sign * term.constant)
        return combined(pc.multiply, fixed("number", sign), term)

    def _sum(self, node: ast.BinOp) -> Term:
        left, right = self.term(node.left), self.term(node.right)
        function = _SUMS[type(node.op)]
        if left.kind == "date" and isinstance(node.op, ast.Sub) and right.kind == "date":
            return combined(lambda a, b: pc.divide(pc.subtract(a, b), DAY), left, right)
        if left.kind == "date" and isinstance(node.op, ast.Add | ast.Sub):
            seconds = combined(pc.multiply, self._number(node.right), fixed("number", DAY))
            return replace(combined(function, left, seconds), kind="date")
        return combined(function, self._number(node.left), self._number(node.right))

    def _link(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Term:
        if isinstance(op, ast.Is | ast.IsNot):
            if not (isinstance(right, ast.Name) and right.id == "missing"):
                self.refuse("`is` goes with `missing` or `not missing` only; use ==", right)
            term = truth(pc.is_null, self.term(left))
        elif isinstance(op, ast.In | ast.NotIn):
            if not isinstance(right, ast.List | ast.Tuple | ast.Set) or not right.elts:
                self.refuse("`in` needs a list of values in square brackets", right)
            terms = [self._pair(left, ast.Eq(), item) for item in right.elts]
            term = reduce(lambda a, b: truth(pc.or_kleene, a, b), terms)
        else:
            return self._pair(left, op, right)
        return truth(pc.invert, term) if isinstance(op, ast.IsNot | ast.NotIn) else term

    def _pair(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Term:
        first, second = self.term(left), self.term(right)
        second = self._alike(second, first, right)
        first = self._alike(first, second, left)
        if first.kind != second.kind:
            self.refuse(f"{KINDS[first.kind]} is compared with {KINDS[second.kind]}", left)
        if first.kind in ("text", "truth") and type(op) in ORDERS:
            self.refuse(f"{KINDS[first.kind]} has no order; use == or in [...]", left)
        return compared(op, first, second)

    def _alike(self, term: Term, other: Term, node: ast.expr) -> Term:
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
            return fixed("truth", text in field.trueValues)
        if other.kind == "text":
            if text not in field.categories:
                hint = nearest(text, field.categories)
                self.refuse(f"'{text}' is no category of '{field.name}'{hint}", node)
            return fixed("text", text)
        return term

    def _moment(self, text: str, field: Field | None, node: ast.expr) -> Term:
        readers: list[Callable[[str], datetime]] = [datetime.fromisoformat]
        if field is not None:
            readers.append(lambda text: datetime.strptime(text, field.format_))
        for read in readers:
            try:
                moment = read(text).replace(tzinfo=None)
            except ValueError:
                continue
            return fixed("date", (moment - datetime(1970, 1, 1)).total_seconds())
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
