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
    """A graphical model over columns 0, 1, ..., calibrated.

    Attributes
    ----------
    cliques
        The maximal cliques, columns ascending.
    marginals
        One a clique: shape by its columns, summing to 1.
    edges
        Pairs of cliques, as indices: a forest.
    columns
        Number of columns, all of which stand in some clique.
    """

    cliques: tuple[Clique, ...]
    marginals: tuple[Floats, ...]
    edges: tuple[tuple[int, int], ...]
    columns: int

    @cached_property
    def _neighbours(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {i: [] for i in range(len(self.cliques))}
        for first, second in self.edges:
            found[first].append(second)
            found[second].append(first)
        return found

    def walk(self, root: int) -> Iterator[tuple[int, int | None]]:
        """Yield the cliques that hang together with `root`, each with its parent, parents first."""
        waiting: list[tuple[int, int | None]] = [(root, None)]
        while waiting:
            here, parent = waiting.pop()
            yield here, parent
            waiting += [(n, here) for n in self._neighbours[here] if n != parent]

    def _home(self, column: int) -> int:
        holding = [i for i, clique in enumerate(self.cliques) if column in clique]
        return min(holding, key=lambda i: self.marginals[i].size)

    def margin(self, columns: Clique, clique: int) -> Floats:
        """Return the marginal of some of a clique's columns, in ascending order."""
        gone = _gone(self.cliques[clique], columns)
        return np.asarray(self.marginals[clique].sum(axis=gone))

    @cached_property
    def singles(self) -> tuple[Floats, ...]:
        """The marginal of each column."""
        return tuple(self.margin((j,), self._home(j)) for j in range(self.columns))

    def pairs(self) -> dict[Clique, Floats]:
        """Return the marginal of each pair of columns, shape by the ascending columns."""
        found: dict[Clique, Floats] = {
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
                        found[a, b] = (
                            self.margin((a, b), here)
                            if a in clique
                            else _keep(joint[here], clique, (b,))
                        )
        return found

    def _carry(self, a: int, joint: Floats | None, here: int, parent: int) -> Floats:
        """Return the joint of column `a` with a clique, from that with its parent."""
        clique, before = self.cliques[here], self.cliques[parent]
        shared = tuple(c for c in clique if c in before)
        if joint is None:  # the parent holds column a itself
            kept = tuple(sorted({a, *shared}))
            carried = np.moveaxis(self.margin(kept, parent), kept.index(a), 0)
        else:
            carried = _keep(joint, before, shared)
        shape = [n if c in shared else 1 for c, n in zip(clique, self._shape(here), strict=True)]
        known = carried.reshape(len(carried), *shape)
        return np.asarray(known * self._given(here, shared))

    def _shape(self, clique: int) -> tuple[int, ...]:
        return self.marginals[clique].shape

    def _given(self, clique: int, shared: Clique) -> Floats:
        """Return p(clique | shared), shaped as the clique; 0 where what is shared never occurs."""
        whole = self.marginals[clique]
        shape = [
            n if c in shared else 1 for c, n in zip(self.cliques[clique], whole.shape, strict=True)
        ]
        below = self.margin(shared, clique).reshape(shape)
        return np.divide(whole, below, out=np.zeros_like(whole), where=below > 0)

    def sample(self, rows: int, generator: np.random.Generator) -> Ints:
        """Draw records, shape (rows, columns), by walking from clique to clique.

        Within each group of rows that agree on what a clique shares with its parent, the rest is drawn
        with one uniform from each of as many equal strata, in random order: counts then differ from
        what the model expects by less than one, as in Private-PGM's own rounding.
        """
        drawn = np.zeros((rows, self.columns), np.int64)
        done: set[int] = set()
        for root in range(len(self.cliques)):
            if root in done:
                continue
            for here, parent in self.walk(root):
                done.add(here)
                clique = self.cliques[here]
                shared = tuple(
                    c for c in clique if parent is not None and c in self.cliques[parent]
                )
                self._fill(drawn, here, shared, generator)
        return drawn

    def _fill(self, drawn: Ints, here: int, shared: Clique, generator: np.random.Generator) -> None:
        clique, shape = self.cliques[here], self._shape(here)
        rest = tuple(c for c in clique if c not in shared)
        if not rest:
            return
        order = [clique.index(c) for c in (*shared, *rest)]
        sizes = [shape[clique.index(c)] for c in shared]
        table = self.marginals[here].transpose(order).reshape(int(np.prod(sizes)), -1)
        rows = len(drawn)
        group = np.zeros(rows, np.int64)
        if shared:
            group = np.ravel_multi_index(tuple(drawn[:, c] for c in shared), tuple(sizes))
        uniforms = stratified(group, generator)
        ends = np.cumsum(table, axis=1)
        # A group that the model gives no mass to is drawn from the whole clique.
        empty = ends[:, -1] <= 0
        ends[empty] = np.cumsum(table.sum(axis=0))
        cells = np.empty(rows, np.int64)
        places = np.argsort(group, kind="stable")
        for part in np.split(places, np.flatnonzero(np.diff(group[places])) + 1):
            line = ends[group[part[0]]]
            aim = uniforms[part] * line[-1]
            cells[part] = np.minimum(np.searchsorted(line, aim, side="right"), len(line) - 1)
        values = np.unravel_index(cells, tuple(shape[clique.index(c)] for c in rest))
        for column, value in zip(rest, values, strict=True):
            drawn[:, column] = value


def calibrated(
    cliques: Sequence[Clique],
    edges: Sequence[tuple[int, int]],
    potentials: Sequence[tuple[Clique, Floats]],
    levels: Sequence[int],
) -> JunctionTree:
    """Return the model p(x) ∝ exp Σ potentials, calibrated on a junction tree.

    Parameters
    ----------
    cliques, edges
        The tree; each potential's columns stand in one of its cliques.
    potentials
        Columns in any order, and a log-table of that shape.

    References
    ----------
    Koller and Friedman 2009, Probabilistic Graphical Models, Algorithm 10.2: sum-product messages up
    to a root, then down again.
    """
    beliefs = [np.zeros([levels[c] for c in clique]) for clique in cliques]
    for columns, table in potentials:
        home = next(i for i, clique in enumerate(cliques) if set(columns) <= set(clique))
        beliefs[home] = beliefs[home] + _spread(table, columns, cliques[home])
    tree = JunctionTree(tuple(cliques), tuple(beliefs), tuple(edges), len(levels))
    done: set[int] = set()
    for root in range(len(cliques)):
        if root in done:
            continue
        order = list(tree.walk(root))
        done |= {here for here, _ in order}
        for here, parent in reversed(order):
            if parent is not None:
                up = _message(beliefs[here], cliques[here], cliques[parent])
                beliefs[parent] = beliefs[parent] + up
        for here, parent in order:
            if parent is not None:
                down = _message(beliefs[parent], cliques[parent], cliques[here])
                # What came up from here is in what comes down.
                shared = tuple(c for c in cliques[here] if c in cliques[parent])
                own = _spread(_summed(beliefs[here], cliques[here], shared), shared, cliques[here])
                beliefs[here] = beliefs[here] + down - own
    shares = tuple(np.exp(belief - logsumexp(belief)) for belief in beliefs)
    return JunctionTree(tuple(cliques), shares, tuple(edges), len(levels))


def _gone(clique: Clique, kept: Clique) -> tuple[int, ...]:
    """Return the axes of a clique's columns that are not kept."""
    return tuple(i for i, c in enumerate(clique) if c not in kept)


def _message(belief: Floats, sender: Clique, receiver: Clique) -> Floats:
    """Return a log-belief summed to what two cliques share, shaped for the receiver."""
    shared = tuple(c for c in sender if c in receiver)
    return _spread(_summed(belief, sender, shared), shared, receiver)


def _summed(belief: Floats, clique: Clique, kept: Clique) -> Floats:
    return np.asarray(logsumexp(belief, axis=_gone(clique, kept)))


def _spread(table: Floats, columns: Clique, clique: Clique) -> Floats:
    """Return a table over some of a clique's columns with an axis for each column of the clique."""
    order = sorted(range(len(columns)), key=lambda i: clique.index(columns[i]))
    aligned = np.transpose(table, order)
    return np.expand_dims(aligned, _gone(clique, columns))


def _keep(joint: Floats, clique: Clique, kept: Clique) -> Floats:
    """Sum a joint (a first axis, then a clique's) over all of the clique's columns but some."""
    return np.asarray(joint.sum(axis=tuple(1 + i for i, c in enumerate(clique) if c not in kept)))


def stratified(group: Ints, generator: np.random.Generator) -> Floats:
    """Return a uniform for each row: one from each of a group's equal strata, in random order."""
    rows = len(group)
    order = generator.permutation(rows)
    order = order[np.argsort(group[order], kind="stable")]
    sizes = np.bincount(group)
    sizes = sizes[sizes > 0]
    first = np.repeat(np.cumsum(sizes) - sizes, sizes)
    uniforms = np.empty(rows)
    ranks = np.arange(rows) - first
    uniforms[order] = (ranks + generator.random(rows)) / np.repeat(sizes, sizes)
    return uniforms
