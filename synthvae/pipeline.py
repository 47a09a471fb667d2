"""The main job: a table and a budget in; records, scores and a report out."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pandas as pd

from synthvae._files import check_output, free_name, private_folder, whole_folder
from synthvae._frozen import read_value, read_value_if_any
from synthvae._runtime import Progress, silent, steps_of
from synthvae.config import RunConfig, Source
from synthvae.errors import ConfigError, DataError, EvaluationError, SynthvaeError
from synthvae.evaluation.request import check_asked
from synthvae.privacy.budget import check_budget
from synthvae.report.run_facts import RunContext, TrainingCurve, data_dictionary
from synthvae.schema import Schema
from synthvae.settings import Settings, settings_for
from synthvae.storage.checkpoint import Unfinished, is_begun, unfinished
from synthvae.synthesizer import FEWEST_PATIENTS, Synthesizer, check_memory
from synthvae.table import encode, identities, read_table, split_by_patient, write_table
from synthvae.table.patients import SplitKey, kept_split_key

if TYPE_CHECKING:
    from synthvae.evaluation.results import Evaluation
    from synthvae.privacy.guarantee import Guarantee
    from synthvae.report.document import Report

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

public-report.html and public-report.json went through disclosure control (small cells merged, figures
rounded), as the tables of statistics offices do. Their levels are those of what they show, and may be
better or worse than those of report.html: read both first. The guarantee does not cover them either:
whether they are published is the committee's decision.

split.json is the secret key of the split. Whoever has it and a patient's identifier knows whether the
model learned from that patient: it is never published, whatever the committee decides.
"""
UNSCORED_NOTE = """\
NOT SCORED. The run failed or was interrupted after its budget was spent. What it bought is in release/,
but nobody has looked at how good or how safe it is. The same command goes on from here, spends nothing
more, and removes this folder once the scored result stands in its place. `--start-over` removes it, too.
"""
UNSCORED_END_NOTE = """\
NOT SCORED. The run, which was without a budget, failed or was interrupted after its fit. What it made is
in release/, but nobody has looked at how good or how safe it is. The same command with `--force` fits
again: without a budget nothing is kept to go on from. To score this instead, give `synthvae evaluate`
the table's two parts: synthvae.pipeline.split returns them again, with the key that
synthvae.pipeline.read_split_key reads from custodian/split.json.
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
    report: "Report"

    @property
    def evaluation(self) -> "Evaluation":
        """What was found out about the table."""
        return self.report.evaluation

    @property
    def guarantee(self) -> "Guarantee":
        """What is promised about the patients."""
        assert self.report.guarantee is not None, "a run has one, if only to say that it is void"
        return self.report.guarantee


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
    return Settings.from_dict(settings_for(schema, epsilon).model_dump() | changes, "settings")


def run(
    config: RunConfig,
    progress: Progress = silent,
    *,
    force: bool = False,
    start_over: bool = False,
) -> RunResult:
    """Do the main job and write `release/` and `custodian/` into the run's folder.

    A run that was stopped goes on from where its fit stands, unless it is to start over.

    Raises
    ------
    SynthvaeError
        One of its kinds, before anything is spent wherever that can be known; what stood in the
        folder before is untouched. What fails after the budget was spent does not cost what it
        bought: the release is kept, not scored, the error says where, and the same call goes on.
    """
    inputs = [config.schema_path, *([config.data.path] if config.data.path else [])]
    check_output(config.folder, force, inputs=tuple(inputs), folder_of=(RELEASE, CUSTODIAN))
    schema = load_schema(config)
    synthesizer = plan_fit(config, schema)
    progress("reading and checking", 0.0)
    with unfinished(config.folder, force=force, start_over=start_over) as work:
        # Before anything is read: a run that is stopped goes on with the same two parts.
        key = kept_split_key(work.folder, config, going_on=is_begun(work.folder))
        frame = load_source(config.data)
        train, holdout = split(frame, schema, config, key.secret)
        progress("reading and checking", 1.0)
        synthesizer.fit(train, progress, checkpoint=work.folder)
        made = _Made(synthesizer, key)
        try:
            _sample_and_score(made, train, holdout, schema, config, progress)
        except (Exception, KeyboardInterrupt) as cause:
            _keep(made, config.folder, work)
            _pass_on(cause, made, work)
        assert made.synthetic is not None
        assert made.report is not None
        progress("writing", 0.0)
        with whole_folder(config.folder, force) as folder:
            write_release(folder / RELEASE, synthesizer, made.synthetic)
            write_custodian(folder / CUSTODIAN, made)
        progress("writing", 1.0)
    return RunResult(config.folder, len(made.synthetic), made.report)


@dataclass
class _Made:
    """What a run has made so far, once its budget is spent."""

    synthesizer: Synthesizer
    split_key: SplitKey | None = None
    context: RunContext | None = None
    synthetic: pd.DataFrame | None = None
    evaluation: "Evaluation | None" = None
    report: "Report | None" = None
    pages: dict[str, str] = field(default_factory=dict)
    kept: Path | None = None  # where it lies when the run failed


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
    check_asked(config.evaluation, schema)
    settings = override_settings(schema, config.epsilon, config.settings)
    synthesizer = Synthesizer(schema, config.epsilon, config.delta, settings=settings)
    if config.rows is not None:
        check_memory(config.rows, schema)
    return synthesizer


def split(
    frame: pd.DataFrame, schema: Schema, config: RunConfig, key: bytes
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Check a table and return its rows to train on and its rows held out.

    Parameters
    ----------
    key
        Secret bytes that decide who is held out; `read_split_key` returns those of a run.

    Raises
    ------
    DataError
        The table does not fit the schema, or one side has too few patients.
    """
    encode(frame, schema)
    held = split_by_patient(frame, schema, config.holdout, key)
    train, holdout = frame[~held], frame[held]
    name = schema.patientKey
    patients, remaining = (
        len(rows) if name is None else int(identities(rows[name], schema[name]).nunique())
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


def read_split_key(custodian: str | Path) -> bytes:
    """Return the key of a split from the `custodian/` folder of a run or of a comparison.

    With it, `split` makes the same two parts of the table again. Whoever has it and a patient's
    identifier knows on which side that patient is.

    Raises
    ------
    ArtefactError
        There is no key, or it is damaged.
    """
    return SplitKey.read(Path(custodian), "give the custodian/ folder of a run").secret


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
    from synthvae.scoring import evaluate

    digest = _digest_of(made.synthetic, made.synthesizer.schema, config.folder)
    made.context = made.context.model_copy(update={"synthetic_digest": digest})
    further = [
        made.synthesizer.sample(config.rows, seed=config.seed + draw, progress=silent)
        for draw in range(1, config.evaluation.draws)
    ]
    made.evaluation = evaluate(
        train,
        holdout,
        made.synthetic,
        schema,
        seed=config.seed,
        progress=steps_of(progress, "evaluating"),
        asked=config.evaluation,
        retrain=_retraining(config, schema),
        draws=further,
    )
    _report(made)


def _retraining(config: RunConfig, schema: Schema) -> Callable[[pd.DataFrame, int], pd.DataFrame]:
    """Return what attacks of depth `deep` need: a fit of the same plan to other rows, sampled from.

    Its models are seen by the attacks alone and then forgotten; what they find is for the custodian.
    """

    def retrain(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
        return plan_fit(config, schema).fit(rows, silent).sample(len(rows), seed=seed)

    return retrain


def _digest_of(synthetic: pd.DataFrame, schema: Schema, output: Path) -> str:
    """Return the SHA-256 of the file that synthetic rows become, which the report names."""
    beside = output.resolve().parent
    with tempfile.TemporaryDirectory(".partial", f".{output.name}.", beside) as draft:
        file = Path(draft) / "synthetic.csv"
        write_table(synthetic, file, schema)
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()


def _report(made: _Made) -> None:
    """Make the report and its pages, the custodian's and the public rendering."""
    from synthvae.report import page_of
    from synthvae.report.disclosure_rules import ACRO
    from synthvae.report.document import custodian_report, public_report

    assert made.evaluation is not None
    guarantee, curve = made.synthesizer.guarantee, report_curve(made.synthesizer)
    report = custodian_report(made.evaluation, guarantee, curve, made.context)
    public = public_report(report, ACRO)
    made.pages = {
        "report.html": page_of(report),
        "report.json": report.to_json(),
        "public-report.html": page_of(public),
        "public-report.json": public.to_json(),
    }
    made.report = report


def _keep(made: _Made, output: Path, work: Unfinished) -> None:
    """Write what was made before a failure.

    It goes beside the finished fit that is kept, from which the same command goes on to this very
    model. Without a budget none is kept: it becomes a result of its own.
    """
    going_on = work.holds_model
    if not going_on and output.exists():
        output = free_name(output)
    made.kept = work.unscored if going_on else output
    with whole_folder(made.kept, force=going_on) as folder:
        write_release(folder / RELEASE, made.synthesizer, made.synthetic)
        write_custodian(folder / CUSTODIAN, made)
        note = UNSCORED_NOTE if going_on else UNSCORED_END_NOTE
        (folder / CUSTODIAN / "NOT_SCORED.txt").write_text(note, encoding="utf-8")
    work.done = not going_on


def _pass_on(cause: BaseException, made: _Made, work: Unfinished) -> NoReturn:
    """Raise a failure again, with where what was made lies."""
    assert made.kept is not None
    what = "model is" if made.synthetic is None else "records and the model are"
    going_on = "" if work.done else "; the same command goes on from there and spends nothing more"
    kept = f"The {what} in {made.kept / RELEASE}, not scored{going_on}."
    work.told = True
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
        split_is_predictable=config.test_split_seed is not None,
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
    """Write what the guarantee does not cover: evaluation, report, curve, the key of the split."""
    private_folder(folder)
    if made.split_key is not None:
        made.split_key.write(folder)
    curve = report_curve(made.synthesizer)
    texts = {
        "NOT_FOR_RELEASE.txt": CUSTODIAN_NOTE,
        "guarantee.json": made.synthesizer.guarantee.model_dump_json(indent=1) + "\n",
        "training_curve.json": curve and curve.model_dump_json(indent=1) + "\n",
        "context.json": made.context and made.context.model_dump_json(indent=1) + "\n",
        "evaluation.json": made.evaluation and made.evaluation.to_json(),
        **made.pages,
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


def read_report(evaluation_file: Path, guarantee_file: Path | None) -> "Report":
    """Return the report of a saved evaluation, made with what lies beside it."""
    from synthvae.evaluation.results import Evaluation
    from synthvae.privacy.guarantee import Guarantee
    from synthvae.report.document import custodian_report

    beside = evaluation_file.parent
    return custodian_report(
        read_value(evaluation_file, Evaluation),
        read_value_if_any(beside / "guarantee.json", Guarantee)
        if guarantee_file is None
        else read_value(guarantee_file, Guarantee),
        read_value_if_any(beside / "training_curve.json", TrainingCurve),
        read_value_if_any(beside / "context.json", RunContext),
    )
