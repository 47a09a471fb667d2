"""Relations without those that follow from others: transitive reduction, and sums of full rank."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from synthvae.relations.relation import Relation
from synthvae.relations.statements import days_between
from synthvae.relations.view import View, least_of, spelt

Node = TypeVar("Node", bound=Hashable)
Edge = tuple[Node, Node]
STRICTER = (
    20.0  # patients more who would break a strict order by chance, for it to be called strict
)
NEARLY = 0.99  # of rows in which a middle column has a value, for it to stand between two others


def transitive_reduction(
    items: Sequence[Sequence[Edge[Node]]],
    known: Sequence[Edge[Node]] = (),
    enough: Callable[[Iterable[bool]], bool] = all,
) -> list[int]:
    """Return the places of items of which no other ones together say the same.

    An item is one edge or several: both ways of a one-to-one mapping, all of which must follow from
    other items; an implication and its contrapositive, of which `any` is `enough`. Of items that say
    the same the first stays. What is `known` holds without being said.

    Examples
    --------
    >>> transitive_reduction([[("a", "b")], [("b", "c")], [("a", "c")]])
    [0, 1]
    """
    after: dict[Node, Counter[Node]] = {}
    for edges in (*items, known):
        for start, end in edges:
            after.setdefault(start, Counter())[end] += 1
    kept = list(range(len(items)))
    for place in reversed(range(len(items))):
        edges = items[place]
        for start, end in edges:
            after[start][end] -= 1
        if enough(_reaches(after, start, end) for start, end in edges):
            kept.remove(place)
        else:
            for start, end in edges:
                after[start][end] += 1
    return kept


def _reaches(after: dict[Node, Counter[Node]], start: Node, end: Node) -> bool:
    seen, waiting = {start}, [start]
    while waiting:
        for node, times in after.get(waiting.pop(), Counter()).items():
            if not times or node in seen:
                continue
            if node == end:
                return True
            seen.add(node)
            waiting.append(node)
    return False


def without_repeats(view: View, relations: Iterable[Relation]) -> tuple[Relation, ...]:
    """Return relations of which none follows from others; no column is computed twice or from itself."""
    found = list(dict.fromkeys(relations))
    sums = _independent_sums([r for r in found if r.kind == "sum"])
    orders = _reduced_orders(view, [r for r in found if r.kind == "order"], sums)
    mapped = _reduced_mappings(found)
    kept = {*sums, *orders, *mapped}
    listed = [r for r in found if r in kept or r.kind not in ("sum", "order", *_MAPPINGS)]
    return tuple(_computed_once(view, [r for r in listed if not _is_repeated(r, listed)]))


_MAPPINGS = ("combinations", "cut-points", "flag")


def _independent_sums(sums: Sequence[Relation]) -> list[Relation]:
    """Return sums of which none is a linear combination of those before it."""
    names = list(dict.fromkeys(name for relation in sums for name in relation.columns))
    kept: list[Relation] = []
    rows = np.empty((0, len(names)))
    for relation in sorted(sums, key=lambda r: len(r.columns)):
        row = np.zeros(len(names))
        row[[names.index(name) for name in relation.columns]] = _signs(relation)
        more = np.vstack([rows, row])
        if np.linalg.matrix_rank(more) == len(more):
            rows = more
            kept.append(relation)
    return kept


def _signs(relation: Relation) -> list[float]:
    """Return the coefficients with which the columns of a sum add up to nothing."""
    parts = len(relation.columns) - 1
    return [1.0, -1.0, 1.0] if relation.is_difference else [1.0, *[-1.0] * parts]


def _reduced_orders(
    view: View, orders: Sequence[Relation], sums: Sequence[Relation]
) -> list[Relation]:
    """Return orders that do not follow from others, nor from a total of parts that are not negative."""
    plain = {r.columns: r for r in orders if not r.is_strict}
    strict = {r.columns: r for r in orders if r.is_strict}
    totals = {
        (part, relation.columns[0])
        for relation in sums
        if not relation.is_difference
        for part in relation.columns[1:]
        if all(least_of(view.field(n)) >= 0 for n in relation.columns[1:] if n != part)
    }
    chosen = []
    for columns, relation in plain.items():
        if columns[::-1] in plain or columns in totals:
            continue
        stricter = strict.get(columns)
        gain = stricter.expected - relation.expected if stricter else 0.0
        is_strict = stricter and gain >= STRICTER and stricter.exceptions == relation.exceptions
        chosen.append(stricter if stricter and is_strict else relation)
    edges = {relation.columns for relation in chosen}
    return [r for r in chosen if not _is_between(view, r, edges)]


def _is_between(view: View, relation: Relation, edges: set[tuple[str, ...]]) -> bool:
    """Whether a column stands between the two of an order, in nearly all rows that have both."""
    low, high = relation.columns
    both = ~view.missing(low) & ~view.missing(high)
    middles = (end for start, end in edges if start == low and (end, high) in edges)
    return any((~view.missing(middle))[both].mean() >= NEARLY for middle in middles)


def _reduced_mappings(found: Sequence[Relation]) -> list[Relation]:
    """Return mappings that do not follow from others; both ways of one-to-one categories are one."""
    mappings = [r for r in found if r.kind in _MAPPINGS]
    ways = {r.columns for r in mappings if r.kind == "combinations"}
    items = []
    for relation in mappings:
        edges = [(relation.columns[0], relation.columns[1])]
        if relation.kind != "combinations":
            edges = [(relation.columns[1], relation.columns[0])]
        elif relation.columns[::-1] in ways:
            edges.append((relation.columns[1], relation.columns[0]))
        items.append(edges)
    return [mappings[place] for place in transitive_reduction(items)]


def _is_repeated(relation: Relation, listed: Sequence[Relation]) -> bool:
    """Whether what holds in a subgroup, or of missing cells, is a part of a relation of all rows."""
    if relation.kind not in ("missing where", "in a subgroup"):
        return False
    names = set(relation.columns)
    others = [r for r in listed if names <= set(r.columns) and r.kind != relation.kind]
    if relation.kind == "missing where":
        return any(r.derived or r.kind == "missing together" for r in others)
    whole = (*_MAPPINGS, "sum", "equal", "order", "one of several")
    return any(r.kind in whole and not r.is_difference for r in others)


def _computed_once(view: View, relations: Sequence[Relation]) -> list[Relation]:
    """Return relations in which no column is derived twice or from itself.

    Where a moment would be, the days before it are derived; everything else is then stated.
    """
    needs: dict[str, set[str]] = {}
    result = []
    for each in relations:
        relation = _turned(view, each) if _is_clash(needs, each) else each
        name, others = relation.derived, set(relation.columns[1:])
        if not name:
            result.append(relation)
        elif _is_clash(needs, relation):
            assert isinstance(relation.rule, dict)
            stated = f"{spelt(name)} == ({relation.rule['as']})"
            result.append(replace(relation, rule=stated))
        else:
            needs[name] = others
            result.append(relation)
    return result


def _is_clash(needs: dict[str, set[str]], relation: Relation) -> bool:
    """Whether a relation would derive a column again, or from itself."""
    name = relation.derived
    return bool(name) and (name in needs or _needs(needs, set(relation.columns[1:]), name))


def _turned(view: View, relation: Relation) -> Relation:
    """Return a moment that is derived from another and days as days between the two moments."""
    if relation.kind != "sum" or not view.field(relation.derived).is_moment:
        return relation
    found = days_between(view, *relation.columns)
    return replace(relation, rule=found.rule, columns=found.columns, is_difference=True)


def _needs(needs: dict[str, set[str]], names: set[str], name: str) -> bool:
    """Whether some columns are, or are computed from, a column."""
    return name in names or any(_needs(needs, needs[n], name) for n in names if n in needs)
