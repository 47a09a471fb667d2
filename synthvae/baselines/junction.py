"""Answers from a fitted graphical model, in numpy: marginals of few columns, and records.

The model is a junction tree: cliques of columns with a marginal each, where neighbours agree on the
columns that they share. With S_c what clique c shares with its parent,

    p(x) = Π_c p(x_c) / p(x_{S_c}).
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

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

    def margin(self, columns: Clique, clique: int) -> Floats:
        """Return the marginal of some of a clique's columns, in ascending order."""
        return np.asarray(self.marginals[clique].sum(axis=_axes(self.cliques[clique], columns)))

    @cached_property
    def _routes(self) -> tuple[dict[int, tuple[int, int]], ...]:
        """Of each column, by clique: the steps to the nearest clique that holds it, and the first one.

        A clique that holds the column is its own first step; one that is not connected is left out.
        """
        routes = []
        for column in range(self.columns):
            holding = [i for i, clique in enumerate(self.cliques) if column in clique]
            route = {here: (0, here) for here in holding}
            waiting = deque(holding)
            while waiting:
                there = waiting.popleft()
                for here in self._neighbours[there]:
                    if here not in route:
                        route[here] = (route[there][0] + 1, there)
                        waiting.append(here)
            routes.append(route)
        return tuple(routes)

    def margins(self, sets: Iterable[Clique]) -> dict[Clique, Floats]:
        """Return the marginal of each set of at most three columns, shape by the ascending columns."""
        conditionals: dict[tuple[int, int], tuple[Floats, Clique]] = {}
        margins = {}
        for columns in sets:
            assert len(columns) <= 3, "of four columns, two may lie beyond one neighbour"
            parts: list[tuple[Floats, Clique]] = []
            left = list(columns)
            while left:  # columns that are not connected are independent
                near = self._routes[left[0]]
                part = tuple(c for c in left if near.keys() & self._routes[c].keys())
                left = [c for c in left if c not in part]
                parts.append((self._connected_margin(part, conditionals), part))
            margins[columns] = _product_margin(parts, columns)
        return margins

    def _connected_margin(
        self, columns: Clique, conditionals: dict[tuple[int, int], tuple[Floats, Clique]]
    ) -> Floats:
        """Return the marginal of connected columns, from the clique that lies in their middle.

        Each of at most three columns that it does not hold lies beyond another one of its neighbours;
        otherwise that neighbour would be nearer to them all.
        """
        routes = [self._routes[c] for c in columns]
        middle = min(
            routes[0],
            key=lambda i: (sum(route[i][0] for route in routes), self.marginals[i].size, i),
        )
        held = {c for c in columns if c in self.cliques[middle]}
        beyond = [self._conditional(middle, c, conditionals) for c in columns if c not in held]
        kept = tuple(sorted(held.union(*(given[:-1] for _, given in beyond))))
        return _product_margin([(self.margin(kept, middle), kept), *beyond], columns)

    def _conditional(
        self, here: int, column: int, conditionals: dict[tuple[int, int], tuple[Floats, Clique]]
    ) -> tuple[Floats, Clique]:
        """Return p(column | what a clique shares with the next one towards it), and its axes."""
        if (here, column) not in conditionals:
            _, there = self._routes[column][here]
            shared = tuple(c for c in self.cliques[here] if c in self.cliques[there])
            if column in self.cliques[there]:
                kept = tuple(sorted({column, *shared}))
                joint = _product_margin([(self.margin(kept, there), kept)], (*shared, column))
            else:
                rest = self._conditional(there, column, conditionals)
                kept = tuple(sorted({*shared, *rest[1][:-1]}))
                joint = _product_margin([(self.margin(kept, there), kept), rest], (*shared, column))
            below = self.margin(shared, there)[..., None]
            # 0 where what is shared never occurs
            table = np.divide(joint, below, out=np.zeros_like(joint), where=below > 0)
            conditionals[here, column] = (table, (*shared, column))
        return conditionals[here, column]

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


def _product_margin(factors: Sequence[tuple[Floats, Clique]], columns: Clique) -> Floats:
    """Multiply tables, each with its columns, and sum out all columns but some, in their order."""
    axis = {c: i for i, c in enumerate(sorted({c for _, own in factors for c in own}))}
    operands: list[Any] = []
    for table, own in factors:
        operands += [table, [axis[c] for c in own]]
    return np.asarray(np.einsum(*operands, [axis[c] for c in columns], optimize="greedy"))


def tree_cells(levels: Sequence[int], cliques: Iterable[Clique]) -> int:
    """Return the cells of a junction tree that has room for some cliques, and for every column.

    Columns are eliminated greedily, one with the smallest table first, as mbi does; where the cliques
    join all columns to one tree of pairs, mbi eliminates leaves first and may need fewer cells.

    Examples
    --------
    >>> tree_cells((2, 3, 5), [(0, 1), (1, 2)])
    21
    """
    near = [1 << column for column in range(len(levels))]  # bit sets: a column and its neighbours
    for clique in cliques:
        bits = sum(1 << column for column in clique)
        for column in clique:
            near[column] |= bits
    cells = [math.prod(_chosen(levels, bits)) for bits in near]
    left, maximal, total = list(range(len(levels))), list[int](), 0
    while left:
        column = min(left, key=cells.__getitem__)
        left.remove(column)
        bits = near[column]
        if all(bits & ~other for other in maximal):
            maximal.append(bits)
            total += cells[column]
        for other in _chosen(range(len(levels)), bits & ~(1 << column)):
            near[other] = (near[other] | bits) & ~(1 << column)
            cells[other] = math.prod(_chosen(levels, near[other]))
    return total


def _chosen(values: Sequence[int], bits: int) -> Iterator[int]:
    """Yield the values whose places are set in a number's bits."""
    while bits:
        lowest = bits & -bits
        yield values[lowest.bit_length() - 1]
        bits ^= lowest


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
