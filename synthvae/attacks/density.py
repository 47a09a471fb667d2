"""How near mixed records are: a density of narrow kernels, and distances between embedded rows."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from synthvae._types import Floats, Ints
from synthvae.evaluation.tables import Binning, Table, binnings
from synthvae.field import Field
from synthvae.rules.values import FIRST_SPECIAL, MISSING
from synthvae.schema import Schema

WIDTH = 0.05  # of a kernel, in ranks: 1 is the whole column
BLUR = 0.3  # weight of the margin
BINS = 200  # of a number
BLOCK = 4_000_000  # entries of the matrix that is held at once
CHUNK = 2000  # known rows that are looked up at once, so that they stay in the cache
MOST_INDICATORS = 50  # categories of a column that have a coordinate of their own

Singles = NDArray[np.float32]


class Kernel:
    """How much likelier a record is near another one than in the population, column by column.

    For values *a* and *b* of one column with margin *p*, the weight is

        λ + (1 − λ) k(a, b) / E_p[k(a, ·)],

    with k(a, b) = exp(−|rank a − rank b| / h) for numbers, and 1 where equal, else 0, for
    categories, missing and special values. A record's weight is the product over its columns. The
    blur λ keeps one column that differs, a flipped category say, from hiding that all others agree.
    Width and blur are what served best on copies with noise of several sizes and on an over-fitted
    VAE (docs/attacks.md).

    Parameters
    ----------
    schema
        The public facts about the rows.
    base
        Rows that set the margins.

    References
    ----------
    Aitchison & Aitken 1976, "Multivariate binary discrimination by the kernel method", Biometrika
    63, section 2 (products of kernels for mixed columns).
    """

    def __init__(self, schema: Schema, base: Table) -> None:
        self._cuts = binnings(base, schema, BINS)
        self._logs = [
            _log_weights(cut, cut.tokens(base.codes[:, j])) for j, cut in enumerate(self._cuts)
        ]

    def tokens(self, table: Table) -> Ints:
        """Return rows as tokens, shape (rows, columns)."""
        return np.column_stack([cut.tokens(table.codes[:, j]) for j, cut in enumerate(self._cuts)])

    def log_weights(self, queries: Ints, known: Ints, columns: Ints | None = None) -> Singles:
        """Return the logarithm of each pair's weight over some columns, by default all.

        Parameters
        ----------
        queries, known
            Tokens, shape (rows, columns).

        Returns
        -------
        ndarray
            Shape (rows of `queries`, rows of `known`).
        """
        chosen = range(queries.shape[1]) if columns is None else columns
        tables = [(j, self._against(j, queries[:, j])) for j in chosen]
        total = np.zeros((len(known), len(queries)), np.float32)
        for start in range(0, len(known), CHUNK):
            part = slice(start, start + CHUNK)
            for j, logs in tables:
                total[part] += np.take(logs, known[part, j], axis=0)
        return np.ascontiguousarray(total.T)

    def _against(self, column: int, queries: Ints) -> Singles:
        """Return the log weights of every token against the queries', shape (tokens, queries).

        Known rows then gather whole lines of it, which makes large tables quick.
        """
        logs = self._logs[column]
        if logs.ndim == 2:
            return np.ascontiguousarray(logs[queries].T)
        against = np.full((len(logs), len(queries)), np.log(BLUR), np.float32)
        against[queries, np.arange(len(queries))] = logs[queries]
        return against

    def log_density(self, queries: Ints, known: Ints) -> Floats:
        """Return the log density of known rows at the queries, relative to the margins'."""
        parts = [
            logsumexp(self.log_weights(queries[part], known), axis=1)
            for part in blocks(len(queries), len(known))
        ]
        return np.asarray(np.concatenate(parts) - np.log(len(known)), float)


def _log_weights(cut: Binning, tokens: Ints) -> Singles:
    """Return log weights by both tokens; for categories, by the one that both share."""
    counts = np.bincount(tokens, minlength=cut.levels) + 0.5
    masses = counts / counts.sum()
    if not cut.field.is_lattice:
        return np.asarray(np.log(BLUR + (1 - BLUR) / masses), np.float32)
    alone = 1 + len(cut.field.specials)
    numbers = masses[alone:]
    ranks = (np.cumsum(numbers) - numbers / 2) / numbers.sum()
    near = np.eye(cut.levels)
    near[alone:, alone:] = np.exp(-np.abs(ranks[:, None] - ranks) / WIDTH)
    usual = near @ masses
    return np.asarray(np.log(BLUR + (1 - BLUR) * near / usual[:, None]), np.float32)


def blocks(queries: int, known: int) -> Iterator[slice]:
    """Yield slices of the queries whose matrices against the known rows fit in memory."""
    rows = max(1, BLOCK // max(known, 1))
    for start in range(0, queries, rows):
        yield slice(start, start + rows)


def patient_means(values: Floats, table: Table) -> Floats:
    """Return the mean over each patient's rows, in order of patient."""
    _, whose = np.unique(table.patients, return_inverse=True)
    return np.asarray(np.bincount(whose, weights=values) / np.bincount(whose))


def distances(queries: Table, synthetic: Table, schema: Schema) -> Floats:
    """Return each patient's mean distance to the closest synthetic row, in order of patient."""
    points, known = (embed(table, synthetic, schema) for table in (queries, synthetic))
    return patient_means(closest(points, known), queries)


def closest(queries: Floats, known: Floats, neighbour: int = 0) -> Floats:
    """Return the distance from each point to its closest known one, or to a later neighbour.

    Parameters
    ----------
    queries, known
        Shape (points, coordinates).
    neighbour
        0 for the closest; 1 where the points themselves are among the known ones.
    """
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=neighbour + 1, algorithm="brute").fit(known)
    index = search.kneighbors(queries, return_distance=False)[:, neighbour]
    # Computed afresh: the search's own distances are not exactly zero for copies.
    return np.asarray(np.sqrt(((queries - known[index]) ** 2).sum(axis=1)))


def embed(table: Table, base: Table, schema: Schema) -> Floats:
    """Return rows as points, shape (rows, coordinates), on the scale that `base` sets.

    A number has its rank among the base's values and its place between the bounds as coordinates, a
    category an indicator, and a missing or special value an indicator of its own.
    """
    return np.column_stack(
        [
            coordinate
            for j, field in enumerate(schema.modelled)
            for coordinate in _coordinates(field, base.codes[:, j], table.codes[:, j])
        ]
    )


def _coordinates(field: Field, base: Ints, codes: Ints) -> list[Floats]:
    half = 0.5**0.5
    if not field.is_lattice:
        counts = np.bincount(base + 1, minlength=len(field.categories) + 1)
        levels = np.argsort(-counts, kind="stable")[:MOST_INDICATORS] - 1
        return [half * (codes == level) for level in levels]
    place = codes / max(1, field.lattice_size - 1)
    absent = [MISSING, *(FIRST_SPECIAL - i for i in range(len(field.specials)))]
    return [
        *(half * np.where(codes >= 0, value, 0.5) for value in (mid_ranks(codes, base), place)),
        *(half * (codes == level) for level in absent),
    ]


def mid_ranks(codes: Ints, base: Ints) -> Floats:
    """Return the ranks of lattice codes among the base's, 0 to 1; one half where it has none."""
    present = np.sort(base[base >= 0])
    if not len(present):
        return np.full(len(codes), 0.5)
    below, upto = (np.searchsorted(present, codes, side) for side in ("left", "right"))
    return np.asarray((below + upto) / (2 * len(present)))
