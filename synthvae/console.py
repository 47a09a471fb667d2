"""What commands print when they are done, and how they read conditions."""

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from synthvae._files import whole_file
from synthvae._terminal import printable, say
from synthvae.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd
    from rich.text import Text

    from synthvae.comparison.values import Comparison
    from synthvae.defects import ModelCheck
    from synthvae.evaluation.asked import Asked
    from synthvae.evaluation.values import Evaluation
    from synthvae.field import Field
    from synthvae.pipeline import RunResult
    from synthvae.privacy.guarantee import Guarantee
    from synthvae.report.decision import Decision
    from synthvae.schema import Schema
    from synthvae.synthesizer import Synthesizer


def print_fit(synthesizer: "Synthesizer", path: Path) -> None:
    """Say what a fit spent and where the model lies."""
    say(f"Model in {path}. {spent(synthesizer.guarantee)}")


def print_start_over(output: Path) -> None:
    """Say what an unfinished fit that is thrown away has spent; nothing where there is none."""
    from synthvae._unfinished import place_of
    from synthvae.checkpoint import spent_at_most

    spent_before = spent_at_most(place_of(output))
    if spent_before is not None:
        say(
            f"Starting over. The unfinished fit has spent {spent_before}: that counts beside what "
            "this one spends."
        )


def print_replaced(guarantee_file: Path) -> None:
    """Say what a release that `--force` replaces has spent; nothing where it promises nothing."""
    from synthvae._values import read_value_if_any
    from synthvae.errors import InputFileError
    from synthvae.privacy.guarantee import Guarantee

    adds = "what a new fit spends on the same patients adds to it."
    try:
        before = read_value_if_any(guarantee_file, Guarantee)
    except InputFileError:
        say(f"What the earlier release in {guarantee_file.parent} spent cannot be read: {adds}")
        return
    if before is not None and before.valid:
        say(
            f"The earlier release in {guarantee_file.parent} spent epsilon {before.epsilon:.4g} at "
            f"delta {before.delta:g} per patient: {adds}"
        )


def print_sample(frame: "pd.DataFrame", path: Path, guarantee: "Guarantee") -> None:
    """Say what was drawn."""
    words = spent(guarantee).replace("Spent", "Nothing more was spent than the model's")
    say(f"Wrote {len(frame):,} synthetic rows to {path}. {words}")


def print_model_check(check: "ModelCheck", path: Path, *, as_json: bool) -> None:
    """Say what is known about a model's version: in words, or as JSON."""
    from synthvae.defects import DATE, NEWEST

    if as_json:
        say(json.dumps(check.to_dict(), indent=1))
        return
    made_by = "an unnamed synthvae" if check.synthvae is None else f"synthvae {check.synthvae}"
    say(f"The model in {path} has version {check.version}, made by {made_by}.")
    if not check.promises:
        reason = (check.why_void or "no reason is given").rstrip(".")
        say(f"Its guarantee is void, so it promises nothing anyway: {reason}.")
        say("Defects that matter only to whoever relies on a guarantee are not named.")
    if check.is_known and not check.defects:
        known = "No known defect" if check.promises else "No other known defect"
        say(f"{known}, as of {DATE} and for models up to version {NEWEST}.")
    for one in check.defects:
        say(f"\n{one.id}")
        title = f"{one.title}. Found {one.found}, mended in {one.mended}."
        for text in (title, one.meaning, f"What to do: {one.advice}"):
            say(textwrap.fill(text, 100, initial_indent="  ", subsequent_indent="  "))


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


def print_evaluation(
    evaluation: "Evaluation", path: Path | None = None, decision: "Decision | None" = None
) -> None:
    """Print what the evidence says about each claim, and the scores with their references."""
    from rich.console import Console

    from synthvae.report.decision import decide
    from synthvae.report.terminal import show

    console = Console()
    if not console.is_terminal:
        console = Console(width=120)
    show(evaluation, decision or decide(evaluation), console)
    if path is not None:
        say(f"Wrote {path}. It was computed from real records: not for release.")


def print_run(result: "RunResult") -> None:
    """Say what a run made, what it spent, what it found, and where to look."""
    print_evaluation(result.evaluation, decision=result.report.decision)
    say(f"Made {result.rows:,} synthetic rows. {spent(result.guarantee)}")
    where = "to release  " if result.guarantee.valid else "NOT PRIVATE "
    say(f"  {where}  {result.folder / 'release'}")
    say(f"  to look at    {result.folder / 'custodian' / 'report.html'}  (not for release)")


def _plain(text: str) -> "Text":
    """Return text for a table: a bracket in a name from the schema is no markup."""
    from rich.text import Text

    return Text(printable(text))


def print_comparison(result: "Comparison", folder: Path) -> None:
    """Print each method's mean figures, and where the page is."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=_plain(f"Methods on {result.name}"), title_justify="left")
    sized = any(one.size is not None for one in result.summaries)
    for name in ("method", *(("patients",) if sized else ()), "epsilon", "runs"):
        table.add_column(name, justify="left" if name == "method" else "right")
    for meaning in result.meanings:
        table.add_column(_plain(meaning.title), justify="right")
    table.add_column("seconds", justify="right")
    table.add_column("MB", justify="right")
    for one in result.summaries:
        means = [one.figures.get(meaning.key) for meaning in result.meanings]
        costs = [one.costs.get(name) for name in ("seconds", "megabytes")]
        cells = [one.method, *([f"{one.size:,}"] if sized else []), f"{one.epsilon:g}"]
        cells += [f"{one.runs}" + (f" (+{len(one.failed)} failed)" if one.failed else "")]
        cells += ["" if found is None else f"{found.value:.3f}" for found in means]
        cells += ["" if found is None else f"{found.value:,.0f}" for found in costs]
        table.add_row(*map(_plain, cells))
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    console.print(table)
    for reason in dict.fromkeys(r for one in result.summaries for r in one.failed):
        say(f"Failed: {reason}")
    say(f"Wrote {folder / 'comparison.html'}. Nothing in this folder is for release.")


def check_ending(path: Path, *endings: str) -> None:
    """Raise `ConfigError` where a file's ending is none that can be written."""
    if path.suffix.lower() not in endings:
        raise ConfigError(f"out is {path}; its name must end in {' or '.join(endings)}.")


def read_asked(config: Path | None, depth: str | None) -> "Asked":
    """Return what is asked of an evaluation: a file's section, with another depth where one is given.

    Raises
    ------
    ConfigError
        The file has no such section, or the depth is none that there is.
    """
    from synthvae.evaluation.asked import Asked
    from synthvae.evaluation.values import Depth

    asked = Asked() if config is None else Asked.load(config)
    if depth is None:
        return asked
    known = get_args(Depth)
    if depth not in known:
        raise ConfigError(f"depth is {depth!r}; it must be one of {', '.join(known)}.")
    return asked.model_copy(update={"depth": depth})


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
