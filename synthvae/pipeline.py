"""The main job: a table and a budget in; records, scores and a report out."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pandas as pd

from synthvae._files import check_output, free_name, private_folder, whole_folder
from synthvae._frozen import read_value, read_value_if_any
from synthvae._runtime import Progress, silent, steps_of
from synthvae._text import brief, counted, say
from synthvae.config import RunConfig, Source
from synthvae.errors import ConfigError, DataError, EvaluationError, SynthvaeError
from synthvae.evaluation.results import Evaluation
from synthvae.origin import Origin
from synthvae.privacy.budget import check_budget
from synthvae.privacy.guarantee import Guarantee
from synthvae.release_folder import TWO_FILES, WHOLE, digest_of, write_release
from synthvae.report.run_facts import RunContext, TrainingCurve, data_dictionary
from synthvae.request import check_request
from synthvae.schema import Dialect, Schema
from synthvae.settings import Settings, settings_for
from synthvae.storage.checkpoint import UnfinishedWork, is_begun, unfinished_work
from synthvae.synthesizer import FEWEST_PATIENTS, Synthesizer, check_memory
from synthvae.table import encode_with_notes, identify_patients, join_visits, split_by_patient
from synthvae.table.arguments import check_frame, check_schema
from synthvae.table.files import dialect_of, open_table
from synthvae.table.patients import SplitKey, kept_split_key
from synthvae.table.reading_warnings import warn_of_reading, without_reading_warnings

if TYPE_CHECKING:
    from synthvae.report.document import Report

RELEASE, CUSTODIAN = "release", "custodian"
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


@dataclass(frozen=True)
class RunResult:
    """The folder of a run, its number of synthetic rows, and its report."""

    folder: Path
    rows: int
    report: "Report"

    @property
    def evaluation(self) -> Evaluation:
        """Scores of the synthetic table."""
        return self.report.evaluation

    @property
    def guarantee(self) -> "Guarantee":
        """What is promised about the patients."""
        assert self.report.guarantee is not None, "a run has one, if only to say that it is void"
        return self.report.guarantee


@dataclass
class RunProducts:
    """What a run has produced so far, once its budget is spent."""

    synthesizer: Synthesizer
    split_key: SplitKey | None = None
    parts: tuple[str, ...] = WHOLE  # files of the table, as the real one came
    context: RunContext | None = None
    synthetic: pd.DataFrame | None = None
    origin: Origin | None = None  # of a table of visits
    evaluation: "Evaluation | None" = None
    report: "Report | None" = None
    pages: dict[str, str] = field(default_factory=dict)


def load_source(source: Source, declared: Dialect | None = None) -> pd.DataFrame:
    """Return the table that a run's settings name, and say what was taken for granted in reading it.

    `declared` is the schema's dialect; the settings' own words on it win.
    """
    if source.dataset is not None:
        from synthvae.datasets import CLINIC_ROWS, load_clinic, load_randhie

        if source.is_simulated:
            return load_clinic(source.rows or CLINIC_ROWS)
        return load_randhie()
    assert source.path is not None
    dialect = dialect_of(source.delimiter, source.encoding, source.sheet, source.header, declared)
    table = open_table(source.path, dialect)
    for note in table.notes:
        say(f"Note: {note}.", error=True)
    return table.frame


def load_table(source: Source, schema: Schema) -> pd.DataFrame:
    """Return the table that a run's settings name, of two files joined: see `load_source`.

    Raises
    ------
    DataError
        The two files do not fit each other or the schema.
    """
    if source.visits is None:
        return load_source(source, schema.dialect)
    patients = load_source(source.of_patients, schema.dialect)
    return join_visits(patients, load_source(source.of_visits, schema.dialect), schema)


def load_schema(config: RunConfig) -> Schema:
    """Return the schema of a run; a simulated table's patients are as many as the config says."""
    schema = Schema.load(config.schema_path)
    return schema if config.data.rows is None else schema.replace(patients=config.data.rows)


def override_settings(schema: Schema, epsilon: float | None, changes: dict[str, float]) -> Settings:
    """Return the public rule's settings with some replaced; `ConfigError` names a wrong one."""
    return Settings.from_dict(settings_for(schema, epsilon).model_dump() | changes, "settings")


def run(
    config: RunConfig, progress: Progress = silent, *, force: bool = False, start_over: bool = False
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
    if not isinstance(config, RunConfig):
        raise ConfigError(
            f"config is {brief(config)}, not a RunConfig; read the file with RunConfig.load(path) of "
            "synthvae.config."
        )
    inputs = (config.schema_path, *config.data.files)
    check_output(config.folder, force, inputs=inputs, folder_of=(RELEASE, CUSTODIAN))
    schema = load_schema(config)
    synthesizer = plan_fit(config, schema)
    progress("reading and checking", 0.0)
    with unfinished_work(config.folder, force=force, start_over=start_over) as work:
        # Before anything is read: a run that is stopped goes on with the same two parts.
        key = kept_split_key(work.folder, config, going_on=is_begun(work.folder))
        frame = load_table(config.data, schema)
        train, holdout = split(frame, schema, config, key.secret)
        progress("reading and checking", 1.0)
        with without_reading_warnings():  # `split` has given those of the whole table
            synthesizer.fit(train, progress, checkpoint=work.folder)
        products = RunProducts(synthesizer, key, WHOLE if config.data.visits is None else TWO_FILES)
        try:
            _sample_and_score(products, train, holdout, schema, config, progress)
        except (Exception, KeyboardInterrupt) as cause:
            _raise_with(cause, _keep_unscored(products, config.folder, work))
        assert products.synthetic is not None
        assert products.report is not None
        progress("writing", 0.0)
        with whole_folder(config.folder, force) as folder:
            _write_products(folder, products)
        progress("writing", 1.0)
    return RunResult(config.folder, len(products.synthetic), products.report)


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
    check_request(config.evaluation, schema)
    settings = override_settings(schema, config.epsilon, config.settings)
    synthesizer = Synthesizer(schema, config.epsilon, config.delta, settings=settings)
    if config.rows is not None:
        check_memory(config.rows, schema)
    return synthesizer


def split(
    frame: pd.DataFrame, schema: Schema, config: RunConfig, key: bytes
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Check a table and return its rows to train on and its rows held out.

    What was done to its cells and is odd about its patients is said in a `ReadingWarning` each.
    The secret key decides who is held out; `read_split_key` returns that of a run.

    Raises
    ------
    DataError
        The table does not fit the schema, or one side has too few patients.
    """
    frame = check_frame(frame, "frame")
    codes, notes = encode_with_notes(frame, check_schema(schema))
    warn_of_reading(frame, codes, notes, schema)
    held = split_by_patient(frame, schema, config.holdout, key)
    train, holdout = frame[~held], frame[held]
    patients, remaining = (
        int(identify_patients(rows, schema).nunique()) if schema.key_columns else len(rows)
        for rows in (frame, train)
    )
    if remaining < FEWEST_PATIENTS or remaining == patients:
        raise DataError(
            f"The table has {counted(patients, 'patient')}, of which a holdout of "
            f"{config.holdout:g} leaves {remaining} to train on and {patients - remaining} to judge "
            f"by; a run needs at least {FEWEST_PATIENTS} and 1. Change holdout, or train on all of "
            "them with `synthvae fit`."
        )
    return train, holdout


def read_split_key(custodian: str | Path) -> bytes:
    """Return the key of a split from the `custodian/` folder of a run or of a comparison.

    With it, `split` makes the same two parts of the table again. Whoever has it and a patient's
    identifier knows on which side that patient is. `ArtefactError` where it is missing or damaged.
    """
    return SplitKey.read(Path(custodian), "give the custodian/ folder of a run").secret


def _sample_and_score(
    products: RunProducts,
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    schema: Schema,
    config: RunConfig,
    progress: Progress,
) -> None:
    synthesizer = products.synthesizer
    products.context = make_context(config, schema, synthesizer)
    rows = synthesizer.default_rows if config.rows is None else config.rows
    products.synthetic = synthesizer.sample(rows, seed=config.seed, progress=progress)
    if synthesizer.schema.orderBy is not None:
        products.origin = Origin.of(synthesizer, products.synthetic, rows, (), config.seed)
    from synthvae.scoring import evaluate

    digest = digest_of(products.synthetic, synthesizer.schema, products.parts, config.folder)
    products.context = products.context.model_copy(update={"synthetic_digest": digest})
    products.evaluation = evaluate(
        train,
        holdout,
        products.synthetic,
        schema,
        seed=config.seed,
        progress=steps_of(progress, "evaluating"),
        asked=config.evaluation,
        # Attacks of depth `deep` fit the same plan to other rows. They alone see these models, which
        # are then forgotten; what they find is for the custodian.
        retrain=lambda rows, seed: _refit(config, schema, rows).sample(len(rows), seed=seed),
        draws=[
            synthesizer.sample(config.rows, seed=config.seed + draw, progress=silent)
            for draw in range(1, config.evaluation.draws)
        ],
    )
    _report(products)


def _refit(config: RunConfig, schema: Schema, rows: pd.DataFrame) -> Synthesizer:
    """Return a synthesizer fitted to other rows by the same plan."""
    with without_reading_warnings():
        return plan_fit(config, schema).fit(rows, silent)


def _report(products: RunProducts) -> None:
    """Add the report and its pages, the custodian's and the public rendering."""
    from synthvae.report import page_of
    from synthvae.report.disclosure_rules import ACRO
    from synthvae.report.document import custodian_report, public_report

    assert products.evaluation is not None
    guarantee, curve = products.synthesizer.guarantee, report_curve(products.synthesizer)
    report = custodian_report(products.evaluation, guarantee, curve, products.context)
    public = public_report(report, ACRO)
    products.pages = {
        "report.html": page_of(report),
        "report.json": report.to_json(),
        "public-report.html": page_of(public),
        "public-report.json": public.to_json(),
    }
    products.report = report


def _keep_unscored(products: RunProducts, output: Path, work: UnfinishedWork) -> str:
    """Write what a run had produced before it failed, and return a sentence on where that lies.

    It goes beside the finished fit that is kept, from which the same command goes on to this very
    model. Without a budget none is kept: it becomes a result of its own.
    """
    resumable = work.holds_model
    if resumable:
        output = work.unscored
    elif output.exists():
        output = free_name(output)
    with whole_folder(output, force=resumable) as folder:
        _write_products(folder, products)
        note = UNSCORED_NOTE if resumable else UNSCORED_END_NOTE
        (folder / CUSTODIAN / "NOT_SCORED.txt").write_text(note, encoding="utf-8")
    work.done, work.reported = not resumable, True
    what = "model is" if products.synthetic is None else "records and the model are"
    end = "; the same command goes on from there and spends nothing more" if resumable else ""
    return f"The {what} in {output / RELEASE}, not scored{end}."


def _raise_with(cause: BaseException, kept: str) -> NoReturn:
    """Raise a failure again, with where what the run had produced lies."""
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


def _write_products(folder: Path, products: RunProducts) -> None:
    write_release(
        folder / RELEASE,
        products.synthesizer,
        products.synthetic,
        products.parts,
        products.origin,
    )
    write_custodian(folder / CUSTODIAN, products)


def write_custodian(folder: Path, products: RunProducts) -> None:
    """Write what the guarantee does not cover: evaluation, report, curve, the key of the split."""
    private_folder(folder)
    if products.split_key is not None:
        products.split_key.write(folder)
    values = {
        "guarantee.json": products.synthesizer.guarantee,
        "training_curve.json": report_curve(products.synthesizer),
        "context.json": products.context,
    }
    texts = {
        "NOT_FOR_RELEASE.txt": CUSTODIAN_NOTE,
        **{
            name: value and value.model_dump_json(indent=1) + "\n" for name, value in values.items()
        },
        "evaluation.json": products.evaluation and products.evaluation.to_json(),
        **products.pages,
    }
    for name, text in texts.items():
        if text:
            (folder / name).write_text(text, encoding="utf-8")


def report_curve(synthesizer: Synthesizer) -> TrainingCurve | None:
    """Return the training curve as the report's value."""
    curve = synthesizer.training_curve
    return None if curve is None else TrainingCurve(**vars(curve))


def read_report(evaluation_file: Path, guarantee_file: Path | None) -> "Report":
    """Return the report of a saved evaluation, made with what lies beside it."""
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
