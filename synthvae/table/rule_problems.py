"""Whether the rows of a table keep the rules of its schema, each row, or patient, on its own."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd

from synthvae._text import brief
from synthvae._types import Bools, Ints
from synthvae.rules.compiled import CompiledRule, Derivation, RuleSet
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
    codes, invalid = read.codes.copy(), read.invalid.copy()
    problems, notes = list(read.problems), list(read.notes)
    for rule in rules.declared:
        broken = rules.broken(codes, [rule])
        if not broken.any():
            continue
        emptied = _empty(rule, broken, codes, invalid, rules)
        if emptied:
            what = f"broken, so that {', '.join(map(brief, emptied))} counts as missing"
            notes.append(_found(rule, broken, what, "`invalid: missing` asks for it"))
            broken = rules.broken(codes, [rule])
        if broken.any():
            for place in rule.places:
                invalid[broken, place] = True
            problems.append(_found(rule, broken, "broken", WAY_OUT))
    for derivation in rules.derivations:
        notes += _underivable(derivation, codes, rules)
    if patients is not None:
        problems += _repeated(codes, schema, patients)
    return replace(read, codes=codes, invalid=invalid, problems=problems, notes=notes)


def _found(rule: CompiledRule, rows: Bools, what: str, way_out: str) -> Problem:
    return replace(Problem.where(rows, rule.title, what, way_out), what="rule")


def _empty(
    rule: CompiledRule, broken: Bools, codes: Ints, invalid: Bools, rules: RuleSet
) -> list[str]:
    """Empty what may be emptied of the cells of a rule, and return the names of these columns."""
    emptied = []
    for place in sorted(rule.places):
        field = rules.columns.fields[place]
        if field.invalid == "missing" and field.nullable:
            codes[broken, place] = MISSING
            invalid[broken, place] = True
            emptied.append(field.name)
    return emptied


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


def _repeated(codes: Ints, schema: Schema, patients: pd.Series) -> Iterable[Problem]:
    whose, _ = pd.factorize(patients)
    unique = (rule for rule in schema.rules if rule.unique)
    for rule, places in zip(unique, schema.rule_set.unique, strict=True):
        values = codes[:, list(places)]
        again = pd.DataFrame(np.column_stack((whose, values))).duplicated().to_numpy()
        again &= (values != MISSING).all(axis=1)
        if again.any():
            what = "an earlier row of the patient has the same values"
            way_out = "correct them, or change the rule"
            yield replace(Problem.where(again, rule.title, what, way_out), what="rule")
