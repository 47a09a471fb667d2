"""Options that several commands share, and tables read by them, with notes on the terminal."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synthvae._text import say
from synthvae.errors import check_positive_integer
from synthvae.schema import Dialect, Schema

if TYPE_CHECKING:
    import pandas as pd

    from synthvae.table import TableFile

SchemaFile = Annotated[Path, typer.Option("--schema", help="The table's schema, YAML or JSON.")]
SchemaArgument = Annotated[Path, typer.Argument(help="The table's schema, YAML or JSON.")]
Delta = Annotated[
    float | None, typer.Option(help="Below 1/n; by default a tenth of 1/n, at most 1e-5.")
]
Patients = Annotated[
    int | None, typer.Option(help="Declared number of patients, in place of the schema's.")
]
Table = Annotated[Path, typer.Argument(help="CSV, Excel, Parquet, SAS, Stata or SPSS file.")]
Visits = Annotated[
    Path | None,
    typer.Option(
        "--visits", help="File of visits, joined by patientKey; the table has a row a patient then."
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace an output that exists.")]
Delimiter = Annotated[
    str | None,
    typer.Option(
        help="What separates cells: a sign, or comma, semicolon, tab, pipe; else the first line says."
    ),
]
Encoding = Annotated[
    str | None, typer.Option(help="Encoding of a text file, such as cp1252; UTF-8 by default.")
]
Sheet = Annotated[
    str | None, typer.Option(help="Sheet of a workbook; by default the first visible one.")
]
Header = Annotated[
    bool | None,
    typer.Option(
        "--header/--no-header",
        help="Whether the first line names the columns; without, they are column_1, column_2, ...",
    ),
]


Options = tuple[str | None, str | None, str | None, bool | None]
"""The values of the four options above, in their order."""


def load_schema(path: Path, patients: int | None) -> Schema:
    """Return a schema, with the number of patients that is declared in place of its own, if any."""
    declared = Schema.load(path)
    if patients is None:
        return declared
    return declared.replace(patients=check_positive_integer("patients", patients))


def open_with_notes(
    path: Path, options: Options, declared: Dialect | None = None, *, guess: bool = False
) -> "TableFile":
    """Read a table, by the options, then a schema's dialect, then the file; print the notes on it.

    Parameters
    ----------
    path, guess
        As of `synthvae.table.open_table`.
    options
        Delimiter, encoding, sheet and header, None where they were not given.
    declared
        The schema's dialect.
    """
    from synthvae.table.files import dialect_of, open_table

    table = open_table(path, dialect_of(*options, declared), guess=guess)
    for note in table.notes:
        say(f"Note: {note}.", error=True)
    return table


def open_two_files(
    paths: tuple[Path, Path], options: Options, declared: Dialect, *, guess: bool = False
) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """Read a file of patients and one of visits, as `open_with_notes` does."""
    patients, visits = (
        open_with_notes(path, options, declared, guess=guess).frame for path in paths
    )
    return patients, visits


def open_joined(
    table: Path, visits: Path | None, options: Options, schema: Schema
) -> "pd.DataFrame":
    """Read a table, joined with its visits where these have a file of their own."""
    if visits is None:
        return open_with_notes(table, options, schema.dialect).frame
    from synthvae.table import join_visits

    return join_visits(*open_two_files((table, visits), options, schema.dialect), schema)


def read_with_notes(
    paths: Sequence[Path], options: Options, declared: Dialect
) -> "list[pd.DataFrame]":
    """Read tables of one dialect and print the notes on each."""
    return [open_with_notes(path, options, declared).frame for path in paths]
