"""The whole job of `synthvae compare`: which methods, every cell in order, and the results.

`compare` plans the cells, runs those that its log lacks, and writes the values and the page.
"""

import hashlib
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from synthvae import _files
from synthvae._frozen import read_value
from synthvae._runtime import Progress, code_digest, silent
from synthvae._text import epsilon_text
from synthvae.baselines import NEEDS_PGM, installed
from synthvae.baselines.side_by_side import why_unfit
from synthvae.comparison.page import render
from synthvae.comparison.results import OURS, Cell, Comparison, Log, Outcome, advise, summarise
from synthvae.comparison.scorer import Scorer, meanings
from synthvae.comparison.worker import Job, run_alone
from synthvae.config import RunConfig
from synthvae.errors import ConfigError, EvaluationError, SynthvaeError
from synthvae.pipeline import load_schema, load_source, load_table, override_settings, split
from synthvae.plan import check_reviewed
from synthvae.privacy.budget import checked_delta
from synthvae.schema import Schema
from synthvae.table import encode, identify_patients, read_table
from synthvae.table.cells import canonical, text_of
from synthvae.table.patients import SplitKey

FOLDER = "comparison"
LOG, VALUES, PAGE = "runs.jsonl", "comparison.json", "comparison.html"
LOCK, WORK = ".lock", ".work."
SOFTWARE = ("synthvae", "torch", "opacus", "mbi", "jax", "scikit-learn")
NOTE = """\
NOT FOR RELEASE. This folder holds figures computed from real records, by many fits whose budgets add
up and which nobody has paid for: for the custodian only. Choosing a method, a setting or an epsilon
for a release by these figures is a use of the records that no guarantee covers.

split.json is the secret key of the split. Whoever has it and a patient's identifier knows on which side
of the split the patient is: it is never published.
"""
PUT_BACK = "put it back, or pass --force to begin again, with a new key"


@dataclass(frozen=True)
class Contestant:
    """A method by its name on the page; the VAE and its variants have settings replaced."""

    name: str
    method: str
    settings: dict[str, float] = field(default_factory=dict)


def left_out(config: RunConfig, schema: Schema) -> dict[str, str]:
    """Return the methods that make no sense for a schema, with why; what a config names is not."""
    if config.compare.methods is not None:
        return {}
    reasons = {name: why_unfit(name, schema) for name in installed()}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def contestants(config: RunConfig, schema: Schema | None = None) -> tuple[Contestant, ...]:
    """Return the methods and variants of a config, without those that make no sense for a schema.

    Raises
    ------
    ConfigError
        A method is named whose libraries are not installed.
    """
    compared, available = config.compare, (OURS, *installed())
    for name in compared.methods or ():
        if name not in available:
            raise ConfigError(
                f"compare, methods names {name!r}, which needs Private-PGM: pip install "
                f"'synthvae[pgm]', or leave out {', '.join(NEEDS_PGM)}."
            )
    base = {name: float(value) for name, value in config.settings.items()}
    unfit = {} if schema is None else left_out(config, schema)
    named = [name for name in compared.methods or available if name not in unfit]
    return (
        *(Contestant(n, n, base if n == OURS else {}) for n in named),
        *(
            Contestant(v.name, OURS, base | {n: float(x) for n, x in v.settings.items()})
            for v in compared.variants
        ),
    )


def budgets(config: RunConfig) -> tuple[float, ...]:
    """Return the epsilons to compare at; `ConfigError` where there are no budgets."""
    if config.compare.epsilons is not None:
        return config.compare.epsilons
    if config.epsilon is None:
        raise ConfigError(
            "epsilon is none, and compare names no epsilons: methods are compared at a budget; give "
            "compare, epsilons."
        )
    return (config.epsilon,)


def cells_of(config: RunConfig, methods: tuple[Contestant, ...]) -> tuple[Cell, ...]:
    """Return every cell: first runs of everything come before second ones."""
    return tuple(
        Cell(method=one.name, epsilon=epsilon, size=size, run=run)
        for run in range(config.compare.runs)
        for size in config.compare.sizes or (None,)
        for epsilon in budgets(config)
        for one in methods
    )


def check(config: RunConfig, schema: Schema, methods: tuple[Contestant, ...]) -> None:
    """Raise for a budget or a setting that no cell could be run with, before anything is run."""
    check_reviewed(schema)
    for epsilon in budgets(config):
        for patients in config.compare.sizes or (schema.patients,):
            checked_delta(epsilon, config.delta, patients)
        for one in methods:
            if one.method == OURS:
                override_settings(schema, epsilon, one.settings)


def compare(config: RunConfig, progress: Progress = silent, *, force: bool = False) -> Path:
    """Compare methods as a config says, and return the folder of results.

    Runs that its log holds already are not done again. A run that fails is written down with its
    reason, and the others go on.

    Raises
    ------
    SynthvaeError
        One of its kinds, before anything is run wherever that can be known. `OutputExistsError` where
        another process is at work on the same folder.
    """
    schema = load_schema(config)
    methods = contestants(config, schema)
    check(config, schema, methods)
    folder = config.folder / FOLDER / "custodian"
    inputs = (config.schema_path, *config.data.files)
    log_file = folder / LOG
    _files.check_output(log_file, True, inputs=inputs)
    with _files.storage_errors(folder):
        _files.private_folder(folder)
    with _files.locked(folder / LOCK, folder):
        for left in folder.glob(WORK + "*"):  # real rows that a killed process left
            shutil.rmtree(left, ignore_errors=True)
        _files.clean_drafts(folder)
        progress("reading and checking", 0.0)
        fresh = force or not log_file.exists()
        # Without the key of a log the same split cannot be made again.
        key = SplitKey.draw(config.test_split_seed) if fresh else SplitKey.read(folder, PUT_BACK)
        tables = SizedTables(config, schema, key.secret)
        origin = _origin(config, schema, tables)
        if fresh:
            key.write(folder)  # before the log, which is worth nothing without it
        log = Log.create(log_file, origin) if fresh else Log.resume(log_file, origin)
        _files.write_whole(folder / "NOT_FOR_RELEASE.txt", NOTE)
        progress("reading and checking", 1.0)
        _run_missing(config, tables, methods, log, progress)
        _write_results(config, schema, methods, log)
    return folder


class SizedTables:
    """The table at each size, split, declared and with its scorer, made when it is needed."""

    def __init__(self, config: RunConfig, schema: Schema, key: bytes) -> None:
        self._config, self._schema, self._key = config, schema, key
        # A simulated table is another one at each size.
        grows = config.data.is_simulated and bool(config.compare.sizes)
        self._frame = None if grows else load_table(config.data, schema)
        self._latest: dict[int | None, Scorer] = {}

    def digests(self) -> tuple[str, str]:
        """Return keyed digests of the table, and of the key itself: a log keeps to one split.

        Nobody without the key can test a guess of the table, and neither digest tells of the other.

        References
        ----------
        Aumasson, Neves, Wilcox-O'Hearn and Winnerlein 2013, "BLAKE2: simpler, smaller, fast as MD5",
        ACNS, section 2.8: personalisation. The split itself uses none.
        """
        digest = partial(hashlib.blake2b, digest_size=32, key=self._key)
        split = digest(b"", person=b"synthvae split").hexdigest()
        if self._frame is None:
            return "simulated", split
        codes = encode(self._frame, self._schema).tobytes()
        return digest(codes, person=b"synthvae table").hexdigest(), split

    def __getitem__(self, size: int | None) -> Scorer:
        if size not in self._latest:
            self._latest = {size: self._scorer(size)}  # one at a time, for memory
        return self._latest[size]

    def _scorer(self, size: int | None) -> Scorer:
        config, schema, frame = self._config, self._schema, self._frame
        if frame is None:
            assert size is not None
            rows = round(size / (1 - config.holdout))
            frame = load_source(config.data.model_copy(update={"rows": rows}))
        train, holdout = split(frame, schema, config, self._key)
        if size is None:
            declared = schema.patients and max(1, round(schema.patients * (1 - config.holdout)))
        else:
            train, declared = _sample_patients(train, schema, size, config.seed), size
        # The default is the number of real rows, so that distances have the same noise. It is used
        # for scoring alone, and nothing that is made here is released.
        rows = config.rows or len(train)
        return Scorer(train, holdout, schema.replace(patients=declared), rows, config.seed)


def _as_written(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose columns of mixed cells, as a workbook has, are text: Parquet knows none."""
    mixed = [name for name in frame if pd.api.types.infer_dtype(frame[name]).startswith("mixed")]
    return frame.assign(
        **{str(name): frame[name].map(lambda c: text_of(canonical(c))) for name in mixed}
    )


def _sample_patients(frame: pd.DataFrame, schema: Schema, size: int, seed: int) -> pd.DataFrame:
    """Return the rows of `size` patients drawn at random, of all where they are nearly as many."""
    if schema.patientKey is None:
        whose = np.arange(len(frame))
    else:
        whose, _ = pd.factorize(identify_patients(frame, schema))
    count = int(whose.max()) + 1
    if count < 0.9 * size:
        raise ConfigError(
            f"compare, sizes asks for {size} training patients, of which the table has {count}: "
            "leave that size out."
        )
    chosen = np.random.default_rng(seed).permutation(count)[:size]
    return frame[np.isin(whose, chosen)]


def _origin(config: RunConfig, schema: Schema, tables: SizedTables) -> dict[str, Any]:
    """Return what all lines of a log have in common; lists of what to run may grow."""
    included = {"holdout", "delta", "rows", "seed", "test_split_seed"}
    source = config.data.model_dump(mode="json", include={"dataset", "rows"})
    # Runs of different code must not stand in one comparison.
    program = hashlib.sha256(code_digest().encode())
    for name, number in _versions().items():
        program.update(f"{name} {number}".encode())
    table, split_digest = tables.digests()
    return {
        "table": {"source": source, "digest": table},
        "split": split_digest,
        "program": program.hexdigest(),
        "schema": schema.digest,
        **config.model_dump(mode="json", include=included),
    }


def _versions() -> dict[str, str | None]:
    """Return the versions of what a comparison's figures depend on, None where it is not installed."""
    versions: dict[str, str | None] = dict.fromkeys(SOFTWARE)
    for name in SOFTWARE:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def _run_missing(
    config: RunConfig,
    tables: SizedTables,
    methods: tuple[Contestant, ...],
    log: Log,
    progress: Progress,
) -> None:
    named = {one.name: one for one in methods}
    cells = cells_of(config, methods)
    # All cells are looked at first: settings that changed are found before an hour has passed.
    missing = [cell for cell in cells if not log.is_done(cell, named[cell.method].settings)]
    # One size after another, since each needs its own table and references.
    missing.sort(key=lambda cell: config.compare.sizes.index(cell.size) if cell.size else 0)
    for size in dict.fromkeys(cell.size for cell in cells):
        if size not in log.references:
            progress("comparing: scoring real rows", 0.0)
            log.add(tables[size].reference(size, config.delta))
    # Real rows lie in a folder that is closed to others, and removed.
    with tempfile.TemporaryDirectory(prefix=WORK, dir=log.path.parent) as work:
        for place, cell in enumerate(missing):
            done = (len(cells) - len(missing) + place) / len(cells)
            at = "" if cell.size is None else f", {cell.size:,} patients"
            progress(
                f"comparing: {cell.method} at {epsilon_text(cell.epsilon)}{at}, run {cell.run + 1}",
                done,
            )
            log.add(_outcome(config, tables[cell.size], named[cell.method], cell, Path(work)))
    progress("comparing: done", 1.0)


def _outcome(config: RunConfig, scorer: Scorer, one: Contestant, cell: Cell, work: Path) -> Outcome:
    """Run one cell in a process of its own and score its records; a failure is an outcome."""
    work = work.resolve()
    job = Job(
        method=one.method,
        settings=one.settings,
        epsilon=cell.epsilon,
        delta=checked_delta(cell.epsilon, config.delta, scorer.schema.patients),
        rows=scorer.rows,
        seed=config.seed + cell.run,
        schema_file=work / "schema.yaml",
        train=work / "train.parquet",
        records=work / "records.parquet",
        done=work / "done.json",
    )
    _as_written(scorer.train).to_parquet(job.train, index=False)
    job.schema_file.write_text(scorer.schema.to_yaml(), encoding="utf-8")
    seconds, done = run_alone(job, work, config.compare.timeout)
    base: dict[str, Any] = {"cell": cell, "settings": one.settings, "seconds": seconds}
    if isinstance(done, str):
        return Outcome(**base, failed=done)
    base |= done.model_dump()
    try:
        return Outcome(**base, figures=scorer.score(read_table(job.records)))
    except (SynthvaeError, ValueError, MemoryError) as cause:
        return Outcome(**base, failed=f"could not be scored: {cause}")
    finally:
        job.records.unlink(missing_ok=True)


def _write_results(
    config: RunConfig, schema: Schema, methods: tuple[Contestant, ...], log: Log
) -> None:
    cells = cells_of(config, methods)
    outcomes = [log.outcomes[cell] for cell in cells if cell in log.outcomes]
    if not outcomes:
        raise EvaluationError(f"{log.path} holds no runs; nothing can be compared.")
    references = [log.references[size] for size in dict.fromkeys(cell.size for cell in cells)]
    patients = references[0].patients
    result = Comparison(
        name=config.name,
        title=config.title or schema.title or config.name,
        created=datetime.now(UTC).date().isoformat(),
        schema_digest=schema.digest,
        declared_patients=patients,
        columns=len(schema.modelled),
        runs=config.compare.runs,
        seed=config.seed,
        split_is_predictable=config.test_split_seed is not None,
        meanings=meanings(schema),
        references=tuple(references),
        summaries=summarise(outcomes, cells),
        variants=tuple(variant.name for variant in config.compare.variants),
        advice=(
            *advise(schema, patients, budgets(config)),
            *(
                f"{name} was left out: {reason}. Name it under compare, methods, to run it all the same."
                for name, reason in left_out(config, schema).items()
            ),
        ),
        software={name: number for name, number in _versions().items() if number},
    )
    for name, text in ((VALUES, result.to_json()), (PAGE, render(result))):
        _files.write_whole(log.path.parent / name, text)


def read_result(folder: Path) -> Comparison:
    """Return the comparison that lies in a folder of results, or raise `InputFileError`."""
    return read_value(folder / VALUES, Comparison)
