"""Each kind of relation as a rule: its text, the columns it names, and the rows that speak for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from synthvae._types import Bools
from synthvae.relations.view import View, label_text, least_of, spelt

_OfNumbers = Literal["order", "equal", "sum", "flag", "cut-points", "equal in a subgroup"]
_OfCategories = Literal["combinations", "in a subgroup", "one of several"]
_OfGaps = Literal["missing together", "missing where"]
Kind = _OfNumbers | _OfCategories | _OfGaps
Rule = str | dict[str, Any]
Groups = Callable[[View], Sequence[Bools]]
LOOSE = 0.01  # of the rows of a sample may speak against a candidate, which all rows then decide


@dataclass(frozen=True)
class Candidate:
    """A relation that may hold.

    Attributes
    ----------
    groups
        Rows that have to be many, each group by itself, for the relation to rest on many patients;
        none for all that the rule decides.
    everywhere
        Whether columns that know nothing of each other would meet in all rows, rather than in those
        that the rule decides: of relations between missing cells.
    is_strict, is_difference
        As of a `Relation`.
    """

    rule: Rule
    kind: Kind
    columns: tuple[str, ...]
    groups: Groups | None = None
    everywhere: bool = False
    is_strict: bool = False
    is_difference: bool = False


@dataclass(frozen=True)
class Fact:
    """A statement about one column: what it holds, or whether it is missing."""

    name: str
    says: Literal["labels", "zero", "positive", "missing", "present"]
    codes: tuple[int, ...] = ()

    def holds(self, view: View) -> tuple[Bools, Bools]:
        """Return where it holds, and where that is decided."""
        missing = view.missing(self.name)
        if self.says in ("missing", "present"):
            return missing == (self.says == "missing"), np.ones(len(missing), bool)
        if self.says == "labels":
            return np.isin(view.codes(self.name), self.codes), ~missing
        with np.errstate(invalid="ignore"):
            numbers = view.numbers(self.name)
            return numbers == 0 if self.says == "zero" else numbers > 0, ~missing

    def text(self, view: View) -> str:
        """Return it as it stands in a rule."""
        name, field = spelt(self.name), view.field(self.name)
        if self.says == "labels":
            if field.type == "boolean":
                return name if self.codes == (1,) else f"not {name}"
            labels = [label_text(field, code) for code in self.codes]
            return (
                f"{name} == {labels[0]}" if len(labels) == 1 else f"{name} in [{', '.join(labels)}]"
            )
        says = {"zero": "== 0", "positive": "> 0", "missing": "is missing"}
        return f"{name} {says.get(self.says, 'is not missing')}"

    def negated(self, view: View) -> "Fact | None":
        """Return its opposite, where that is a literal too."""
        field = view.field(self.name)
        if self.says == "labels":
            others = tuple(c for c in range(len(field.categories)) if c not in self.codes)
            return Fact(self.name, "labels", others) if len(others) == 1 else None
        if self.says in ("missing", "present"):
            return Fact(self.name, "present" if self.says == "missing" else "missing")
        if least_of(field) < 0:
            return None
        return Fact(self.name, "positive" if self.says == "zero" else "zero")


def order(low: str, high: str, *, strict: bool = False) -> Candidate:
    """Return `low <= high`, or `low < high`."""
    statement = f"{spelt(low)} {'<' if strict else '<='} {spelt(high)}"
    return Candidate(statement, "order", (low, high), is_strict=strict)


def equal(first: str, second: str) -> Candidate:
    """Return `first == second`."""
    return Candidate(f"{spelt(first)} == {spelt(second)}", "equal", (first, second))


def computed(
    view: View,
    kind: Kind,
    name: str,
    value: str,
    others: Sequence[str],
    groups: Groups | None = None,
    *,
    is_difference: bool = False,
) -> Candidate:
    """Return that a column is computed from others: derived, where it is missing just when they are."""
    gone = np.any([view.missing(other) for other in others], axis=0) != view.missing(name)
    derived: Rule = {"derive": name, "as": value}
    compound = any(sign in value for sign in "<>=")
    stated = f"{spelt(name)} == ({value})" if compound else f"{spelt(name)} == {value}"
    rule = derived if gone.mean() <= LOOSE else stated
    return Candidate(rule, kind, (name, *others), groups, is_difference=is_difference)


def dated(view: View, later: str, earlier: str, days: str) -> Candidate:
    """Return that one moment is some days after another: the later one is computed, if it can be.

    The other way round the days would be, and be lost: the bins of moments are far wider than theirs.
    """
    value = f"{spelt(earlier)} + {spelt(days)}"
    found = computed(view, "sum", later, value, [earlier, days])
    return found if isinstance(found.rule, dict) else days_between(view, later, earlier, days)


def days_between(view: View, later: str, earlier: str, days: str) -> Candidate:
    """Return that days are those between two moments."""
    value, ends = f"{spelt(later)} - {spelt(earlier)}", [later, earlier]
    return computed(view, "sum", days, value, ends, is_difference=True)


def flag(view: View, name: str, number: str, on: int) -> Candidate:
    """Return that a column of two values says whether a number is above 0; `on` is the code for it."""
    field = view.field(name)
    if field.type == "boolean":
        value = f"{spelt(number)} {'>' if on else '<='} 0"
    else:
        above, below = (label_text(field, code) for code in (on, 1 - on))
        value = f"{above} if {spelt(number)} > 0 else {below}"

    def groups(rows: View) -> Sequence[Bools]:
        there = ~rows.missing(number)
        return tuple(there & (rows.codes(name) == code) for code in (0, 1))

    return computed(view, "flag", name, value, [number], groups)


def cut(view: View, name: str, number: str, order: Sequence[int], cuts: Sequence[str]) -> Candidate:
    """Return that a category is an interval of a number: of codes in order, with the cuts between."""
    field = view.field(name)
    labels = [label_text(field, code) for code in order]
    parts = [
        f"{label} if {spelt(number)} < {end} else "
        for label, end in zip(labels[:-1], cuts, strict=True)
    ]

    def groups(rows: View) -> Sequence[Bools]:
        there = ~rows.missing(number)
        return tuple(there & (rows.codes(name) == code) for code in order)

    if field.type == "boolean":
        value = f"{spelt(number)} {'<' if order[0] else '>='} {cuts[0]}"
    else:
        value = "".join(parts) + labels[-1]
    return computed(view, "cut-points", name, value, [number], groups)


def implied(view: View, condition: Fact, then: Fact) -> Candidate:
    """Return that where one statement holds, so does another."""
    of_missing = then.says in ("missing", "present")
    rule = {"if": condition.text(view), "then": then.text(view)}
    kind: Kind = "missing where" if of_missing else "in a subgroup"

    def groups(rows: View) -> Sequence[Bools]:
        return (condition.holds(rows)[0] & then.holds(rows)[1],)

    return Candidate(rule, kind, (condition.name, then.name), groups, everywhere=True)


def equal_where(view: View, condition: Fact, first: str, second: str) -> Candidate:
    """Return that two numbers are the same where a column holds one of some categories."""
    rule = {"if": condition.text(view), "then": f"{spelt(first)} == {spelt(second)}"}

    def groups(rows: View) -> Sequence[Bools]:
        both = ~rows.missing(first) & ~rows.missing(second)
        return [both & (rows.codes(condition.name) == code) for code in condition.codes]

    return Candidate(rule, "equal in a subgroup", (condition.name, first, second), groups)


def one_of(view: View, names: Sequence[str]) -> Candidate:
    """Return that at most one of some columns is true, or just one."""
    times = np.stack([view.codes(name) for name in names]).sum(axis=0)
    always = (times != 1).mean() <= LOOSE
    statement = f"{' + '.join(map(spelt, names))} {'==' if always else '<='} 1"
    return Candidate(statement, "one of several", tuple(names))


def together(names: Sequence[str]) -> Candidate:
    """Return that columns are missing together."""

    def groups(rows: View) -> Sequence[Bools]:
        gone = np.stack([rows.missing(name) for name in names])
        return np.asarray(gone.all(axis=0)), np.asarray(~gone.any(axis=0))

    return Candidate({"together": list(names)}, "missing together", tuple(names), groups, True)


def allowed(
    view: View, names: tuple[str, str], combinations: Sequence[tuple[int, int]]
) -> Candidate:
    """Return which combinations of two categories there are."""
    first, second = (view.field(name) for name in names)
    labels = [[first.categories[a], second.categories[b]] for a, b in combinations]

    def groups(rows: View) -> Sequence[Bools]:
        a, b = (rows.codes(name) for name in names)
        return [(a == x) & (b == y) for x, y in combinations]

    if all(a == b for a, b in labels):
        same = f"{spelt(names[0])} == {spelt(names[1])}"
        return Candidate(same, "equal", names, groups)
    return Candidate({"allowed": list(names), "values": labels}, "combinations", names, groups)
