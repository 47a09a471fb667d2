"""Whether the rows of a table keep the rules of its schema, each row, or patient, on its own."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd

from synthvae._text import brief
from synthvae._types import Bools, Ints
from synthvae.rules.compiled import CompiledRule, RuleSet
from synthvae.rules.derivation import Derivation
from synthvae.rules.values import MISSING
from synthvae.schema import Schema
from synthvae.table.problems import Inspection, Problem

WAY_OUT = (
    "correct them, set `invalid: missing` on a field to empty its cell there, or change the rule"
)


def with_rules(read: Inspection, schema: Schema, patients: pd.Series | None) -> Inspection:
    """Return what was read, with the rows that break a rule; some of their cells may be emptied.

    Where a rule is broken, the cells of its fields of `invalid: missing` are; what is broken still is
    a problem.

    Parameters
    ----------
    patients
        Whose row each one is; None where that is not known.
    """
    rules = schema.rule_set
    whose = None if patients is None else pd.factorize(patients)[0]
    codes, invalid, emptied = _emptied(read.codes, rules, whose)
    invalid |= read.invalid
    problems, notes = list(read.problems), [*read.notes, *emptied]
    for rule in rules.declared:
        broken = rules.broken(codes, [rule])
        if broken.any():
            for place in rule.places:
                invalid[broken, place] = True
            problems.append(_found(rule, broken, "broken", WAY_OUT))
    for derivation in rules.derivations:
        notes += _underivable(derivation, codes, rules)
    if whose is not None:
        problems += _repeated(codes, schema, whose)
    return replace(read, codes=codes, invalid=invalid, problems=problems, notes=notes)


def _found(rule: CompiledRule, rows: Bools, what: str, way_out: str) -> Problem:
    return replace(Problem.where(rows, rule.title, what, way_out), what="rule")


def _emptied(
    codes: Ints, rules: RuleSet, whose: Ints | None
) -> tuple[Ints, Bools, Iterable[Problem]]:
    """Return codes without those that break a rule and may be emptied, where, and notes of it.

    What is emptied for one rule may break another: it ends when a round empties nothing more.
    """
    left = codes.copy()
    notes: dict[int, tuple[Bools, list[str]]] = {}
    todo = [i for i, rule in enumerate(rules.declared) if _may_be_emptied(rule, rules)]
    changed = bool(todo)
    while changed:
        changed = False
        for i in todo:
            rule = rules.declared[i]
            broken = rules.broken(left, [rule])
            names = _empty(rule, broken, left, rules, whose) if broken.any() else []
            if names:
                changed = True
                rows, known = notes.get(i, (np.zeros_like(broken), []))
                notes[i] = (rows | broken, [*dict.fromkeys([*known, *names])])
    why = "`invalid: missing` asks for it"
    listed = []
    for i, (rows, names) in sorted(notes.items()):
        what = f"broken, so that {', '.join(map(brief, names))} counts as missing"
        listed.append(_found(rules.declared[i], rows, what, why))
    return left, left != codes, listed


def _may_be_emptied(rule: CompiledRule, rules: RuleSet) -> list[int]:
    fields = rules.columns.fields
    return [p for p in sorted(rule.places) if fields[p].invalid == "missing" and fields[p].nullable]


def _empty(
    rule: CompiledRule, broken: Bools, codes: Ints, rules: RuleSet, whose: Ints | None
) -> list[str]:
    """Empty what may be emptied of the cells of a rule, and return the names of these columns."""
    names = []
    for place in _may_be_emptied(rule, rules):
        field, rows = rules.columns.fields[place], broken
        if field.perPatient and whose is not None:  # it is the same in all rows of the patient
            rows = np.isin(whose, whose[broken])
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
