"""The main job: a table and a budget in; records, scores and a report out."""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

import pandas as pd
from pydantic import BaseModel, ValidationError

from synthvae._explain import explain
from synthvae._files import check_output, free_name, whole_folder
from synthvae._progress import Progress, silent, steps_of
from synthvae.config import RunConfig, Source
from synthvae.errors import (
    ConfigError,
    DataError,
    EvaluationError,
    InputFileError,
    SynthvaeError,
)
from synthvae.plan import check_budget
from synthvae.report.values import RunContext, TrainingCurve, data_dictionary
from synthvae.schema import Schema
from synthvae.settings import Settings, settings_for
from synthvae.synthesizer import FEWEST_PATIENTS, Synthesizer, check_memory
from synthvae.table import encode, identities, read_table, split_by_patient, write_table

if TYPE_CHECKING:
    from synthvae.evaluation.values import Evaluation
    from synthvae.privacy.guarantee import Guarantee

RELEASE, CUSTODIAN = "release", "custodian"
RELEASE_NOTE = """\
This folder holds what the guarantee covers, and nothing else:

  synthetic.csv     synthetic records, none copied from a patient (one may equal a real row by chance)
  model/            the model that they were drawn from
  schema.yaml       public facts about the table
  guarantee.json    what is promised, and the log to recompute it from
"""
CUSTODIAN_NOTE = """\
NOT FOR RELEASE. This folder holds figures computed from real records: the evaluation, the report
and the training curve. The differential privacy guarantee does not cover them. They are for the
data steward and the release committee.
"""
UNSCORED_NOTE = """\
NOT SCORED. The run failed or was interrupted after its budget was spent: the release was written, but
nobody has looked at how good or how safe it is. `synthvae evaluate` scores it.
"""
VOID_NOTE = """\
{why}

Nothing in this folder has a privacy guarantee. Treat it as if it held the real records.
"""


@dataclass(frozen=True)
class RunResult:
    """What a run made: where it lies, what was found, what was promised."""

    folder: Path
    rows: int
    evaluation: "Evaluation"
    guarantee: "Guarantee"


def load_source(source: Source) -> pd.DataFrame:
    """Return the table that a run's settings name."""
    if source.dataset is not None:
        from synthvae.datasets import CLINIC_ROWS, load_clinic, load_randhie

        if source.is_simulated:
            return load_clinic(source.rows or CLINIC_ROWS)
        return load_randhie()
    assert source.path is not None
    return read_table(source.path, source.delimiter)


def load_schema(config: RunConfig) -> Schema:
    """Return the schema of a run; a simulated table's patients are as many as the config says."""
    schema = Schema.load(config.schema_path)
    return schema if config.data.rows is None else schema.replace(patients=config.data.rows)


def override_settings(schema: Schema, epsilon: float | None, changes: dict[str, float]) -> Settings:
    """Return the public rule's settings with some replaced; `ConfigError` names a wrong one."""
    value = settings_for(schema, epsilon).model_dump() | changes
    try:
        return Settings.model_validate(value)
    except ValidationError as cause:
        raise ConfigError(f"In settings: {explain(cause, Settings, value)}") from None


def run(config: RunConfig, progress: Progress = silent, *, force: bool = False) -> RunResult:
    """Do the main job and write `release/` and `custodian/` into the run's folder.

    Raises
    ------
    SynthvaeError
        One of its kinds, before anything is spent wherever that can be known; what stood in the
        folder before is untouched. What fails after the budget was spent does not cost what it
        bought: the release is written, beside an older result if there is one, and the error says
        where.
    """
    inputs = [config.schema_path, *([config.data.path] if config.data.path else [])]
    check_output(config.folder, force, inputs=tuple(inputs), folder_of=(RELEASE, CUSTODIAN))
    schema = load_schema(config)
    synthesizer = plan_fit(config, schema)
    progress("reading and checking", 0.0)
    frame = load_source(config.data)
    train, holdout = split(frame, schema, config)
    progress("reading and checking", 1.0)
    synthesizer.fit(train, progress)
    made = _Made(synthesizer)
    try:
        _sample_and_score(made, train, holdout, schema, config, progress)
    except (Exception, KeyboardInterrupt) as cause:
        _keep(made, config.folder, cause)
    assert made.synthetic is not None
    assert made.evaluation is not None
    progress("writing", 0.0)
    with whole_folder(config.folder, force) as folder:
        write_release(folder / RELEASE, synthesizer, made.synthetic)
        write_custodian(folder / CUSTODIAN, made)
    progress("writing", 1.0)
    return RunResult(config.folder, len(made.synthetic), made.evaluation, synthesizer.guarantee)


@dataclass
class _Made:
    """What a run has made so far, once its budget is spent."""

    synthesizer: Synthesizer
    context: RunContext | None = None
    synthetic: pd.DataFrame | None = None
    evaluation: "Evaluation | None" = None
    page: str | None = None


def plan_fit(config: RunConfig, schema: Schema) -> Synthesizer:
    """Return the unfitted synthesizer of a run, from public facts alone.

    The schema declares the whole table's patients; the model sees the declared share of them.
    """
    if schema.patients is not None:
        remaining = max(1, round(schema.patients * (1 - config.holdout)))
        if remaining < FEWEST_PATIENTS:
            raise ConfigError(
                f"patients is {schema.patients} in the schema, of which a holdout of "
                f"{config.holdout:g} leaves {remaining} to train on; a model needs at least "
                f"{FEWEST_PATIENTS}: lower holdout, or find more patients."
            )
        schema = schema.replace(patients=remaining)
    check_budget(config.epsilon, config.delta, schema.patients)
    settings = override_settings(schema, config.epsilon, config.settings)
    synthesizer = Synthesizer(schema, config.epsilon, config.delta, settings=settings)
    if config.rows is not None:
        check_memory(config.rows, schema)
    return synthesizer


def split(
    frame: pd.DataFrame, schema: Schema, config: RunConfig
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Check a table and return its rows to train on and its rows held out.

    Raises
    ------
    DataError
        The table does not fit the schema, or one side has too few patients.
    """
    encode(frame, schema)
    held = split_by_patient(frame, schema, config.holdout, config.seed)
    train, holdout = frame[~held], frame[held]
    key = schema.patientKey
    patients, remaining = (
        len(rows) if key is None else int(identities(rows[key], schema[key]).nunique())
        for rows in (frame, train)
    )
    if remaining < FEWEST_PATIENTS or remaining == patients:
        raise DataError(
            f"The table has {patients} patient{'' if patients == 1 else 's'}, of which a holdout of "
            f"{config.holdout:g} leaves {remaining} to train on and {patients - remaining} to judge "
            f"by; a run needs at least {FEWEST_PATIENTS} and 1. Change holdout, or train on all of "
            "them with `synthvae fit`."
        )
    return train, holdout


def _sample_and_score(
    made: _Made,
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    schema: Schema,
    config: RunConfig,
    progress: Progress,
) -> None:
    made.context = make_context(config, schema, made.synthesizer)
    made.synthetic = made.synthesizer.sample(config.rows, seed=config.seed, progress=progress)
    from synthvae.evaluation import evaluate
    from synthvae.report import render

    made.evaluation = evaluate(
        train,
        holdout,
        made.synthetic,
        schema,
        seed=config.seed,
        progress=steps_of(progress, "evaluating"),
    )
    guarantee, curve = made.synthesizer.guarantee, report_curve(made.synthesizer)
    made.page = render(made.evaluation, guarantee, curve, made.context)


def _keep(made: _Made, path: Path, cause: BaseException) -> NoReturn:
    """Write what was made before a failure, beside any older result, and pass the failure on."""
    path = free_name(path) if path.exists() else path
    with whole_folder(path) as folder:
        write_release(folder / RELEASE, made.synthesizer, made.synthetic)
        write_custodian(folder / CUSTODIAN, made)
    what = "model is" if made.synthetic is None else "records and the model are"
    kept = f"The {what} in {path / RELEASE}, not scored; the budget for them is spent."
    if isinstance(cause, KeyboardInterrupt):
        cause.args = (f"Interrupted after the fit. {kept}",)
        raise cause
    if isinstance(cause, SynthvaeError):
        raise type(cause)(f"{cause} {kept}") from cause
    raise EvaluationError(
        f"The evaluation failed ({type(cause).__name__}: {cause}), which should not happen; please "
        f"report it with what --debug prints. {kept}"
    ) from cause


def make_context(config: RunConfig, schema: Schema, synthesizer: Synthesizer) -> RunContext:
    """Return what the report says about the run itself."""
    return RunContext(
        title=config.title or schema.title or config.name,
        purpose=config.purpose,
        description=schema.description,
        created=datetime.now(UTC).date().isoformat(),
        seed=config.seed,
        software=synthesizer.guarantee.software,
        settings={k: str(v) for k, v in synthesizer.settings.model_dump().items()},
        fields=data_dictionary(schema),
    )


def write_release(folder: Path, synthesizer: Synthesizer, synthetic: pd.DataFrame | None) -> None:
    """Write what the guarantee covers: table, model, schema, guarantee."""
    folder.mkdir(parents=True)
    guarantee = synthesizer.guarantee
    name = "synthetic.csv" if guarantee.valid else "NOT_PRIVATE-synthetic.csv"
    if synthetic is not None:
        write_table(synthetic, folder / name, synthesizer.schema)
    synthesizer.save(folder / "model")
    for file in ("schema.yaml", "guarantee.json"):
        shutil.copyfile(folder / "model" / file, folder / file)
    note = RELEASE_NOTE if guarantee.valid else VOID_NOTE.format(why=guarantee.why_void)
    (folder / "README.txt").write_text(note, encoding="utf-8")


def write_custodian(folder: Path, made: _Made) -> None:
    """Write what the guarantee does not cover: evaluation, report, training curve."""
    folder.mkdir(parents=True)
    curve = report_curve(made.synthesizer)
    texts = {
        "NOT_FOR_RELEASE.txt": CUSTODIAN_NOTE,
        "guarantee.json": made.synthesizer.guarantee.model_dump_json(indent=1) + "\n",
        "training_curve.json": curve and curve.model_dump_json(indent=1) + "\n",
        "context.json": made.context and made.context.model_dump_json(indent=1) + "\n",
        "evaluation.json": made.evaluation and made.evaluation.to_json(),
        "report.html": made.page,
        "NOT_SCORED.txt": None if made.page else UNSCORED_NOTE,
    }
    for name, text in texts.items():
        if text:
            (folder / name).write_text(text, encoding="utf-8")


def report_curve(synthesizer: Synthesizer) -> TrainingCurve | None:
    """Return the training curve as the report's value."""
    curve = synthesizer.training_curve
    if curve is None:
        return None
    return TrainingCurve(
        steps=curve.steps,
        loss=curve.loss,
        validation=curve.validation,
        active_units=curve.active_units,
    )


def read_report_inputs(
    evaluation_file: Path, guarantee_file: Path | None
) -> "tuple[Evaluation, Guarantee | None, TrainingCurve | None, RunContext | None]":
    """Read what a report is made from: an evaluation, and what lies beside it."""
    from synthvae.evaluation.values import Evaluation
    from synthvae.privacy.guarantee import Guarantee

    beside = evaluation_file.parent
    evaluation = _read_value(evaluation_file, Evaluation)
    assert evaluation is not None
    given = guarantee_file or beside / "guarantee.json"
    return (
        evaluation,
        _read_value(given, Guarantee, optional=guarantee_file is None),
        _read_value(beside / "training_curve.json", TrainingCurve, optional=True),
        _read_value(beside / "context.json", RunContext, optional=True),
    )


Value = TypeVar("Value", bound=BaseModel)


def _read_value(path: Path, kind: type[Value], *, optional: bool = False) -> Value | None:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        if optional:
            return None
        raise InputFileError(f"There is no file {path}.") from None
    except OSError as cause:
        raise InputFileError(f"The file {path} cannot be read: {cause.strerror}.") from cause
    try:
        return kind.model_validate_json(content)
    except ValidationError as cause:
        first = cause.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "its start"
        raise InputFileError(
            f"The file {path} is no {kind.__name__.lower()}: {first['msg']} at {where}."
        ) from None
