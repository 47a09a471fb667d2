"""Codes back to typed columns: the inverse of `encode`."""

from typing import Any

import numpy as np
import pandas as pd

from synthvae._types import Bools, Ints
from synthvae.field import Field
from synthvae.rules.values import FIRST_SPECIAL, MISSING
from synthvae.schema import Schema


def decode(codes: Ints, schema: Schema) -> pd.DataFrame:
    """Return typed columns for codes of shape (rows, columns); the inverse of `encode`.

    Numbers become float64, integers Int64, booleans boolean, dates datetime64[s], categories text.
    """
    columns = {
        field.name: _decode_column(field, np.asarray(codes[:, j]))
        for j, field in enumerate(schema.modelled)
    }
    return pd.DataFrame(columns)


def _decode_column(field: Field, codes: Ints) -> Any:
    missing = codes == MISSING
    if not field.is_lattice:
        if field.type == "boolean":
            return pd.arrays.BooleanArray(codes == 1, missing)
        labels = np.array([*field.categories, None], object)
        texts = labels[np.where(missing, len(field.categories), codes)]
        if field.type == "string":
            return texts
        values = np.array([*map(float, field.categories), np.nan])
        numbers = pd.Series(values[np.where(missing, len(field.categories), codes)])
        return numbers.astype("Int64") if field.type == "integer" else numbers
    units = codes + field.first_unit
    if field.is_moment:
        return _moments(field, units, missing)
    numbers = field.numbers_at(units)
    for i, value in enumerate(field.specials):
        numbers[codes == FIRST_SPECIAL - i] = value
    if field.type == "integer":
        return pd.arrays.IntegerArray(np.round(numbers).astype(np.int64), missing)
    numbers[missing] = np.nan
    return numbers


def _moments(field: Field, units: Ints, missing: Bools) -> Any:
    moments = np.where(missing, 0, field.seconds_at(units)).astype("datetime64[s]")
    moments[missing] = np.datetime64("NaT", "s")
    if field.zone is None:
        return moments
    # An hour that a clock skips is moved on, and of one that it repeats the second is taken.
    second = np.zeros(len(moments), bool)
    local = pd.Series(moments).dt
    return local.tz_localize(field.zone, ambiguous=second, nonexistent="shift_forward")
