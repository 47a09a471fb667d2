"""What a comparison finds, as values: the log of its runs, their means, and the advice.

The log's lines are `Reference` and `Outcome`; `summarise` and `advise` make of them what `Comparison`
holds.

A job that was killed goes on where its log ends. The log's first line says what it is the log of; a
log of something else is refused, since its figures could not stand beside new ones.
"""

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from synthvae._files import read_ordinary, storage_errors, write_whole
from synthvae._frozen import Frozen
from synthvae._text import epsilon_text
from synthvae.errors import ArtefactError, OutputExistsError
from synthvae.evaluation.results import Direction
from synthvae.schema import Schema

OURS = "synthvae"  # the method that the others are compared with
LARGEST_BYTES = 100_000_000
LEVEL = 0.95
COSTS = ("seconds", "cpu_seconds", "fit_seconds", "megabytes", "spent", "refused", "repaired")
COMPARED = ("seconds", "megabytes")


class Cell(Frozen):
    """One fit: a method or variant at a budget, on a number of patients, and the number of its run.

    `size` is None for the table as it is.
    """

    method: str
    epsilon: float
    size: int | None = None
    run: int


class Outcome(Frozen):
    """The outcome of one cell: its figures and what they cost, or why there are none."""

    cell: Cell
    settings: dict[str, float] = {}  # those of the VAE that were replaced
    failed: str | None = None
    figures: dict[str, float | None] = {}
    spent: float | None = None  # epsilon of the fit
    seconds: float | None = None  # of the whole process: start, reading, fit, sampling, writing
    cpu_seconds: float | None = None  # of the whole process
    fit_seconds: float | None = None
    megabytes: float | None = None  # largest memory of the process
    refused: float | None = None  # of a baseline: records that broke a rule, for each that is kept
    repaired: float | None = None  # of a baseline: share of records repaired column by column
    notes: tuple[str, ...] = ()  # of a baseline: what it left out, in words


class Reference(Frozen):
    """The same figures of real rows, at one size."""

    size: int | None = None
    patients: int | None
    delta: float
    train_rows: int
    holdout_rows: int
    figures: dict[str, float | None]


class Meaning(Frozen):
    """What a figure says, and which way it is better."""

    key: str
    title: str
    meaning: str
    direction: Direction
    goal: float | None = None
    reference: str = ""


class Mean(Frozen):
    """A mean over runs, with its t-interval where there are several."""

    value: float
    low: float | None = None
    high: float | None = None
    runs: int


class Summary(Frozen):
    """All runs of one method at one budget and size."""

    method: str
    epsilon: float
    size: int | None = None
    settings: dict[str, float] = {}
    runs: int
    failed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()  # of all runs
    figures: dict[str, Mean] = {}
    costs: dict[str, Mean] = {}
    ratios: dict[str, float] = {}


class Comparison(Frozen):
    """Everything that a comparison found."""

    version: int = 1
    name: str
    title: str
    created: str
    schema_digest: str
    declared_patients: int | None
    columns: int
    runs: int
    seed: int
    split_is_predictable: bool = False
    meanings: tuple[Meaning, ...]
    references: tuple[Reference, ...]
    summaries: tuple[Summary, ...]
    variants: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    software: dict[str, str] = {}

    def to_json(self) -> str:
        """Return the comparison as JSON, the same text for the same values."""
        return self.model_dump_json(indent=1) + "\n"


@dataclass
class Log:
    """A comparison's lines so far; what is added is on the disk when the call returns."""

    path: Path
    origin: dict[str, Any]
    references: dict[int | None, Reference] = field(default_factory=dict)
    outcomes: dict[Cell, Outcome] = field(default_factory=dict)

    @classmethod
    def create(cls, path: Path, origin: dict[str, Any]) -> "Log":
        """Start a log in place of any that was there."""
        log = cls(path, origin)
        write_whole(path, _line({"origin": origin}))
        return log

    @classmethod
    def resume(cls, path: Path, origin: dict[str, Any]) -> "Log":
        """Read a log to continue.

        Raises
        ------
        OutputExistsError
            It is the log of another table, schema or config.
        ArtefactError
            It is no log.
        """
        log = cls(path, origin)
        try:
            # What follows the last newline was being written when the job was killed.
            content, newline, torn = read_ordinary(path, LARGEST_BYTES).rpartition(b"\n")
            whole = content.decode().split("\n") if newline else []
            first, *rest = map(json.loads, whole)
            log._check_origin(first["origin"])
            for line in rest:
                if "reference" in line:
                    log._keep(Reference.model_validate(line["reference"]))
                else:
                    log._keep(Outcome.model_validate(line["outcome"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as cause:
            raise ArtefactError(
                f"{path} is no log of a comparison ({type(cause).__name__}); move it away, or pass "
                "--force to begin again."
            ) from None
        if torn:
            write_whole(path, "".join(f"{line}\n" for line in whole))
        return log

    def _check_origin(self, before: dict[str, Any]) -> None:
        changed = sorted(
            key for key in before | self.origin if before.get(key) != self.origin.get(key)
        )
        if changed:
            raise OutputExistsError(
                f"{self.path} was made with another {' and another '.join(changed)}; pass --force to "
                "begin again, or give the config another name."
            )

    def _keep(self, value: Outcome | Reference) -> None:
        if isinstance(value, Reference):
            self.references[value.size] = value
        else:
            self.outcomes[value.cell] = value

    def is_done(self, cell: Cell, settings: dict[str, float]) -> bool:
        """Whether a cell has figures; one that failed is tried again.

        Raises
        ------
        OutputExistsError
            It has, with other settings.
        """
        known = self.outcomes.get(cell)
        if known is None or known.failed:
            return False
        if known.settings != settings:
            raise OutputExistsError(
                f"{self.path} holds runs of {cell.method!r} with other settings; give the variant "
                "another name, or pass --force to begin again."
            )
        return True

    def add(self, value: Outcome | Reference) -> None:
        """Append one line."""
        self._keep(value)
        kind = "reference" if isinstance(value, Reference) else "outcome"
        with storage_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(_line({kind: value.model_dump(mode="json")}))
            file.flush()
            os.fsync(file.fileno())


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"


def mean(values: Sequence[float]) -> Mean:
    """Return the mean of independent runs, and Student's interval where there are several.

    Examples
    --------
    >>> found = mean([1.0, 2.0, 3.0])
    >>> found.value, round(found.low, 3), round(found.high, 3)
    (2.0, -0.484, 4.484)
    """
    known = np.asarray(values, float)
    middle = float(known.mean())
    if len(known) < 2:
        return Mean(value=middle, runs=len(known))
    half = stats.t.ppf((1 + LEVEL) / 2, len(known) - 1) * known.std(ddof=1) / math.sqrt(len(known))
    return Mean(value=middle, low=middle - float(half), high=middle + float(half), runs=len(known))


def summarise(outcomes: Sequence[Outcome], cells: Sequence[Cell]) -> tuple[Summary, ...]:
    """Return one summary for each method, budget and size, in the order of the cells."""
    groups: dict[tuple[int | None, float, str], list[Outcome]] = {
        (cell.size, cell.epsilon, cell.method): [] for cell in cells
    }
    for outcome in outcomes:
        groups[outcome.cell.size, outcome.cell.epsilon, outcome.cell.method].append(outcome)
    summaries = {}
    for (size, epsilon, method), group in groups.items():
        good = [outcome for outcome in group if outcome.failed is None]
        summaries[size, epsilon, method] = Summary(
            method=method,
            epsilon=epsilon,
            size=size,
            settings=group[0].settings if group else {},
            runs=len(good),
            failed=tuple(one.failed for one in group if one.failed is not None),
            notes=tuple(note for one in good for note in one.notes),
            figures=_means([one.figures for one in good], good[0].figures if good else ()),
            costs=_means([one.model_dump(include=set(COSTS)) for one in good], COSTS),
        )
    return tuple(
        one.model_copy(
            update={"ratios": _multiples_of_ours(one, summaries.get((size, epsilon, OURS)))}
        )
        for (size, epsilon, _), one in summaries.items()
    )


def _means(runs: Sequence[Mapping[str, float | None]], names: Iterable[str]) -> dict[str, Mean]:
    """Return the means of the values that are known, without those that no run has."""
    known = {name: [v for run in runs if (v := run.get(name)) is not None] for name in names}
    return {name: mean(values) for name, values in known.items() if values}


def _multiples_of_ours(one: Summary, ours: Summary | None) -> dict[str, float]:
    if ours is None:
        return {}
    return {
        name: one.costs[name].value / ours.costs[name].value
        for name in COMPARED
        if name in one.costs and name in ours.costs and ours.costs[name].value > 0
    }


def advise(schema: Schema, patients: int | None, epsilons: Sequence[float]) -> tuple[str, ...]:
    """Return which method to use, from public facts alone: no figure of this page enters.

    The rules are coarse; the methods' costs and the public tables in the documentation suggest them.
    """
    columns = len(schema.modelled)
    small = all(not f.is_lattice and len(f.categories) <= 12 for f in schema.modelled)
    advice = []
    for epsilon in sorted(set(epsilons)):
        signal = None if patients is None else patients * epsilon
        if schema.orderBy is not None:
            use = (
                f"{OURS}: the only one that draws visit after visit; the others see a patient's visits "
                "side by side, in so many columns that little is known of each"
            )
        elif signal is not None and signal < 1000:
            use = (
                "independent: so little can be learned about dependence that most of a larger "
                "model would be noise; use synthvae if conditions or targets matter"
            )
        elif columns <= 15 and signal is not None and signal >= 30_000:
            use = (
                f"{OURS}; or aim-3way, where its time (many times ours) is no matter: few columns and "
                "so large a budget that whole tables of pairs and triples can be measured, which it "
                "does as well"
            )
        elif columns <= 8 and small:
            use = (
                "aim-3way: few columns with few categories each, whose pairs and triples it can measure "
                "nearly all"
            )
        else:
            use = f"{OURS}: many or continuous columns, of which pairs alone say too little"
        advice.append(f"At epsilon {epsilon_text(epsilon)}, {use}.")
    if columns > 40 and schema.orderBy is None:
        advice.append(
            f"With {columns} columns, aim looks at {math.comb(columns, 2):,} pairs in each round, and "
            f"aim-3way at up to {math.comb(columns, 3):,} triples: expect them to take much longer than "
            "the others."
        )
    return tuple(advice)
