"""What was done to a table in reading it, as warnings: nothing is rounded, merged or dropped in silence.

The texts are computed from real rows. They are for whoever prepares the table, and written nowhere.
"""

import contextlib
import warnings
from collections.abc import Iterable, Iterator

import pandas as pd

from synthvae._text import counted
from synthvae._types import Ints
from synthvae.errors import ReadingWarning
from synthvae.schema import Schema
from synthvae.table.patient_notes import patient_notes
from synthvae.table.problems import Problem

SHOWN = 12  # columns named in one note


def reading_notes(
    frame: pd.DataFrame, codes: Ints, notes: Iterable[Problem], schema: Schema
) -> list[str]:
    """Return what was done to cells, one text for each kind, then what is odd about the patients.

    Parameters
    ----------
    frame
        The table as it came, which fits the schema.
    codes
        Its codes, shape (rows, columns).
    notes
        What `encode_with_notes` says of single columns.
    """
    return [*cell_notes(notes), *map(str, patient_notes(frame, codes, schema))]


def cell_notes(notes: Iterable[Problem]) -> list[str]:
    """Return what was done to cells, in one text for all columns to which the same was done."""
    kinds: dict[tuple[str, str], list[Problem]] = {}
    for note in notes:
        kinds.setdefault((note.rule, note.way_out), []).append(note)
    return [_joined(alike) for alike in kinds.values()]


def _joined(alike: list[Problem]) -> str:
    if len(alike) == 1:
        return str(alike[0])
    shown = ", ".join(f"{note.column!r}" for note in alike[:SHOWN])
    more = f" and {len(alike) - SHOWN} more" if len(alike) > SHOWN else ""
    cells = counted(sum(note.rows for note in alike), "cell")
    return f"columns {shown}{more}: {cells}: {alike[0].rule}; {alike[0].way_out}"


def warn_of_reading(
    frame: pd.DataFrame, codes: Ints, notes: Iterable[Problem], schema: Schema
) -> None:
    """Give the notes on a table as warnings of kind `ReadingWarning`, one for each kind of note."""
    for text in reading_notes(frame, codes, notes, schema):
        warnings.warn(text, ReadingWarning, stacklevel=3)


@contextlib.contextmanager
def without_reading_warnings() -> Iterator[None]:
    """Say nothing of how tables are read: it was said of the whole table before."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ReadingWarning)
        yield
