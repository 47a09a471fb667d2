"""What a comparison runs: its methods, and every cell in order."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field as default
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from synthvae._files import (
    check_output,
    clean_drafts,
    locked,
    private_folder,
    storage_errors,
    write_whole,
)
from synthvae._runtime import Progress, code_digest, silent
from synthvae.baselines import NEEDS_PGM, installed
from synthvae.comparison.results import (
    OURS,
    Cell,
    Comparison,
    Log,
    Outcome,
    Reference,
    advise,
    summarise,
)
from synthvae.comparison.scorer import Scorer, meanings
from synthvae.comparison.worker import Job, run_alone
from synthvae.config import Compare, RunConfig
from synthvae.errors import ConfigError, EvaluationError, SynthvaeError
from synthvae.pipeline import load_schema, load_source, override_settings, split
from synthvae.plan import check_reviewed
from synthvae.privacy.budget import checked_delta
from synthvae.schema import Schema
from synthvae.table import encode, identities, read_table
from synthvae.table.patients import SplitKey

FOLDER = "comparison"
LOG, VALUES, PAGE = "runs.jsonl", "comparison.json", "comparison.html"
LOCK = ".lock"
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
    settings: dict[str, float] = default(default_factory=dict)


def contestants(config: RunConfig) -> tuple[Contestant, ...]:
    """Return the methods and variants that a config asks for.

    Raises
    ------
    ConfigError
        A method is asked for by name whose libraries are not installed.
    """
    asked: Compare = config.compare
    there = (OURS, *installed())
    for name in asked.methods or ():
        if name not in there:
            raise ConfigError(
                f"compare, methods names {name!r}, which needs Private-PGM: pip install "
                f"'synthvae[pgm]', or leave {' and '.join(NEEDS_PGM)} out."
            )
    base = dict(config.settings)
    found = [Contestant(n, n, base if n == OURS else {}) for n in asked.methods or there]
    found += [Contestant(v.name, OURS, base | v.settings) for v in asked.variants]
    return tuple(found)


def budgets(config: RunConfig) -> tuple[float, ...]:
    """Return the epsilons to compare at; `ConfigError` where there is none."""
    if config.compare.epsilons is not None:
        return config.compare.epsilons
    if config.epsilon is None:
        raise ConfigError(
            "epsilon is none, and compare names no epsilons: methods are compared at a budget; give "
            "compare, epsilons."
        )
    return (config.epsilon,)


def cells_of(config: RunConfig, found: tuple[Contestant, ...]) -> tuple[Cell, ...]:
    """Return every cell: a first run of everything comes before anybody's second."""
    return tuple(
        Cell(method=one.name, epsilon=epsilon, size=size, run=run)
        for run in range(config.compare.runs)
        for size in config.compare.sizes or (None,)
        for epsilon in budgets(config)
        for one in found
    )


def check(config: RunConfig, schema: Schema, found: tuple[Contestant, ...]) -> None:
    """Raise for a budget or a setting that no cell could be run with, before anything is run."""
    check_reviewed(schema)
    for epsilon in budgets(config):
        for patients in config.compare.sizes or (schema.patients,):
            checked_delta(epsilon, config.delta, patients)
        for one in found:
            if one.method == OURS:
                override_settings(schema, epsilon, one.settings)


@dataclass(frozen=True)
class Case:
    """One size of the table: its rows to learn from, declared and split, and its scorer."""

    size: int | None
    schema: Schema
    train: pd.DataFrame
    scorer: Scorer

    @property
    def rows(self) -> int:
        """Synthetic rows of every method."""
        return self.scorer.rows


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
    found = contestants(config)
    check(config, schema, found)
    folder = config.folder / FOLDER / "custodian"
    inputs = [config.schema_path, *([config.data.path] if config.data.path else [])]
    log_file = folder / LOG
    check_output(log_file, True, inputs=tuple(inputs))
    with storage_errors(folder):
        private_folder(folder)
    with locked(folder / LOCK, folder):
        _clean(folder)
        progress("reading and checking", 0.0)
        fresh = force or not log_file.exists()
        # Without the key of a log the same split cannot be made again.
        key = SplitKey.draw(config.test_split_seed) if fresh else SplitKey.read(folder, PUT_BACK)
        cases = Cases(config, schema, key.secret)
        origin = _origin(config, schema, cases)
        if fresh:
            key.write(folder)  # before the log, which is worth nothing without it
        log = Log.begin(log_file, origin) if fresh else Log.resume(log_file, origin)
        write_whole(folder / "NOT_FOR_RELEASE.txt", NOTE)
        progress("reading and checking", 1.0)
        _run_missing(config, cases, found, log, progress)
        write_results(config, schema, found, log)
    return folder


class Cases:
    """The table at each size that is asked for, made when it is needed."""

    def __init__(self, config: RunConfig, schema: Schema, key: bytes) -> None:
        self._config, self._schema, self._key = config, schema, key
        self._frame = None if self._grows else load_source(config.data)
        self._known: dict[int | None, Case] = {}

    @property
    def _grows(self) -> bool:
        """Whether each size is a table of its own, simulated."""
        return self._config.data.is_simulated and bool(self._config.compare.sizes)

    @property
    def digest(self) -> str:
        """A digest of the table's codes under the key; of a simulated one, what it is made from.

        Without the key nobody can test a guess of the table by it.
        """
        if self._frame is None:
            return "simulated"
        return _mark(encode(self._frame, self._schema).tobytes(), self._key, b"synthvae table")

    @property
    def split_digest(self) -> str:
        """What the key is known by again: a log goes on with its own split alone."""
        return _mark(b"", self._key, b"synthvae split")

    def __getitem__(self, size: int | None) -> Case:
        if size not in self._known:
            self._known = {size: self._make(size)}  # one at a time, for memory
        return self._known[size]

    def _make(self, size: int | None) -> Case:
        config, schema, frame = self._config, self._schema, self._frame
        if frame is None:
            assert size is not None
            rows = round(size / (1 - config.holdout))
            frame = load_source(config.data.model_copy(update={"rows": rows}))
        train, holdout = split(frame, schema, config, self._key)
        if size is None:
            declared = schema.patients and max(1, round(schema.patients * (1 - config.holdout)))
        else:
            train, declared = _some_patients(train, schema, size, config.seed), size
        schema = schema.replace(patients=declared)
        # As many synthetic rows as real ones, so that distances have the same noise. The number is
        # used for scoring alone, and nothing that is made here is released.
        rows = config.rows or len(train)
        return Case(size, schema, train, Scorer(train, holdout, schema, rows, config.seed))


def _mark(content: bytes, key: bytes, use: bytes) -> str:
    """Return a keyed digest for one use of a key, which tells nothing of its others.

    References
    ----------
    Aumasson, Neves, Wilcox-O'Hearn and Winnerlein 2013, "BLAKE2: simpler, smaller, fast as MD5", ACNS,
    section 2.8: personalisation. The split itself uses none.
    """
    return hashlib.blake2b(content, digest_size=32, key=key, person=use).hexdigest()


def _some_patients(frame: pd.DataFrame, schema: Schema, size: int, seed: int) -> pd.DataFrame:
    """Return the rows of so many patients, drawn at random; fewer rows where there are fewer."""
    if schema.patientKey is None:
        whose = np.arange(len(frame))
    else:
        key = identities(frame[schema.patientKey], schema[schema.patientKey])
        whose, _ = pd.factorize(key)
    count = int(whose.max()) + 1
    if count < 0.9 * size:
        raise ConfigError(
            f"compare, sizes asks for {size} training patients, of which the table has {count}: "
            "leave that size out."
        )
    chosen = np.random.default_rng(seed).permutation(count)[:size]
    return frame[np.isin(whose, chosen)]


def _origin(config: RunConfig, schema: Schema, cases: Cases) -> dict[str, Any]:
    """Return what all lines of a log have in common; lists of what to run may grow."""
    included = {"holdout", "delta", "rows", "seed", "test_split_seed"}
    given = config.model_dump(mode="json", include=included)
    source = config.data.model_dump(mode="json", include={"dataset", "rows"})
    return {
        "table": {"source": source, "digest": cases.digest},
        "split": cases.split_digest,
        "program": _program(),
        "schema": schema.digest,
        **given,
    }


def _program() -> str:
    """Return a digest of the program: runs of different code must not stand in one comparison."""
    digest = hashlib.sha256(code_digest().encode())
    for name in SOFTWARE:
        digest.update(f"{name} {_version(name)}".encode())
    return digest.hexdigest()


def _run_missing(
    config: RunConfig,
    cases: Cases,
    found: tuple[Contestant, ...],
    log: Log,
    progress: Progress,
) -> None:
    named = {one.name: one for one in found}
    cells = cells_of(config, found)
    # All cells are looked at first: settings that changed are found before an hour has passed.
    missing = [c for c in cells if not log.is_done(c, _settings(named[c.method]))]
    # One size after another, since each needs its own table and references.
    missing.sort(key=lambda cell: config.compare.sizes.index(cell.size) if cell.size else 0)
    for size in dict.fromkeys(cell.size for cell in cells):
        if size not in log.references:
            progress("comparing: scoring real rows", 0.0)
            log.add(_reference(cases[size], config.delta))
    with _work_folder(log.path.parent) as work:
        for place, cell in enumerate(missing):
            done = (len(cells) - len(missing) + place) / len(cells)
            at = "" if cell.size is None else f", {cell.size:,} patients"
            progress(f"comparing: {cell.method} at {cell.epsilon:g}{at}, run {cell.run + 1}", done)
            log.add(_outcome(config, cases[cell.size], named[cell.method], cell, work))
    progress("comparing: done", 1.0)


def _settings(one: Contestant) -> dict[str, float]:
    return {name: float(value) for name, value in one.settings.items()}


def _reference(case: Case, delta: float | None) -> Reference:
    scorer = case.scorer
    delta = checked_delta(1.0, delta, case.schema.patients)
    return Reference(
        size=case.size,
        patients=case.schema.patients,
        delta=delta,
        train_rows=len(scorer.train),
        holdout_rows=len(scorer.holdout),
        figures=scorer.references(),
    )


def _clean(folder: Path) -> None:
    """Remove what a process that was killed left: real rows on their way to a fit, and drafts."""
    for left in folder.glob(".work.*"):
        shutil.rmtree(left, ignore_errors=True)
    clean_drafts(folder)


@contextmanager
def _work_folder(beside: Path) -> Iterator[Path]:
    """Yield a folder for real rows on their way to a process: closed to others, and removed."""
    with tempfile.TemporaryDirectory(prefix=".work.", dir=beside) as name:
        yield Path(name)


def _outcome(config: RunConfig, case: Case, one: Contestant, cell: Cell, work: Path) -> Outcome:
    """Run one cell in a process of its own and score what it made; a failure is an outcome."""
    train, schema_file = work / "train.parquet", work / "schema.yaml"
    case.train.to_parquet(train, index=False)
    schema_file.write_text(case.schema.to_yaml(), encoding="utf-8")
    job = Job(
        method=one.method,
        settings=_settings(one),
        epsilon=cell.epsilon,
        delta=checked_delta(cell.epsilon, config.delta, case.schema.patients),
        rows=case.rows,
        seed=config.seed + cell.run,
        schema_file=schema_file.resolve(),
        train=train.resolve(),
        records=(work / "records.parquet").resolve(),
        done=(work / "done.json").resolve(),
    )
    ran = run_alone(job, work, config.compare.timeout)
    base: dict[str, Any] = {"cell": cell, "settings": _settings(one), "seconds": ran.seconds}
    if ran.done is None:
        return Outcome(**base, failed=ran.failed)
    base |= ran.done.model_dump()
    try:
        figures = case.scorer.score(read_table(job.records))
    except (SynthvaeError, ValueError, MemoryError) as cause:
        return Outcome(**base, failed=f"could not be scored: {cause}")
    finally:
        job.records.unlink(missing_ok=True)
    return Outcome(**base, figures=figures)


def write_results(
    config: RunConfig, schema: Schema, found: tuple[Contestant, ...], log: Log
) -> Comparison:
    """Write comparison.json and comparison.html from a log, and return the values."""
    from synthvae.comparison.page import render

    cells = cells_of(config, found)
    outcomes = [log.outcomes[cell] for cell in cells if cell in log.outcomes]
    if not outcomes:
        raise EvaluationError(f"{log.path} holds no runs; nothing can be compared.")
    sizes = tuple(dict.fromkeys(cell.size for cell in cells))
    patients = [log.references[size].patients for size in sizes]
    result = Comparison(
        name=config.name,
        title=config.title or schema.title or config.name,
        created=datetime.now(UTC).date().isoformat(),
        schema_digest=schema.digest,
        declared_patients=patients[0],
        columns=len(schema.modelled),
        runs=config.compare.runs,
        seed=config.seed,
        split_is_predictable=config.test_split_seed is not None,
        meanings=meanings(schema),
        references=tuple(log.references[size] for size in sizes),
        summaries=summarise(outcomes, cells),
        variants=tuple(variant.name for variant in config.compare.variants),
        advice=advise(schema, patients[0], budgets(config)),
        software={name: number for name in SOFTWARE if (number := _version(name))},
    )
    for name, text in ((VALUES, result.to_json()), (PAGE, render(result))):
        write_whole(log.path.parent / name, text)
    return result


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def read_result(folder: Path) -> Comparison:
    """Return the comparison that lies in a folder of results."""
    return Comparison.model_validate_json((folder / VALUES).read_text(encoding="utf-8"))
