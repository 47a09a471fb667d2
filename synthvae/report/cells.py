"""Counts of real rows, coded so that nobody can tell which of them are small."""

from collections.abc import Sequence

from synthvae.evaluation.values import Margin, TableFacts
from synthvae.report.coarse import Grid, Scale

ELSE = "all else"
MISSING = "(missing)"
_DIGITS = 3
_NO_RANGE = (" (special)", MISSING)


def control(margin: Margin, tables: TableFacts, scale: Scale | None) -> Margin | None:
    """Return one margin in whole steps of rows, or None where no cell has one or there is no scale.

    A cell is shown where both real tables have at least one step of rows in it; its share is that of
    the middle of its step. All other cells, and what rounding leaves, are together in one that is
    always there. Distances are those of the shares shown.

    *Guarantee*: what is returned is a function of each cell's whole steps and of those of the
    tables, so that it is the same for any two numbers of rows within one step.
    """
    if scale is None:
        return None
    sides = {
        name: steps(_counts(shares, rows), scale.step)
        for name, shares, rows in (
            ("train", margin.train, tables.train_rows),
            ("holdout", margin.holdout, tables.holdout_rows),
        )
    }
    shown = [i for i in range(len(margin.labels)) if all(side[i] for side in sides.values())]
    if not shown:
        return None
    train = _middles([sides["train"][i] for i in shown], tables.train_rows // scale.step)
    holdout = _middles([sides["holdout"][i] for i in shown], tables.holdout_rows // scale.step)
    labels, synthetic = _public_part(margin, shown, scale.train)
    return Margin(
        column=margin.column,
        kind=margin.kind,
        labels=(*labels, ELSE),
        train=train,
        holdout=holdout,
        synthetic=synthetic,
        distance=_distance(train, synthetic),
        holdout_distance=_distance(train, holdout),
    )


def is_whole(margin: Margin, tables: TableFacts, scale: Scale) -> bool:
    """Tell whether each cell of a margin has at least one step of train's rows."""
    return all(steps(_counts(margin.train, tables.train_rows), scale.step))


def steps(counts: Sequence[int], step: int) -> tuple[int, ...]:
    """Return how many whole steps are in each count: 0 for all that are less than one.

    Examples
    --------
    >>> steps((0, 3, 19, 20, 57), 20)
    (0, 0, 0, 1, 2)
    """
    return tuple(count // step for count in counts)


def _counts(shares: Sequence[float], rows: int) -> tuple[int, ...]:
    return tuple(round(share * rows) for share in shares)


def _middles(cells: Sequence[int], whole: int) -> tuple[float, ...]:
    """Return the shares of cells of so many steps each, and last that of all else."""
    shares = [(cell + 0.5) / (whole + 0.5) for cell in cells]
    shares.append(max(0.0, 1 - sum(shares)))
    total = sum(shares)
    return tuple(round(share / total, _DIGITS) for share in shares)


def _public_part(
    margin: Margin, shown: Sequence[int], grid: Grid
) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Return the labels of the cells shown, and the synthetic shares with all else last.

    The synthetic rows and categories are public. Ranges are not: their edges are quantiles of train,
    which the labels would say, and which exact shares of synthetic rows within them would, too.
    """
    shares = [margin.synthetic[i] for i in shown]
    labels = [margin.labels[i] for i in shown]
    if margin.kind != "category":
        shares = [grid.near(share) for share in shares]
        labels = _ranks(labels)
    shares.append(max(0.0, 1 - sum(shares)))
    return tuple(labels), tuple(round(share, _DIGITS) for share in shares)


def _ranks(labels: Sequence[str]) -> list[str]:
    ranges = [label for label in labels if not label.endswith(_NO_RANGE)]
    ranks = {label: f"range {place + 1}" for place, label in enumerate(ranges)}
    if ranges:
        ranks[ranges[-1]] += " (highest)"
        ranks[ranges[0]] = "range 1 (lowest)" if len(ranges) > 1 else "range 1"
    return [ranks.get(label, label) for label in labels]


def _distance(one: Sequence[float], other: Sequence[float]) -> float:
    return round(sum(abs(a - b) for a, b in zip(one, other, strict=True)) / 2, _DIGITS)
