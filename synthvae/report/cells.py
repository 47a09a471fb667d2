"""Small cells of a table of counts, merged so that nothing published gives them away."""

from collections.abc import Sequence

from synthvae.evaluation.values import Margin, TableFacts
from synthvae.report.profiles import Profile

TOGETHER = "small cells, together"
Counts = tuple[int, ...]


def control_margins(
    margins: Sequence[Margin], tables: TableFacts, profile: Profile, rows_per_patient: int
) -> tuple[tuple[Margin, ...], tuple[str, ...]]:
    """Return the margins with small cells merged, and the names of columns with nothing left."""
    kept, withheld = [], []
    for margin in margins:
        controlled = control(margin, tables, profile, rows_per_patient)
        if controlled is None:
            withheld.append(margin.column)
        else:
            kept.append(controlled)
    return tuple(kept), tuple(withheld)


def control(
    margin: Margin, tables: TableFacts, profile: Profile, rows_per_patient: int
) -> Margin | None:
    """Return one margin with its small cells merged; None where all of them would be."""
    train = _counts(margin.train, tables.train_rows)
    holdout = _counts(margin.holdout, tables.holdout_rows)
    least = profile.smallest_cell * rows_per_patient
    merged = cells_to_merge((train, holdout), least, zeros=profile.zeros_are_small)
    if len(merged) == len(train) > 0:
        return None
    shown = [cell for cell in range(len(train)) if cell not in merged]
    labels = tuple(margin.labels[cell] for cell in shown)
    parts = [
        _merge(_rounded(counts, profile.round_to), shown, merged) for counts in (train, holdout)
    ]
    real = [
        tuple(round(count / max(sum(part), 1), profile.digits) for count in part) for part in parts
    ]
    made = _merge(margin.synthetic, shown, merged)
    synthetic = tuple(round(share, profile.digits) for share in made)
    return margin.model_copy(
        update={
            "labels": (*labels, TOGETHER) if merged else labels,
            "train": real[0],
            "holdout": real[1],
            "synthetic": synthetic,
            "distance": round(_distance(real[0], synthetic), profile.digits),
            "holdout_distance": round(_distance(real[0], real[1]), profile.digits),
        }
    )


def cells_to_merge(tables: Sequence[Counts], least: int, *, zeros: bool) -> frozenset[int]:
    """Return the cells to merge into one, so that no table shows fewer than `least` in any.

    All cells that are small in any table are merged, and with them the next smallest ones, until
    what is merged is neither small nor a single cell (Hundepool et al. 2012, Statistical Disclosure
    Control, section 4.2: a suppressed cell must not follow from a total).

    Parameters
    ----------
    tables
        Counts of the same cells in several tables.
    least
        The smallest count that may be shown.
    zeros
        Whether 0 is small.

    Examples
    --------
    >>> sorted(cells_to_merge([(50, 3, 20, 90)], 10, zeros=True))
    [1, 2]
    >>> sorted(cells_to_merge([(50, 4, 7, 90), (12, 11, 14, 30)], 10, zeros=True))
    [1, 2]
    >>> sorted(cells_to_merge([(50, 0, 20)], 10, zeros=False))
    []
    """

    def small(count: int) -> bool:
        return count < least and (zeros or count > 0)

    cells = range(len(tables[0]))
    merged = {cell for cell in cells if any(small(counts[cell]) for counts in tables)}
    waiting = sorted(
        (cell for cell in cells if cell not in merged),
        key=lambda cell: (min(counts[cell] for counts in tables), cell),
    )
    while merged and waiting:
        together = [sum(counts[cell] for cell in merged) for counts in tables]
        if len(merged) > 1 and not any(small(count) for count in together):
            break
        merged.add(waiting.pop(0))
    return frozenset(merged)


def _counts(shares: Sequence[float], rows: int) -> Counts:
    return tuple(round(share * rows) for share in shares)


def _rounded(counts: Counts, base: int) -> Counts:
    return tuple((2 * count + base) // (2 * base) * base for count in counts)


def _merge(
    values: Sequence[float], shown: Sequence[int], merged: frozenset[int]
) -> tuple[float, ...]:
    kept = tuple(values[cell] for cell in shown)
    return (*kept, sum(values[cell] for cell in sorted(merged))) if merged else kept


def _distance(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(abs(a - b) for a, b in zip(one, other, strict=True)) / 2
