"""The commands under `synthvae schema`: thin, as those in `cli`."""

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from synthvae import command_options, console
from synthvae._files import check_output, write_whole
from synthvae._text import say
from synthvae.schema import Schema
from synthvae.terminal_notes import print_paid_rows

schema_app = typer.Typer(help="Draft or check a schema file.", no_args_is_help=True)


@schema_app.command("init")
def schema_init(
    table: command_options.Table,
    out: Annotated[Path, typer.Option(help="The schema file to write.")],
    visits: command_options.Visits = None,
    dictionary: Annotated[
        Path | None, typer.Option(help="The study's REDCap data dictionary, as exported.")
    ] = None,
    delimiter: command_options.Delimiter = None,
    encoding: command_options.Encoding = None,
    sheet: command_options.Sheet = None,
    header: command_options.Header = None,
    force: command_options.Force = False,
) -> None:
    """Draft a schema from a table; whatever was read off the data is marked for review."""
    from synthvae.drafting import draft_table, redcap, two_tables
    from synthvae.drafting.schema_text import refuse_forgetting

    inputs = (table, *(file for file in (visits, dictionary) if file is not None))
    check_output(out, force, inputs=inputs)
    refuse_forgetting(out)
    options = (delimiter, encoding, sheet, header)
    read = command_options.open_with_notes(table, options, guess=True)
    frame, patients = read.frame, None
    if visits is not None:
        patients = read.frame
        read = two_tables.beside(read, command_options.open_with_notes(visits, options, guess=True))
        frame = read.frame
    if dictionary is None and visits is None and redcap.is_redcap(read.frame):
        write_whole(out, redcap.redcap_yaml(read.frame, table.name.partition(".")[0]))
        say(f"{table} is a REDCap data dictionary. Wrote {out}, for which no record was read.")
        return
    known = None
    if dictionary is not None:
        declared = command_options.open_with_notes(
            dictionary, (None, None, None, None), guess=True
        ).frame
        known = redcap.fields_from_redcap(declared, list(frame.columns), frame)
    draft = draft_table(
        frame,
        table.name.partition(".")[0],
        dialect=read.dialect,
        labels=read.labels,
        titles=read.titles,
        known=known,
        has_header=header,
        patients=patients,
    )
    write_whole(out, draft.text)
    console.print_lines(draft.summary)
    of_table = f" {table}" if visits is None else ""
    say(
        f"Wrote {out}; `synthvae schema review {out}{of_table}` goes through what it marks, and asks "
        "for `patients`."
    )


@schema_app.command("check")
def schema_check(
    schema: command_options.SchemaArgument,
    table: command_options.Table,
    visits: command_options.Visits = None,
    delimiter: command_options.Delimiter = None,
    encoding: command_options.Encoding = None,
    sheet: command_options.Sheet = None,
    header: command_options.Header = None,
) -> None:
    """Compare a schema with a table and list every problem at once."""
    from synthvae.table import formulas, inspect, inspect_files
    from synthvae.table.reading_warnings import cell_notes, reading_notes

    declared = Schema.load(schema)
    options, dialect = (delimiter, encoding, sheet, header), declared.dialect
    if visits is None:
        frame = command_options.open_with_notes(table, options, dialect, guess=True).frame
    else:
        files = command_options.open_two_files((table, visits), options, dialect, guess=True)
        joined, problems = inspect_files(*files, declared)
        if joined is None:
            console.print_problems(problems, formulas(declared), declared.to_review)
            return
        frame = joined
    found = inspect(frame, declared)
    notes = cell_notes(found.notes)
    if not found.problems:
        notes = reading_notes(frame, found.codes, found.notes, declared)
    console.print_problems(found.problems, [*formulas(declared), *notes], declared.to_review)
    waits = " It is to be reviewed before a private fit." if declared.to_review else ""
    what = f"{table} fits" if visits is None else f"{table} and {visits} fit"
    say(f"{what} {schema}.{waits}")


@schema_app.command("rows")
def schema_rows(
    schema: command_options.SchemaArgument,
    table: command_options.Table,
    epsilon: Annotated[
        float, typer.Option(help="What it may cost, of the budget of every fit with the schema.")
    ],
    delta: command_options.Delta = None,
    beyond: Annotated[
        float, typer.Option(help="Share of the patients that may have more rows than maxRows.")
    ] = 0.05,
    most: Annotated[int, typer.Option(help="The largest maxRows that is considered.")] = 20,
    visits: command_options.Visits = None,
    delimiter: command_options.Delimiter = None,
    encoding: command_options.Encoding = None,
    sheet: command_options.Sheet = None,
    header: command_options.Header = None,
) -> None:
    """Choose maxRows by a noisy histogram of rows per patient, and pay for it."""
    from synthvae.max_rows import pay_for_rows
    from synthvae.privacy.mechanisms import Mechanisms
    from synthvae.privacy.stream import RandomStream

    options = (delimiter, encoding, sheet, header)
    frame = command_options.open_joined(table, visits, options, Schema.load(schema))
    paid = pay_for_rows(
        schema,
        frame,
        epsilon,
        delta=delta,
        beyond=beyond,
        most=most,
        on=date.today(),
        mechanisms=Mechanisms(RandomStream()),
    )
    print_paid_rows(paid, schema)


@schema_app.command("review")
def schema_review(
    schema: command_options.SchemaArgument,
    table: Annotated[
        Path | None, typer.Argument(help="The table, to see what stands in it; terminal only.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Where bounds and categories are publicly known.")
    ] = None,
    by: Annotated[str | None, typer.Option(help="Who reviews; by default it is asked.")] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Accept all that is open, with --source and --by.")
    ] = False,
    delimiter: command_options.Delimiter = None,
    encoding: command_options.Encoding = None,
    sheet: command_options.Sheet = None,
    header: command_options.Header = None,
) -> None:
    """Go through the fields marked for review and write down where each is publicly known."""
    from synthvae.review_terminal import review_schema

    options, frame = (delimiter, encoding, sheet, header), None
    if table is not None:
        frame = command_options.open_with_notes(
            table, options, Schema.load(schema).dialect, guess=True
        ).frame
    review_schema(schema, frame, source=source, by=by, accept_all=yes)
