"""Candidates among categories and missing cells, in a sample of rows."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from synthvae._types import Bools
from synthvae.relations import statements
from synthvae.relations.independence import transitive_reduction
from synthvae.relations.statements import LOOSE, Candidate, Fact
from synthvae.relations.view import View, least_of

LEAST_ROWS = 20  # of the sample, that say something about a candidate
MOST_LABELS = 30  # of a category, that conditions name
MOST_COMBINATIONS = 50  # that a rule lists
CAPABLE = 0.01  # of rows drawn at random must break a candidate


def missing_together(view: View, names: Sequence[str]) -> list[list[str]]:
    """Return the groups of columns that are missing in the same rows."""
    gone = {name: view.missing(name) for name in names}
    some = [
        name for name in names if LEAST_ROWS / 2 <= gone[name].sum() < len(view) - LEAST_ROWS / 2
    ]
    groups: list[list[str]] = []
    for name in some:
        for group in groups:
            differing = (gone[name] != gone[group[0]]).sum()
            if differing <= LOOSE * gone[name].sum() + 1:
                group.append(name)
                break
        else:
            groups.append([name])
    return groups


def find_implications(
    view: View, names: Sequence[str], gaps: Sequence[str]
) -> list[tuple[Fact, Fact]]:
    """Return pairs of facts of which the first brings the second, though it often fails elsewhere.

    `names` are the columns whose values are looked at, `gaps` those whose missing cells are.
    """
    facts = [fact for name in names for fact in _facts(view, name)]
    facts += [fact for name in gaps for fact in _gaps(view, name)]
    conditions = [fact for fact in facts if fact.says != "present"]
    if not conditions:
        return []
    given = _stacked([fact.holds(view)[0] for fact in conditions])
    judged = [fact.holds(view) for fact in facts]
    decided = _stacked([known for _, known in judged])
    failing = _stacked([known & ~holds for holds, known in judged])
    known, broken = given.T @ decided, given.T @ failing
    overall = failing.sum(axis=0) / np.maximum(1, decided.sum(axis=0))
    few = broken <= np.minimum(LOOSE * known, 0.2 * overall * known) + 1
    telling = (known >= LEAST_ROWS) & (overall * known >= 3) & (overall >= CAPABLE)
    return [
        (conditions[i], facts[j])
        for i, j in np.argwhere(few & telling)
        if _may_imply(conditions[i], facts[j])
    ]


def _stacked(columns: Sequence[Bools]) -> NDArray[np.float32]:
    return np.stack(columns, axis=1).astype(np.float32)


def _may_imply(condition: Fact, then: Fact) -> bool:
    if condition.name == then.name:
        return False
    return condition.says != "missing" or then.says in ("missing", "present")


def _facts(view: View, name: str) -> Iterator[Fact]:
    field, there = view.field(name), ~view.missing(name)
    if not field.is_lattice:
        counts = np.bincount(view.codes(name)[there], minlength=len(field.categories))
        if 2 <= (counts > 0).sum() <= MOST_LABELS:
            yield from (
                Fact(name, "labels", (int(code),)) for code in np.flatnonzero(counts >= LEAST_ROWS)
            )
    elif field.is_number and least_of(field) >= 0:
        zeros = (view.numbers(name) == 0).sum()
        if LEAST_ROWS <= zeros <= there.sum() - LEAST_ROWS:
            yield Fact(name, "zero")
            yield Fact(name, "positive")


def _gaps(view: View, name: str) -> Iterator[Fact]:
    gone = view.missing(name).sum()
    if LEAST_ROWS / 2 <= gone <= len(view) - LEAST_ROWS / 2:
        yield Fact(name, "missing")
        yield Fact(name, "present")


def reduced(view: View, pairs: Sequence[tuple[Fact, Fact]]) -> list[tuple[Fact, Fact]]:
    """Return implications without those that follow from others; a contrapositive says the same."""
    items = []
    pairs = _without_complements(view, pairs)
    for condition, then in pairs:
        back, forth = then.negated(view), condition.negated(view)
        turned = [(back, forth)] if back is not None and forth is not None else []
        items.append([(condition, then), *turned])
    # Whatever a column holds, it is not missing.
    facts = {fact for pair in pairs for fact in pair if fact.says not in ("missing", "present")}
    known = [(fact, Fact(fact.name, "present")) for fact in sorted(facts, key=str)]
    return [pairs[place] for place in transitive_reduction(items, known, any)]


def _without_complements(view: View, pairs: Sequence[tuple[Fact, Fact]]) -> list[tuple[Fact, Fact]]:
    """Return implications without those of the one category that all other ones leave."""
    ends = set(pairs)
    kept = []
    for condition, then in pairs:
        opposite, codes = condition.negated(view), np.unique(view.codes(then.name))
        others = [int(code) for code in codes if code >= 0 and code not in then.codes]
        follows = len(others) > 1 and then.says == "labels" and opposite is not None
        if not follows or any(
            (Fact(then.name, "labels", (c,)), opposite) not in ends for c in others
        ):
            kept.append((condition, then))
    return kept


def exclusive(view: View, pairs: Sequence[tuple[Fact, Fact]]) -> list[tuple[str, ...]]:
    """Return groups of three columns or more of which at most one is true."""
    apart = {
        (condition.name, then.name)
        for condition, then in pairs
        if all(view.field(fact.name).type == "boolean" for fact in (condition, then))
        and (condition.codes, then.codes) == ((1,), (0,))
    }
    apart |= {(second, first) for first, second in apart}
    groups: list[list[str]] = []
    for name in dict.fromkeys(name for pair in sorted(apart) for name in pair):
        for group in groups:
            if all((name, other) in apart for other in group):
                group.append(name)
                break
        else:
            groups.append([name])
    return [tuple(group) for group in groups if len(group) > 2]


def joined(view: View, pairs: Sequence[tuple[Fact, Fact]]) -> Iterator[Candidate]:
    """Yield implications as candidates: those of several categories of one column as one."""
    by_end: dict[tuple[str, Fact], list[Fact]] = {}
    for condition, then in pairs:
        if condition.says == "labels":
            by_end.setdefault((condition.name, then), []).append(condition)
        else:
            yield statements.implied(view, condition, then)
    for (name, then), conditions in by_end.items():
        codes = sorted(code for condition in conditions for code in condition.codes)
        yield statements.implied(view, Fact(name, "labels", tuple(codes)), then)


def find_mappings(view: View, names: Sequence[str]) -> list[tuple[str, str]]:
    """Return pairs of categories of which the first decides the second."""
    chosen = [
        name
        for name in names
        if not view.field(name).is_lattice and 2 <= len(view.field(name).categories) <= MOST_LABELS
    ]
    if len(chosen) < 2:
        return []
    sizes = [len(view.field(name).categories) for name in chosen]
    ends = np.cumsum(sizes)
    hot = np.zeros((len(view), ends[-1]), np.float32)
    for name, end, size in zip(chosen, ends, sizes, strict=True):
        rows = np.flatnonzero(~view.missing(name))
        hot[rows, end - size + view.codes(name)[rows]] = 1
    counts = hot.T @ hot
    found = []
    for i, first in enumerate(chosen):
        for j, second in enumerate(chosen):
            if i == j:
                continue
            table = counts[ends[i] - sizes[i] : ends[i], ends[j] - sizes[j] : ends[j]]
            total = table.sum()
            if total < LEAST_ROWS:
                continue
            off = total - table.max(axis=1).sum()
            varies = total - table.sum(axis=0).max() >= CAPABLE * total
            if varies and off <= LOOSE * total + 1:
                found.append((first, second))
    return found
