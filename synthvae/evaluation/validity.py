"""Whether cells are what the schema allows, and whether rows are copies of real ones."""

from functools import partial

import numpy as np

from synthvae._text import counted
from synthvae._types import Bools, Floats
from synthvae.evaluation.intervals import clopper_pearson, clustered_share, interval
from synthvae.evaluation.metric import Limits, Metric
from synthvae.evaluation.tables import Table, Tables
from synthvae.evaluation.values import Interval, Score

NAMED = 5

_metric = partial(Metric, family="schema", topic="validity")
_SCHEMA = Limits(
    1.0,
    0.99,
    "Frictionless Table Schema v1: a table is valid where every cell keeps its constraints; that 1 "
    "in 100 is poor is our own line",
    "standard",
)
CELLS = _metric(
    "valid_cells",
    "Cells inside the schema",
    "Share of the synthetic table's cells that the schema allows: readable, of the right type, "
    "within the bounds or categories, missing only where that is allowed.",
    "higher",
    goal=1.0,
    threshold=_SCHEMA,
    disclosure="synthetic rows",
)
ROWS = _metric(
    "valid_rows",
    "Rows inside the schema",
    "Share of synthetic rows in which every cell is allowed by the schema.",
    "higher",
    goal=1.0,
    threshold=_SCHEMA,
    disclosure="synthetic rows",
)
COPIES = _metric(
    "copies",
    "Exact copies of train rows",
    "Share of synthetic rows that equal a train row in every modelled column. Where columns are "
    "few and coarse, new patients equal old ones by chance: the holdout's rate says how often, up "
    "to the upper end of its interval. More than that points at copying; less proves nothing.",
    "lower",
    family="copies",
    topic="privacy",
    threshold=Limits(
        0.0,
        0.05,
        "what real rows of others may reach, the upper 95 % end of the holdout's share; 5 in 100 rows "
        "above that is poor",
        beside="holdout, upper end",
    ),
    disclosure="rounded down",
    tripwire=True,
)
METRICS = (CELLS, ROWS, COPIES)


def check_validity(tables: Tables) -> tuple[Score, ...]:
    """Return the shares of valid cells and of valid rows, and that of copied rows."""
    invalid, held = tables.synthetic.invalid, tables.holdout.invalid
    cells = CELLS.answer(
        1 - float(invalid.mean()),
        _mean_interval(1 - invalid.mean(axis=1)),
        {"holdout": 1 - float(held.mean()), "ideal": 1.0},
        _worst_columns(tables),
    )
    broken = np.asarray(invalid.any(axis=1))
    valid = int((~broken).sum())
    rows = ROWS.answer(
        valid / len(broken),
        clopper_pearson(valid, len(broken)),
        {"holdout": float((~held.any(axis=1)).mean()), "ideal": 1.0},
        f"{len(broken) - valid:,} of {counted(len(broken), 'row')} with an invalid cell.",
    )
    return cells, rows, count_copies(tables)


def _worst_columns(tables: Tables) -> str:
    shares = tables.synthetic.invalid.mean(axis=0)
    worst = [int(j) for j in np.argsort(-shares, kind="stable")[:NAMED] if shares[j]]
    if not worst:
        return "No cell is invalid."
    names = [f"'{tables.schema.modelled[j].name}' ({100 * shares[j]:.3g} %)" for j in worst]
    return f"Columns with most invalid cells: {', '.join(names)}."


def _mean_interval(shares: Floats) -> Interval:
    """Return the interval of the mean of one share a row; exact where all rows are the same."""
    rows, mean = len(shares), float(shares.mean())
    error = float(shares.std()) / rows**0.5
    if not error:
        return clopper_pearson(round(mean * rows), rows)
    return interval(max(0.0, mean - 1.96 * error), min(1.0, mean + 1.96 * error), "normal, by row")


def copied(table: Table, originals: Table) -> int:
    """Return how many rows of a table are the same, in every column, as some original row."""
    return int(_are_copies(table, originals).sum())


def _are_copies(table: Table, originals: Table) -> Bools:
    known = {row.tobytes() for row in originals.codes}
    alike = np.array([row.tobytes() in known for row in table.codes], bool)
    return np.asarray(alike & ~table.invalid.any(axis=1))


def count_copies(tables: Tables) -> Score:
    """Return the share of synthetic rows that are copies of train rows, beside the holdout's."""
    rows = len(tables.synthetic)
    copies = _are_copies(tables.synthetic, tables.train)
    alike = _are_copies(tables.holdout, tables.train)
    expected = float(alike.mean())
    by_chance = copied(tables.independent, tables.train) / rows
    return COPIES.with_goal(expected).answer(
        float(copies.mean()),
        clustered_share(copies, tables.synthetic.patients),
        {
            "holdout": expected,
            "holdout, upper end": clustered_share(alike, tables.holdout.patients).high,
            "independent": by_chance,
        },
        f"{int(copies.sum()):,} of {counted(rows, 'synthetic row')}. A tripwire, not evidence of "
        "privacy.",
    )
