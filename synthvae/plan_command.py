"""The command `plan`, and what a fit says before it: a forecast on the terminal, from public numbers."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synthvae import command_options, console
from synthvae._files import write_whole
from synthvae._text import brief, counted, delta_text, epsilon_text, printable, say, shortened
from synthvae.config import RunConfig
from synthvae.errors import SynthvaeError
from synthvae.schema import Schema

if TYPE_CHECKING:
    from rich.console import Console

    from synthvae.forecast import ColumnForecast, Forecast
    from synthvae.forecast.prospect import InteractionForecast
    from synthvae.settings import Settings

SHOWN = 3  # columns, the worst
NAME = 30  # characters of a column's name


def plan(
    schema: command_options.SchemaArgument,
    epsilon: Annotated[float, typer.Option(help="Privacy budget of the fit.")],
    delta: command_options.Delta = None,
    patients: command_options.Patients = None,
    rows_per_patient: Annotated[
        float | None,
        typer.Option(help="Mean number of rows of a patient; by default the root of maxRows."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print it for a program, as JSON.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="JSON file to write.")] = None,
    force: command_options.Force = False,
) -> None:
    """Say what a fit would leave of a table, before any is read: errors, time, remedies."""
    from synthvae.forecast import make_forecast

    if out is not None:
        console.check_file(out, force, ".json", inputs=(schema,))
    declared = command_options.load_schema(schema, patients)
    forecast = make_forecast(declared, epsilon, delta, rows_per_patient)
    text = forecast.model_dump_json(indent=1)
    if out is not None:
        write_whole(out, text + "\n")
    if as_json:
        say(text)
        return
    print_forecast(forecast, console._console(110))
    if out is not None:
        say(f"Wrote {out}")


def print_warnings(
    schema: Schema, epsilon: float | None, delta: float | None, settings: "Settings | None" = None
) -> None:
    """Say, before anything is spent, where a fit would leave little but noise."""
    from synthvae.forecast import warnings_of

    for warning in warnings_of(schema, epsilon, delta, settings):
        say(f"Warning: {warning}", error=True)


def print_run_warnings(config: RunConfig) -> None:
    """Say what `print_warnings` says of a run's fit, which its holdout leaves fewer patients."""
    from synthvae.pipeline import load_schema, override_settings

    try:
        schema = load_schema(config)
        if schema.patients is not None:
            schema = schema.replace(patients=max(1, round(schema.patients * (1 - config.holdout))))
        settings = override_settings(schema, config.epsilon, config.settings)
        print_warnings(schema, config.epsilon, config.delta, settings)
    except SynthvaeError:
        return  # which the run itself will meet and explain


def print_forecast(forecast: "Forecast", console: "Console") -> None:
    """Print a forecast as text and tables, as wide as the console."""
    from rich.table import Table
    from rich.text import Text

    def tabulate(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        # Names come from the schema: a bracket in them is no markup.
        table = Table(title=Text(title), title_justify="left")
        for place, heading in enumerate(headings):
            table.add_column(heading, overflow="fold", justify="right" if place == 1 else "left")
        for row in rows:
            table.add_row(*(Text(printable(cell)) for cell in row))
        console.print(table)

    for line in _head(forecast):
        console.print(Text(printable(line)))
    tabulate("What the fit releases", ("what", "times", "noise"), _releases(forecast))
    headings = ("figure", "expected error", "95 % of errors below", "worst")
    tabulate("How far off the synthetic table will be", headings, _errors(forecast))
    for line in (*_cost(forecast), *forecast.not_forecast):
        console.print(Text(printable(line)))
    rows = [
        (
            remedy.change,
            f"{remedy.before:.3g} -> {remedy.after:.3g}",
            f"{remedy.figure} (error / {remedy.factor:.2g})",
        )
        for remedy in forecast.remedies
    ]
    if rows:
        tabulate("What would help", ("change", "expected error", "of"), rows)
    for warning in forecast.warnings:
        console.print(Text(printable(f"Warning: {warning}")))


def _head(forecast: "Forecast") -> list[str]:
    budget = f"epsilon {epsilon_text(forecast.epsilon)}, delta {delta_text(forecast.delta)}"
    patients = counted(forecast.patients, "patient")
    known = "assumed" if forecast.patients_assumed else "declared"
    lines = [f"Plan for {brief(forecast.name)}: {budget}, {patients} ({known}). No table was read."]
    if forecast.patients_assumed:
        lines.append(
            f"No number of patients is declared, so {forecast.patients:,} is assumed: declare "
            "`patients` in the schema, a public number (the study's published size, a round number), or "
            "give --patients. It sizes the model, and saves the budget that counting them costs."
        )
    if forecast.max_rows > 1:
        mean = f"{forecast.rows_per_patient:.3g} rows of each patient are "
        mean += "assumed (--rows-per-patient says otherwise)" if forecast.rows_assumed else "given"
        what = "the noise of visits" if forecast.in_time else "all noise"
        lines.append(f"maxRows is {forecast.max_rows}, to which {what} is scaled; {mean}.")
    lines += _interactions(forecast)
    if forecast.to_review:
        names = ", ".join(shortened(name, NAME) for name in forecast.to_review[:6])
        more = ", ..." if len(forecast.to_review) > 6 else ""
        waiting = counted(len(forecast.to_review), "field waits", "fields wait")
        lines.append(
            f"{waiting} for review: {names}{more}. "
            "What follows takes them as they stand; a fit does not begin before they are confirmed."
        )
    return lines


def _interactions(forecast: "Forecast") -> list[str]:
    """Return what is measured of three and four columns, and what is favoured."""
    lines, measured = [], forecast.interactions
    if measured is not None:
        lines.append(
            f"{100 * measured.share:.3g} % of the budget goes to moments of three and four columns: "
            f"{counted(measured.products, 'product')} of their features, each mean with noise of about "
            f"{measured.noise:.2g}; between independent columns the mean is 0, and an interaction "
            "several times the noise is found."
        )
        lines.append(_triples(measured))
    if forecast.favoured:
        first = "; ".join(forecast.favoured)
        none = " Here, no set of three columns is measured."
        lines.append(
            f"Favoured, where not all sets of columns can be afforded: {first}."
            + (none if measured is None and len(forecast.columns) > 2 else "")
        )
    return lines


def _triples(measured: "InteractionForecast") -> str:
    """Return which sets of three columns are measured, as a sentence."""
    every = counted(measured.all_triples, "set") + " of three columns"
    if measured.triples == measured.all_triples:
        return f"All {every} are measured." if measured.triples > 1 else f"The {every} is measured."
    which = f": those that {measured.which_triples}" if measured.which_triples else ""
    return f"{measured.triples:,} of {every} are measured{which}."


def _releases(forecast: "Forecast") -> list[tuple[str, str, str]]:
    rows = []
    for release in forecast.releases:
        low, high = (f"{value:.3g}" for value in release.noise)
        noise = low if low == high else f"{low} to {high}"
        rows.append((release.what, f"{release.times:,}", f"{noise} {release.unit}"))
    return rows


def _errors(forecast: "Forecast") -> list[tuple[str, str, str, str]]:
    """Return the rows of the table of errors: figure, range, interval of the worst, worst columns."""
    categories = [c for c in forecast.columns if c.share is not None]
    numbers = [c for c in forecast.columns if c.mean is not None]
    rows = []
    if categories:
        widest = 100 * max(c.share.half_width for c in categories if c.share)
        spread = _range([100 * c.relative for c in categories])
        names = _worst(categories, lambda c: c.relative, lambda c: f"{100 * c.relative:.2g}")
        rows.append(("share of a category, in points", spread, f"{widest:.2g}", names))
        misplaced = [100 * (c.misplaced or 0.0) for c in categories]
        names = _worst(categories, lambda c: c.misplaced or 0.0, _misplaced)
        rows.append(("rows in a wrong category, in %", _range(misplaced), "", names))
    if numbers:
        spread = _range([100 * c.relative for c in numbers])
        widest = 100 * max(c.mean.half_width / c.width for c in numbers if c.mean and c.width)
        names = _worst(numbers, lambda c: c.relative, _in_unit)
        rows.append(("mean, in % of the bounds' width", spread, f"{widest:.2g}", names))
    pairs = forecast.pairs
    if pairs is not None:
        spread = _range([pairs.correlation.absolute, pairs.largest_correlation.absolute])
        names = " and ".join(shortened(name, NAME) for name in pairs.worst)
        widest = pairs.largest_correlation.half_width
        rows.append(("correlation of two columns", spread, f"{widest:.2g}", names))
        if pairs.cell is not None:
            cell, most = 100 * pairs.cell.absolute, 100 * pairs.cell.half_width
            title = "share of two columns' largest cell, in points"
            rows.append((title, f"{cell:.2g}", f"{most:.2g}", "a typical pair"))
    return rows


def _range(values: Sequence[float]) -> str:
    low, high = f"{min(values):.2g}", f"{max(values):.2g}"
    return low if low == high else f"{low} to {high}"


def _misplaced(column: "ColumnForecast") -> str:
    of = counted(column.categories or 0, "category", "categories")
    return f"{100 * (column.misplaced or 0.0):.2g}, {of}"


def _in_unit(column: "ColumnForecast") -> str:
    assert column.mean is not None
    return f"{column.mean.absolute:.2g}" + (f" {column.unit}" if column.unit else "")


def _worst(
    columns: "Sequence[ColumnForecast]",
    size: "Callable[[ColumnForecast], float]",
    text: "Callable[[ColumnForecast], str]",
) -> str:
    """Return the names of the columns that are furthest off, each with how far."""
    ordered = sorted(columns, key=size, reverse=True)[:SHOWN]
    return ", ".join(f"{shortened(column.name, NAME)} ({text(column)})" for column in ordered)


def _cost(forecast: "Forecast") -> list[str]:
    if forecast.cost is None:
        return []
    least, most = forecast.cost.seconds
    return [
        f"The fit takes about {_time(least)} to {_time(most)} on one core and "
        f"{forecast.cost.memory / 1e9:.2g} GB of memory; the model takes "
        f"{forecast.cost.disk / 1e6:.2g} MB on disk."
    ]


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
