"""Rows as points: distances between records of numbers, categories and missing cells."""

import numpy as np

from synthvae._types import Floats, Ints
from synthvae.attacks.people import by_patient
from synthvae.evaluation.tables import Table
from synthvae.field import Field
from synthvae.schema import Schema
from synthvae.table.codes import FIRST_SPECIAL, MISSING

MOST_INDICATORS = 50


def distances(queries: Table, published: Table, schema: Schema) -> Floats:
    """Return each patient's mean distance to the closest published row, in order of patient."""
    known, asked = (place(table, published, schema) for table in (published, queries))
    return by_patient(closest(asked, known), queries)


def closest(asked: Floats, known: Floats, neighbour: int = 0) -> Floats:
    """Return the distance from each point to its closest known one, or to a later neighbour.

    Parameters
    ----------
    asked, known
        Shape (points, coordinates).
    neighbour
        0 for the closest; 1 where the points themselves are among the known ones.
    """
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=neighbour + 1, algorithm="brute").fit(known)
    found = search.kneighbors(asked, return_distance=False)[:, neighbour]
    # Computed afresh: the search's own distances are not exactly zero for copies.
    return np.asarray(np.sqrt(((asked - known[found]) ** 2).sum(axis=1)))


def place(table: Table, frame: Table, schema: Schema) -> Floats:
    """Return rows as points, shape (rows, coordinates), on the scale that `frame` sets.

    A number enters by its rank among the frame's values and by its place between the bounds, a
    category by an indicator; a missing or special value by an indicator of its own.
    """
    return np.column_stack(
        [
            coordinate
            for j, field in enumerate(schema.modelled)
            for coordinate in _coordinates(field, frame.codes[:, j], table.codes[:, j])
        ]
    )


def _coordinates(field: Field, frame: Ints, codes: Ints) -> list[Floats]:
    half = 0.5**0.5
    if not field.is_lattice:
        counts = np.bincount(frame + 1, minlength=len(field.categories) + 1)
        levels = np.argsort(-counts, kind="stable")[:MOST_INDICATORS] - 1
        return [half * (codes == level) for level in levels]
    present = np.sort(frame[frame >= 0])
    inside = codes >= 0
    rank = np.full(len(codes), 0.5)
    if len(present):
        below, upto = (np.searchsorted(present, codes, side) for side in ("left", "right"))
        rank = (below + upto) / (2 * len(present))
    spot = codes / max(1, field.lattice_size - 1)
    apart = [MISSING, *(FIRST_SPECIAL - i for i in range(len(field.special)))]
    return [
        half * np.where(inside, rank, 0.5),
        half * np.where(inside, spot, 0.5),
        *(half * (codes == level) for level in apart),
    ]
