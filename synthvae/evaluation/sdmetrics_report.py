"""SDMetrics' quality and diagnostic reports; the one module that imports sdmetrics."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from synthvae._text import counted
from synthvae.evaluation.intervals import rounded
from synthvae.evaluation.metric import Limits, Metric
from synthvae.evaluation.results import Score
from synthvae.evaluation.tables import Table, Tables, at_most, number_of
from synthvae.field import Field

MOST_ROWS = 20_000
MOST_COLUMNS = 24


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what SDMetrics' dependencies say about constant or empty columns to ourselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@dataclass(frozen=True)
class _Properties:
    """What one report found: each property's mean, how many entries counted, how many did not."""

    overall: float | None
    means: dict[str, float | None]
    counted: dict[str, int]
    failed: dict[str, int]


def report_quality(tables: Tables, generator: np.random.Generator) -> tuple[Score, ...]:
    """Return the SDMetrics scores of the synthetic table, beside the holdout's and shuffled ones.

    References
    ----------
    SDMetrics, DataCebo, https://docs.sdv.dev/sdmetrics: QualityReport (column shapes: complement of
    Kolmogorov-Smirnov or total variation; pair trends: correlation or contingency similarity) and
    DiagnosticReport (data validity, data structure).
    """
    rows = {
        name: at_most(getattr(tables, name), MOST_ROWS, generator)
        for name in ("train", "holdout", "synthetic", "independent")
    }
    diagnosis, trends = _reports()
    columns = list(range(len(tables.schema.modelled)))
    if len(columns) > MOST_COLUMNS:
        columns = sorted(generator.choice(len(columns), MOST_COLUMNS, replace=False).tolist())
    fields = tables.schema.modelled
    compared = ("synthetic", "holdout", "independent")
    quality = {name: _run(trends, rows["train"], rows[name], fields, columns) for name in compared}
    every = list(range(len(fields)))
    diagnostic = {
        name: _run(diagnosis, rows["train"], rows[name], fields, every, show_invalid=True)
        for name in compared
    }
    sampled = ""
    if len(columns) < len(fields):
        sampled = f" {len(columns)} of {len(fields)} columns, drawn at random."
    if max(len(getattr(tables, name)) for name in rows) > MOST_ROWS:
        sampled += f" At most {MOST_ROWS:,} rows of each table, drawn at random."
    return (
        _answer(QUALITY, quality, None, sampled),
        _answer(SHAPES, quality, "Column Shapes", sampled),
        _answer(PAIRS, quality, "Column Pair Trends", _PAIRS_CAVEAT + sampled),
        _answer(DIAGNOSTIC, diagnostic, None),
    )


_metric = partial(Metric, family="sdmetrics", topic="fidelity")
_AT_HOLDOUT = "SDMetrics sets none; at most 0.03 below what real rows of the holdout reach"
# Shuffled columns reach more than real rows do in the quality and in the pairs: a steward may set a
# limit, but none is ours.
QUALITY = _metric(
    "sdmetrics_quality",
    "SDMetrics quality report, overall",
    "The mean of SDMetrics' column shapes and pair trends: how alike single columns and pairs of "
    "columns are, from 0 to 1. For information: it has the pair trends in it, so no threshold is set.",
    "higher",
    disclosure="grid",
)
SHAPES = _metric(
    "sdmetrics_shapes",
    "SDMetrics column shapes",
    "How alike the distributions of single columns are, from 0 to 1, on average (one minus the "
    "Kolmogorov-Smirnov distance of numbers, or the total variation of categories).",
    "higher",
    threshold=Limits(-0.03, -0.10, _AT_HOLDOUT, beside="holdout"),
    disclosure="grid",
)
PAIRS = _metric(
    "sdmetrics_pairs",
    "SDMetrics column pair trends",
    "How alike the correlations of numbers and the shares of combined categories are, from 0 to 1, "
    "on average. For information, without a threshold: shuffled columns can score above real rows, "
    "because numbers are cut on each table's own range, and one outlier moves that.",
    "higher",
    disclosure="grid",
)
DIAGNOSTIC = _metric(
    "sdmetrics_diagnostic",
    "SDMetrics diagnostic report",
    "Whether values stay within train's ranges and categories, and the columns are the same ones. "
    "Below 1 there are values that train does not have, which new patients may have too.",
    "higher",
    topic="validity",
    threshold=Limits(-0.02, -0.10, _AT_HOLDOUT, beside="holdout"),
    withheld_as="it counts the categories that train covers: one patient is one more",
)
METRICS = (QUALITY, SHAPES, PAIRS, DIAGNOSTIC)
_PAIRS_CAVEAT = (
    " All pairs count (SDMetrics' own thresholds would drop the weakly associated ones). It cuts "
    "numbers on each table's own range, so that even real rows differ: prefer the total variation."
)


def _reports() -> tuple[Any, Any]:
    """Return SDMetrics' diagnostic and quality reports: seconds to import, so only when needed."""
    with warnings.catch_warnings():
        # These classes are the ones that all supported versions share; newer ones announce their end.
        warnings.simplefilter("ignore", FutureWarning)
        from sdmetrics.reports.single_table import DiagnosticReport, QualityReport

    return DiagnosticReport, QualityReport


def _answer(
    metric: Metric, found: dict[str, _Properties], part: str | None, detail: str = ""
) -> Score:
    values = {name: of.overall if part is None else of.means[part] for name, of in found.items()}
    mine = found["synthetic"]
    value = values["synthetic"]
    if value is None:
        return metric.unanswered(
            "SDMetrics could compare nothing: the columns are constant or have no values"
        )
    parts = mine.means if part is None else {part: value}
    told = "; ".join(
        f"{name}: {'–' if mean is None else format(mean, '.3f')} over "
        f"{counted(mine.counted[name], 'figure')}"
        + (f" ({mine.failed[name]:,} could not be had)" if mine.failed[name] else "")
        for name, mean in parts.items()
    )
    references = {"holdout": values["holdout"], "independent": values["independent"], "ideal": 1.0}
    return metric.answer(value, None, references, f"{told}. SDMetrics has no interval.{detail}")


def _run(
    report: Any,
    real: Table,
    made: Table,
    fields: tuple[Field, ...],
    columns: list[int],
    show_invalid: bool = False,
) -> _Properties:
    """Run one report on plain frames with neutral column names."""
    frames = [_frame(table, fields, columns, show_invalid) for table in (real, made)]
    kinds = {
        f"c{j}": {"sdtype": "numerical" if fields[j].is_lattice else "categorical"} for j in columns
    }
    run = report()
    run.num_rows_subsample = None  # it would draw from numpy's global generator
    run.real_correlation_threshold = run.real_association_threshold = 0
    with _quiet():
        run.generate(*frames, {"columns": kinds}, verbose=False)
        properties = run.get_properties().set_index("Property")["Score"]
        details = {name: run.get_details(name)["Score"] for name in properties.index}
        overall = run.get_score()
    return _Properties(
        _finite(overall),
        {str(name): _finite(mean) for name, mean in properties.items()},
        {name: int(scores.notna().sum()) for name, scores in details.items()},
        {name: int(scores.isna().sum()) for name, scores in details.items()},
    )


def _finite(value: float) -> float | None:
    return rounded(value) if np.isfinite(value) else None


def _frame(
    table: Table, fields: tuple[Field, ...], columns: list[int], show_invalid: bool
) -> pd.DataFrame:
    """Return columns as floats or text; invalid cells stand out for the diagnostic report.

    Dates are numbers of days or seconds: every figure that SDMetrics computes stays the same.
    """
    found: dict[str, Any] = {}
    for j in columns:
        codes, field = table.codes[:, j], fields[j]
        broken = table.invalid[:, j] & show_invalid
        if field.is_lattice:
            numbers = number_of(field, codes)
            numbers[broken] = np.inf
            found[f"c{j}"] = numbers
        else:
            labels = np.array([*field.categories, None], object)
            texts = labels[np.where(codes >= 0, codes, len(field.categories))]
            texts[broken] = "(invalid)"
            found[f"c{j}"] = texts
    return pd.DataFrame(found)
