"""Whether the rows of a table keep the rules of its schema, each row, or patient, on its own."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from synthvae._text import brief
from synthvae._types import Bools, Ints
from synthvae.rules.compiled import CompiledRule, RuleSet
from synthvae.rules.derivation import Derivation
from synthvae.rules.steps import broken_steps, own_places, rows_before
from synthvae.rules.values import MISSING
from synthvae.schema import Schema
from synthvae.table.no_visits import coded_without_visit
from synthvae.table.problems import Inspection, Problem

WAY_OUT = (
    "correct them, set `invalid: missing` on a field to empty its cell there, or change the rule"
)


@dataclass(frozen=True)
class _Judge:
    """Says which rows break a rule, and which of their cells it is about.

    `before` is the row before each one of the same patient in time, -1 where there is none; None where
    it is not known whose row each one is, or in which order they come.
    """

    schema: Schema
    whose: Ints | None
    before: Ints | None

    @cached_property
    def rules(self) -> tuple[CompiledRule, ...]:
        """The rules, those that look back where that can be judged, in the order of the schema."""
        found = [*self.schema.rule_set.declared]
        found += self.schema.step_rules if self.before is not None else ()
        order = list(self.schema.rules)
        return tuple(
            sorted(found, key=lambda rule: order.index(rule.setting) if rule.setting else 0)
        )

    def broken(self, rule: CompiledRule, codes: Ints) -> Bools:
        """Return the rows that break a rule, shape (rows,)."""
        if self.before is None or not self._looks_back(rule):
            broken = self.schema.rule_set.broken(codes, [rule])
            once = all(self.schema.modelled[place].perPatient for place in rule.places)
            # Of a visit that there is not, no rule says anything.
            return broken if once else broken & ~coded_without_visit(codes, self.schema)
        return broken_steps(rule, self.schema.step_columns, codes, self.before)

    def cells(self, rule: CompiledRule, rows: Bools) -> Iterator[tuple[int, Bools]]:
        """Yield the columns that a rule names, with the rows in which it is about their cells.

        Of the visit before, that is so of columns that the rule names there alone.
        """
        for place, back in self.named(rule):
            about = rows
            if back and self.before is not None:
                about = np.zeros_like(rows)
                about[self.before[rows]] = True
            yield place, about

    def named(self, rule: CompiledRule) -> list[tuple[int, bool]]:
        """Return the columns that a rule is about, and whether at the visit before."""
        if not self._looks_back(rule):
            return [(place, False) for place in sorted(rule.places)]
        own = own_places(self.schema.step_columns)
        mine = {place for place in rule.places if place not in own}
        theirs = {own[place] for place in rule.places & own.keys()} - mine
        return [*((place, False) for place in sorted(mine)), *((p, True) for p in sorted(theirs))]

    def _looks_back(self, rule: CompiledRule) -> bool:
        return max(rule.places) >= len(self.schema.modelled)

    def found(self, rule: CompiledRule, rows: Bools, what: str, way_out: str) -> Problem:
        """Return the problem, or note, that some rows break a rule."""
        problem = replace(Problem.where(rows, rule.title, what, way_out), what="rule")
        if self.before is None or not self._looks_back(rule):
            return problem
        first = int(rows.argmax())
        return replace(problem, example=f"row {first + 1} after row {self.before[first] + 1}")


def with_rules(read: Inspection, schema: Schema, patients: pd.Series | None) -> Inspection:
    """Return what was read, with the rows that break a rule; some of their cells may be emptied.

    Where a rule is broken, the cells of its fields of `invalid: missing` are; what is broken still is
    a problem. Rules that look back judge all rows of a patient in time; they are left out where the key
    or a time has a problem.

    Parameters
    ----------
    patients
        Whose row each one is; None where that is not known.
    """
    rules = schema.rule_set
    whose = None if patients is None else pd.factorize(patients)[0]
    judge = _Judge(schema, whose, _rows_before(read, schema, whose))
    codes, invalid, emptied = _emptied(read.codes, judge)
    invalid |= read.invalid
    problems, notes = list(read.problems), [*read.notes, *emptied]
    for rule in judge.rules:
        broken = judge.broken(rule, codes)
        if broken.any():
            for place, rows in judge.cells(rule, broken):
                invalid[rows, place] = True
            problems.append(judge.found(rule, broken, "broken", WAY_OUT))
    for derivation in rules.derivations:
        notes += _underivable(derivation, codes, rules)
    if whose is not None:
        problems += _repeated(codes, schema, whose)
    return replace(read, codes=codes, invalid=invalid, problems=problems, notes=notes)


def _rows_before(read: Inspection, schema: Schema, whose: Ints | None) -> Ints | None:
    """Return the row before each row of its patient, None where nothing puts rows in order."""
    keys = set(schema.key_columns)
    if schema.orderBy is None or whose is None or any(p.column in keys for p in read.problems):
        return None
    return rows_before(read.codes[:, schema.columns.places[schema.orderBy.column]], whose)


def _emptied(codes: Ints, judge: _Judge) -> tuple[Ints, Bools, Iterable[Problem]]:
    """Return codes without those that break a rule and may be emptied, where, and notes of it.

    What is emptied for one rule may break another: it ends when a round empties nothing more.
    """
    left = codes.copy()
    notes: dict[int, tuple[Bools, list[str]]] = {}
    fields = judge.schema.modelled
    emptiable = [j for j, f in enumerate(fields) if f.invalid == "missing" and f.nullable]
    todo = [
        i
        for i, rule in enumerate(judge.rules)
        if any(place in emptiable for place, _ in judge.named(rule))
    ]
    changed = bool(todo)
    while changed:
        changed = False
        for i in todo:
            rule = judge.rules[i]
            broken = judge.broken(rule, left)
            names = _empty(rule, broken, left, judge, emptiable) if broken.any() else []
            if names:
                changed = True
                rows, known = notes.get(i, (np.zeros_like(broken), []))
                notes[i] = (rows | broken, [*dict.fromkeys([*known, *names])])
    why = "`invalid: missing` asks for it"
    listed = []
    for i, (rows, names) in sorted(notes.items()):
        what = f"broken, so that {', '.join(map(brief, names))} counts as missing"
        listed.append(judge.found(judge.rules[i], rows, what, why))
    return left, left != codes, listed


def _empty(
    rule: CompiledRule, broken: Bools, codes: Ints, judge: _Judge, emptiable: Sequence[int]
) -> list[str]:
    """Empty what may be emptied of the cells of a rule, and return the names of these columns."""
    names = []
    for place, about in judge.cells(rule, broken):
        field, whose, rows = judge.schema.modelled[place], judge.whose, about
        if place not in emptiable:
            continue
        if field.perPatient and whose is not None:  # it is the same in all rows of the patient
            rows = np.isin(whose, whose[about])
        if (codes[rows, place] != MISSING).any():
            codes[rows, place] = MISSING
            names.append(field.name)
    return names


def _underivable(derivation: Derivation, codes: Ints, rules: RuleSet) -> Iterable[Problem]:
    """Return notes of cells that hold a value that cannot be derived, or none where it can."""
    value = derivation.value.term.range(rules.columns.known(codes))
    there = codes[:, derivation.place] != MISSING
    known = np.broadcast_to(value.some, there.shape)
    why = f"{brief(derivation.field.name)} is derived, in synthetic records always"
    for rows, what in (
        (known & ~there, "missing where it can be computed"),
        (there & ~known, "a value where what it is computed from is missing"),
    ):
        if rows.any():
            yield Problem.where(rows, derivation.field.name, what, why)


def _repeated(codes: Ints, schema: Schema, whose: Ints) -> Iterable[Problem]:
    unique = (rule for rule in schema.rules if rule.unique)
    for rule, places in zip(unique, schema.rule_set.unique, strict=True):
        values = codes[:, list(places)]
        again = pd.DataFrame(np.column_stack((whose, values))).duplicated().to_numpy()
        again &= (values != MISSING).all(axis=1)
        if again.any():
            what = "an earlier row of the patient has the same values"
            way_out = "correct them, or change the rule"
            yield replace(Problem.where(again, rule.title, what, way_out), what="rule")
