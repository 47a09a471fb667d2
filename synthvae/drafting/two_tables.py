"""What a draft makes of a file of patients beside one of their visits, joined by the column of both."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pandas as pd

from synthvae.drafting.columns import ColumnDraft
from synthvae.drafting.keys import Column
from synthvae.drafting.profile import Profile
from synthvae.errors import DataError
from synthvae.schema import Dialect
from synthvae.table import TableFile


def beside(patients: TableFile, visits: TableFile) -> TableFile:
    """Return two files as one: the visits, each with the columns of its patient; the key comes first.

    Raises
    ------
    DataError
        No column stands in both files, or several; no visit has a patient; or a patient has two rows.
    """
    shared = [str(name) for name in patients.frame.columns if name in visits.frame.columns]
    if len(shared) != 1:
        named = ", ".join(map(repr, shared)) or "no column"
        raise DataError(
            f"The patients and the visits share {named}; a draft joins them by one column that says "
            "whose row it is: name it alike in both, and every other column in one of them alone."
        )
    (key,) = shared
    twice = patients.frame[key].duplicated().to_numpy()
    if twice.any():
        raise DataError(
            f"Row {int(twice.argmax()) + 1} of the patients has the {key!r} of an earlier one; keep one "
            "row a patient."
        )
    mine, theirs = (file.frame.astype({key: object}) for file in (patients, visits))
    joined = mine.merge(theirs, on=key, how="inner")
    if joined.empty:
        raise DataError(f"No visit has the {key!r} of a patient; spell it alike in both files.")
    alike = patients.dialect == visits.dialect  # else each file's own first line says it
    return TableFile(
        joined,
        visits.dialect if alike else Dialect(),
        labels={**patients.labels, **visits.labels},
        titles=patients.titles | visits.titles,
    )


def with_patients(
    columns: Sequence[Column], patients: pd.DataFrame, draft: Callable[[str, Profile], ColumnDraft]
) -> list[Column]:
    """Return the joined columns, of which those of the patients are drafted from a row each.

    The first one is the key.
    """
    key, *others = columns
    field = {"name": key.name, "role": "identifier"}
    if key.profile.kind == "number" and key.draft.field.get("type") == "integer":
        field["type"] = "integer"
    found = [Column(ColumnDraft(field, is_patient_key=True), key.profile)]
    for column in others:
        own = column.draft
        if column.name in patients.columns:
            profile = Profile(patients[column.name], column.profile.comma_decimals)
            own = draft(column.name, profile)
        is_identifier = own.field.get("role") == "identifier"
        own = replace(own, is_patient_key=False) if is_identifier else own
        found.append(Column(own, column.profile))
    return found


def in_their_files(
    key: ColumnDraft, columns: Sequence[Column], patients: pd.DataFrame
) -> list[ColumnDraft]:
    """Return the drafts, `perPatient` where, and only where, the patients' file has the column."""
    found = [key]
    for column in columns[1:]:
        draft = column.draft
        if column.name in patients.columns and draft.field.get("role") != "omit":
            draft = replace(draft, field=draft.field | {"perPatient": True})
        found.append(draft)
    return found


def some_without_visits(patients: pd.DataFrame, joined: pd.DataFrame) -> bool:
    """Whether a patient is in no row of the joined table."""
    key = joined.columns[0]
    return not patients[key].isin(joined[key]).all()
