"""What the rules of a schema mean: for every form, whether what is known of a record may keep it."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as data_field
from functools import cached_property, partial, reduce

import numpy as np

from synthvae._text import brief
from synthvae._types import Bools, Ints
from synthvae.errors import ConfigError
from synthvae.field import Field
from synthvae.rules.combinations import Combinations
from synthvae.rules.derivation import Derivation, rounded_to_step
from synthvae.rules.inverse import Span, solved
from synthvae.rules.language import Statement, read_statement, read_value
from synthvae.rules.ranges import Range, Truth
from synthvae.rules.setting import Rule
from synthvae.rules.terms import Term, applied, column_of, is_missing
from synthvae.rules.values import MISSING, Columns, Known

_DIFFERENCE = re.compile(
    r"\s*(?P<open>\()?\s*(?P<later>`[^`]+`|\w+)\s*-\s*(?P<earlier>`[^`]+`|\w+)\s*"
    r"(?(open)\)\s*\*\s*(?P<scale>\d+)\s*)"
)


@dataclass(frozen=True)
class CompiledRule:
    """One rule: what it says, the places of the columns that it looks at, and how it is judged.

    `condition` is where it concerns a record, if not everywhere; `statement` what it says, where that is
    one statement. In it, columns are `computed` from others, by place, which `resolve` adds to what is
    known.
    """

    title: str
    places: frozenset[int]
    judge: Callable[[Known], Truth]
    condition: Statement | None = None
    setting: Rule | None = None
    statement: Term | None = data_field(default=None, compare=False)
    computed: Mapping[int, Term] = data_field(default_factory=dict, compare=False)
    resolve: Callable[[Known], Known] = data_field(default=lambda known: known, compare=False)

    def solve(self, place: int, known: Known) -> Span | None:
        """Return what the rule leaves of a column of numbers or dates that has a value (`solved`)."""
        if self.statement is None:
            return None
        return solved(self.statement, place, self.resolve(known), self.computed)


@dataclass(frozen=True)
class RuleSet:
    """All rules of a schema, over its columns with codes, of which the first `drawn` are modelled.

    `declared` are the schema's own, `unique` the places of columns that come once within a patient,
    `derivations` in an order in which each needs only columns before it; `restated` those of days that
    are modelled, for which the later date is computed.
    """

    columns: Columns
    declared: tuple[CompiledRule, ...]
    derivations: tuple[Derivation, ...]
    unique: tuple[tuple[int, ...], ...]
    restated: tuple[Derivation, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether records may be anything."""
        return not (self.sampled or self.unique)

    @property
    def drawn(self) -> int:
        """Number of columns that are modelled: those before the derived ones."""
        return len(self.columns.fields) - len(self.derivations)

    @cached_property
    def sampled(self) -> tuple[CompiledRule, ...]:
        """The rules as modelled columns must keep them: derived ones replaced by what they are."""
        fitting = [
            CompiledRule(
                f"{d.field.name} is within its bounds", d.value.places, d.fits, statement=d.bounds
            )
            for d in self.derivations
        ]
        stated = [rule for rule in self.declared if not (rule.setting and rule.setting.derive)]
        return tuple(self.resolved(rule) for rule in (*stated, *fitting))

    def resolved(self, rule: CompiledRule) -> CompiledRule:
        """Return a rule that looks at modelled columns alone."""
        derived = {d.place: d for d in self.derivations}
        places = set(rule.places)
        while places & derived.keys():
            place = max(places & derived.keys())
            places = (places - {place}) | derived[place].value.places
        if places == rule.places:
            return rule

        def resolve(known: Known) -> Known:
            def column(place: int) -> Range:
                if place not in derived:
                    return known(place)
                # To the nearest step, so that what is computed may lie half of one aside.
                return rounded_to_step(derived[place], derived[place].value.term.range(column))

            return column

        def judge(known: Known) -> Truth:
            return rule.judge(resolve(known))

        computed = {place: derivation.value.term for place, derivation in derived.items()}
        return replace(
            rule, places=frozenset(places), judge=judge, computed=computed, resolve=resolve
        )

    def titles(self, rules: Sequence[CompiledRule]) -> list[str]:
        """Return the titles of rules, and of those that derive the columns that they name."""
        settings = [rule.setting for rule in rules if rule.setting is not None]
        named = {p for rule in self.declared if rule.setting in settings for p in rule.places}
        deriving = [
            rule.title
            for rule in self.declared
            if rule.setting
            and rule.setting.derive
            and self.columns.places[rule.setting.derive] in named
        ]
        return list(dict.fromkeys([*(rule.title for rule in rules), *deriving]))

    def completed(self, codes: Ints) -> Ints:
        """Return records with their derived columns computed, shape (rows, columns), of drawn ones."""
        extra = np.full((len(codes), len(self.derivations)), MISSING, codes.dtype)
        whole = np.concatenate([codes[:, : self.drawn], extra], axis=1)
        for derivation in self.derivations:
            whole[:, derivation.place] = derivation.codes(self.columns, whole)
        for days in self.restated:  # once the later date is rounded to its own step
            whole[:, days.place] = days.codes(self.columns, whole)
        turned = {place for days in self.restated for place in days.value.places}
        for derivation in self.derivations if self.restated else ():
            if derivation.place not in turned:
                whole[:, derivation.place] = derivation.codes(self.columns, whole)
        return whole

    def broken(self, codes: Ints, rules: Iterable[CompiledRule] | None = None) -> Bools:
        """Return the records that break any of some rules, by default of the schema's, shape (rows,)."""
        known = self.columns.known(codes)
        broken = np.zeros(len(codes), bool)
        for rule in self.declared if rules is None else rules:
            broken |= rule.judge(known).no
        return broken


def compile_rules(
    rules: Sequence[Rule], columns: Columns, derived: Sequence[str], keys: frozenset[str]
) -> RuleSet:
    """Give the rules of a schema their meaning.

    Parameters
    ----------
    columns
        The columns with codes, the derived ones last, in their order of computation.
    keys
        The columns that say whose row it is; `unique` names them all.

    Raises
    ------
    ConfigError
        A rule cannot be read, or does not fit the columns.
    """
    declared, derivations, unique = [], [], []
    for rule in rules:
        where = f"the rule {brief(rule.title)}"
        if rule.unique:
            unique.append(_unique(rule, columns, keys, where))
            continue
        declared.append(compiled_rule(rule, columns, where))
    computed = {rule.derive: rule for rule in computations(rules, columns)}
    for rule in computed.values():
        derivations.append(_derivation(rule, columns, f"the rule {brief(rule.title)}"))
    turned = [rule for rule in rules if rule.derive and rule.derive not in computed]
    restated = [_derivation(rule, columns, f"the rule {brief(rule.title)}") for rule in turned]
    derivations.sort(key=lambda d: d.place)
    assert [d.field.name for d in derivations] == list(derived)
    return RuleSet(columns, tuple(declared), tuple(derivations), tuple(unique), tuple(restated))


def derived_order(rules: Sequence[Rule], columns: Columns) -> list[str]:
    """Return the derived columns, each after those that it is computed from.

    Raises
    ------
    ConfigError
        A column is derived twice, or from itself.
    """
    needs: dict[str, set[str]] = {}
    for rule in computations(rules, columns):
        assert rule.derive is not None
        where = f"the rule {brief(rule.title)}"
        if rule.derive in needs:
            raise ConfigError(f"In {where}: {brief(rule.derive)} is derived twice.")
        _place(rule.derive, columns, where)
        read = read_value(
            rule.value or "", columns, columns.fields[_place(rule.derive, columns, where)], where
        )
        needs[rule.derive] = {columns.fields[place].name for place in read.places}
    order: list[str] = []
    while needs:
        ready = [name for name, names in needs.items() if not names & needs.keys()]
        if not ready:
            raise ConfigError(
                f"The rules derive {brief(next(iter(needs)))} from itself, by way of "
                f"{', '.join(map(brief, needs))}; leave one of them to be modelled."
            )
        order += ready
        needs = {name: names for name, names in needs.items() if name not in ready}
    return order


def modelled_instead(rules: Sequence[Rule], columns: Columns) -> dict[str, str]:
    """Return, for each later date that is computed, the days that are modelled in its place."""
    derived = [rule.derive for rule in rules if rule.derive]
    computed = [rule.derive for rule in computations(rules, columns) if rule.derive]
    pairs = zip(computed, derived, strict=True)
    return {later: days for later, days in pairs if later != days}


def computations(rules: Sequence[Rule], columns: Columns) -> list[Rule]:
    """Return how columns are computed: as rules derive them, but for days between two dates.

    Of `{derive: days, as: later - earlier}` it is the later date that is computed, and the days that are
    modelled: they are often few, beside the bins of a date, in which they would be lost. So it is with
    hours, `(later - earlier) * 24`.
    """
    derived: set[str | None] = {rule.derive for rule in rules if rule.derive}
    found: list[Rule] = []
    for rule in rules:
        if not rule.derive:
            continue
        turned = _turned(rule, columns, derived)
        derived |= {turned.derive}
        found.append(turned)
    return found


def _turned(rule: Rule, columns: Columns, derived: set[str | None]) -> Rule:
    """Return a later date computed from days, where a rule derives days from two modelled dates."""
    parts = _DIFFERENCE.fullmatch(rule.value or "")
    names = [] if parts is None else [parts[side].strip("`") for side in ("later", "earlier")]
    scale = float((parts and parts["scale"]) or 1)
    if len(set(names)) < 2 or not {*names, rule.derive} <= columns.places.keys():
        return rule
    later, earlier, days = (columns.fields[columns.places[n or ""]] for n in (*names, rule.derive))
    suits = (
        later.is_moment
        and later.name != columns.order
        and later.type == earlier.type
        and later.timezone is None
        and days.is_number
        and days.is_lattice
        and not days.specials
        and scale > 0
        and (later.type == "date" or _is_fine(days, scale))
        and not earlier.nullable
        and days.nullable == later.nullable
        and days.perPatient == later.perPatient
        and not derived & set(names)
    )
    if not suits:
        return rule
    value = f"`{earlier.name}` + `{days.name}` / {scale:g}"
    return rule.model_copy(update={"derive": later.name, "value": value})


def _is_fine(days: Field, scale: float) -> bool:
    """Return whether a step is an hour at most: of whole days a time of day could not be told."""
    step = float(np.diff(days.numbers_at(np.array([0, 1])))[0])
    return step / scale <= 1 / 24 + 1e-9


def _place(name: str, columns: Columns, where: str) -> int:
    if name in columns.places:
        return columns.places[name]
    raise ConfigError(f"In {where}: {columns.refusal(name)}.")


def compiled_rule(rule: Rule, columns: Columns, where: str) -> CompiledRule:
    """Give one rule its meaning; `where`, for messages: "the rule 'adults'"."""
    if rule.then:
        condition = read_statement(rule.condition or "", columns, f"`if` of {where}")
        then = read_statement(rule.then, columns, f"`then` of {where}")

        otherwise = applied("truth", Truth.__invert__, condition.term)
        term = applied("truth", Truth.__or__, otherwise, then.term)
        places = condition.places | then.places
        return CompiledRule(rule.title, places, term.of, condition, rule, term)
    if rule.derive:
        derivation = _derivation(rule, columns, where)
        places = derivation.value.places | {derivation.place}
        return CompiledRule(rule.title, places, derivation.agrees, None, rule)
    if rule.together:
        named = tuple(_place(name, columns, where) for name in rule.together)
        gone = [is_missing(column_of(columns.fields[place], place)) for place in named]
        either, both = (
            reduce(partial(applied, "truth", join), gone) for join in (Truth.__or__, Truth.__and__)
        )
        none = applied("truth", Truth.__invert__, either)
        term = applied("truth", Truth.__or__, both, none)
        return CompiledRule(rule.title, frozenset(named), term.of, None, rule, term)
    if rule.allowed:
        named = tuple(_place(name, columns, where) for name in rule.allowed)
        combinations = Combinations.build(rule, columns, named, where)
        return CompiledRule(rule.title, frozenset(named), combinations.judge, None, rule)
    statement = read_statement(rule.rule or "", columns, where)
    return CompiledRule(rule.title, statement.places, statement.judge, None, rule, statement.term)


def _derivation(rule: Rule, columns: Columns, where: str) -> Derivation:
    place = _place(rule.derive or "", columns, where)
    field = columns.fields[place]
    return Derivation(place, field, read_value(rule.value or "", columns, field, where))


def _unique(rule: Rule, columns: Columns, keys: frozenset[str], where: str) -> tuple[int, ...]:
    absent = keys - set(rule.unique)
    if absent or not keys:
        way_out = (
            f"name {', '.join(map(brief, sorted(absent)))} too" if keys else "declare patientKey"
        )
        raise ConfigError(
            f"In {where}: `unique` never looks at two patients, so it names the patient key; {way_out}."
        )
    places = tuple(_place(name, columns, where) for name in rule.unique if name not in keys)
    varying = [place for place in places if not columns.fields[place].perPatient]
    if not varying:
        raise ConfigError(
            f"In {where}: every column is the same in all rows of a patient; name one that varies."
        )
    return places
