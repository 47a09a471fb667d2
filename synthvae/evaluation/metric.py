"""One record a figure: its name, which way it is better, from where on it is good, who may see it.

A record stands beside the computation of its figure, in the `METRICS` of that module or, an attack's,
in the suite of attacks; `levels` finds it by a score's key. Levels, the page, its public rendering,
the terminal and the comparison read it there: no other module knows a key.
"""

import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, Literal

import numpy as np

from synthvae.evaluation import intervals, results

NOISE = "beyond the noise of train's patients drawn again"  # what "bootstrap" stands for
_OfTables = Literal[
    "schema", "rules", "relations", "sdmetrics", "margins", "associations", "detection", "groups"
]
_OfUses = Literal["predictions", "analyses", "interactions", "copies", "attacks", "unknown"]
Family = _OfTables | _OfUses
Disclosure = Literal[
    "synthetic rows",  # a figure of the synthetic rows, beside shares of real rows in whole steps
    "margins",  # the mean distance of the margins that are published
    "rounded down",  # to twice the step of figures, and without its interval
    "grid",  # multiples of what a smallest cell of patients can change
    "attack",  # what the published values of its attack say already
    "withheld",
    "withheld, of groups",
    "left out",  # that the score is there would say that there is something to withhold
]


@dataclass(frozen=True)
class Limits:
    """From where on a figure is good, and from where on poor, where no steward has set it.

    Few figures have a threshold that the literature or a standard agrees on. Where one is ours, the
    basis says "project default": a starting point for a steward's own, not a law. Most are distances
    from what real rows reach, because that depends on the table.

    `good` and `poor` are values; where `beside` names a reference, they are added to it, and where
    `times` is given, multiplied with it. For a direction of "towards", it is the reference's distance
    from the goal.
    """

    good: float
    poor: float
    source: str
    basis: results.Basis = "project default"
    beside: str | None = None
    times: bool = False


@dataclass(frozen=True)
class Metric:
    """What is known of a figure beforehand; it becomes a score with an answer or without one.

    Scores that differ in a name alone share a record, whose key, title and meaning have places for
    the names: ``rule.<name>``, "Rows that break '{name}'".

    Examples
    --------
    >>> copies = Metric(
    ...     "copies", "Copies", "Share of copied rows.", "lower", family="copies", topic="privacy")
    >>> copies.answer(0.25).value, copies.unanswered("there are no rows").not_run
    (0.25, 'there are no rows')
    >>> rule = Metric(
    ...     "rule.<name>", "Breaks '{name}'", "Share.", "lower", family="rules", topic="validity")
    >>> rule.of(name="age").key, rule.names("rule.age")
    ('rule.age', {'name': 'age'})
    """

    key: str  # that of its score
    title: str
    meaning: str
    direction: results.Direction
    _: KW_ONLY
    family: Family
    topic: results.Topic
    goal: float | None = None  # the best value, where it is the same for every table
    goal_from: str = ""  # else the reference that is the goal
    threshold: Limits | None = None  # without one, it is for information until a steward sets one
    disclosure: Disclosure = "withheld"  # how the public rendering shows it
    withheld_as: str = ""  # why it does not: what it could tell of single patients
    section: Literal["topic", "analyses", "attacks"] = "topic"  # the table of the page that has it
    headline: bool = False  # among the scores to read first
    charted: bool = False  # drawn beside what is learnt from real rows
    tripwire: bool = False  # can raise an alarm, but is no evidence of privacy when it is quiet
    attack: str = ""  # the key of the attack that it sums up: it is judged against chance
    verbatim: bool = False  # above chance, whole records are copied: no budget explains that
    census: bool = (
        False  # counts the whole table that is released: at its goal, nothing is in doubt
    )
    attack_title: str = ""  # what that attack is called, without which of its figures this is
    share_of: str = ""  # what a value is a share of, in words that follow it

    @property
    def stem(self) -> str:
        """Its key, as far as there is no name in it."""
        return self.key.partition("<")[0].rstrip(".")

    def of(self, **names: str) -> "Metric":
        """Return the record of one of the scores that share this one."""
        title, meaning = self.title.format(**names), self.meaning.format(**names)
        return replace(self, key=self.key_of(**names), title=title, meaning=meaning)

    def key_of(self, **names: str) -> str:
        """Return the key of one of the scores that share this record."""
        return re.sub(r"<(\w+)>", lambda place: names[place[1]], self.key)

    def names(self, key: str) -> dict[str, str] | None:
        """Return the names in the key of a score of this record, None for another's."""
        pattern = re.sub(r"<(\w+)>", r"(?P<\1>.+)", re.escape(self.key))
        match = re.fullmatch(pattern, key, re.DOTALL)
        return None if match is None else match.groupdict()

    def answer(
        self,
        value: float,
        interval: results.Interval | None = None,
        references: Mapping[str, float | None] | None = None,
        detail: str = "",
        p_value: float | None = None,
    ) -> results.Score:
        """Return the score that was computed."""
        known = {name: _digits(figure) for name, figure in (references or {}).items()}
        goal = known.get(self.goal_from) if self.goal_from else _digits(self.goal)
        found = {
            "interval": interval,
            "references": known,
            "detail": detail,
            "p_value": _digits(p_value),
        }
        return self._score(value=intervals.rounded(value), goal=goal, **found)

    def unanswered(self, reason: str) -> results.Score:
        """Return the score of a metric that did not run, which never counts as a pass."""
        return self._score(value=None, goal=_digits(self.goal), not_run=reason)

    def _score(self, **found: Any) -> results.Score:
        facts = ("key", "topic", "title", "meaning", "direction")
        return results.Score(**{name: getattr(self, name) for name in facts}, **found)

    def threshold_of(self, score: results.Score) -> results.Threshold | None:
        """Return the default threshold of a score, None where it or its reference is missing."""
        limits = self.threshold
        if limits is None:
            return None
        good, poor = limits.good, limits.poor
        if limits.beside is not None:
            reference = score.references.get(limits.beside)
            if reference is None:
                return None
            if self.direction == "towards":
                reference = abs(reference - (score.goal or 0.0))
            ends = (end * reference if limits.times else reference + end for end in (good, poor))
            good, poor = ends
        return results.Threshold(
            good=intervals.rounded(good),
            poor=intervals.rounded(poor),
            basis=limits.basis,
            source=limits.source,
        )


def _digits(figure: float | None) -> float | None:
    return intervals.rounded(figure) if figure is not None and np.isfinite(figure) else None
