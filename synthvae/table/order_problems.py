"""Whether each patient's rows can be put in time as the schema's `orderBy` declares."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from synthvae._types import Bools, Ints
from synthvae.field import Field
from synthvae.ordering import OrderBy, gap_codes, gap_text
from synthvae.rules.values import MISSING
from synthvae.schema import Schema
from synthvae.table.problems import Inspection, Problem


@dataclass(frozen=True)
class _Steps:
    """Each row of a patient that follows another in time, that one, and the gap between, in codes."""

    rows: Ints
    before: Ints
    gaps: Ints

    @classmethod
    def of(cls, times: Ints, whose: Ints) -> "_Steps":
        """Return the steps of all patients whose rows all have a time."""
        placed = ~np.isin(whose, whose[times == MISSING])
        order = np.lexsort((times, whose))
        order = order[placed[order]]
        rows, before = order[1:], order[:-1]
        same = whose[rows] == whose[before]
        rows, before = rows[same], before[same]
        return cls(rows, before, times[rows] - times[before])


def with_order(read: Inspection, schema: Schema, order: OrderBy, patients: pd.Series) -> Inspection:
    """Return what was read, with the rows that have no place in their patient's order.

    `patients` says whose row each one is. A patient with a time that cannot be read is left out: that
    is a problem of its own. So is everybody, where the key has a problem.
    """
    keys = set(schema.key_columns)
    if any(problem.column in keys for problem in read.problems):
        return read
    place = [field.name for field in schema.modelled].index(order.column)
    steps = _Steps.of(read.codes[:, place], pd.factorize(patients)[0])
    invalid, problems = read.invalid.copy(), list(read.problems)
    for wrong, problem in _problems(steps, schema.modelled[place], order):
        invalid[steps.rows[wrong], place] = True
        problems.append(problem)
    return replace(read, invalid=invalid, problems=problems)


def _problems(steps: _Steps, field: Field, order: OrderBy) -> Iterator[tuple[Bools, Problem]]:
    gaps, (low, high, step) = steps.gaps, gap_codes(order, field)
    least, most, whole = (gap_text(number, field) for number in (low, high, step))
    since = "after the patient's row before"
    equal = (gaps == 0) & order.strict
    off = (gaps >= low) & (gaps <= high) & ((gaps - low) % step != 0)
    for wrong, rule, way_out in (
        (equal, "at the time of another row of the patient", "set `strict: false` under orderBy"),
        ((gaps < low) & ~equal, f"less than {least} {since}", "lower gap.minimum or leave it out"),
        (gaps > high, f"more than {most} {since}", "raise gap.maximum or leave it out"),
        (off, f"not {least} and whole steps of {whole} {since}", "leave gap.step out"),
    ):
        if wrong.any():
            first = np.flatnonzero(wrong)[steps.rows[wrong].argmin()]
            example = f"row {steps.rows[first] + 1} after row {steps.before[first] + 1}"
            if gaps[first]:
                example = f"{gap_text(int(gaps[first]), field)}, {example}"
            mend = f"correct them, or {way_out}"
            yield wrong, Problem(field.name, rule, mend, int(wrong.sum()), example)
