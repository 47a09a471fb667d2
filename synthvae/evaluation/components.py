"""The first two principal components: all columns at once, as a cloud on a plane."""

from dataclasses import dataclass

import numpy as np

from synthvae._types import Floats, Ints
from synthvae.evaluation.intervals import rounded, rounded_rows
from synthvae.evaluation.tables import Table, Tables, at_most
from synthvae.evaluation.values import Components
from synthvae.field import Field

MOST_ROWS = 20_000
MOST_CELLS = 4_000_000  # of the matrix that is decomposed: wide tables have fewer rows
MOST_INDICATORS = 10  # of one column; rarer levels have none
FLAT = 1e-9  # of the first component's spread: a second one below this is rounding
NEARLY = 0.999  # as large as the largest part: both categories of two have the same
BLOCK = 2_000  # rows that are projected at a time
CELLS = 24
TAIL = 0.005  # of each table, at each end, may lie beyond the grid


@dataclass(frozen=True)
class Coordinates:
    """How rows become points: train decides, so that every table lands in the same space."""

    fields: tuple[Field, ...]
    levels: tuple[Ints, ...]
    ranks: tuple[Ints, ...]
    mean: Floats
    scale: Floats

    def of(self, codes: Ints) -> Floats:
        """Return rows of codes as standardised coordinates, shape (rows, coordinates)."""
        return np.asarray((_raw(codes, self.levels, self.ranks) - self.mean) / self.scale)


def coordinates(train: Table, fields: tuple[Field, ...]) -> Coordinates:
    """Return the coordinates of mixed columns.

    A number is its rank among train's, a missing cell or special value of it the middle one; these
    and categories have an indicator each. All are standardised by train, and those of one column
    share its weight, so that columns weigh the same.
    """
    levels = tuple(_levels(field, train.codes[:, j]) for j, field in enumerate(fields))
    ranks = tuple(_ranks(field, train.codes[:, j]) for j, field in enumerate(fields))
    raw = _raw(train.codes, levels, ranks)
    sd = raw.std(axis=0)
    moves = sd > 0
    widths = [len(level) + bool(len(rank)) for level, rank in zip(levels, ranks, strict=True)]
    column = np.repeat(np.arange(len(fields)), widths)
    alive = np.bincount(column[moves], minlength=len(fields))[column]
    scale = np.where(moves, sd * np.sqrt(np.maximum(alive, 1)), np.inf)
    return Coordinates(fields, levels, ranks, raw.mean(axis=0), scale)


def _levels(field: Field, codes: Ints) -> Ints:
    """Return the codes that have an indicator: the most frequent ones that are no numbers."""
    seen, counts = np.unique(codes[codes < 0] if field.is_lattice else codes, return_counts=True)
    return np.sort(seen[np.argsort(-counts, kind="stable")[:MOST_INDICATORS]])


def _ranks(field: Field, codes: Ints) -> Ints:
    return np.sort(codes[codes >= 0]) if field.is_lattice else np.empty(0, np.int64)


def _raw(codes: Ints, levels: tuple[Ints, ...], ranks: tuple[Ints, ...]) -> Floats:
    parts = []
    for j, (level, ordered) in enumerate(zip(levels, ranks, strict=True)):
        if len(ordered):
            sides = [np.searchsorted(ordered, codes[:, j], side) for side in ("left", "right")]
            middle = (sides[0] + sides[1]) / (2 * len(ordered))
            parts.append(np.where(codes[:, j] < 0, 0.5, middle)[:, None])
        parts.append((codes[:, j, None] == level).astype(float))
    return np.concatenate(parts, axis=1)


def principal_components(tables: Tables, generator: np.random.Generator) -> Components | None:
    """Return where rows lie on the first two principal components of train.

    Pearson 1901 (Philosophical Magazine 2): the plane nearest to the rows, here to at most 20,000 of
    train, fewer of a wide one. None where train varies in less than two directions.
    """
    train, holdout, synthetic = (
        at_most(table, MOST_ROWS, generator)
        for table in (tables.train, tables.holdout, tables.synthetic)
    )
    fields = tuple(tables.schema.modelled)
    room = MOST_CELLS // ((1 + MOST_INDICATORS) * len(fields))
    fitted = at_most(train, max(2, room), generator)
    space = coordinates(fitted, fields)
    explained, axes = _decompose(space.of(fitted.codes))
    if axes is None:
        return None
    points = [_project(table.codes, space, axes) for table in (train, holdout, synthetic)]
    edges = [_edges([each[:, k] for each in points]) for k in (0, 1)]
    shares = [_histogram(each, edges) for each in points]
    return Components(
        explained=(rounded(explained[0]), rounded(explained[1])),
        edges=(tuple(map(rounded, edges[0])), tuple(map(rounded, edges[1]))),
        train=shares[0],
        holdout=shares[1],
        synthetic=shares[2],
    )


def _decompose(points: Floats) -> tuple[Floats, Floats | None]:
    """Return the shares of variance along the components, and the first two directions."""
    _, sizes, directions = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    variance = sizes**2
    if len(sizes) < 2 or sizes[1] <= FLAT * sizes[0]:
        return variance, None
    axes = directions[:2]
    # A direction and its opposite are one component: the first of its largest parts points up.
    size = np.abs(axes)
    first = (size > NEARLY * size.max(axis=1, keepdims=True)).argmax(axis=1)
    signs = np.sign(axes[[0, 1], first])
    return variance / variance.sum(), axes * signs[:, None]


def _project(codes: Ints, space: Coordinates, axes: Floats) -> Floats:
    return np.concatenate(
        [space.of(codes[start : start + BLOCK]) @ axes.T for start in range(0, len(codes), BLOCK)]
    )


def _edges(points: list[Floats]) -> Floats:
    low = min(np.quantile(each, TAIL) for each in points)
    high = max(np.quantile(each, 1 - TAIL) for each in points)
    if not high > low:  # nearly all rows of every table in one place
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, CELLS + 1)


def _histogram(points: Floats, edges: list[Floats]) -> tuple[tuple[float, ...], ...]:
    inside = [np.clip(points[:, k], edges[k][0], edges[k][-1]) for k in (0, 1)]
    counts = np.histogram2d(inside[0], inside[1], bins=(edges[0], edges[1]))[0]
    return rounded_rows(counts / len(points))
