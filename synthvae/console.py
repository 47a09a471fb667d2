"""What commands print when they are done, and how they read conditions."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from synthvae._files import whole_file
from synthvae.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

    from synthvae.comparison.values import Comparison
    from synthvae.evaluation.values import Evaluation, Score
    from synthvae.field import Field
    from synthvae.pipeline import RunResult
    from synthvae.privacy.guarantee import Guarantee
    from synthvae.schema import Schema
    from synthvae.synthesizer import Synthesizer


def print_fit(synthesizer: "Synthesizer", path: Path) -> None:
    """Say what a fit spent and where the model lies."""
    typer.echo(f"Model in {path}. {spent(synthesizer.guarantee)}")


def print_sample(frame: "pd.DataFrame", path: Path, guarantee: "Guarantee") -> None:
    """Say what was drawn."""
    words = spent(guarantee).replace("Spent", "Nothing more was spent than the model's")
    typer.echo(f"Wrote {len(frame):,} synthetic rows to {path}. {words}")


def mark_void(path: Path, guarantee: "Guarantee") -> None:
    """Put a note beside records without a guarantee that says so; a CSV has no room for it."""
    note = path.with_name(f"{path.name}.NOT_PRIVATE.txt")
    if guarantee.valid:
        note.unlink(missing_ok=True)
        return
    with whole_file(note) as draft:
        draft.write_text(f"{guarantee.why_void}\n", encoding="utf-8")


def spent(guarantee: "Guarantee") -> str:
    """Return what was spent, or that nothing protects the records, as a sentence."""
    if guarantee.epsilon is None:
        return f"{guarantee.why_void}."
    words = f"Spent epsilon {guarantee.epsilon:.4g} at delta {guarantee.delta:g} per patient."
    return words if guarantee.valid else f"{guarantee.why_void}. {words}"


def print_evaluation(evaluation: "Evaluation", path: Path | None = None) -> None:
    """Print the scores as a table, with their references."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Names come from the schema: a bracket in them is no markup.
    table = Table(title=Text(f"Scores of {evaluation.name}"), title_justify="left")
    table.add_column("score", overflow="fold")
    table.add_column("better")
    for name in ("synthetic", "95 % interval", "real holdout", "independent"):
        table.add_column(name, justify="right", no_wrap=True)
    for score in evaluation.scores:
        table.add_row(*map(Text, _score_row(score)))
    console = Console()
    if not console.is_terminal:
        console = Console(width=120)
    console.print(table)
    if path is not None:
        typer.echo(f"Wrote {path}. It was computed from real records: not for release.")


def _score_row(score: "Score") -> tuple[str, ...]:
    better: str = score.direction
    if score.goal is not None and score.direction == "towards":
        better = f"to {score.goal:g}"
    interval = score.interval
    return (
        score.title,
        better,
        "not run" if score.value is None else f"{score.value:.3f}",
        "" if interval is None else f"{interval.low:.3f} to {interval.high:.3f}",
        _number(score.references.get("holdout")),
        _number(score.references.get("independent")),
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def print_run(result: "RunResult") -> None:
    """Say what a run made, what it spent, what it found, and where to look."""
    print_evaluation(result.evaluation)
    typer.echo(f"Made {result.rows:,} synthetic rows. {spent(result.guarantee)}")
    where = "to release  " if result.guarantee.valid else "NOT PRIVATE "
    typer.echo(f"  {where}  {result.folder / 'release'}")
    typer.echo(f"  to look at    {result.folder / 'custodian' / 'report.html'}  (not for release)")


def print_comparison(result: "Comparison", folder: Path) -> None:
    """Print each method's mean figures, and where the page is."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(f"Methods on {result.name}"), title_justify="left")
    sized = any(one.size is not None for one in result.summaries)
    for name in ("method", *(("patients",) if sized else ()), "epsilon", "runs"):
        table.add_column(name, justify="left" if name == "method" else "right")
    for meaning in result.meanings:
        table.add_column(Text(meaning.title), justify="right")
    table.add_column("seconds", justify="right")
    table.add_column("MB", justify="right")
    for one in result.summaries:
        means = [one.figures.get(meaning.key) for meaning in result.meanings]
        costs = [one.costs.get(name) for name in ("seconds", "megabytes")]
        cells = [one.method, *([f"{one.size:,}"] if sized else []), f"{one.epsilon:g}"]
        cells += [f"{one.runs}" + (f" (+{len(one.failed)} failed)" if one.failed else "")]
        cells += ["" if found is None else f"{found.value:.3f}" for found in means]
        cells += ["" if found is None else f"{found.value:,.0f}" for found in costs]
        table.add_row(*map(Text, cells))
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    console.print(table)
    for reason in dict.fromkeys(r for one in result.summaries for r in one.failed):
        typer.echo(f"Failed: {reason}")
    typer.echo(f"Wrote {folder / 'comparison.html'}. Nothing in this folder is for release.")


def check_ending(path: Path, *endings: str) -> None:
    """Raise `ConfigError` where a file's ending is none that can be written."""
    if path.suffix.lower() not in endings:
        raise ConfigError(f"out is {path}; its name must end in {' or '.join(endings)}.")


def read_conditions(texts: list[str], schema: "Schema") -> dict[str, Any]:
    """Return conditions from `column=value`, `column=a|b`, `column=low..high` and `column=`.

    Raises
    ------
    ConfigError
        A text has no equals sign, or two name the same column.
    """
    found: dict[str, Any] = {}
    fields = {field.name: field for field in schema.modelled}
    for text in texts:
        # Column names may hold equals signs: the longest one that fits is meant.
        names = [name for name in schema.names if text.startswith(f"{name}=")]
        if not names and "=" not in text:
            raise ConfigError(f"where is {text!r}; write it as column=value.")
        name = max(names, key=len) if names else text.partition("=")[0]
        if name in found:
            raise ConfigError(
                f"where names {name!r} twice; give one condition a column: column=a|b for several "
                "categories, column=low..high for a range."
            )
        found[name] = _read_value(text[len(name) + 1 :], fields.get(name))
    return found


def _read_value(value: str, field: "Field | None") -> Any:
    """Return one condition's value: text, a list of categories, a pair, or None for missing."""
    if field is not None and value in field.categories:
        return value
    if value == "":
        return None
    if field is not None and field.is_lattice and ".." in value:
        low, _, high = value.partition("..")
        return (low or None, high or None)
    if field is None or field.is_lattice or "|" not in value:
        return value
    return value.split("|")
