"""The command line: thin; every command is one call into the package.

Exit code 0 only when the job is done. An error is one readable sentence on stderr, with an exit code
of its own kind (see `synthvae.errors`); `--debug` shows where it came from.
"""

import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from synthvae.errors import ConfigError, StorageError, SynthvaeError

INTERRUPTED = 130
UNTOUCHED = "what was there before is untouched."


class _Stopped(KeyboardInterrupt):
    """A signal that asks the program to end, handled like Ctrl-C so that nothing half-made stays."""

    exit_code = INTERRUPTED


class _Interrupted(BaseException):
    """Carries an interrupt past typer, which would make an exit without a word of it."""


class _Commands(TyperGroup):
    """The commands, from which interrupts come out whole."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            raise _Interrupted from stop


app = typer.Typer(
    name="synthvae",
    cls=_Commands,
    help="Synthetic health records with differential privacy, and the evidence to release them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
schema_app = typer.Typer(help="Draft or check a schema file.", no_args_is_help=True)
app.add_typer(schema_app, name="schema")

Table = Annotated[Path, typer.Argument(help="A CSV or Parquet file, by its ending.")]
SchemaFile = Annotated[Path, typer.Option("--schema", help="The table's schema, YAML or JSON.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an output that exists.")]
Delimiter = Annotated[str, typer.Option(help="What separates the cells of a CSV file.")]
Seed = Annotated[int | None, typer.Option(help="The same seed gives the same result.")]


@app.callback(invoke_without_command=True)
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with errors.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    del debug  # read by `main`, which also catches what fails before this runs
    if version:
        from synthvae import __version__

        typer.echo(f"synthvae {__version__}")
        raise typer.Exit


@app.command()
def run(
    config: Annotated[Path, typer.Argument(help="The run's settings, YAML or JSON.")],
    epsilon: Annotated[
        str | None, typer.Option(help="Privacy budget in place of the config's, or none.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for results.")] = None,
    force: Force = False,
) -> None:
    """Do the whole job: check, split, train, sample, evaluate and report."""
    from synthvae._progress import console_progress
    from synthvae.config import RunConfig
    from synthvae.console import print_run
    from synthvae.pipeline import run as run_job

    settings = RunConfig.load(config)
    changes: dict[str, object] = {}
    if epsilon is not None:
        budget = _epsilon(epsilon)
        changes |= {"epsilon": budget} | ({"delta": None} if budget is None else {})
    if out is not None:
        changes |= {"out": out}
    settings = settings.model_copy(update=changes)
    with console_progress() as progress:
        result = run_job(settings, progress, force=force)
    print_run(result)


@app.command()
def compare(
    config: Annotated[Path, typer.Argument(help="The settings of a run, with what to compare.")],
    out: Annotated[Path | None, typer.Option(help="Folder for results.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Begin again instead of going on with what is there.")
    ] = False,
) -> None:
    """Compare methods on one table at the same budgets: scores, time and memory."""
    from synthvae._progress import console_progress
    from synthvae.comparison.compare import compare as compare_methods
    from synthvae.comparison.compare import read_result
    from synthvae.config import RunConfig
    from synthvae.console import print_comparison

    settings = RunConfig.load(config)
    if out is not None:
        settings = settings.model_copy(update={"out": out})
    with console_progress() as progress:
        folder = compare_methods(settings, progress, force=force)
    print_comparison(read_result(folder), folder)


@app.command()
def fit(
    table: Table,
    schema: SchemaFile,
    epsilon: Annotated[str, typer.Option(help="Privacy budget, or none for no privacy.")],
    out: Annotated[Path, typer.Option(help="Folder for the model.")],
    delta: Annotated[
        float | None, typer.Option(help="Below 1/n; by default a tenth of 1/n, at most 1e-5.")
    ] = None,
    patients: Annotated[
        int | None, typer.Option(help="Declared number of patients, in place of the schema's.")
    ] = None,
    delimiter: Delimiter = ",",
    force: Force = False,
) -> None:
    """Train a model on a table under a privacy budget."""
    from synthvae._checks import check_positive_integer
    from synthvae._files import check_output
    from synthvae._progress import console_progress
    from synthvae.artefact import FILES
    from synthvae.console import print_fit
    from synthvae.schema import Schema
    from synthvae.synthesizer import Synthesizer
    from synthvae.table import read_table

    check_output(out, force, inputs=(table, schema), folder_of=FILES)
    facts = Schema.load(schema)
    if patients is not None:
        facts = facts.replace(patients=check_positive_integer("patients", patients))
    budget = _epsilon(epsilon)
    synthesizer = Synthesizer(facts, budget, None if budget is None else delta)
    frame = read_table(table, delimiter)
    with console_progress() as progress:
        synthesizer.fit(frame, progress)
    synthesizer.save(out, force=force)
    print_fit(synthesizer, out)


@app.command()
def sample(
    model: Annotated[Path, typer.Argument(help="The folder of a fitted model.")],
    out: Annotated[Path, typer.Option(help="CSV or Parquet file to write, by its ending.")],
    rows: Annotated[
        int | None, typer.Option(help="Rows to make; by default the declared table's.")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="A condition: column=value, column=a|b, or column=low..high; repeatable."
        ),
    ] = None,
    seed: Seed = None,
    force: Force = False,
) -> None:
    """Draw synthetic records from a model."""
    from synthvae._files import check_output
    from synthvae._progress import console_progress
    from synthvae.console import check_ending, mark_void, print_sample, read_conditions
    from synthvae.synthesizer import Synthesizer
    from synthvae.table import write_table

    check_ending(out, ".csv", ".txt", ".parquet", ".pq")
    check_output(out, force)
    synthesizer = Synthesizer.load(model)
    conditions = read_conditions(where or [], synthesizer.schema)
    with console_progress() as progress:
        frame = synthesizer.sample(rows, where=conditions, seed=seed, progress=progress)
    write_table(frame, out, synthesizer.schema)
    mark_void(out, synthesizer.guarantee)
    print_sample(frame, out, synthesizer.guarantee)


@app.command()
def evaluate(
    synthetic: Annotated[Path, typer.Argument(help="The synthetic table, from any tool.")],
    train: Annotated[Path, typer.Option(help="The real rows that it was made from.")],
    holdout: Annotated[Path, typer.Option(help="Real rows that its maker never saw.")],
    schema: SchemaFile,
    out: Annotated[Path, typer.Option(help="Where to write: .json, or .html for a page.")],
    seed: Annotated[int, typer.Option(help="Repeats everything random in the scores.")] = 0,
    delimiter: Delimiter = ",",
    force: Force = False,
) -> None:
    """Score anybody's synthetic table against real rows."""
    from synthvae._files import check_output
    from synthvae._progress import console_progress, steps_of
    from synthvae.console import check_ending, print_evaluation
    from synthvae.evaluation import evaluate as score
    from synthvae.schema import Schema
    from synthvae.table import read_table

    check_ending(out, ".json", ".html")
    check_output(out, force, inputs=(synthetic, train, holdout, schema))
    facts = Schema.load(schema)
    real, unseen, made = (read_table(path, delimiter) for path in (train, holdout, synthetic))
    with console_progress() as progress:
        steps = steps_of(progress, "evaluating")
        evaluation = score(real, unseen, made, facts, seed=seed, progress=steps)
    evaluation.save(out)
    print_evaluation(evaluation, out)


@app.command()
def report(
    evaluation: Annotated[Path, typer.Argument(help="An evaluation.json.")],
    out: Annotated[Path, typer.Option(help="The page to write.")],
    guarantee: Annotated[
        Path | None, typer.Option(help="A guarantee.json; by default the one beside.")
    ] = None,
    force: Force = False,
) -> None:
    """Make the report again from saved values."""
    from synthvae._files import check_output, whole_file
    from synthvae.pipeline import read_report_inputs
    from synthvae.report import render

    check_output(out, force, inputs=(evaluation, *([guarantee] if guarantee else [])))
    page = render(*read_report_inputs(evaluation, guarantee))
    with whole_file(out) as draft:
        draft.write_text(page, encoding="utf-8")
    typer.echo(f"Wrote {out}")


@schema_app.command("init")
def schema_init(
    table: Table,
    out: Annotated[Path, typer.Option(help="The schema file to write.")],
    delimiter: Delimiter = ",",
    force: Force = False,
) -> None:
    """Draft a schema from a table; whatever was read off the data is marked for review."""
    from synthvae._files import check_output, whole_file
    from synthvae.drafting import draft_yaml
    from synthvae.table import read_table

    check_output(out, force, inputs=(table,))
    text = draft_yaml(read_table(table, delimiter), table.stem)
    with whole_file(out) as draft:
        draft.write_text(text, encoding="utf-8")
    marked = sum(line.strip() == "review: true" for line in text.splitlines())
    typer.echo(f"Wrote {out}; {marked} fields marked `review: true` need a person's word.")


@schema_app.command("check")
def schema_check(
    schema: Annotated[Path, typer.Argument(help="The schema file.")],
    table: Table,
    delimiter: Delimiter = ",",
) -> None:
    """Compare a schema with a table and list every problem at once."""
    from synthvae.errors import DataError
    from synthvae.schema import Schema
    from synthvae.table import find_problems, read_table

    facts = Schema.load(schema)
    problems = find_problems(read_table(table, delimiter), facts)
    for problem in problems:
        typer.echo(f"- {problem}")
    for name in facts.to_review:
        typer.echo(f"- column '{name}': marked `review: true`; confirm it and remove the mark")
    if problems:
        raise DataError(f"{len(problems)} problems found.")
    marked = len(facts.to_review)
    waits = f" {marked} fields await review before a private fit." if marked else ""
    typer.echo(f"{table} fits {schema}.{waits}")


def _epsilon(text: str) -> float | None:
    if text.strip().lower() == "none":
        return None
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"epsilon is {text!r}; give a number above 0, or none.") from None


def _stop(number: int, _frame: object) -> NoReturn:
    name = signal.Signals(number).name
    what = "Interrupted" if name == "SIGINT" else f"Stopped by {name}"
    stopped = _Stopped(f"{what}; {UNTOUCHED}")
    stopped.exit_code = 128 + number
    raise stopped


def main() -> None:
    """Run the command line; the entry point of the `synthvae` command."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # One that is ignored, as under nohup, stays so.
        if number and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _stop)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # names of columns may not fit a terminal's encoding
            stream.reconfigure(errors="backslashreplace")
    # Wherever it stands, so that it can be put after the command that failed.
    debug = "--debug" in sys.argv
    code = _run_app([word for word in sys.argv[1:] if word != "--debug"], debug)
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _run_app(words: list[str], debug: bool) -> int:
    """Run one command, say what went wrong, and return the exit code."""
    try:
        code = app(words, standalone_mode=False)
    except (_Interrupted, typer.Abort, KeyboardInterrupt, Exception) as error:
        message, code = _explain(error)
        if message:
            _complain(message, debug)
        return code
    if code == INTERRUPTED:  # while the words were still being read
        _complain(f"Interrupted; {UNTOUCHED}", debug)
    return code if isinstance(code, int) else 0


def _explain(error: BaseException) -> tuple[str, int]:
    """Return what to say about whatever ended a command, and the exit code."""
    if isinstance(error, _Interrupted | typer.Abort | KeyboardInterrupt):
        stop = error.__cause__ or error
        return str(stop) or f"Interrupted; {UNTOUCHED}", getattr(stop, "exit_code", INTERRUPTED)
    if isinstance(error, SynthvaeError):
        return str(error), error.exit_code
    if isinstance(error, typer.Exit):
        return "", error.exit_code
    if hasattr(error, "show") and hasattr(error, "exit_code"):
        error.show()  # wrong options: the command line's own message
        return "", int(error.exit_code)
    return _explain_unforeseen(error)


def _explain_unforeseen(error: BaseException) -> tuple[str, int]:
    if isinstance(error, BrokenPipeError):  # whoever read the output has left
        return "", 1
    if isinstance(error, MemoryError):
        return f"There is not enough memory for this; {UNTOUCHED}", 1
    if isinstance(error, OSError):
        what = f"{error.filename or 'A file'} cannot be used: {error.strerror or error}."
        return what, StorageError.exit_code
    said = f"Something failed that should not have ({type(error).__name__}: {error}). "
    return said + "Please report it with what --debug prints.", 1


def _complain(message: str, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    print(f"Error: {message}", file=sys.stderr)


if __name__ == "__main__":
    main()
