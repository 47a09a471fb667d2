"""Relations that (nearly) all patients of a table keep: candidates confirmed on all rows.

A sample of rows suggests; all rows decide. What counts are patients, not rows. A relation must rest on
many of them; it must have been able to fail, by how often columns break it whose rows are shuffled
each on its own; and it may be broken by a few only, far fewer than that.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from synthvae._types import Bools, Ints
from synthvae.errors import ConfigError
from synthvae.relations import categories, numbers, statements
from synthvae.relations.independence import without_repeats
from synthvae.relations.relation import Relation
from synthvae.relations.statements import Candidate, Fact, Rule
from synthvae.relations.view import View, is_spellable
from synthvae.rules.compiled import CompiledRule, compile_rules, derived_order
from synthvae.rules.setting import Rule as Setting
from synthvae.rules.values import Columns

SAMPLE = 4_000  # rows that suggest candidates
SHUFFLED = 20_000  # rows by which it is judged whether a relation could fail,
MOST_SHUFFLES = 8  # as often as this,
CLEAR = 3.0  # but no more once the answer is so many times more or less than what is demanded


@dataclass(frozen=True)
class Demands:
    """What a relation has to show.

    Attributes
    ----------
    support
        Patients it rests on: those whom it concerns, and of a relation of several cases each of them.
    expected
        Patients who would break it, were the columns independent of each other.
    exceptions, share
        Patients who may break it: so many, or that share of those whom it concerns.
    part
        And at most that part of those expected to.
    exact
        Whether a rule may say what a single patient can change: cut-points that are read off the rows,
        and that two columns are never the same.
    """

    support: int = 100
    expected: int = 20
    exceptions: int = 2
    share: float = 0.005
    part: float = 0.1
    exact: bool = True


def find_relations(
    codes: Ints,
    columns: Columns,
    patients: Ints,
    generator: np.random.Generator,
    *,
    order: Sequence[str] = (),
    demands: Demands | None = None,
) -> tuple[Relation, ...]:
    """Find the relations between columns of one row that hold for nearly all patients.

    Parameters
    ----------
    codes
        The cells of a table, shape (rows, columns).
    columns
        What they mean.
    patients
        Whose row each one is, shape (rows,).
    generator
        Chooses the sample and shuffles columns.
    order
        The columns in the order of the file, in which totals stand beside their parts.
    demands
        What a relation has to show.

    Returns
    -------
    tuple of Relation
        None follows from another, from bounds, or from a column that hardly varies.
    """
    places = columns.places
    names = [name for name in (order or places) if name in places and is_spellable(name)]
    if len(names) < 2 or not len(codes):
        return ()
    judge = _Judge(View.of(codes, columns), patients, generator, demands or Demands())
    return without_repeats(judge.view, _confirmed(judge, names))


def compiled(rule: Rule, columns: Columns) -> CompiledRule:
    """Return what a relation's rule means."""
    setting = Setting.model_validate(rule)
    derived = derived_order([setting], columns)
    return compile_rules([setting], columns, derived, frozenset()).declared[0]


def judged(rule: CompiledRule, view: View) -> tuple[Bools, Bools]:
    """Return for each row whether it breaks a rule, and whether the rule concerns it."""
    known = view.known()
    truth = rule.judge(known)
    concerned = ~truth.unknown
    if rule.condition is not None:
        concerned = concerned & rule.condition.judge(known).yes
    shape = len(view)
    return np.broadcast_to(truth.no, shape), np.broadcast_to(concerned, shape)


def _confirmed(judge: "_Judge", names: Sequence[str]) -> Iterator[Relation]:
    """Yield relations that all rows confirm, of each kind those that later kinds follow from first."""
    rows, generator = len(judge.view), judge.generator
    chosen = rows if rows <= SAMPLE else generator.choice(rows, SAMPLE, replace=False)
    sample = judge.view.take(np.arange(rows) if rows <= SAMPLE else np.sort(chosen))
    numeric = numbers.numeric_names(sample, names)
    orders = list(numbers.find_orders(sample, numeric, generator))
    same = [found for each in orders if each.kind == "equal" and (found := judge.confirm(each))]
    mapped = []
    for first, second in categories.find_mappings(sample, names):
        mapped += [found for each in judge.mapping(first, second) if (found := judge.confirm(each))]
    yield from (*same, *mapped)
    repeated = {relation.columns[1] for relation in same}
    repeated |= {r.columns[1] for r in mapped if r.kind == "equal"}
    once = [name for name in names if name not in repeated]
    numeric = [name for name in numeric if name not in repeated]
    rest = [
        each
        for each in orders
        if each.kind == "order"
        and not repeated & set(each.columns)
        and (judge.demands.exact or not each.is_strict)
    ]
    rest += numbers.find_sums(sample, numeric)
    rest += numbers.find_flags(sample, once, numeric)
    rest += numbers.find_cuts(sample, once, numeric) if judge.demands.exact else ()
    for condition, first, second in numbers.find_equal_where(sample, once, numeric, generator):
        rest += _equal_where(judge, condition, first, second)
    groups = categories.missing_together(sample, names)
    rest += [statements.together(group) for group in groups if len(group) > 1]
    yield from (found for each in rest if (found := judge.confirm(each)))
    yield from _implied(judge, sample, once, [group[0] for group in groups])


def _equal_where(judge: "_Judge", condition: Fact, first: str, second: str) -> Iterator[Candidate]:
    """Yield that two numbers are the same where a column holds any of those categories that all rows
    confirm, each by itself: no patient brings a category into a rule by many rows, nor keeps it out.
    """
    cases = [Fact(condition.name, "labels", (code,)) for code in condition.codes]
    kept = [
        code
        for case in cases
        for code in case.codes
        if judge.confirm(statements.equal_where(judge.view, case, first, second))
    ]
    if kept:
        whole = Fact(condition.name, "labels", tuple(kept))
        yield statements.equal_where(judge.view, whole, first, second)


def _implied(
    judge: "_Judge", sample: View, names: Sequence[str], gaps: Sequence[str]
) -> Iterator[Relation]:
    """Yield what holds in a subgroup, and which of several columns exclude each other."""
    pairs = [
        (condition, then)
        for condition, then in categories.find_implications(sample, names, gaps)
        if judge.confirm(statements.implied(judge.view, condition, then))
    ]
    alone = [statements.one_of(sample, group) for group in categories.exclusive(sample, pairs)]
    implied = categories.joined(sample, categories.reduced(sample, pairs))
    yield from (found for each in (*alone, *implied) if (found := judge.confirm(each)))


class _Judge:
    """Judges candidates by all rows, patient by patient."""

    def __init__(
        self, view: View, patients: Ints, generator: np.random.Generator, demands: Demands
    ) -> None:
        self.view, self.generator, self.demands = view, generator, demands
        self.whose = np.unique(patients, return_inverse=True)[1].reshape(-1)
        self.total = int(self.whose.max()) + 1
        self.single = self.total == len(view)

    def _count(self, rows: Bools) -> int:
        """Return how many patients have one of some rows."""
        if self.single:
            return int(rows.sum())
        return int(np.count_nonzero(np.bincount(self.whose[rows], minlength=self.total)))

    def confirm(self, candidate: Candidate) -> Relation | None:
        """Return a candidate as a relation, where it shows what is demanded."""
        demands = self.demands
        try:
            rule = compiled(candidate.rule, self.view.columns)
        except (ConfigError, ValueError):  # a label with a line end, a rule beyond all length
            return None
        broken, concerned = judged(rule, self.view)
        patients, exceptions = self._count(concerned), self._count(broken)
        most = max(demands.exceptions, int(demands.share * patients))
        if patients < demands.support or exceptions > most:
            return None
        groups = candidate.groups(self.view) if candidate.groups else (concerned,)
        support = min((self._count(rows) for rows in groups), default=0)
        if support < demands.support:
            return None
        expected = self._expected(rule, candidate, concerned)
        if expected < demands.expected or exceptions > demands.part * expected:
            return None
        return Relation(
            rule=candidate.rule,
            columns=candidate.columns,
            kind=candidate.kind,
            patients=patients,
            support=support,
            exceptions=exceptions,
            expected=round(expected, 1),
            is_strict=candidate.is_strict,
            is_difference=candidate.is_difference,
        )

    def _expected(self, rule: CompiledRule, candidate: Candidate, concerned: Bools) -> float:
        """Return how many patients would break a rule if its columns knew nothing of each other."""
        pool = np.arange(len(self.view)) if candidate.everywhere else np.flatnonzero(concerned)
        rows = np.ones(len(pool)) if self.single else np.bincount(self.whose[pool])
        broken, asked, expected = 0, 0, 0.0
        for _ in range(MOST_SHUFFLES):
            some = pool
            if len(pool) > SHUFFLED:
                some = self.generator.choice(pool, SHUFFLED, replace=False)
            mixed = self.view.shuffled(some, candidate.columns, self.generator)
            broken += int(judged(rule, mixed)[0].sum())
            asked += len(some)
            expected = float((1 - (1 - broken / max(1, asked)) ** rows).sum())
            if not 1 / CLEAR < expected / self.demands.expected < CLEAR:
                break
        return expected

    def mapping(self, first: str, second: str) -> Iterator[Candidate]:
        """Yield the combinations of two categories that many patients have, if they are few."""
        a, b = self.view.codes(first), self.view.codes(second)
        size = len(self.view.field(second).categories)
        there = (a >= 0) & (b >= 0)
        pairs = np.unique(np.stack([a[there] * size + b[there], self.whose[there]]), axis=1)[0]
        kinds, counts = np.unique(pairs, return_counts=True)
        wide = [divmod(int(kind), size) for kind in kinds[counts >= self.demands.support]]
        if 2 <= len(wide) <= categories.MOST_COMBINATIONS:
            yield statements.allowed(self.view, (first, second), wide)
