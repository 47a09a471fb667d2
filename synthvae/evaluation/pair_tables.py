"""Pairs of columns cell by cell: what the distance of a pair is made of."""

from collections.abc import Sequence

import numpy as np

from synthvae._types import Floats, Ints
from synthvae.evaluation.codes import Binning
from synthvae.evaluation.intervals import rounded, rounded_rows
from synthvae.evaluation.tables import Tables
from synthvae.evaluation.values import PairDistance, PairTable

PICTURED = 6
MOST_LEVELS = 10
FEWEST_BINS = 2  # of a number with many special values


def pair_tables(
    tables: Tables, cuts: Sequence[Binning], worst: Sequence[PairDistance]
) -> tuple[PairTable, ...]:
    """Return the joint shares of the worst pairs of columns, at most ten levels a column.

    Of a number with more, neighbouring bins are joined; of categories, the most frequent stand and
    the others are one level. Joining cells never makes a distance larger.

    Parameters
    ----------
    tables
        Train and synthetic rows.
    cuts
        How each modelled column is cut.
    worst
        Pairs of columns, the worst first; the first six are tabulated.
    """
    places = {cut.field.name: place for place, cut in enumerate(cuts)}
    return tuple(
        _joint(tables, cuts, [places[name] for name in pair.columns]) for pair in worst[:PICTURED]
    )


def _joint(tables: Tables, cuts: Sequence[Binning], places: list[int]) -> PairTable:
    rows, columns = (
        _levels(cuts[j], tables.train.codes[:, j], tables.synthetic.codes[:, j]) for j in places
    )
    shape = len(rows[0]), len(columns[0])
    train = _shares(rows[1], columns[1], shape)
    synthetic = _shares(rows[2], columns[2], shape)
    return PairTable(
        columns=(cuts[places[0]].field.name, cuts[places[1]].field.name),
        row_labels=rows[0],
        column_labels=columns[0],
        train=rounded_rows(train),
        synthetic=rounded_rows(synthetic),
        distance=rounded(np.abs(train - synthetic).sum() / 2),
    )


def _shares(rows: Ints, columns: Ints, shape: tuple[int, int]) -> Floats:
    cells = np.bincount(np.ravel_multi_index((rows, columns), shape), minlength=shape[0] * shape[1])
    return cells.reshape(shape) / len(rows)


def _levels(cut: Binning, train: Ints, synthetic: Ints) -> tuple[tuple[str, ...], Ints, Ints]:
    """Return the names of a column's levels, and both tables' rows as places among them.

    Levels that no row has are left out, missing cells come last, and what is joined before them.
    """
    cut = _coarser(cut, train, synthetic)
    tokens = [cut.tokens(codes) for codes in (train, synthetic)]
    counts = sum(np.bincount(each, minlength=cut.levels) / len(each) for each in tokens)
    used = np.flatnonzero(counts)
    kept = used
    if len(used) > MOST_LEVELS:
        order = np.argsort(-np.asarray(counts), kind="stable")
        kept = np.sort(order[: MOST_LEVELS - 1])
    shown = [int(token) for token in kept if token]
    names = [cut.labels[token] for token in shown]
    places = np.full(cut.levels, len(shown), np.int64)
    places[shown] = np.arange(len(shown))
    if len(kept) < len(used):
        names.append(f"({len(used) - len(kept)} others)")
    if 0 in kept:
        places[0] = len(names)
        names.append(cut.labels[0])
    return tuple(names), places[tokens[0]], places[tokens[1]]


def _coarser(cut: Binning, train: Ints, synthetic: Ints) -> Binning:
    """Leave out edges of a number, so that its bins have room beside its other levels."""
    special = np.unique(np.concatenate([codes[codes < 0] for codes in (train, synthetic)]))
    room = max(FEWEST_BINS, MOST_LEVELS - len(special))
    if len(cut.edges) < room:
        return cut
    places = np.linspace(0, len(cut.edges) - 1, room - 1).round().astype(np.int64)
    return Binning(cut.field, cut.edges[places])
