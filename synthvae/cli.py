"""The command line: thin; every command is one call into the package.

Exit code 0 only when the job is done. An error is one readable sentence on stderr, with an exit code
of its own kind (see `synthvae.errors`); `--debug` shows where it came from.
"""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from synthvae import command_options, console, plan_command, sample_command
from synthvae._files import check_output, write_whole
from synthvae._runtime import console_progress, steps_of
from synthvae._text import say
from synthvae.schema import Schema
from synthvae.schema_commands import schema_app
from synthvae.terminal_notes import print_left_out

app = typer.Typer(
    name="synthvae",
    cls=console.Commands,
    help="Synthetic health records with differential privacy, and the evidence to release them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(schema_app, name="schema")

StartOver = Annotated[
    bool,
    typer.Option(
        "--start-over", help="Begin again what was stopped; what it has spent counts too."
    ),
]
PolicyFile = Annotated[
    Path | None,
    typer.Option("--policy", help="What must be shown, YAML; exit code 12 where it is not."),
]
Results = Annotated[Path | None, typer.Option(help="Folder for results.")]
Seed = Annotated[int | None, typer.Option(help="The same seed gives the same result.")]


@app.callback(invoke_without_command=True)
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with errors.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    del debug  # read by `main`, which also catches what fails before this runs
    if version:
        from synthvae import __version__

        say(f"synthvae {__version__}")
        raise typer.Exit


@app.command()
def run(
    config: Annotated[Path, typer.Argument(help="The run's settings, YAML or JSON.")],
    epsilon: Annotated[
        str | None, typer.Option(help="Privacy budget in place of the config's, or none.")
    ] = None,
    out: Results = None,
    force: command_options.Force = False,
    start_over: StartOver = False,
    policy: PolicyFile = None,
) -> None:
    """Do the whole job: check, split, train, sample, evaluate and report."""
    from synthvae import pipeline

    settings, required = console.read_config(config, out, epsilon), console.read_policy(policy)
    release = settings.folder / pipeline.RELEASE
    plan_command.print_run_warnings(settings)
    console.print_earlier_spending(settings.folder, release, force=force, start_over=start_over)
    with console_progress() as progress:
        result = pipeline.run(settings, progress, force=force, start_over=start_over)
    console.print_run(result)
    console.check_policy(required, result.report)


@app.command()
def compare(
    config: Annotated[Path, typer.Argument(help="The settings of a run, with what to compare.")],
    out: Results = None,
    force: Annotated[
        bool, typer.Option("--force", help="Begin again instead of going on with what is there.")
    ] = False,
) -> None:
    """Compare methods on one table at the same budgets: scores, time and memory."""
    from synthvae.comparison import compare as comparison

    settings = console.read_config(config, out)
    with console_progress() as progress:
        folder = comparison.compare(settings, progress, force=force)
    console.print_comparison(comparison.read_result(folder), folder)


app.command()(plan_command.plan)


@app.command()
def fit(
    table: command_options.Table,
    schema: command_options.SchemaFile,
    epsilon: Annotated[str, typer.Option(help="Privacy budget, or none for no privacy.")],
    out: Annotated[Path, typer.Option(help="Folder for the model.")],
    visits: command_options.Visits = None,
    delta: command_options.Delta = None,
    patients: command_options.Patients = None,
    delimiter: command_options.Delimiter = None,
    encoding: command_options.Encoding = None,
    sheet: command_options.Sheet = None,
    header: command_options.Header = None,
    force: command_options.Force = False,
    start_over: StartOver = False,
) -> None:
    """Train a model on a table under a privacy budget."""
    from synthvae.storage.checkpoint import unfinished_work
    from synthvae.storage.model_folder import FILES
    from synthvae.synthesizer import Synthesizer

    inputs = (table, schema, *([] if visits is None else [visits]))
    check_output(out, force, inputs=inputs, folder_of=FILES)
    declared = command_options.load_schema(schema, patients)
    budget = console.read_epsilon(epsilon)
    synthesizer = Synthesizer(declared, budget, delta)
    plan_command.print_warnings(declared, budget, delta)
    options = (delimiter, encoding, sheet, header)
    frame = command_options.open_joined(table, visits, options, declared)
    console.print_earlier_spending(out, out, force=force, start_over=start_over)
    with unfinished_work(out, force=force, start_over=start_over) as work:
        with console_progress() as progress:
            synthesizer.fit(frame, progress, checkpoint=work.folder)
        synthesizer.save(out, force=force)
    print_left_out(declared)
    say(f"Model in {out}. {console.spending_of(synthesizer.guarantee)}")


@app.command()
def sample(
    model: Annotated[Path, typer.Argument(help="The folder of a fitted model.")],
    out: Annotated[Path, typer.Option(help="Table to write: .csv, .parquet, .xlsx, .dta, ...")],
    rows: Annotated[
        int | None,
        typer.Option(
            help="Rows to make, at most where orderBy keeps patients whole; by default the declared "
            "table's."
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="A condition: column=value, column=a|b, or column=low..high; of visits in time, "
            "first:column=value, or any:column=value for any visit; repeatable."
        ),
    ] = None,
    seed: Seed = None,
    visits: Annotated[
        Path | None, typer.Option(help="Table of visits to write; --out has a row a patient then.")
    ] = None,
    given: Annotated[
        Path | None,
        typer.Option(
            help="One table of patients with their visits so far, to go on from: NOT FOR RELEASE."
        ),
    ] = None,
    force: command_options.Force = False,
) -> None:
    """Draw synthetic records from a model, or what follows given histories."""
    files = sample_command.check_files(out, visits, given, force)
    asked = sample_command.SampleRequest(model, files, rows, tuple(where or ()), seed, given)
    sample_command.draw_records(asked)


@app.command("check-model")
def check_model(
    model: Annotated[Path, typer.Argument(help="The folder of a fitted model, of any version.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print it for a program, as JSON.")
    ] = False,
) -> None:
    """Say whether a saved model's version has a known defect; exit code 14 where it has."""
    from synthvae import defects

    check = defects.check_model(model)
    console.print_model_check(check, model, as_json=as_json)
    defects.raise_for_defects(model, check)


@app.command()
def evaluate(
    synthetic: Annotated[Path, typer.Argument(help="The synthetic table, from any tool.")],
    train: Annotated[Path, typer.Option(help="The real rows that it was made from.")],
    holdout: Annotated[Path, typer.Option(help="Real rows that its maker never saw.")],
    schema: command_options.SchemaFile,
    out: Annotated[Path, typer.Option(help="Where to write: .json, or .html for a page.")],
    seed: Annotated[int, typer.Option(help="Repeats everything random in the scores.")] = 0,
    config: Annotated[
        Path | None,
        typer.Option(help="A YAML or JSON file whose `evaluation` section says what is asked."),
    ] = None,
    depth: Annotated[
        str | None, typer.Option(help="How hard the attacks try: screen, standard or deep.")
    ] = None,
    draw: Annotated[
        list[Path] | None,
        typer.Option(help="A further table of the same generator, for the spread; repeatable."),
    ] = None,
    delimiter: command_options.Delimiter = None,
    encoding: command_options.Encoding = None,
    sheet: command_options.Sheet = None,
    header: command_options.Header = None,
    force: command_options.Force = False,
    policy: PolicyFile = None,
) -> None:
    """Score anybody's synthetic table against real rows."""
    from synthvae.report import render
    from synthvae.report.document import custodian_report
    from synthvae.request import check_request
    from synthvae.scoring import evaluate as score

    further = draw or []
    files = (synthetic, train, holdout, schema, *further, *([config] if config else []))
    console.check_file(out, force, ".json", ".html", inputs=files)
    declared, required = Schema.load(schema), console.read_policy(policy)
    request = console.read_evaluation_request(config, depth)
    check_request(request, declared)
    tables, options = (train, holdout, synthetic, *further), (delimiter, encoding, sheet, header)
    real, unseen, drawn, *draws = command_options.read_with_notes(tables, options, declared.dialect)
    with console_progress() as progress:
        steps = steps_of(progress, "evaluating")
        evaluation = score(
            real, unseen, drawn, declared, seed=seed, progress=steps, asked=request, draws=draws
        )
    text = render(evaluation) if out.suffix.lower() == ".html" else evaluation.to_json()
    write_whole(out, text)
    console.print_evaluation(evaluation, out)
    console.check_policy(required, custodian_report(evaluation))


@app.command()
def report(
    evaluation: Annotated[Path, typer.Argument(help="An evaluation.json.")],
    out: Annotated[Path, typer.Option(help="Where to write: .html for a page, or .json.")],
    guarantee: Annotated[
        Path | None, typer.Option(help="A guarantee.json; by default the one beside.")
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(help="The public rendering instead, by acro, hes or a profile's file."),
    ] = None,
    force: command_options.Force = False,
    policy: PolicyFile = None,
) -> None:
    """Make the report again from saved values, for the custodian or for the public."""
    from synthvae.pipeline import read_report
    from synthvae.report import page_of
    from synthvae.report.disclosure_rules import find_profile
    from synthvae.report.document import public_report

    given = [path for path in (guarantee, policy) if path is not None]
    console.check_file(out, force, ".html", ".json", inputs=(evaluation, *given))
    required = console.read_policy(policy)
    rules = None if profile is None else find_profile(profile)
    whole = read_report(evaluation, guarantee)
    rendered = whole if rules is None else public_report(whole, rules)
    text = page_of(rendered) if out.suffix.lower() == ".html" else rendered.to_json()
    write_whole(out, text)
    say(f"Wrote {out}")
    console.check_policy(required, whole)


@app.command()
def audit(
    config: Annotated[
        Path | None,
        typer.Argument(help="A run's settings: its schema and budget; its table is never read."),
    ] = None,
    kind: Annotated[
        str, typer.Option(help="two-worlds-white, two-worlds-black, one-run, or all.")
    ] = "all",
    trials: Annotated[
        int | None,
        typer.Option(help="Fits of each world, or canaries in one run; by default 100, or 500."),
    ] = None,
    epsilon: Annotated[
        float | None,
        typer.Option(help="The budget that is claimed; by default the config's, or 4."),
    ] = None,
    patients: Annotated[
        int, typer.Option(help="Simulated patients in the world without the record.")
    ] = 50,
    confidence: Annotated[
        float, typer.Option(help="With which all lower bounds hold together.")
    ] = 0.95,
    deep: Annotated[
        bool, typer.Option("--deep", help="1,000 fits of each world, or 2,000 canaries.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(help="Processes that fit; by default one a core.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="JSON file to write.")] = None,
    seed: Annotated[
        int, typer.Option(help="Repeats the observer's own draws; never the noise that is audited.")
    ] = 0,
    force: command_options.Force = False,
) -> None:
    """Bound epsilon from below: does the code leak more than it claims? On simulated tables."""
    from synthvae.audit.audit import case_of, check_passed, kinds_of, print_audit, run_audits

    if out is not None:
        console.check_file(out, force, ".json", inputs=() if config is None else (config,))
    kinds = kinds_of(kind)
    case = None if config is None else case_of(config, epsilon, patients)
    with console_progress() as progress:
        result = run_audits(
            kinds,
            case=case,
            epsilon=4.0 if epsilon is None else epsilon,
            patients=patients,
            trials=trials,
            deep=deep,
            confidence=confidence,
            seed=seed,
            workers=workers or os.cpu_count() or 1,
            progress=progress,
        )
    if out is not None:
        result.save(out)
    print_audit(result)
    if out is not None:
        say(f"Wrote {out}")
    check_passed(result)
    if result.interrupted:
        raise typer.Exit(console.INTERRUPTED)


def main() -> None:
    """Run the command line; the entry point of the `synthvae` command."""
    sys.exit(console.run_program(app))


if __name__ == "__main__":
    main()
