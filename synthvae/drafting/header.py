"""The first lines of a file: names of columns, or a record, units or a second header instead."""

import math
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from synthvae._types import Bools
from synthvae.drafting.moment_formats import parse_moment
from synthvae.drafting.profile import Profile
from synthvae.errors import DataError
from synthvae.field import Field
from synthvae.table.cells import as_float, spelled_number

GIVEN = re.compile(r"Unnamed: \d+|column_\d+|\s*")  # names that a reader has given
MOSTLY = 0.9


def refuse_data_as_header(names: Sequence[str], profiles: Sequence[Profile]) -> None:
    """Refuse a table whose columns are named like their values, since one patient's are published then.

    Raises
    ------
    DataError
        In at least half of the columns where this can be told, the name is like the values below it;
        a run of numbers, such as years, counts as names. The text repeats none of them.
    """
    alike = [_is_like(name, profile) for name, profile in zip(names, profiles, strict=True)]
    numbers = [as_float(name) for name, like in zip(names, alike, strict=True) if like]
    if _is_run(numbers):
        return
    like, told = alike.count(True), len(alike) - alike.count(None)
    if like and like * 2 >= told:
        raise DataError(
            f"The first line looks like data rather than names of columns: in {like} of {told} columns "
            "its cell is like the values below it. If the columns have no names, pass --no-header (they "
            "are called column_1, column_2 and so on); if these are their names, pass --header."
        )


def _is_like(name: str, profile: Profile) -> bool | None:
    """Whether a column's name is like its values; None where nobody can tell."""
    name = name.strip()
    if GIVEN.fullmatch(name) or profile.kind == "empty":
        return None
    if profile.kind in ("number", "boolean") and profile.usable.any():
        field = Field.model_validate({"name": "x", "type": "number"} | _spelling(profile))
        number = spelled_number(field, name)
        values = profile.numbers[profile.usable]
        width = float(values.max() - values.min())
        return bool(values.min() - width <= number <= values.max() + width)
    if profile.moments is not None:
        return parse_moment(name, profile.moments.form) is not None
    if name.isdecimal():
        lengths = {len(text) for text in profile.distinct}
        return lengths == {len(name)} or None
    if name in profile.distinct:
        times = int(profile.counts[profile.distinct.index(name)])
        return True if times > 1 and len(profile.distinct) > 2 else None
    return None if profile.nearly_unique else False


def _spelling(profile: Profile) -> dict[str, object]:
    settings = {} if profile.numerals is None else profile.numerals.settings
    return {key: value for key, value in settings.items() if key != "censored"}


def _is_run(numbers: Sequence[float]) -> bool:
    """Whether names are numbers in even steps, or ascending years."""
    if len(numbers) < 2 or not all(map(math.isfinite, numbers)):
        return False
    steps = np.diff(numbers)
    years = all(1800 <= number <= 2200 and number == int(number) for number in numbers)
    return bool((steps > 0).all() and (years or (len(numbers) > 2 and len(set(steps)) == 1)))


def header_remarks(names: Sequence[str], profiles: Sequence[Profile]) -> list[str]:
    """Return what is odd about the first rows: units, a second header, a header that comes again."""
    remarks = []
    numeric = [profile for profile in profiles if _is_text(profile) and _numbers_below(profile)]
    dressed = sum(_first_is_text(profile) for profile in numeric)
    if dressed and dressed * 2 >= len(numeric):
        remarks.append(
            "The first row seems to hold units or a second header: delete it, or it counts as a patient."
        )
    again = [_own_name(name, profile) for name, profile in zip(names, profiles, strict=True)]
    if len(again) > 1 and (np.mean(again, axis=0) > 0.5).any():
        remarks.append("The header stands among the rows again: delete those rows.")
    return remarks


def _is_text(profile: Profile) -> bool:
    return not pd.api.types.is_numeric_dtype(profile.dtype)


def _numbers_below(profile: Profile) -> bool:
    """Whether nearly all values are numbers, the first row aside."""
    if profile.rows < 5 or profile.kind == "empty":
        return False
    first = profile.codes[0]
    counts = profile.counts.copy()
    if first >= 0:
        counts[first] -= 1
    return bool(counts[np.isfinite(profile.plain_numbers)].sum() >= MOSTLY * counts.sum())


def _first_is_text(profile: Profile) -> bool:
    first = profile.codes[0]
    return bool(first >= 0 and not np.isfinite(profile.plain_numbers[first]))


def _own_name(name: str, profile: Profile) -> Bools:
    """Where a column holds its own name."""
    if name not in profile.distinct:
        return np.zeros(len(profile.codes), bool)
    return np.asarray(profile.codes == profile.distinct.index(name))
