"""Words of a schema that a spreadsheet would run as a formula when somebody opens the records in it.

They are public and the schema's author chose them, so records hold them as they are: quoting does not
stop a spreadsheet, and another spelling would no longer be the schema's. What can be done is to say so.
"""

import re

import numpy as np

from synthvae._text import brief
from synthvae.field import Field
from synthvae.schema import Schema
from synthvae.table.cells import as_float

FORMULA = re.compile(r"\s*[=+\-@].", re.DOTALL)


def formulas(schema: Schema) -> list[str]:
    """Return a note for each column whose name or categories begin like a formula (CWE-1236).

    Examples
    --------
    >>> schema = Schema.from_dict({"fields": [
    ...     {"name": "ward", "constraints": {"enum": ["north", "=1+1", "-1"]}}]})
    >>> formulas(schema)[0]
    "column 'ward': '=1+1' begins like a formula, which a spreadsheet would run; name it otherwise"
    """
    return [note for field in schema.fields for note in _notes(field)]


def _notes(field: Field) -> list[str]:
    words = [field.name, *field.trueValues, *field.falseValues, *field.categories]
    found = next((word for word in words if FORMULA.match(word) and np.isnan(as_float(word))), None)
    if found is None:
        return []
    return [
        f"column {brief(field.name)}: {brief(found)} begins like a formula, which a spreadsheet would "
        "run; name it otherwise"
    ]
