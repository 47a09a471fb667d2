"""How strongly pairs of columns hang together: associations, rank correlations, tables of the worst."""

from collections.abc import Sequence
from functools import partial
from itertools import combinations
from math import prod

import numpy as np
from scipy.stats import rankdata

from synthvae._text import counted
from synthvae._types import Floats, Ints
from synthvae.evaluation import intervals
from synthvae.evaluation.metric import NOISE, Limits, Metric
from synthvae.evaluation.results import Associations, PairDistance, PairTable, Score
from synthvae.evaluation.tables import REFERENCES, Binning, Tables, tokenise

MOST_COLUMNS = 60
MOST_ASSOCIATED_LEVELS = 50
PICTURED = 6
MOST_SHOWN_LEVELS = 10
FEWEST_BINS = 2  # of a number with many special values
MEASURE = "bias-corrected Cramér's V of the binned columns"

_metric = partial(
    Metric,
    direction="lower",
    family="associations",
    topic="fidelity",
    goal_from="bootstrap",
    threshold=Limits(0.02, 0.06, f"0.02 {NOISE}", beside="bootstrap"),
)
ASSOCIATIONS = _metric(
    "associations",
    "Association difference",
    "How far the strength of association of a pair of columns (0: independent, 1: one follows from "
    "the other) is from train's, on average. Shuffled columns lose all of it.",
    disclosure="grid",
)
RANK_CORRELATIONS = _metric(
    "rank_correlations",
    "Rank correlation difference",
    "How far Spearman's rank correlation of a pair of columns of numbers or dates (-1 to 1) is from "
    "train's, on average: whether they rise and fall together, which a strength of association "
    "without a sign does not tell. Shuffled columns lose all of it.",
    withheld_as="of two such columns it is one correlation, which a few outlying patients can move by "
    "six times their share of the rows",
)
METRICS = (ASSOCIATIONS, RANK_CORRELATIONS)


def compare_associations(
    tables: Tables, cuts: tuple[Binning, ...], generator: np.random.Generator
) -> tuple[tuple[Score, ...], Associations]:
    """Return how far the synthetic table's associations are from train's, and both matrices.

    Of more than `MOST_COLUMNS` columns, a random sample is looked at.
    """
    chosen = list(range(len(cuts)))
    if len(cuts) > MOST_COLUMNS:
        chosen = sorted(generator.choice(len(cuts), MOST_COLUMNS, replace=False).tolist())
    groups = intervals.jackknife_groups(tables.synthetic.patients, generator)
    columns = tuple(cuts[j].field.name for j in chosen)
    if len(chosen) < 2:
        scores = tuple(metric.unanswered("needs 2 columns; there is 1") for metric in METRICS)
        alone = ((1.0,),)
        return scores, Associations(columns=columns, measure=MEASURE, train=alone, synthetic=alone)
    tokens = _folded_tokens(tables, cuts, chosen, ("train", "synthetic", *REFERENCES))
    figures = {
        name: pair_strengths(table, groups if name == "synthetic" else None)
        for name, table in tokens.items()
    }
    pairs = f"{counted(len(figures['train']), 'pair')} of columns"
    detail = f"Mean over {pairs}; measure: {MEASURE}, missing as a level."
    if len(chosen) < len(cuts):
        detail += f" {len(chosen)} of {len(cuts)} columns, drawn at random."
    scores = (
        _difference(ASSOCIATIONS, figures, (0.0, 1.0), detail),
        compare_rank_correlations(tables, cuts, chosen, groups),
    )
    real, synthetic = (_square(figures[n][:, 0], len(columns)) for n in ("train", "synthetic"))
    return scores, Associations(columns=columns, measure=MEASURE, train=real, synthetic=synthetic)


def compare_rank_correlations(
    tables: Tables, cuts: tuple[Binning, ...], chosen: list[int], groups: Ints
) -> Score:
    """Return how far the rank correlations of the synthetic table are from train's, on average.

    Pairs of the chosen columns count where both vary in train. A row counts for a pair where it has
    both values; its ranks are those among all values of each column. `groups` says which group each
    synthetic row is in, for the jackknife, shape (rows,).

    References
    ----------
    Spearman 1904, American Journal of Psychology 15; with ties, as Pearson's correlation of midranks.
    """
    columns = [j for j in chosen if cuts[j].field.is_lattice]
    if len(columns) < 2:
        return RANK_CORRELATIONS.unanswered("needs 2 columns of numbers or dates")
    correlations = {
        name: rank_correlations(
            getattr(tables, name).codes[:, columns], groups if name == "synthetic" else None
        )
        for name in ("train", "synthetic", *REFERENCES)
    }
    known = np.isfinite(correlations["train"][:, 0])
    if not known.any():
        return RANK_CORRELATIONS.unanswered("no two columns of numbers or dates vary in train")
    detail = (
        f"Mean over {counted(int(known.sum()), 'pair')} of columns of numbers or dates; a "
        "correlation that a table does not have, since a column is constant there, counts as 0."
    )
    figures = {name: np.nan_to_num(table)[known] for name, table in correlations.items()}
    return _difference(RANK_CORRELATIONS, figures, (0.0, 2.0), detail)


def association_distance(tables: Tables, cuts: tuple[Binning, ...], shown: Associations) -> float:
    """Return the score of a synthetic table alone, on the columns that were shown for another."""
    names = [cut.field.name for cut in cuts]
    chosen = [names.index(name) for name in shown.columns]
    tokens = _folded_tokens(tables, cuts, chosen, ("train", "synthetic"))
    real, synthetic = (pair_strengths(table)[:, 0] for table in tokens.values())
    return intervals.rounded(float(np.abs(synthetic - real).mean()))


def _difference(
    metric: Metric, figures: dict[str, Floats], bounds: tuple[float, float], detail: str
) -> Score:
    """Return the mean difference from train of figures, by table of shape (pairs, 1 + groups)."""
    real = figures["train"]
    gaps = np.abs(figures["synthetic"] - real).mean(axis=0)
    references = {n: float(np.abs(figures[n][:, 0] - real[:, 0]).mean()) for n in REFERENCES}
    interval = intervals.jackknife(gaps, "synthetic rows", bounds)
    return metric.answer(gaps[0], interval, references | {"ideal": 0.0}, detail)


def _folded_tokens(
    tables: Tables, cuts: tuple[Binning, ...], chosen: list[int], names: Sequence[str]
) -> dict[str, Ints]:
    return fold({name: tokenise(getattr(tables, name), cuts)[chosen] for name in names})


def fold(tokens: dict[str, Ints]) -> dict[str, Ints]:
    """Merge all but each column's most frequent tokens in train into one, in every table."""
    folded = {name: table.copy() for name, table in tokens.items()}
    for j, column in enumerate(tokens["train"]):
        counts = np.bincount(column)
        if len(counts) > MOST_ASSOCIATED_LEVELS:
            kept = np.argsort(-counts, kind="stable")[:MOST_ASSOCIATED_LEVELS]
            for table in folded.values():
                table[j][~np.isin(table[j], kept)] = len(counts)
    return folded


def pair_strengths(tokens: Ints, groups: Ints | None = None) -> Floats:
    """Return the strength of each pair: of all rows, then with each group of rows left out.

    Tokens have the shape (columns, rows), groups (rows,), strengths (pairs, 1 + groups), pairs in
    the order of `itertools.combinations`.
    """
    places = np.zeros(tokens.shape[1], np.int64) if groups is None else groups
    count = int(places.max()) + 1
    dense = [np.unique(column, return_inverse=True) for column in tokens]
    found = []
    for first, second in combinations(dense, 2):
        shape = (len(first[0]), len(second[0]), count)
        cells = np.ravel_multi_index((first[1], second[1], places), shape)
        parts = np.bincount(cells, minlength=prod(shape)).reshape(shape).astype(float)
        whole = parts.sum(axis=2, keepdims=True)
        counts = whole if groups is None else np.concatenate([whole, whole - parts], axis=2)
        found.append(strength(counts))
    return np.array(found)


def strength(counts: Floats) -> Floats:
    """Return the bias-corrected Cramér's V, 0 to 1, of tables of counts, shape (levels, levels, tables).

    References
    ----------
    Bergsma 2013, Journal of the Korean Statistical Society 42: a correction under which independent
    columns score about 0 whatever their number of levels.
    """
    rows, columns = counts.sum(axis=1, keepdims=True), counts.sum(axis=0, keepdims=True)
    total = counts.sum(axis=(0, 1))
    safe = np.maximum(total, 2)
    expected = rows * columns / safe
    excess = np.divide(
        (counts - expected) ** 2, expected, out=np.zeros_like(counts), where=expected > 0
    ).sum(axis=(0, 1))
    r, k = ((side > 0).sum(axis=(0, 1)) for side in (rows, columns))
    phi = np.maximum(0, excess / safe - (r - 1) * (k - 1) / (safe - 1))
    least = np.minimum(r - (r - 1) ** 2 / (safe - 1), k - (k - 1) ** 2 / (safe - 1)) - 1
    usable = (np.minimum(r, k) > 1) & (least > 0)
    ratio = np.divide(phi, least, out=np.zeros_like(phi), where=usable)
    return np.asarray(np.sqrt(np.minimum(1, ratio)))


def rank_correlations(codes: Ints, groups: Ints | None = None) -> Floats:
    """Return each pair's rank correlation: of all rows, then with each group of rows left out.

    Codes have the shape (rows, columns), below 0 where there is no value; groups (rows,);
    correlations (pairs, 1 + groups), NaN where a column does not vary.
    """
    present = (codes >= 0).astype(float)
    ranks = np.zeros(codes.shape)
    for j, column in enumerate(codes.T):
        values = column[column >= 0]
        if len(values):
            ranks[column >= 0, j] = (rankdata(values) - (len(values) + 1) / 2) / len(values)
    places = np.zeros(len(codes), np.int64) if groups is None else groups
    parts = []
    for place in range(int(places.max()) + 1):
        seen, rank = present[places == place], ranks[places == place]
        # What both columns of a pair have: rows, sums, squares, and products.
        parts.append(np.stack([seen.T @ seen, rank.T @ seen, (rank**2).T @ seen, rank.T @ rank]))
    whole = np.sum(parts, axis=0)
    sets = [whole] if groups is None else [whole, *(whole - part for part in parts)]
    upper = np.triu_indices(codes.shape[1], 1)
    return np.column_stack([_correlation(sums)[upper] for sums in sets])


def _correlation(sums: Floats) -> Floats:
    rows, total, squares, products = sums
    rows = np.maximum(rows, 1)
    variance = np.maximum(squares / rows - (total / rows) ** 2, 0)
    covariance = products / rows - total * total.T / rows**2
    usable = (variance > 1e-12) & (variance.T > 1e-12)
    scale = np.sqrt(np.where(usable, variance * variance.T, 1))
    return np.where(usable, covariance / scale, np.nan)


def _square(pairs: Floats, columns: int) -> tuple[tuple[float, ...], ...]:
    matrix = np.eye(columns)
    matrix[np.triu_indices(columns, 1)] = pairs
    return intervals.rounded_rows(np.maximum(matrix, matrix.T))


def pair_tables(
    tables: Tables, cuts: Sequence[Binning], worst: Sequence[PairDistance]
) -> tuple[PairTable, ...]:
    """Return the joint shares of the `PICTURED` worst pairs of columns, at most ten levels a column.

    Of a number with more, neighbouring bins are joined; of categories, the most frequent stand and
    the others are one level. Joining cells never makes a distance larger.
    """
    places = {cut.field.name: place for place, cut in enumerate(cuts)}
    codes = tables.train.codes, tables.synthetic.codes
    found = []
    for pair in worst[:PICTURED]:
        (row_labels, *rows), (column_labels, *columns) = (
            _levels(cuts[j], *(table[:, j] for table in codes))
            for j in (places[name] for name in pair.columns)
        )
        shape = len(row_labels), len(column_labels)
        train, synthetic = (
            _shares(row, column, shape) for row, column in zip(rows, columns, strict=True)
        )
        found.append(
            PairTable(
                columns=pair.columns,
                row_labels=row_labels,
                column_labels=column_labels,
                train=intervals.rounded_rows(train),
                synthetic=intervals.rounded_rows(synthetic),
                distance=intervals.rounded(np.abs(train - synthetic).sum() / 2),
            )
        )
    return tuple(found)


def _shares(rows: Ints, columns: Ints, shape: tuple[int, int]) -> Floats:
    cells = np.bincount(np.ravel_multi_index((rows, columns), shape), minlength=shape[0] * shape[1])
    return cells.reshape(shape) / len(rows)


def _levels(cut: Binning, train: Ints, synthetic: Ints) -> tuple[tuple[str, ...], Ints, Ints]:
    """Return the names of a column's levels, and both tables' rows as places among them.

    Levels that no row has are left out, missing cells come last, and what is joined before them.
    """
    cut = _coarsened(cut, train, synthetic)
    tokens = [cut.tokens(codes) for codes in (train, synthetic)]
    counts = sum(np.bincount(each, minlength=cut.levels) / len(each) for each in tokens)
    kept = used = np.flatnonzero(counts)
    if len(used) > MOST_SHOWN_LEVELS:
        kept = np.argsort(-np.asarray(counts), kind="stable")[: MOST_SHOWN_LEVELS - 1]
    shown = [int(token) for token in np.sort(kept) if token]
    names = [cut.labels[token] for token in shown]
    places = np.full(cut.levels, len(shown), np.int64)
    places[shown] = np.arange(len(shown))
    if len(kept) < len(used):
        names.append(f"({len(used) - len(kept)} others)")
    if 0 in kept:
        places[0] = len(names)
        names.append(cut.labels[0])
    return tuple(names), places[tokens[0]], places[tokens[1]]


def _coarsened(cut: Binning, train: Ints, synthetic: Ints) -> Binning:
    """Leave out edges of a number, so that its bins have room beside its other levels."""
    special = np.unique(np.concatenate([codes[codes < 0] for codes in (train, synthetic)]))
    room = max(FEWEST_BINS, MOST_SHOWN_LEVELS - len(special))
    if len(cut.edges) < room:
        return cut
    places = np.linspace(0, len(cut.edges) - 1, room - 1).round().astype(np.int64)
    return Binning(cut.field, cut.edges[places])
