"""The main job: a table and a budget in; records, scores and a report out."""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pandas as pd
from pydantic import BaseModel, ValidationError

from synthvae._files import refuse_existing, whole_folder
from synthvae._progress import Progress, silent, steps_of
from synthvae.config import RunConfig, Source
from synthvae.errors import ConfigError, InputFileError, SynthvaeError
from synthvae.report.values import RunContext, TrainingCurve, data_dictionary
from synthvae.schema import Schema, explain
from synthvae.settings import Settings, settings_for
from synthvae.synthesizer import Synthesizer
from synthvae.table import encode, read_table, split_by_patient, write_table

if TYPE_CHECKING:
    from synthvae.evaluation.values import Evaluation
    from synthvae.privacy.guarantee import Guarantee

RELEASE, CUSTODIAN = "release", "custodian"
RELEASE_NOTE = """\
This folder holds what the guarantee covers, and nothing else:

  synthetic.csv     synthetic records; no row is a patient
  model/            the model that they were drawn from
  schema.yaml       public facts about the table
  guarantee.json    what is promised, and the log to recompute it from
"""
CUSTODIAN_NOTE = """\
NOT FOR RELEASE. This folder holds figures computed from real records: the evaluation, the report
and the training curve. The differential privacy guarantee does not cover them. They are for the
data steward and the release committee.
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
    if source.dataset == "randhie":
        from synthvae.datasets import load_randhie

        return load_randhie()
    assert source.path is not None
    return read_table(source.path, source.delimiter)


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
        folder before is untouched. If the evaluation fails after the budget was spent, the
        release is written all the same, and the error says so.
    """
    refuse_existing(config.folder, force)
    schema = Schema.load(config.schema_path)
    progress("reading and checking", 0.0)
    frame = load_source(config.data)
    encode(frame, schema)
    held = split_by_patient(frame, schema, config.holdout, config.seed)
    train, holdout = frame[~held], frame[held]
    progress("reading and checking", 1.0)
    fitted = schema
    if schema.patients is not None:
        # The declared number is the table's; the model sees the declared share of it.
        fitted = schema.replace(patients=max(1, round(schema.patients * (1 - config.holdout))))
    settings = override_settings(fitted, config.epsilon, config.settings)
    synthesizer = Synthesizer(fitted, config.epsilon, config.delta, settings=settings)
    synthesizer.fit(train, progress)
    synthetic = synthesizer.sample(config.rows, seed=config.seed, progress=progress)
    context = make_context(config, schema, synthesizer)
    evaluation: Evaluation | None = None
    failure: BaseException | None = None
    try:
        from synthvae.evaluation import evaluate

        evaluation = evaluate(
            train,
            holdout,
            synthetic,
            schema,
            seed=config.seed,
            progress=steps_of(progress, "evaluating"),
        )
    except (Exception, KeyboardInterrupt) as cause:
        # The budget is spent by now: keep what it bought, then pass the failure on.
        failure = cause
    progress("writing", 0.0)
    with whole_folder(config.folder, force) as folder:
        write_release(folder / RELEASE, synthesizer, synthetic)
        write_custodian(folder / CUSTODIAN, synthesizer, evaluation, context)
    progress("writing", 1.0)
    if evaluation is None:
        assert failure is not None
        if isinstance(failure, SynthvaeError):
            raise type(failure)(
                f"{failure} The records and the model are in {config.folder / RELEASE}; "
                "score them with `synthvae evaluate`."
            ) from failure
        raise failure
    return RunResult(config.folder, len(synthetic), evaluation, synthesizer.guarantee)


def make_context(config: RunConfig, schema: Schema, synthesizer: Synthesizer) -> RunContext:
    """Return what the report says about the run itself."""
    return RunContext(
        title=config.title or schema.title or config.name,
        purpose=config.purpose,
        created=datetime.now(UTC).date().isoformat(),
        seed=config.seed,
        software=synthesizer.guarantee.software,
        settings={k: str(v) for k, v in synthesizer.settings.model_dump().items()},
        fields=data_dictionary(schema),
    )


def write_release(folder: Path, synthesizer: Synthesizer, synthetic: pd.DataFrame) -> None:
    """Write what the guarantee covers: table, model, schema, guarantee."""
    folder.mkdir(parents=True)
    guarantee = synthesizer.guarantee
    name = "synthetic.csv" if guarantee.valid else "NOT_PRIVATE-synthetic.csv"
    write_table(synthetic, folder / name, synthesizer.schema)
    synthesizer.save(folder / "model")
    for file in ("schema.yaml", "guarantee.json"):
        shutil.copyfile(folder / "model" / file, folder / file)
    note = RELEASE_NOTE if guarantee.valid else VOID_NOTE.format(why=guarantee.why_void)
    (folder / "README.txt").write_text(note, encoding="utf-8")


def write_custodian(
    folder: Path,
    synthesizer: Synthesizer,
    evaluation: "Evaluation | None",
    context: RunContext,
) -> None:
    """Write what the guarantee does not cover: evaluation, report, training curve."""
    folder.mkdir(parents=True)
    (folder / "NOT_FOR_RELEASE.txt").write_text(CUSTODIAN_NOTE, encoding="utf-8")
    curve = report_curve(synthesizer)
    if curve is not None:
        (folder / "training_curve.json").write_text(curve.model_dump_json(indent=1) + "\n")
    (folder / "context.json").write_text(context.model_dump_json(indent=1) + "\n")
    (folder / "guarantee.json").write_text(synthesizer.guarantee.model_dump_json(indent=1) + "\n")
    if evaluation is not None:
        from synthvae.report import render

        (folder / "evaluation.json").write_text(evaluation.to_json(), encoding="utf-8")
        page = render(evaluation, synthesizer.guarantee, curve, context)
        (folder / "report.html").write_text(page, encoding="utf-8")


def report_curve(synthesizer: Synthesizer) -> TrainingCurve | None:
    """Return the training curve as the report's value."""
    curve = synthesizer.training_curve
    if curve is None:
        return None
    return TrainingCurve(steps=curve.steps, loss=curve.loss, validation=curve.validation)


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
