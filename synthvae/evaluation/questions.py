"""What is asked of a synthetic table, before the answer: it becomes a score either way."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from synthvae.evaluation.intervals import rounded
from synthvae.evaluation.values import Direction, Interval, Score, Topic


@dataclass(frozen=True)
class Question:
    """One figure that may or may not be had: all that is known of its score beforehand.

    Examples
    --------
    >>> asked = Question("copies", "privacy", "Copies", "Share of copied rows.", "lower", goal=0.0)
    >>> asked.answer(0.25).value, asked.unanswered("there are no rows").not_run
    (0.25, 'there are no rows')
    """

    key: str
    topic: Topic
    title: str
    meaning: str
    direction: Direction
    goal: float | None = None

    def with_goal(self, goal: float | None) -> "Question":
        """Return the same question with a goal that the data set."""
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
            **self._asked(),
            value=rounded(value),
            interval=interval,
            references=known,
            detail=detail,
        )

    def unanswered(self, reason: str) -> Score:
        """Return the score of a metric that did not run, which never counts as a pass."""
        return Score(**self._asked(), value=None, not_run=reason)

    def _asked(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "topic": self.topic,
            "title": self.title,
            "meaning": self.meaning,
            "direction": self.direction,
            "goal": _digits(self.goal),
        }


def _digits(figure: float | None) -> float | None:
    return rounded(figure) if figure is not None and np.isfinite(figure) else None


def counted(number: int, one: str) -> str:
    """Return a number with its noun in the right form, for nouns that take an s.

    Examples
    --------
    >>> counted(1, "row"), counted(2000, "row")
    ('1 row', '2,000 rows')
    """
    return f"{number:,} {one}{'' if number == 1 else 's'}"
