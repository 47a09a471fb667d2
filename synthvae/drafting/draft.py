"""Join the columns' drafts into a schema, and write it as a file that explains itself."""

from typing import Any

import pandas as pd

from synthvae._frozen import write_yaml
from synthvae.declared import first_repeated
from synthvae.drafting.columns import MISSING_SPELLINGS, ColumnDraft, draft_column
from synthvae.errors import DataError
from synthvae.schema import Schema

MAX_ROWS = 5  # a public default, not the largest number in the data

HEAD = """\
# A DRAFT, made from private data: handle it as private until a person has gone through it.
# - `review: true` marks what was read off the data (bounds, categories, whether values are
#   missing). Replace it by what is publicly known, or confirm it, and delete the mark; `synthvae
#   fit` refuses fields under review when it has a privacy budget.
# - What has no such mark comes from the column's name and the dictionary of clinical variables.
# - Where a patient has several rows, `perPatient: true` says that a column (sex, say) holds the same
#   value in all of them; without it, synthetic patients may differ from row to row.
# - Look at the types too, and at what has become an identifier: identifiers are never modelled.
"""
PATIENTS = """\
# patients:   # how many patients the table covers. It has to be a public number, such as the
#             # published size of the study; it is not counted here, since the count is private.
"""
MAX_ROWS_NOTE = (
    "# Rows kept per patient, a default: take a public number that few patients exceed.\n"
)


def draft_schema(frame: pd.DataFrame, name: str = "table") -> Schema:
    """Draft a schema from a table's column names and types.

    Ranges of common clinical variables come from the shipped dictionary; what had to be read off
    the data has `review` set.

    Parameters
    ----------
    frame
        The table, as `read_table` gives it or with typed columns.
    name
        The schema's name.

    Returns
    -------
    Schema
        Without `patients`, which has to be declared.

    Raises
    ------
    DataError
        The table has no rows or columns, a column without a name, or two of the same name.
    SchemaError
        Every column seems to be an identifier, so nothing is left to model.

    Examples
    --------
    >>> frame = pd.DataFrame({"age": ["61", "47"], "ward": ["A", "B"]})
    >>> draft_schema(frame, "demo").to_review
    ('ward',)
    """
    return Schema.from_dict(_draft(frame, name)[0], "the draft")


def draft_yaml(frame: pd.DataFrame, name: str = "table") -> str:
    """Draft a schema as the text of a YAML file with remarks, which `Schema.load` reads.

    Parameters, errors and content are those of `draft_schema`.

    Examples
    --------
    >>> text = draft_yaml(pd.DataFrame({"age": ["61", "47"], "ward": ["A", "B"]}), "demo")
    >>> print(text[text.index("fields:"):])
    fields:
      # dictionary: age; the longest documented human life is 122 years
      - name: age
        type: integer
        unit: years
        constraints: {minimum: 0, maximum: 122}
      # REVIEW: these are the categories that stand in the data
      - name: ward
        type: string
        constraints:
          enum: [A, B]
        review: true
    <BLANKLINE>
    """
    value, columns = _draft(frame, name)
    Schema.from_dict(value, "the draft")
    parts = [HEAD, write_yaml({"name": value["name"]})]
    if "patientKey" in value:
        parts += [write_yaml({"patientKey": value["patientKey"]}), MAX_ROWS_NOTE]
        parts.append(write_yaml({"maxRows": value["maxRows"]}))
    parts += [PATIENTS, write_yaml({"missingValues": value["missingValues"]}), "fields:\n"]
    parts += [_render(column) for column in columns]
    return "".join(parts)


def _draft(frame: pd.DataFrame, name: str) -> tuple[dict[str, Any], list[ColumnDraft]]:
    if frame.empty:
        raise DataError("The table has no rows or no columns; there is nothing to draft from.")
    names = [str(column) for column in frame.columns]
    twice = first_repeated(names)
    if twice is not None:
        raise DataError(f"The column '{twice}' stands twice in the table; rename one of them.")
    if "" in names:
        raise DataError(f"Column {names.index('') + 1} of the table has no name; give it one.")
    columns = [draft_column(each, frame.iloc[:, j]) for j, each in enumerate(names)]
    value: dict[str, Any] = {"name": name, "missingValues": list(MISSING_SPELLINGS)}
    # The first one: a table of visits has it before others.
    key = next((column for column in columns if column.is_patient_key), None)
    if key is not None:
        value |= {"patientKey": key.field["name"], "maxRows": MAX_ROWS}
    value["fields"] = [column.field for column in columns]
    return value, columns


def _render(column: ColumnDraft) -> str:
    """Return one field as an item of the list, its remarks above it."""
    first, *rest = write_yaml(column.field).splitlines()
    remarks = (f"# {note}" for note in column.notes)
    lines = (*remarks, f"- {first}", *(f"  {line}" for line in rest))
    return "".join(f"  {line}\n" for line in lines)
