"""SDMetrics' quality and diagnostic reports; the one module that imports sdmetrics."""

import warnings
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from synthvae._text import counted
from synthvae.evaluation import intervals
from synthvae.evaluation.metric import Limits, Metric
from synthvae.evaluation.results import Score
from synthvae.evaluation.tables import Table, Tables, at_most, number_of
from synthvae.field import Field

MOST_ROWS = 20_000
MOST_COLUMNS = 24
COMPARED = ("synthetic", "holdout", "independent")

_metric = partial(
    Metric, direction="higher", family="sdmetrics", topic="fidelity", disclosure="grid"
)
_AT_HOLDOUT = "SDMetrics sets none; at most 0.03 below what real rows of the holdout reach"
# Shuffled columns reach more than real rows do in the quality and in the pairs: a steward may set a
# limit, but none is ours.
QUALITY = _metric(
    "sdmetrics_quality",
    "SDMetrics quality report, overall",
    "The mean of SDMetrics' column shapes and pair trends: how alike single columns and pairs of "
    "columns are, from 0 to 1. For information: it has the pair trends in it, so no threshold is set.",
)
SHAPES = _metric(
    "sdmetrics_shapes",
    "SDMetrics column shapes",
    "How alike the distributions of single columns are, from 0 to 1, on average (one minus the "
    "Kolmogorov-Smirnov distance of numbers, or the total variation of categories).",
    threshold=Limits(-0.03, -0.10, _AT_HOLDOUT, beside="holdout"),
)
PAIRS = _metric(
    "sdmetrics_pairs",
    "SDMetrics column pair trends",
    "How alike the correlations of numbers and the shares of combined categories are, from 0 to 1, "
    "on average. For information, without a threshold: shuffled columns can score above real rows, "
    "because numbers are cut on each table's own range, and one outlier moves that.",
)
DIAGNOSTIC = _metric(
    "sdmetrics_diagnostic",
    "SDMetrics diagnostic report",
    "Whether values stay within train's ranges and categories, and the columns are the same ones. "
    "Below 1 there are values that train does not have, which new patients may have too.",
    topic="validity",
    threshold=Limits(-0.02, -0.10, _AT_HOLDOUT, beside="holdout"),
    disclosure="withheld",
    withheld_as="it counts the categories that train covers: one patient is one more",
)
METRICS = (QUALITY, SHAPES, PAIRS, DIAGNOSTIC)
_PAIRS_CAVEAT = (
    " All pairs count (SDMetrics' own thresholds would drop the weakly associated ones). It cuts "
    "numbers on each table's own range, so that even real rows differ: prefer the total variation."
)


# Of a report: the mean of all and of each property, how many figures count there, how many fail.
Properties = dict[str, tuple[float | None, int, int]]
OVERALL = "overall"


def report_quality(tables: Tables, generator: np.random.Generator) -> tuple[Score, ...]:
    """Return the SDMetrics scores of the synthetic table, beside the holdout's and shuffled ones.

    References
    ----------
    SDMetrics, DataCebo, https://docs.sdv.dev/sdmetrics: QualityReport (column shapes: complement of
    Kolmogorov-Smirnov or total variation; pair trends: correlation or contingency similarity) and
    DiagnosticReport (data validity, data structure).
    """
    whole = {
        name: getattr(tables, name) for name in ("train", "holdout", "synthetic", "independent")
    }
    rows = {name: at_most(table, MOST_ROWS, generator) for name, table in whole.items()}
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        # Seconds to import, so only when needed. These classes are the ones that all supported
        # versions share; newer ones announce their end.
        from sdmetrics.reports.single_table import DiagnosticReport, QualityReport
    fields, sampled = tables.schema.modelled, ""
    chosen = every = list(range(len(fields)))
    if len(every) > MOST_COLUMNS:
        chosen = sorted(generator.choice(len(every), MOST_COLUMNS, replace=False).tolist())
        sampled = f" {len(chosen)} of {len(every)} columns, drawn at random."
    if max(len(table) for table in whole.values()) > MOST_ROWS:
        sampled += f" At most {MOST_ROWS:,} rows of each table, drawn at random."
    quality, diagnosis = (
        {name: _run(report, rows["train"], rows[name], fields, columns, shown) for name in COMPARED}
        for report, columns, shown in (
            (QualityReport, chosen, False),
            (DiagnosticReport, every, True),
        )
    )
    return (
        _answer(QUALITY, quality, OVERALL, sampled),
        _answer(SHAPES, quality, "Column Shapes", sampled),
        _answer(PAIRS, quality, "Column Pair Trends", _PAIRS_CAVEAT + sampled),
        _answer(DIAGNOSTIC, diagnosis, OVERALL, ""),
    )


def _answer(metric: Metric, found: dict[str, Properties], part: str, detail: str) -> Score:
    values = {name: properties[part][0] for name, properties in found.items()}
    scored, value = found["synthetic"], values.pop("synthetic")
    if value is None:
        return metric.unanswered(
            "SDMetrics could compare nothing: the columns are constant or have no values"
        )
    figures = "; ".join(
        f"{name}: {'–' if mean is None else format(mean, '.3f')} over {counted(known, 'figure')}"
        + (f" ({failed:,} could not be had)" if failed else "")
        for name, (mean, known, failed) in scored.items()
        if name != OVERALL and part in (name, OVERALL)
    )
    detail = f"{figures}. SDMetrics has no interval.{detail}"
    return metric.answer(value, None, values | {"ideal": 1.0}, detail)


def _run(
    report: Any,
    real: Table,
    other: Table,
    fields: tuple[Field, ...],
    columns: list[int],
    show_invalid: bool,
) -> Properties:
    """Run one report on plain frames with neutral column names."""
    run = report()
    frames = [_frame(table, fields, columns, show_invalid) for table in (real, other)]
    kinds = {
        f"c{j}": {"sdtype": "numerical" if fields[j].is_lattice else "categorical"} for j in columns
    }
    run.num_rows_subsample = None  # it would draw from numpy's global generator
    run.real_correlation_threshold = run.real_association_threshold = 0
    # SDMetrics' dependencies warn of constant or empty columns.
    with warnings.catch_warnings(action="ignore"):
        run.generate(*frames, {"columns": kinds}, verbose=False)
        means = run.get_properties().set_index("Property")["Score"]
        scores = {name: run.get_details(name)["Score"] for name in means.index}
        overall = run.get_score()
    return {OVERALL: (_finite(overall), 0, 0)} | {
        str(name): (_finite(means[name]), int(each.notna().sum()), int(each.isna().sum()))
        for name, each in scores.items()
    }


def _finite(value: float) -> float | None:
    return intervals.rounded(value) if np.isfinite(value) else None


def _frame(
    table: Table, fields: tuple[Field, ...], columns: list[int], show_invalid: bool
) -> pd.DataFrame:
    """Return columns as floats or text; invalid cells stand out for the diagnostic report.

    Dates are numbers of days or seconds: every figure that SDMetrics computes stays the same.
    """
    found: dict[str, Any] = {}
    for j in columns:
        codes, field = table.codes[:, j], fields[j]
        values: Any = number_of(field, codes) if field.is_lattice else None
        if not field.is_lattice:
            labels = np.array([*field.categories, None], object)
            values = labels[np.where(codes >= 0, codes, len(field.categories))]
        invalid = table.invalid[:, j] & show_invalid
        values[invalid] = np.inf if field.is_lattice else "(invalid)"
        found[f"c{j}"] = values
    return pd.DataFrame(found)
