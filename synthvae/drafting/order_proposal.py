"""The order of a patient's rows in time, as a draft proposes it: by a date, or by a number of the visit.

It is read off records, so it is marked for review, and proposed only where the rows of many patients
keep it. No gap is proposed: the data's extremes are some patient's.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from synthvae._types import Ints
from synthvae.field import Field
from synthvae.schema import Schema
from synthvae.table.codes import column_codes, identify_patients

SUPPORT = 100  # patients with several rows, from which on an order is proposed
MOST_NUMBERS = 1000  # values of a number that counts visits, weeks or years
MOSTLY = 0.5  # of the rows after a patient's first must be at another time than the row before
TIMED = "no patient has two rows at one value of it"
SORTED = "each patient's rows come in its order"


@dataclass(frozen=True)
class OrderDraft:
    """A drafted `orderBy`, as plain values, and what its column asks of whoever reviews it."""

    value: dict[str, Any]
    reason: str

    @property
    def column(self) -> str:
        return str(self.value["column"])


def propose_order(frame: pd.DataFrame, schema: Schema) -> OrderDraft | None:
    """Return the order of each patient's rows that a table seems to have, None where there is none.

    A date may come in any order if it tells each patient's rows apart, or repeats if the rows are sorted
    by it; a number has to rise from row to row. What rows are sorted by comes first, then a date.
    """
    if schema.rows_per_patient == 1:
        return None
    whose = pd.factorize(identify_patients(frame, schema))[0]
    if (np.bincount(whose) > 1).sum() < SUPPORT:
        return None
    in_file = np.argsort(whose, kind="stable")
    found: list[tuple[bool, bool, OrderDraft]] = []
    for field in filter(_may_be_time, schema.drawn):
        times = column_codes(frame, schema, field.name)
        in_time = np.lexsort((times, whose))
        steps, gaps = (_steps(times[rows], whose[rows]) for rows in (in_file, in_time))
        falls, ties = bool((steps < 0).any()), bool((gaps == 0).any())
        unfit = (falls and ties) if field.is_moment else (falls or ties)
        if not unfit and (gaps != 0).mean() > MOSTLY:
            found.append((falls, not field.is_moment, _draft(field, falls=falls, ties=ties)))
    return min(found, key=lambda each: each[:2])[2] if found else None


def _may_be_time(field: Field) -> bool:
    if not field.is_lattice or field.perPatient or field.nullable or field.specials:
        return False
    return field.is_moment or (field.type == "integer" and field.lattice_size <= MOST_NUMBERS)


def _steps(times: Ints, whose: Ints) -> Ints:
    """Return the differences between neighbouring rows of one patient, of rows sorted by patient."""
    return np.asarray(np.diff(times)[np.diff(whose) == 0], np.int64)


def _draft(field: Field, *, falls: bool, ties: bool) -> OrderDraft:
    value = {"column": field.name} | ({"strict": False} if ties else {})
    seen = " and ".join(filter(None, ("" if falls else SORTED, "" if ties else TIMED)))
    loose = "; `strict: false`, since some rows of one patient have one time" if ties else ""
    return OrderDraft(
        value,
        f"`orderBy` names it, since {seen}{loose}: does it say when a row was recorded? If the protocol "
        "says how far apart rows are, declare that as `gap`; if it is no time, take `orderBy` out",
    )
