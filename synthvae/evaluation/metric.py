"""One record a figure: what it is called, which way it is better, from where on it is good, who sees it.

A record stands beside the computation of its figure, in the `METRICS` of that module, and `catalogue`
finds it by a score's key. Levels, the page, its public rendering, the terminal and the comparison
read it there: no other module knows a key.
"""

import re
from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from synthvae.evaluation.intervals import rounded
from synthvae.evaluation.results import Basis, Direction, Interval, Score, Threshold, Topic

Family = Literal[
    "schema",
    "rules",
    "sdmetrics",
    "margins",
    "associations",
    "detection",
    "predictions",
    "analyses",
    "groups",
    "copies",
    "attacks",
    "unknown",
]
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
    basis: Basis = "project default"
    beside: str | None = None
    times: bool = False


@dataclass(frozen=True)
class Metric:
    """What is known of a figure beforehand; it becomes a score with an answer or without one.

    Parameters
    ----------
    key
        That of its score. Scores that differ in a name alone share a record, whose key, title and
        meaning have places for the names: ``rule.<name>``, "Rows that break '{name}'".
    family
        What kind of figure it is.
    goal
        The best value, where it is the same for every table.
    threshold
        None for a figure that is for information, until a steward sets one.
    disclosure
        How the public rendering shows it.
    withheld_as
        Why it does not: what it could tell of single patients.
    section
        Which table of the page has it: that of its topic, or another one.
    headline
        Whether it is among the scores to read first.
    charted
        Whether it is drawn beside what is learnt from real rows.
    tripwire
        Whether it can raise an alarm, but is no evidence of privacy when it is quiet.
    attack
        The key of the attack that it sums up: it is judged against chance.
    share_of
        What a value is a share of, in words that follow it.

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

    key: str
    title: str
    meaning: str
    direction: Direction
    _: KW_ONLY
    family: Family
    topic: Topic
    goal: float | None = None
    threshold: Limits | None = None
    disclosure: Disclosure = "withheld"
    withheld_as: str = ""
    section: Literal["topic", "analyses", "attacks"] = "topic"
    headline: bool = False
    charted: bool = False
    tripwire: bool = False
    attack: str = ""
    share_of: str = ""

    @property
    def stem(self) -> str:
        """Its key, as far as there is no name in it."""
        return self.key.partition("<")[0].rstrip(".")

    def of(self, **names: str) -> "Metric":
        """Return the record of one of the scores that share this one."""
        return replace(
            self,
            key=self.key_of(**names),
            title=self.title.format(**names),
            meaning=self.meaning.format(**names),
        )

    def key_of(self, **names: str) -> str:
        """Return the key of one of the scores that share this record."""
        return re.sub(r"<(\w+)>", lambda place: names[place[1]], self.key)

    def names(self, key: str) -> dict[str, str] | None:
        """Return the names in the key of a score of this record, None for another's."""
        found = self._pattern.fullmatch(key)
        return None if found is None else found.groupdict()

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        parts = re.split(r"<(\w+)>", self.key)
        places = [f"(?P<{part}>.+)" if place % 2 else re.escape(part)
                  for place, part in enumerate(parts)]  # fmt: skip
        return re.compile("".join(places), re.DOTALL)

    def with_goal(self, goal: float | None) -> "Metric":
        """Return the same record with a goal that the data set."""
        return replace(self, goal=goal)

    def answer(
        self,
        value: float,
        interval: Interval | None = None,
        references: dict[str, float | None] | None = None,
        detail: str = "",
    ) -> Score:
        """Return the score that was found."""
        known = {name: _digits(figure) for name, figure in (references or {}).items()}
        return Score(
            **self._described(),
            value=rounded(value),
            interval=interval,
            references=known,
            detail=detail,
        )

    def unanswered(self, reason: str) -> Score:
        """Return the score of a metric that did not run, which never counts as a pass."""
        return Score(**self._described(), value=None, not_run=reason)

    def _described(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "topic": self.topic,
            "title": self.title,
            "meaning": self.meaning,
            "direction": self.direction,
            "goal": _digits(self.goal),
        }

    def threshold_of(self, score: Score) -> Threshold | None:
        """Return the default threshold of a score, None where it or its reference is missing."""
        line = self.threshold
        if line is None:
            return None
        good, poor = line.good, line.poor
        if line.beside is not None:
            reference = score.references.get(line.beside)
            if reference is None:
                return None
            if self.direction == "towards":
                reference = abs(reference - (score.goal or 0.0))
            good, poor = (
                end * reference if line.times else reference + end for end in (good, poor)
            )
        return Threshold(
            good=rounded(good), poor=rounded(poor), basis=line.basis, source=line.source
        )


def _digits(figure: float | None) -> float | None:
    return rounded(figure) if figure is not None and np.isfinite(figure) else None


NOISE = "beyond the noise of train's patients drawn again"  # what "bootstrap" stands for
