"""How strongly each pair of columns hangs together, in one measure for every kind of column."""

from dataclasses import dataclass
from itertools import combinations
from math import prod

import numpy as np

from synthvae._text import counted
from synthvae._types import Floats, Ints
from synthvae.evaluation.codes import Binning, tokenise
from synthvae.evaluation.intervals import jackknife, jackknife_groups, rounded, rounded_rows
from synthvae.evaluation.metric import NOISE, Limits, Metric
from synthvae.evaluation.tables import Tables
from synthvae.evaluation.values import Associations, Score

MOST_COLUMNS = 60
MOST_LEVELS = 50
MEASURE = "bias-corrected Cramér's V of the binned columns"
ASSOCIATIONS = Metric(
    "associations",
    "Association difference",
    "How far the strength of association of a pair of columns (0: independent, 1: one follows from "
    "the other) is from train's, on average. Shuffled columns lose all of it.",
    "lower",
    family="associations",
    topic="fidelity",
    threshold=Limits(0.02, 0.06, f"0.02 {NOISE}", beside="bootstrap"),
    disclosure="grid",
)
METRICS = (ASSOCIATIONS,)


@dataclass(frozen=True)
class AssociationFindings:
    """The scores, and the matrices that the figure shows."""

    scores: tuple[Score, ...]
    associations: Associations


def strength(counts: Floats) -> Floats:
    """Return the bias-corrected Cramér's V of contingency tables, 0 to 1.

    Parameters
    ----------
    counts
        Shape (levels, levels, tables).

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


def pair_strengths(tokens: Ints, groups: Ints | None = None) -> Floats:
    """Return the strength of each pair: of all rows, then with each group of rows left out.

    Parameters
    ----------
    tokens
        Shape (columns, rows).
    groups
        Which group each row is in, shape (rows,).

    Returns
    -------
    ndarray
        Shape (pairs, 1 + groups), pairs in the order of `itertools.combinations`.
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


def fold(tokens: dict[str, Ints]) -> dict[str, Ints]:
    """Merge all but each column's most frequent tokens in train into one, in every table."""
    folded = {name: table.copy() for name, table in tokens.items()}
    for j, column in enumerate(tokens["train"]):
        counts = np.bincount(column)
        if len(counts) > MOST_LEVELS:
            kept = np.argsort(-counts, kind="stable")[:MOST_LEVELS]
            for table in folded.values():
                table[j][~np.isin(table[j], kept)] = len(counts)
    return folded


def compare_associations(
    tables: Tables, cuts: tuple[Binning, ...], generator: np.random.Generator
) -> AssociationFindings:
    """Return how far the synthetic table's associations are from train's, and both matrices."""
    chosen = _columns_to_show(len(cuts), generator)
    names = ("train", "holdout", "synthetic", "independent", "bootstrap")
    tokens = fold({name: tokenise(getattr(tables, name), cuts)[chosen] for name in names})
    groups = jackknife_groups(tables.synthetic.patients, generator)
    columns = tuple(cuts[j].field.name for j in chosen)
    if len(chosen) < 2:
        return AssociationFindings(
            (ASSOCIATIONS.unanswered("needs 2 columns; there is 1"),),
            Associations(columns=columns, measure=MEASURE, train=((1.0,),), synthetic=((1.0,),)),
        )
    made = pair_strengths(tokens["synthetic"], groups)
    found = {name: pair_strengths(tokens[name])[:, 0] for name in names if name != "synthetic"}
    gaps = np.abs(made - found["train"][:, None]).mean(axis=0)
    references: dict[str, float | None] = {
        name: float(np.abs(found[name] - found["train"]).mean())
        for name in ("holdout", "independent", "bootstrap")
    }
    pairs = f"{counted(len(made), 'pair')} of columns"
    detail = f"Mean over {pairs}; measure: {MEASURE}, missing as a level."
    if len(chosen) < len(cuts):
        detail += f" {len(chosen)} of {len(cuts)} columns, drawn at random."
    score = ASSOCIATIONS.with_goal(references["bootstrap"]).answer(
        gaps[0],
        jackknife(float(gaps[0]), gaps[1:], "synthetic rows"),
        references | {"ideal": 0.0},
        detail,
    )
    return AssociationFindings(
        (score,),
        Associations(
            columns=columns,
            measure=MEASURE,
            train=_square(found["train"], len(columns)),
            synthetic=_square(made[:, 0], len(columns)),
        ),
    )


def association_distance(tables: Tables, cuts: tuple[Binning, ...], shown: Associations) -> float:
    """Return the score of a synthetic table alone, on the columns that were shown for another."""
    names = [cut.field.name for cut in cuts]
    chosen = [names.index(name) for name in shown.columns]
    tokens = fold(
        {name: tokenise(getattr(tables, name), cuts)[chosen] for name in ("train", "synthetic")}
    )
    real, made = (pair_strengths(tokens[name])[:, 0] for name in ("train", "synthetic"))
    return rounded(float(np.abs(made - real).mean()))


def _columns_to_show(columns: int, generator: np.random.Generator) -> list[int]:
    if columns <= MOST_COLUMNS:
        return list(range(columns))
    return sorted(generator.choice(columns, MOST_COLUMNS, replace=False).tolist())


def _square(pairs: Floats, columns: int) -> tuple[tuple[float, ...], ...]:
    matrix = np.eye(columns)
    matrix[np.triu_indices(columns, 1)] = pairs
    return rounded_rows(np.maximum(matrix, matrix.T))
