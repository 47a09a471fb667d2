"""The rules of a patient's visits in time, as a model must keep them that draws one after the other.

To the rules of a schema come those that look ahead, so that hardly a patient runs into a dead end: what
forbids that a visit follows holds of the visit itself where another follows; the time of a visit is the
time before it and a gap, so that rules about times are kept by the gap; and a value from which a rule
lets no way lead through all visits that are to come is forbidden at once. They forbid nothing that a
patient who keeps the schema's rules could have.
"""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from synthvae._text import brief
from synthvae.rules import ranges
from synthvae.rules.compiled import CompiledRule, RuleSet, compiled_rule
from synthvae.rules.domains import Domain, tightened
from synthvae.rules.lives import LifeRule, Lives, State, lives_of
from synthvae.rules.ranges import Range, Truth
from synthvae.rules.steps import own_places, turned_back
from synthvae.rules.terms import Kind, Term, applied, column_of, compared, fixed
from synthvae.rules.values import Columns, Known

FEW_TOGETHER = 512  # values of several columns together of which is looked at what follows
MOST_TIMES = 2**17  # from each of which it is seen how far away rules let a visit follow
NOTHING = Range(np.asarray(0.0), np.asarray(0.0), np.asarray(False), np.asarray(True))


@dataclass(frozen=True)
class VisitPlaces:
    """Where a timeline has the columns that have a part of their own, and what a step of time is."""

    visits: int
    first: int
    place: int
    gap: int
    time: int
    time_before: int
    unit: float  # a step of time in its values: numbers, or seconds


def with_look_ahead(rules: RuleSet, at: VisitPlaces) -> RuleSet:
    """Return the rules of a timeline with those that look ahead; a first visit is free of some."""
    ahead = _Ahead(rules, at)
    declared = tuple(map(ahead.after_first, rules.declared))
    whole = replace(rules, declared=(*declared, *ahead.of_what_follows()))
    ahead = _Ahead(whole, at)
    return replace(whole, declared=(*whole.declared, *ahead.of_times(), *ahead.of_lives()))


@dataclass(frozen=True)
class _Ahead:
    rules: RuleSet
    at: VisitPlaces

    @property
    def columns(self) -> Columns:
        return self.rules.columns

    @cached_property
    def before(self) -> frozenset[int]:
        """The places of the columns of the visit before."""
        return frozenset(own_places(self.columns))

    @cached_property
    def hulls(self) -> list[Range]:
        """What each column may hold, whatever the others do."""
        meanings = self.columns.meanings
        domains = [Domain.whole(values) for values in meanings]
        left = tightened(self.columns, domains, self.rules.sampled)
        hulls = [domain.hull(values) for domain, values in zip(left, meanings, strict=True)]
        hulls[self.at.place] = meanings[self.at.place].exact(np.asarray(0))  # where it is not named
        gap = hulls[self.at.gap]
        least = self._least_gap(hulls)
        hulls[self.at.gap] = Range(np.maximum(gap.low, least), gap.high, gap.some, gap.none)
        return hulls

    def _least_gap(self, hulls: Sequence[Range]) -> float:
        """Return the least gap that rules about times alone leave, after some time or other."""
        at, meanings = self.at, self.columns.meanings
        gaps, times, least = meanings[at.gap], meanings[at.time_before], float(hulls[at.gap].low)
        rules = [
            replace(rule, computed={**rule.computed, at.time: self.time})
            for rule in self.rules.sampled
            if at.time in rule.places <= {at.time, at.time_before, at.gap, at.place}
        ]
        given = {at.time_before: times.exact(np.arange(min(times.size, MOST_TIMES)))}
        given[at.place] = self._later_place

        def known_with(gap: Range) -> Known:
            known = given | {at.gap: gap}
            known[at.time] = self.time.range(known.__getitem__)
            return known.__getitem__

        for rule in rules if times.size <= MOST_TIMES else ():
            span = rule.solve(at.gap, known_with(hulls[at.gap]))
            if span is None:
                continue
            first = int(gaps.points_between(span.low.min(), span.low.min())[0])
            for code in (first - 1, first, first + 1):
                if not rule.judge(known_with(gaps.exact(np.asarray(code)))).keeps.any():
                    least = max(least, float(gaps.at(np.asarray(code + 1))))
                elif code >= 0:
                    break
        return least

    @property
    def _later_place(self) -> Range:
        """The place of a visit that follows another."""
        most = max(2, self.columns.meanings[self.at.visits].size)
        return Range(np.asarray(2.0), np.asarray(float(most)), np.asarray(True), np.asarray(False))

    @cached_property
    def kind(self) -> Kind:
        return "date" if self.columns.fields[self.at.time].is_moment else "number"

    @cached_property
    def time(self) -> Term:
        """The time of a visit: that of the visit before, and the gap."""
        unit = fixed("number", self.at.unit, self.at.unit)
        since = applied("number", ranges.multiply, self.term(self.at.gap), unit)
        return applied(self.kind, ranges.add, self.term(self.at.time_before), since)

    def term(self, place: int) -> Term:
        return column_of(self.columns.fields[place], place)

    def after_first(self, rule: CompiledRule) -> CompiledRule:
        """Return a rule that says nothing at a first visit, where it says something there."""
        resolved = self.rules.resolved(rule)
        gone = self.before | {self.at.gap}
        if not rule.places & gone:
            return rule

        def known(place: int) -> Range:
            meanings = self.columns.meanings[place]
            return NOTHING if place in gone else Domain.whole(meanings).hull(meanings)

        if not resolved.judge(known).no.any():
            return rule
        one = fixed("number", 1.0, 1.0)
        return _where(compared(ast.Gt(), self.term(self.at.place), one), rule)

    def of_what_follows(self) -> Iterator[CompiledRule]:
        """Yield the rules that say of a visit alone that another follows, of the visit itself."""
        turned = turned_back(self.columns)
        follows = compared(ast.Lt(), self.term(self.at.place), self.term(self.at.visits))
        for rule in self.rules.declared:
            named = [place for place in rule.places if place != self.at.place]
            static = [place for place in named if self.columns.fields[place].perPatient]
            back = self.before.intersection(named)
            if back and len(back) + len(static) == len(named) and rule.setting:
                where = f"the rule {brief(rule.title)}"
                yield _where(follows, compiled_rule(rule.setting, turned, where))

    def of_times(self) -> Iterator[CompiledRule]:
        """Yield what rules about the time of a visit say of the first time and of a gap."""
        at = self.at
        start = self._last(self.term(at.first), fixed("number", 1.0, 1.0))
        end = self._last(self.time, self.term(at.place))
        until_first = frozenset(range(at.time_before))
        until_gap = frozenset(range(at.gap + 1))
        about = [rule for rule in self.rules.sampled if at.time in rule.places]
        gaps = self.columns.meanings[at.gap]
        if self.hulls[at.gap].low > gaps.at(np.asarray(0)):  # than `orderBy` asks for
            about.append(self._end)
        elif about:
            yield self._projected(self._end, until_first, start)
        for rule in about:
            looks_back = bool(rule.places & (self.before | {at.gap}))
            if not looks_back:
                yield self._projected(rule, until_first, self.term(at.first))
            if not rule.places & (self.before | {at.gap, at.place}):  # of the last visit, too
                yield self._projected(rule, until_first, start)
                yield self.after_first(self._projected(rule, until_gap, end))
            yield self.after_first(self._projected(rule, until_gap, self.time))

    @property
    def _end(self) -> CompiledRule:
        """That time ends, which is to be looked ahead to."""
        values = self.columns.meanings[self.at.time]
        latest = float(values.at(np.asarray(values.size - 1)))
        end = compared(ast.LtE(), self.term(self.at.time), fixed(self.kind, latest, latest))
        return CompiledRule("time ends", end.places, end.of, statement=end)

    def _last(self, time: Term, place: Term) -> Term:
        """Return the time of the last visit, as far as gaps say, from that of a visit at a place."""
        at, gap = self.at, self.hulls[self.at.gap]

        def left(visits: Range, place: Range) -> Range:
            more = ranges.subtract(visits, place)
            low, high = np.maximum(more.low, 0) * gap.low, np.maximum(more.high, 0) * gap.high
            return Range(low * at.unit, high * at.unit, more.some, more.none)

        rest = applied("number", left, self.term(at.visits), place)
        return applied(self.kind, ranges.add, time, rest)

    def _projected(self, rule: CompiledRule, kept: frozenset[int], time: Term) -> CompiledRule:
        """Return what a rule says of some columns, whatever others hold; time is a term of them."""
        places = (rule.places & kept) | time.places

        def resolve(known: Known) -> Known:
            def column(place: int) -> Range:
                if place == self.at.time:
                    return time.range(known)
                return known(place) if place in places else self.hulls[place]

            return column

        return replace(
            rule,
            places=places,
            judge=lambda known: _possible(rule.judge(resolve(known)), places, known),
            computed={**rule.computed, self.at.time: time},
            resolve=lambda known: rule.resolve(resolve(known)),
        )

    def of_lives(self) -> Iterator[CompiledRule]:
        """Yield how many visits may follow the values of columns that rules tie to the visit before."""
        most = self.columns.meanings[self.at.visits].size
        later = list(self.hulls)
        later[self.at.place] = self._later_place
        for state, tying in self._states():
            named = {*state.own, *state.before}
            about = [rule for rule in self.rules.sampled if rule.places & named]
            found = lives_of(self.columns, state, about, later, most)
            yield from () if found is None else self._life_rules(state.own, found, tying)

    def _states(self) -> Iterator[tuple[State, CompiledRule]]:
        """Yield columns of which it matters together what follows, with a rule that ties them.

        These are columns of few values that rules name together, and each other one by itself.
        """
        before_of = {own: before for before, own in own_places(self.columns).items()}
        before_of = {own: b for own, b in before_of.items() if max(own, b) < self.rules.drawn}
        before_of.pop(self.at.time)
        back = frozenset(before_of.values())
        same = {p: p for p in range(self.at.visits)}
        steps = [rule for rule in self.rules.sampled if rule.places & back]
        tied: dict[int, CompiledRule] = {}
        links: list[set[int]] = []
        for rule in self.rules.sampled:
            own = {place for place, before in before_of.items() if rule.places & {place, before}}
            if rule in steps and rule.places & before_of.keys():
                tied = dict.fromkeys(own, rule) | tied
            links.append(own | (rule.places & same.keys() if rule in steps else set()))
        while tied:
            column, rule = next(iter(tied.items()))
            group = self._group(column, links)
            states = tuple(sorted(group))
            yield State(states, tuple((before_of | same)[place] for place in states)), rule
            tied = {place: rule for place, rule in tied.items() if place not in group}

    def _group(self, column: int, links: list[set[int]]) -> set[int]:
        """Return a column with those that rules link to it, as long as they have few values together."""

        def size_of(place: int) -> int:
            return Domain.whole(self.columns.meanings[place]).size

        group, size = {column}, size_of(column)
        while True:
            near = set().union(*(link for link in links if link & group)) - group
            fitting = [place for place in near if size * size_of(place) <= FEW_TOGETHER]
            if not fitting:
                return group
            least = min(fitting, key=lambda place: (size_of(place), place))
            group.add(least)
            size *= size_of(least)

    def _life_rules(
        self, own: tuple[int, ...], lives: Lives, source: CompiledRule
    ) -> Iterator[CompiledRule]:
        visits, place = self.at.visits, self.at.place
        yield LifeRule.of(source, lives, own, visits, place)
        axes = tuple(axis for axis, column in enumerate(own) if column < visits)
        static = tuple(own[axis] for axis in axes)
        yield LifeRule.of(source, lives.of_first(axes), static, visits)


def _possible(truth: Truth, places: frozenset[int], known: Known) -> Truth:
    """Return whether a rule may be kept, which is decided where some columns are known."""
    exact = np.asarray(True)
    for place in places:
        own = known(place)
        exact = exact & np.where(own.none, ~own.some, own.low == own.high)
    return Truth(truth.keeps, truth.no & ~(exact & truth.keeps), np.zeros_like(truth.unknown))


def _where(condition: Term, rule: CompiledRule) -> CompiledRule:
    """Return a rule that holds where a condition does."""
    otherwise = applied("truth", Truth.__invert__, condition)
    statement = None
    if rule.statement is not None:
        statement = applied("truth", Truth.__or__, otherwise, rule.statement)
    return replace(
        rule,
        places=rule.places | condition.places,
        judge=lambda known: otherwise.of(known) | rule.judge(known),
        statement=statement,
    )
