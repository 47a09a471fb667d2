"""The parts of a statement about one record, as functions of codes, with missing values in mind.

A value that is missing is null. Truth has three values (Kleene 1952, Introduction to Metamathematics,
section 64): what depends on a missing value is undecided, unless the rest decides it.
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
from synthvae.errors import ConfigError
from synthvae.evaluation.tables import number_of
from synthvae.field import LARGEST, Field
from synthvae.schema import Schema

TOLERANCE = 1e-9  # relative, of numbers: 0.1 + 0.2 equals 0.3
MOMENT = 1e-3  # seconds, of dates
ORDERS = {ast.Lt: pc.less, ast.LtE: pc.less, ast.Gt: pc.greater, ast.GtE: pc.greater}

Kind = Literal["number", "text", "date", "truth"]
Values = Any  # an Arrow array of one value for each row, or a scalar for all
DEEPEST = 60
DAY = 86_400.0
KINDS = {"number": "a number", "text": "text", "date": "a date", "truth": "true or false"}

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


def fixed(kind: Kind, value: Any) -> Term:
    """Return the same value for every row."""
    return Term(kind, lambda _: pa.scalar(value), constant=value)


def column_of(field: Field, place: int) -> Term:
    """Return a column's values: dates in seconds since 1970, special values as numbers."""
    is_date = field.type in ("date", "datetime")
    is_number = field.type in ("integer", "number")
    kind: Kind = "date" if is_date else "number" if is_number else "text"

    def on_lattice(codes: Ints) -> Values:
        units = number_of(field, codes[:, place]) + field.first_unit
        values = units * field.step_seconds if is_date else units / 10.0**field.places
        return pa.array(values, mask=np.isnan(values))

    if field.is_lattice:
        return Term(kind, on_lattice, field)
    if field.type == "boolean":
        kind, labels = "truth", np.array([False, True])
    else:
        labels = np.array([float(x) if is_number else x for x in field.categories])
    texts = pa.array(labels)

    def of_category(codes: Ints) -> Values:
        column, absent = codes[:, place], codes[:, place] < 0
        if kind == "text":
            return texts.take(pa.array(column, mask=absent))
        return pa.array(labels[column], mask=absent)

    return Term(kind, of_category, field)


def applied(kind: Kind, function: Callable[..., Values], *terms: Term) -> Term:
    """Return a function of the values of other terms."""
    return Term(kind, lambda codes: function(*(term.of(codes) for term in terms)))


def as_number(term: Term) -> Term:
    """Return a truth as 0 or 1."""
    return applied("number", lambda values: pc.cast(values, pa.float64()), term)


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

    if isinstance(op, ast.Eq | ast.NotEq):
        equal = applied("truth", same, left, right)
        return equal if isinstance(op, ast.Eq) else opposite(equal)
    return applied("truth", ordered, left, right)


def both(left: Term, right: Term) -> Term:
    """Return whether both hold: decided where one is known to fail, too."""
    return applied("truth", pc.and_kleene, left, right)


def either(left: Term, right: Term) -> Term:
    """Return whether one of the two holds, or both: decided where one is known to hold, too."""
    return applied("truth", pc.or_kleene, left, right)


def opposite(term: Term) -> Term:
    """Return whether it does not hold."""
    return applied("truth", pc.invert, term)


def missing(term: Term) -> Term:
    """Return whether there is no value."""
    return applied("truth", pc.is_null, term)


@dataclass(frozen=True)
class Statement:
    """A statement about one record that was found to fit a schema."""

    text: str
    columns: frozenset[str]
    term: Term

    def holds(self, codes: Ints) -> tuple[Bools, Bools]:
        """Return for each row of codes whether the statement holds, and whether that is decided.

        Parameters
        ----------
        codes
            Shape (rows, columns), the columns of `schema.modelled`.
        """
        values = self.term.of(codes)
        known = pc.is_valid(values)
        return np.asarray(pc.and_kleene(values, known)), np.asarray(known)


def read_statement(text: str, schema: Schema, where: str) -> Statement:
    """Read a statement and check it against a schema.

    Parameters
    ----------
    where
        What the statement belongs to, for the message: "the rule 'adults'".

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
    if not reader.named:
        reader.refuse("it names no column")
    return Statement(text, frozenset(reader.named), term)


class _Reader:
    """Turns one statement's syntax tree into terms; everything it does not know is refused."""

    def __init__(self, text: str, schema: Schema, where: str) -> None:
        self.text, self.schema, self.where = text, schema, where
        self.quoted: dict[int, str] = {}
        self.plain = _QUOTED.sub(self._hide, text)
        self.named: set[str] = set()
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
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about odd escapes in text
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
                found = self._constant(node)
            case ast.Name():
                found = self._name(node)
            case ast.Call(func=ast.Name(id="missing"), args=[inside], keywords=[]):
                found = missing(self.term(inside))
            case ast.BoolOp():
                join = either if isinstance(node.op, ast.Or) else both
                found = reduce(join, [self._truth(value) for value in node.values])
            case ast.UnaryOp(op=ast.Not()):
                found = opposite(self._truth(node.operand))
            case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
                found = self._signed(node)
            case ast.BinOp() if type(node.op) in _SUMS:
                found = self._sum(node)
            case ast.Compare():
                found = self._comparison(node)
            case _:
                self._not_understood(node)
        return found

    def _not_understood(self, node: ast.expr) -> NoReturn:
        unknown = node.op if isinstance(node, ast.BinOp) else node
        word = self.text[self._start(node) :][:30]
        self.refuse(_UNKNOWN.get(type(unknown), f"'{word}' is not understood"), node)

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
        self.named.add(name)
        return column_of(self.schema[name], self.places[name])

    def _truth(self, node: ast.expr) -> Term:
        found = self.term(node)
        if found.kind != "truth":
            self.refuse(f"needs a statement here, not {KINDS[found.kind]}", node)
        return found

    def _number(self, node: ast.expr) -> Term:
        found = self.term(node)
        if found.kind == "truth" and found.field is not None:
            return as_number(found)
        if found.kind != "number":
            self.refuse(f"needs a number here, not {KINDS[found.kind]}", node)
        return found

    def _signed(self, node: ast.UnaryOp) -> Term:
        found = self._number(node.operand)
        sign = -1.0 if isinstance(node.op, ast.USub) else 1.0
        if found.constant is not None:
            return fixed("number", sign * found.constant)
        return combined(pc.multiply, fixed("number", sign), found)

    def _sum(self, node: ast.BinOp) -> Term:
        left, right = self.term(node.left), self.term(node.right)
        function = _SUMS[type(node.op)]
        if left.kind == "date" and isinstance(node.op, ast.Sub) and right.kind == "date":
            return combined(lambda a, b: pc.divide(pc.subtract(a, b), DAY), left, right)
        if left.kind == "date" and isinstance(node.op, ast.Add | ast.Sub):
            seconds = combined(pc.multiply, self._number(node.right), fixed("number", DAY))
            return replace(combined(function, left, seconds), kind="date")
        return combined(function, self._number(node.left), self._number(node.right))

    def _comparison(self, node: ast.Compare) -> Term:
        sides = [node.left, *node.comparators]
        links = zip(sides[:-1], node.ops, sides[1:], strict=True)
        return reduce(both, [self._link(left, op, right) for left, op, right in links])

    def _link(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Term:
        if isinstance(op, ast.Is | ast.IsNot):
            if not (isinstance(right, ast.Name) and right.id == "missing"):
                self.refuse("`is` goes with `missing` or `not missing` only; use ==", right)
            absent = missing(self.term(left))
            return absent if isinstance(op, ast.Is) else opposite(absent)
        if isinstance(op, ast.In | ast.NotIn):
            if not isinstance(right, ast.List | ast.Tuple | ast.Set) or not right.elts:
                self.refuse("`in` needs a list of values in square brackets", right)
            found = reduce(either, [self._pair(left, ast.Eq(), item) for item in right.elts])
            return found if isinstance(op, ast.In) else opposite(found)
        return self._pair(left, op, right)

    def _pair(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Term:
        first, second = self.term(left), self.term(right)
        second = self._alike(second, first, right)
        first = self._alike(first, second, left)
        if first.kind != second.kind:
            words = f"{KINDS[first.kind]} is compared with {KINDS[second.kind]}"
            self.refuse(words, left)
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
        if other.kind == "truth" and term.kind != "truth":
            word = _spelt(value)
            if word not in (*field.trueValues, *field.falseValues):
                self.refuse(f"'{word}' is no value of '{field.name}'; use true or false", node)
            return fixed("truth", word in field.trueValues)
        if other.kind == "text":
            word = _spelt(value)
            if word not in field.categories:
                hint = nearest(word, field.categories)
                self.refuse(f"'{word}' is no category of '{field.name}'{hint}", node)
            return fixed("text", word)
        return term

    def _moment(self, text: str, field: Field | None, node: ast.expr) -> Term:
        patterns = [field.format_] if field is not None else []
        for read in (datetime.fromisoformat, *(_reading(pattern) for pattern in patterns)):
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


def _reading(pattern: str) -> Callable[[str], datetime]:
    return lambda text: datetime.strptime(text, pattern)


def _spelt(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.15g}"
    return str(value).lower() if isinstance(value, bool) else str(value)
