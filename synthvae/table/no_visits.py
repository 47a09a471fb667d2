"""Patients without visits, where a schema's `visitsOptional` allows them.

In a table, such a patient is one row that holds nothing but what never changes: no column of a visit has
a value. The column of `orderBy` is always there in a visit, so that no visit is mistaken for that.
"""

import numpy as np
import pandas as pd

from synthvae._types import Bools, Ints
from synthvae.rules.values import MISSING
from synthvae.schema import Schema
from synthvae.table.cells import RawColumn
from synthvae.table.problems import Problem


def without_visit(frame: pd.DataFrame, schema: Schema) -> Bools:
    """Return the rows that stand for a patient without visits, shape (rows,)."""
    if not schema.visitsOptional or schema.orderBy is None:
        return np.zeros(len(frame), bool)
    varying = [field.name for field in schema.modelled if not field.perPatient]
    absent = np.ones(len(frame), bool)
    # Hardly a row is without a time: that column settles the others.
    for name in dict.fromkeys((schema.orderBy.column, *varying)):
        if absent.any() and list(frame.columns).count(name) == 1:
            absent &= RawColumn(frame[name]).blank(schema.missingValues)
    return absent


def coded_without_visit(codes: Ints, schema: Schema) -> Bools:
    """Return the rows of `encode` that stand for a patient without visits, shape (rows,)."""
    if not schema.visitsOptional or schema.orderBy is None:
        return np.zeros(len(codes), bool)
    names = [field.name for field in schema.modelled]
    return np.asarray(codes[:, names.index(schema.orderBy.column)] == MISSING)


def misplaced_rows(absent: Bools, whose: Ints, schema: Schema) -> list[Problem]:
    """Return the problem of rows without a visit of patients who have another row."""
    misplaced = absent & (np.bincount(whose)[whose] > 1) if len(whose) else absent
    if not misplaced.any():
        return []
    assert schema.orderBy is not None
    rule = "nothing of a visit in a row of a patient who has another row"
    return [Problem.where(misplaced, schema.orderBy.column, rule, "delete the row, or fill it in")]
