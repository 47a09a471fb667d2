"""Conditions on whole patients: on columns that never change, on the first visit, and on any visit.

`parse_visit_conditions` reads them. What never changes and the first visit are drawn before all else, so
that a `VisitSieve` meets conditions there: a column's token is drawn from what is asked for, and one
passes with the probability that the model gives it, relative to the largest. Those who do not are not
drawn further, and those who do are patients of the model given the conditions (likelihood weighting,
thinned to equal weights). A condition on any visit is judged of whole patients.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from synthvae._text import brief
from synthvae._types import Bools, Floats, Ints
from synthvae.errors import ConfigError
from synthvae.marginals.column import ColumnMarginal
from synthvae.model.conditions import (
    Condition,
    condition_masks,
    listed,
    parse_conditions,
    uniform_marginal,
)
from synthvae.model.layout import Layout
from synthvae.model.masks import RuleMasks, TokenShares
from synthvae.model.sampling import Draft, log_evidence
from synthvae.ordering import ANY, FIRST, WHEN_MET
from synthvae.timeline import Timeline


@dataclass(frozen=True)
class VisitCondition:
    """A condition on one column.

    Attributes
    ----------
    place
        Of the column among those of the timeline's rules.
    modelled
        Of the column among those that the schema models.
    when
        `FIRST` where it is met by the first visit, `ANY` by any visit, empty where by the patient, from
        what is known before all visits.
    """

    condition: Condition
    marginal: ColumnMarginal
    place: int
    modelled: int
    when: str

    @property
    def independent(self) -> float:
        """The probability of values like those asked for, whatever the other columns hold."""
        return float(self.marginal.mass @ self.condition.shares) / self.condition.fineness


def parse_visit_conditions(
    where: Mapping[str, Any], timeline: Timeline, layout: Layout
) -> tuple[VisitCondition, ...]:
    """Return conditions on patients.

    A plain name means a column that never changes; before the name of one that varies stands `first:` or
    `any:`. Each condition on any visit may be met by another visit.

    Raises
    ------
    ConfigError
        A column is unknown or an identifier, or varies and the name does not say at which visit; or
        a value lies outside the schema.
    """
    schema, rules = timeline.schema, timeline.rules
    marginals = tuple(layout.marginals[place] for place in timeline.of_schema)
    fields = {field.name: field for field in schema.modelled}
    found = []
    for name, value in where.items():
        when, column = _split(name, schema.names)
        field = fields.get(column)
        if field is not None:
            _check_visit(when, column, varies=not field.perPatient)
        ((j, condition),) = parse_conditions({column: value}, schema, marginals).items()
        place = timeline.of_schema[j] if j < len(marginals) else rules.columns.places[column]
        if of_time := when == FIRST and place == timeline.time:
            place = timeline.first  # which is known before any visit
            held = _with(marginals, j, layout.marginals[place])
            condition = parse_conditions({column: value}, schema, held)[j]
        drawn = place < len(layout.marginals)
        marginal = layout.marginals[place] if drawn else uniform_marginal(schema.modelled[j])
        condition = replace(condition, text=f"{when}{condition.text}")
        found.append(VisitCondition(condition, marginal, place, j, "" if of_time else when))
    return tuple(found)


def split_name(name: str) -> tuple[str, str]:
    """Return at which visit a condition is meant, empty where it does not say, and of which column."""
    when = next((word for word in WHEN_MET if name.startswith(word)), "")
    return when, name[len(when) :]


def _split(name: Any, names: tuple[str, ...]) -> tuple[str, str]:
    # A column may be called first:age itself.
    return ("", name) if name in names or not isinstance(name, str) else split_name(name)


def _with(
    marginals: tuple[ColumnMarginal, ...], place: int, marginal: ColumnMarginal
) -> tuple[ColumnMarginal, ...]:
    return (*marginals[:place], marginal, *marginals[place + 1 :])


def _check_visit(when: str, column: str, *, varies: bool) -> None:
    if varies and not when:
        raise ConfigError(
            f"where names {brief(column)}, which varies from visit to visit; write '{FIRST}{column}' "
            f"for the first visit, or '{ANY}{column}' for any visit."
        )
    if when and not varies:
        raise ConfigError(
            f"where names '{when}{column}', but {brief(column)} is the same at all visits of a patient; "
            f"write '{column}'."
        )


class VisitSieve:
    """Lets patients pass that meet conditions, and keeps account of how likely these are.

    Of each stage (what never changes, the first visit) the largest weight is that of its first block.
    """

    def __init__(
        self, conditions: tuple[VisitCondition, ...], timeline: Timeline, layout: Layout
    ) -> None:
        self.conditions = conditions
        self._timeline = timeline
        self.asks_first = any(each.when == FIRST for each in conditions)
        rules, begun = timeline.rules, [each for each in conditions if each.when != ANY]
        ruled = set() if layout.masks is None else {int(j) for j in layout.masks.ruled}
        ruled |= set(range(rules.drawn, len(rules.columns.fields)))
        asked = []
        for each in begun:
            rule = each.condition.as_rule(rules.columns.meanings[each.place], each.place)
            resolved = rules.resolved(rule)
            if each.place >= rules.drawn:  # what a derived column is computed from, too
                ruled |= resolved.places
            asked.append((each, resolved))
        held = [rule for each, rule in asked if each.place in ruled]
        self._alone = {each.place: each.condition for each in begun if each.place not in ruled}
        self._masks: RuleMasks | None = None
        if held:
            texts = [each.condition for each in conditions]
            self._masks = condition_masks(rules, layout.marginals, held, texts, "patient")
        self._log_weights: Floats | None = None  # of the block's patients, at this stage
        self._bounds: dict[str, float] = {}
        self._sums = {"": 0.0, FIRST: 0.0}  # of weights
        self._counts = {"": 0, FIRST: 0}  # of patients that had them
        self._whole, self._wanted = 0, 0  # patients of whom conditions on any visit were judged

    def conditioned(
        self,
        draft: Draft,
        j: int,
        logits: Floats,
        without: tuple[Floats, TokenShares | None, Floats | None],
    ) -> tuple[Floats, TokenShares | None, tuple[int, int] | None]:
        """Return the masses of a column's tokens given the conditions, and what is left of its values.

        `without` are those under rules alone: masses, shares, and the log of their sum.
        """
        if self._log_weights is None:
            self._log_weights = np.zeros(len(draft.codes))
        mass, shares, left = without
        if self._masks is not None:
            shares = draft.shares(j, self._masks)
            mass, met = draft.masses(logits, shares)
            self._log_weights += log_evidence(logits, met, left)
        condition = self._alone.get(j)
        if condition is None:
            return mass, shares, None
        mass = mass * condition.shares
        evidence = mass.sum(axis=1, keepdims=True)
        with np.errstate(divide="ignore"):  # who cannot meet the condition
            self._log_weights += np.log(evidence[:, 0])
        return mass / np.maximum(evidence, 1e-300), shares, condition.limits

    def passing(
        self,
        codes: Ints,
        stuck: Bools,
        generator: np.random.Generator,
        *,
        first: bool = False,
        others: int = 0,
    ) -> Ints:
        """Return who passes, by numbers, from what never changes or from the first visit.

        `others` are patients who have no first visit.
        """
        when = FIRST if first else ""
        logs = np.zeros(len(codes)) if self._log_weights is None else self._log_weights
        self._log_weights = None
        codes, met = self._timeline.rules.completed(codes), ~stuck
        for each in self.conditions:
            if each.when == when:
                met &= each.condition.met(codes[:, each.place], each.marginal)
        logs = np.where(met, logs, -np.inf)
        largest = float(logs.max(initial=-np.inf))
        if np.isfinite(largest):
            self._bounds.setdefault(when, largest)
        self._sums[when] += float(np.exp(logs).sum())
        self._counts[when] += len(logs) + others
        return np.flatnonzero(
            generator.random(len(logs)) < np.exp(logs - self._bounds.get(when, 0.0))
        )

    def wanted(self, whose: Ints, patients: int, codes: Ints, visited: Bools) -> Bools:
        """Return which patients meet the conditions on any visit.

        `codes` are of the columns that the schema models, of each visit; `whose` says whose it is, and
        `visited` whether it is one: a patient may have none.
        """
        wanted = np.ones(patients, bool)
        for each in self.conditions:
            if each.when == ANY:
                met = visited & each.condition.met(codes[:, each.modelled], each.marginal)
                wanted &= np.bincount(whose[met], minlength=patients) > 0
        self._whole, self._wanted = self._whole + patients, self._wanted + int(wanted.sum())
        return wanted

    @property
    def begun(self) -> int:
        """Patients of whom what never changes was drawn."""
        return self._counts[""]

    @property
    def probability(self) -> float:
        """The share of the model's patients that meet the conditions, as drawn so far."""
        stages = ["", FIRST] if self.asks_first else [""]
        parts = [(self._sums[when], self._counts[when]) for when in stages]
        parts.append((self._wanted, self._whole))
        return math.prod(total / count if count else 0.0 for total, count in parts)

    @property
    def likeness(self) -> float:
        """The probability of patients like those asked for, where single fine values are asked for."""
        fineness = math.prod(each.condition.fineness for each in self.conditions)
        return min(1.0, self.probability / fineness)

    @property
    def independent(self) -> float:
        """What `likeness` would be, about, if columns did not depend on each other."""
        drawn = self._timeline.rules.drawn
        return math.prod(each.independent for each in self.conditions if each.place < drawn)

    @property
    def text(self) -> str:
        """The conditions in words."""
        return listed(each.condition for each in self.conditions)

    @property
    def together(self) -> str:
        """A word for several conditions."""
        return " together" if len(self.conditions) > 1 else ""
