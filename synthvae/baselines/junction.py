"""Answers from a fitted graphical model, in numpy: marginals of pairs, and records.

The model is a junction tree: cliques of columns with a marginal each, where neighbours agree on the
columns that they share. With S_c what clique c shares with its parent,

    p(x) = Π_c p(x_c) / p(x_{S_c}).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import logsumexp

from synthvae._types import Floats, Ints

Clique = tuple[int, ...]


@dataclass(frozen=True)
class JunctionTree:
    """A graphical model over columns 0, 1, ..., calibrated."""

    cliques: tuple[Clique, ...]  # maximal, columns ascending
    marginals: tuple[Floats, ...]  # of each clique: shape by its columns, summing to 1
    edges: tuple[tuple[int, int], ...]  # pairs of cliques, as indices: a forest
    columns: int  # each of which stands in some clique

    @cached_property
    def _neighbours(self) -> dict[int, list[int]]:
        neighbours: dict[int, list[int]] = {i: [] for i in range(len(self.cliques))}
        for first, second in self.edges:
            neighbours[first].append(second)
            neighbours[second].append(first)
        return neighbours

    def walk(self, root: int) -> Iterator[tuple[int, int | None]]:
        """Yield the cliques connected to `root`, each with its parent, parents first."""
        waiting: list[tuple[int, int | None]] = [(root, None)]
        while waiting:
            here, parent = waiting.pop()
            yield here, parent
            waiting += [(n, here) for n in self._neighbours[here] if n != parent]

    def components(self) -> Iterator[list[tuple[int, int | None]]]:
        """Yield the walk through each connected part of the forest."""
        done: set[int] = set()
        for root in range(len(self.cliques)):
            if root not in done:
                component = list(self.walk(root))
                done |= {here for here, _ in component}
                yield component

    def _home(self, column: int) -> int:
        holding = [i for i, clique in enumerate(self.cliques) if column in clique]
        return min(holding, key=lambda i: self.marginals[i].size)

    def margin(self, columns: Clique, clique: int) -> Floats:
        """Return the marginal of some of a clique's columns, in ascending order."""
        return np.asarray(self.marginals[clique].sum(axis=_axes(self.cliques[clique], columns)))

    @cached_property
    def singles(self) -> tuple[Floats, ...]:
        """The marginal of each column."""
        return tuple(self.margin((j,), self._home(j)) for j in range(self.columns))

    def pairs(self) -> dict[Clique, Floats]:
        """Return the marginal of each pair of columns, shape by the ascending columns."""
        pairs: dict[Clique, Floats] = {
            (a, b): np.outer(self.singles[a], self.singles[b])
            for a in range(self.columns)
            for b in range(a + 1, self.columns)
        }
        for a in range(self.columns):
            joint: dict[int, Floats] = {}  # of column a (first axis) and each clique without it
            for here, parent in self.walk(self._home(a)):
                clique = self.cliques[here]
                if a not in clique:
                    assert parent is not None
                    joint[here] = self._carry(a, joint.get(parent), here, parent)
                for b in clique:
                    if b > a:
                        pairs[a, b] = (
                            self.margin((a, b), here)
                            if a in clique
                            else _joint_margin(joint[here], clique, (b,))
                        )
        return pairs

    def _carry(self, a: int, joint: Floats | None, here: int, parent: int) -> Floats:
        """Return the joint of column `a` with a clique, from that with its parent."""
        clique, before = self.cliques[here], self.cliques[parent]
        shared = tuple(c for c in clique if c in before)
        if joint is None:  # the parent holds column a itself
            kept = tuple(sorted({a, *shared}))
            carried = np.moveaxis(self.margin(kept, parent), kept.index(a), 0)
        else:
            carried = _joint_margin(joint, before, shared)
        whole = self.marginals[here]
        shape = [n if c in shared else 1 for c, n in zip(clique, whole.shape, strict=True)]
        below = self.margin(shared, here).reshape(shape)
        # p(clique | shared), 0 where what is shared never occurs
        conditional = np.divide(whole, below, out=np.zeros_like(whole), where=below > 0)
        return np.asarray(carried.reshape(len(carried), *shape) * conditional)

    def sample(self, rows: int, generator: np.random.Generator) -> Ints:
        """Draw records, shape (rows, columns), by walking from clique to clique.

        Within each group of rows that agree on what a clique shares with its parent, the rest is drawn
        with one uniform from each of as many equal strata, in random order: counts then differ from
        what the model expects by less than one, as in Private-PGM's own rounding.
        """
        drawn = np.zeros((rows, self.columns), np.int64)
        for component in self.components():
            for here, parent in component:
                before = () if parent is None else self.cliques[parent]
                shared = tuple(c for c in self.cliques[here] if c in before)
                self._fill(drawn, here, shared, generator)
        return drawn

    def _fill(self, drawn: Ints, here: int, shared: Clique, generator: np.random.Generator) -> None:
        clique, marginal = self.cliques[here], self.marginals[here]
        rest = tuple(c for c in clique if c not in shared)
        if not rest:
            return
        aligned = marginal.transpose([clique.index(c) for c in (*shared, *rest)])
        sizes, rest_sizes = aligned.shape[: len(shared)], aligned.shape[len(shared) :]
        table = aligned.reshape(int(np.prod(sizes)), -1)
        group = np.zeros(len(drawn), np.int64)
        if shared:
            group = np.ravel_multi_index(tuple(drawn[:, c] for c in shared), sizes)
        uniforms = stratified(group, generator)
        ends = np.cumsum(table, axis=1)
        # A group that the model gives no mass to is drawn from the whole clique.
        empty = ends[:, -1] <= 0
        ends[empty] = np.cumsum(table.sum(axis=0))
        cells = np.empty(len(drawn), np.int64)
        places = np.argsort(group, kind="stable")
        for part in np.split(places, np.flatnonzero(np.diff(group[places])) + 1):
            line = ends[group[part[0]]]
            aim = uniforms[part] * line[-1]
            cells[part] = np.minimum(np.searchsorted(line, aim, side="right"), len(line) - 1)
        values = np.unravel_index(cells, rest_sizes)
        for column, value in zip(rest, values, strict=True):
            drawn[:, column] = value


def calibrated(
    cliques: Sequence[Clique],
    edges: Sequence[tuple[int, int]],
    potentials: Sequence[tuple[Clique, Floats]],
    levels: Sequence[int],
) -> JunctionTree:
    """Return the model p(x) ∝ exp Σ potentials, calibrated on a junction tree of cliques and edges.

    A potential is a log-table and its columns, in any order, which stand in one clique. Messages pass
    up to a root, then down (Koller and Friedman 2009, Probabilistic Graphical Models, Algorithm 10.2).
    """
    beliefs = [np.zeros([levels[c] for c in clique]) for clique in cliques]
    for columns, table in potentials:
        home = next(i for i, clique in enumerate(cliques) if set(columns) <= set(clique))
        beliefs[home] = beliefs[home] + _spread(table, columns, cliques[home])
    tree = JunctionTree(tuple(cliques), tuple(beliefs), tuple(edges), len(levels))

    def message(sender: int, receiver: int, shape: int) -> Floats:
        """Return a log-belief summed to what two cliques share, shaped for one of them."""
        shared = tuple(c for c in cliques[sender] if c in cliques[receiver])
        summed = logsumexp(beliefs[sender], axis=_axes(cliques[sender], shared))
        return _spread(np.asarray(summed), shared, cliques[shape])

    for component in tree.components():
        for here, parent in reversed(component):
            if parent is not None:
                beliefs[parent] = beliefs[parent] + message(here, parent, parent)
        for here, parent in component:
            if parent is not None:
                # What came up from here is in what comes down.
                up = message(here, parent, here)
                beliefs[here] = beliefs[here] + message(parent, here, here) - up
    shares = tuple(np.exp(belief - logsumexp(belief)) for belief in beliefs)
    return JunctionTree(tuple(cliques), shares, tuple(edges), len(levels))


def _axes(clique: Clique, kept: Clique) -> tuple[int, ...]:
    """Return the axes of a clique's columns that are not kept."""
    return tuple(i for i, c in enumerate(clique) if c not in kept)


def _spread(table: Floats, columns: Clique, clique: Clique) -> Floats:
    """Return a table over some of a clique's columns with an axis for each column of the clique."""
    order = sorted(range(len(columns)), key=lambda i: clique.index(columns[i]))
    aligned = np.transpose(table, order)
    return np.expand_dims(aligned, _axes(clique, columns))


def _joint_margin(joint: Floats, clique: Clique, kept: Clique) -> Floats:
    """Sum a joint (a first axis, then a clique's) over all of the clique's columns but some."""
    return np.asarray(joint.sum(axis=tuple(1 + axis for axis in _axes(clique, kept))))


def stratified(group: Ints, generator: np.random.Generator) -> Floats:
    """Return a uniform for each row: one from each of a group's equal strata, in random order."""
    rows = len(group)
    order = generator.permutation(rows)
    order = order[np.argsort(group[order], kind="stable")]
    sizes = np.bincount(group)
    ranks = np.arange(rows) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    uniforms = np.empty(rows)
    uniforms[order] = (ranks + generator.random(rows)) / np.repeat(sizes, sizes)
    return uniforms
