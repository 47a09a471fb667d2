"""What the commands share: running one, with stops and errors; printing results; reading options."""

import json
import os
import signal
import sys
import textwrap
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, get_args

import typer
from typer.core import TyperGroup

from synthvae._files import check_output, write_whole
from synthvae._text import counted, delta_text, epsilon_text, printable, say
from synthvae.config import Depth, EvaluationRequest, RunConfig
from synthvae.errors import ConfigError, DataError, InputFileError, StorageError, SynthvaeError
from synthvae.field import Field
from synthvae.ordering import WHEN_MET
from synthvae.privacy.guarantee import Guarantee
from synthvae.schema import Schema
from synthvae.terminal_notes import notes_on_terminal

if TYPE_CHECKING:
    from rich.console import Console

    from synthvae.comparison.results import Comparison
    from synthvae.defects import ModelCheck
    from synthvae.evaluation.results import Evaluation
    from synthvae.pipeline import RunResult
    from synthvae.report.decision import Decision
    from synthvae.report.document import Policy, Report


INTERRUPTED = 130
UNTOUCHED = "what was there before is untouched."


class Stopped(KeyboardInterrupt):
    """A signal that asks the program to end, handled like Ctrl-C so that nothing half-made stays."""

    exit_code = INTERRUPTED


class Interrupted(BaseException):
    """Carries an interrupt past typer, which would make an exit without a word of it."""


class Commands(TyperGroup):
    """The commands, from which interrupts come out whole."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            raise Interrupted from stop


def run_program(app: typer.Typer) -> int:
    """Run the command line's arguments and return the exit code."""
    _stop_on_signals()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # names of columns may not fit a terminal's encoding
            stream.reconfigure(errors="backslashreplace")
    # Wherever it stands, so that it can be put after the command that failed.
    debug = "--debug" in sys.argv
    code = run_command(app, [each for each in sys.argv[1:] if each != "--debug"], debug)
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def run_command(app: typer.Typer, arguments: list[str], debug: bool) -> int:
    """Run one command, say what went wrong, and return the exit code."""
    try:
        with notes_on_terminal():
            code = app(arguments, standalone_mode=False)
    except (Interrupted, typer.Abort, KeyboardInterrupt, Exception) as error:
        message, code = _explain(error)
        if message:
            _complain(message, debug)
        return code
    if code == INTERRUPTED:  # while the arguments were still being read
        _complain(f"Interrupted; {UNTOUCHED}", debug)
    return code if isinstance(code, int) else 0


def _stop_on_signals() -> None:
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # One that is ignored, as under nohup, stays so.
        if number and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _stop)


def _stop(number: int, _frame: object) -> NoReturn:
    name = signal.Signals(number).name
    what = "Interrupted" if name == "SIGINT" else f"Stopped by {name}"
    stopped = Stopped(f"{what}; {UNTOUCHED}")
    stopped.exit_code = 128 + number
    raise stopped


def _explain(error: BaseException) -> tuple[str, int]:
    """Return what to say about whatever ended a command, and the exit code."""
    if isinstance(error, Interrupted | typer.Abort | KeyboardInterrupt):
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
    what = f"Something failed that should not have ({type(error).__name__}: {error})."
    return f"{what} Please report it with what --debug prints.", 1


def _complain(message: str, debug: bool) -> None:
    if debug:
        say(traceback.format_exc(), error=True)
    say(f"Error: {message}", error=True)


def print_earlier_spending(output: Path, release: Path, *, force: bool, start_over: bool) -> None:
    """Say what was spent on a release that is replaced, and on an unfinished fit thrown away."""
    from synthvae._frozen import read_value_if_any
    from synthvae.storage.checkpoint import spent_at_most, unfinished_folder

    adds = "what a new fit spends on the same patients adds to it."
    try:
        before = read_value_if_any(release / "guarantee.json", Guarantee) if force else None
        if before is not None and before.valid:
            say(
                f"The earlier release in {release} spent epsilon {epsilon_text(before.epsilon or 0)} "
                f"at delta {_delta_of(before)} per patient: {adds}"
            )
    except InputFileError:
        say(f"What the earlier release in {release} spent cannot be read: {adds}")
    spent = spent_at_most(unfinished_folder(output)) if start_over else None
    if spent is not None:
        say(
            f"Starting over. The unfinished fit has spent {spent}: that counts beside what this one "
            "spends."
        )


def check_table_files(
    out: Path, visits: Path | None, force: bool, inputs: tuple[Path, ...] = ()
) -> tuple[Path, ...]:
    """Return the files that a table is to go to, refused where `check_file` refuses one of them."""
    from synthvae.table.writing import ENDINGS

    files = (out,) if visits is None else (out, visits)
    for file in files:
        check_file(file, force, *ENDINGS, inputs=inputs)
    if visits is not None and visits.resolve() == out.resolve():
        raise ConfigError(f"out and visits are both {out}; give each table a file of its own.")
    return files


def check_tables(files: Sequence[Path], schema: Schema, rows: int | None) -> None:
    """Refuse files that could not hold a schema's table, or its patients and its visits."""
    from synthvae.table import check_writable
    from synthvae.table.two_files import check_key

    if len(files) > 1:
        check_key(schema)
    for file in files:
        check_writable(file, schema, rows)


def print_sample(rows: Sequence[int], files: Sequence[Path], guarantee: Guarantee) -> None:
    """Say how many rows of each file were drawn, and that this spent nothing more."""
    spending = spending_of(guarantee).replace("Spent", "Nothing more was spent than the model's")
    kinds = ("rows",) if len(rows) == 1 else ("patients", "visits")
    each = zip(rows, kinds, files, strict=True)
    wrote = " and ".join(f"{number:,} synthetic {kind} to {file}" for number, kind, file in each)
    say(f"Wrote {wrote}. {spending}")


def print_model_check(check: "ModelCheck", path: Path, *, as_json: bool) -> None:
    """Print what is known about a model's version: as text, or as JSON."""
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
    for defect in check.defects:
        say(f"\n{defect.id}")
        title = f"{defect.title}. Found {defect.found}, mended in {defect.mended}."
        for text in (title, defect.meaning, f"What to do: {defect.advice}"):
            say(textwrap.fill(text, 100, initial_indent="  ", subsequent_indent="  "))


def print_problems(
    problems: Sequence[object], notes: Iterable[str], to_review: Iterable[str]
) -> None:
    """Print problems of a table, fields under review and notes; raise `DataError` for problems."""
    for problem in problems:
        say(f"- {problem}")
    marked = list(to_review)
    if marked:
        count = f"{len(marked):,} marked `review: true`"  # columns, and rules by what they say
        say(f"- {count}, to go through with `synthvae schema review`:")
        say(textwrap.fill("; ".join(marked), 100, initial_indent="  ", subsequent_indent="  "))
    for note in notes:
        say(f"- note: {note}")
    if problems:
        raise DataError(f"{counted(len(problems), 'problem')} found.")


def print_lines(lines: Iterable[str]) -> None:
    """Print lines about a table, a dash before each."""
    for line in lines:
        say(f"- {line}")


def write_void_note(path: Path, guarantee: Guarantee) -> None:
    """Put a note beside records without a guarantee that says so; a CSV has no room for it."""
    note = path.with_name(f"{path.name}.NOT_PRIVATE.txt")
    if guarantee.valid:
        note.unlink(missing_ok=True)
    else:
        write_whole(note, f"{guarantee.why_void}\n")


def spending_of(guarantee: Guarantee) -> str:
    """Return what was spent, or that nothing protects the records, as a sentence."""
    if guarantee.epsilon is None:
        return f"{guarantee.why_void}."
    epsilon, delta = epsilon_text(guarantee.epsilon), _delta_of(guarantee)
    spending = f"Spent epsilon {epsilon} at delta {delta} per patient."
    if guarantee.epsilon_before_fit is not None:
        before = epsilon_text(guarantee.epsilon_before_fit)
        spending += f" It includes epsilon {before}, spent before the fit on choosing maxRows."
    return spending if guarantee.valid else f"{guarantee.why_void}. {spending}"


def _delta_of(guarantee: Guarantee) -> str:
    return "0" if guarantee.delta is None else delta_text(guarantee.delta)


def print_evaluation(
    evaluation: "Evaluation", path: Path | None = None, decision: "Decision | None" = None
) -> None:
    """Print what the evidence says about each claim, and the scores with their references."""
    from synthvae.report.decision import decide
    from synthvae.report.summaries import show

    show(evaluation, decision or decide(evaluation), _console(120))
    if path is not None:
        say(f"Wrote {path}. It was computed from real records: not for release.")


def print_run(result: "RunResult") -> None:
    """Print a run's evaluation, what it spent, and where its results are."""
    print_evaluation(result.evaluation, decision=result.report.decision)
    say(f"Made {result.rows:,} synthetic rows. {spending_of(result.guarantee)}")
    where = "to release  " if result.guarantee.valid else "NOT PRIVATE "
    say(f"  {where}  {result.folder / 'release'}")
    say(f"  to look at    {result.folder / 'custodian' / 'report.html'}  (not for release)")


def _console(width: int) -> "Console":
    """Return a console as wide as the terminal, or of a given width where there is none."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=width)


def print_comparison(result: "Comparison", folder: Path) -> None:
    """Print each method's mean figures, and where the page is."""
    from rich.table import Table
    from rich.text import Text

    def plain(text: str) -> Text:  # a bracket in a name from the schema is no markup
        return Text(printable(text))

    table = Table(title=plain(f"Methods on {result.name}"), title_justify="left")
    sized = any(summary.size is not None for summary in result.summaries)
    for name in ("method", *(("patients",) if sized else ()), "epsilon", "runs"):
        table.add_column(name, justify="left" if name == "method" else "right")
    for meaning in result.meanings:
        table.add_column(plain(meaning.title), justify="right")
    for name in ("seconds", "MB"):
        table.add_column(name, justify="right")
    for summary in result.summaries:
        means = [summary.figures.get(meaning.key) for meaning in result.meanings]
        costs = [summary.costs.get(name) for name in ("seconds", "megabytes")]
        cells = [summary.method, *([f"{summary.size:,}"] if sized else []), f"{summary.epsilon:g}"]
        cells += [
            f"{summary.runs}" + (f" (+{len(summary.failed)} failed)" if summary.failed else "")
        ]
        cells += ["" if mean is None else f"{mean.value:.3f}" for mean in means]
        cells += ["" if cost is None else f"{cost.value:,.0f}" for cost in costs]
        table.add_row(*map(plain, cells))
    _console(160).print(table)
    for reason in dict.fromkeys(r for summary in result.summaries for r in summary.failed):
        say(f"Failed: {reason}")
    say(f"Wrote {folder / 'comparison.html'}. Nothing in this folder is for release.")


def check_file(path: Path, force: bool, *endings: str, inputs: tuple[Path, ...] = ()) -> None:
    """Refuse an output file whose ending says no format, or that `check_output` refuses."""
    if not path.name.lower().endswith(endings):
        raise ConfigError(f"out is {path}; its name must end in {' or '.join(endings)}.")
    check_output(path, force, inputs=inputs)


def read_config(path: Path, out: Path | None, epsilon: str | None = None) -> RunConfig:
    """Return a run's settings, with the options' folder and budget where they are given."""
    config = RunConfig.load(path)
    changes: dict[str, object] = {} if out is None else {"out": out}
    if epsilon is not None:
        budget = read_epsilon(epsilon)
        changes |= {"epsilon": budget} | ({"delta": None} if budget is None else {})
    return config.model_copy(update=changes)


def read_policy(path: Path | None) -> "Policy | None":
    """Return a file's policy, or None without a file."""
    from synthvae.report.document import Policy

    return None if path is None else Policy.load(path)


def check_policy(policy: "Policy | None", report: "Report") -> None:
    """Raise `PolicyError` where a report fails the policy that was given."""
    if policy is not None:
        policy.check(report)


def read_epsilon(text: str) -> float | None:
    """Return a budget from an option's text; None for the word none."""
    if text.strip().lower() == "none":
        return None
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"epsilon is {text!r}; give a number above 0, or none.") from None


def read_evaluation_request(config: Path | None, depth: str | None) -> EvaluationRequest:
    """Return the evaluation section of a file, with the depth that is given."""
    request = EvaluationRequest() if config is None else EvaluationRequest.load(config)
    if depth is None:
        return request
    if depth not in get_args(Depth):
        raise ConfigError(f"depth is {depth!r}; it must be one of {', '.join(get_args(Depth))}.")
    return request.model_copy(update={"depth": depth})


def read_conditions(texts: list[str], schema: Schema) -> dict[str, Any]:
    """Return conditions from `column=value`, `column=a|b`, `column=low..high` and `column=`.

    Of visits in time, `first:` or `any:` may stand before the column.
    """
    conditions: dict[str, Any] = {}
    columns = {name: name for name in schema.names}
    if schema.orderBy is not None:
        columns = {f"{when}{name}": name for when in WHEN_MET for name in schema.names} | columns
    fields = {field.name: field for field in schema.modelled}
    for text in texts:
        # Column names may hold equals signs: the longest one that fits is meant.
        names = [name for name in columns if text.startswith(f"{name}=")]
        if not names and "=" not in text:
            raise ConfigError(f"where is {text!r}; write it as column=value.")
        name = max(names, key=len) if names else text.partition("=")[0]
        if name in conditions:
            raise ConfigError(
                f"where names {name!r} twice; give one condition a column: column=a|b for several "
                "categories, column=low..high for a range."
            )
        field = fields.get(columns.get(name, name))
        conditions[name] = _read_condition(text[len(name) + 1 :], field)
    return conditions


def _read_condition(value: str, field: Field | None) -> Any:
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
