"""Balanced sampling: draw each column so that its table with every earlier column comes out as the
model has it, with less noise than independent draws leave.

Rows are drawn a few at a time. What the rows so far have too few of, in each cell of a table of two
columns, tilts the next draws towards it: a self-balancing walk in the spirit of Alweiss, Liu and
Sawhney (2021, "Discrepancy Minimization via a Self-Balancing Walk"). Each record still comes from
the model's own conditional probabilities, slightly tilted; it is the counts over a whole table that
vary less. It looks at the model alone and costs no privacy.
"""

import numpy as np
from numpy.typing import NDArray

SMALLEST_STEP = 16  # rows drawn at a time, at least
ROUGH_STEPS = 100  # for populations that only serve a fit
GAIN = 3.2  # tilt a missing row brings, times the rows that a step is worth
MOST_WORTH = 2.0  # rows that a patient counts for at most, relative to the mean
LARGEST_TILT = 3.0
MOST_SEEN = 30  # earlier columns, the latest, that a column is balanced against

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def bounded_worth(followers: Ints) -> Floats:
    """Return how many rows each first row of a patient counts for, and 0 for the others.

    Nobody's rows are worth so many that all the others make up for them.
    """
    worth: Floats = np.minimum(followers, MOST_WORTH * followers[followers > 0].mean())
    return worth


class Balance:
    """Draws the columns of one block of rows, in order.

    Parameters
    ----------
    rows
        Number of rows.
    steps
        In about how many steps a column is drawn: more balance better and take longer.
    """

    def __init__(self, rows: int, steps: int) -> None:
        self._rows, self._steps = rows, steps
        self._tokens: list[Ints] = [np.zeros(rows, np.int64)]
        self._sizes = [1]

    def add(self, tokens: Ints, size: int) -> None:
        """Take in the tokens of a finished column, of `size` different ones."""
        self._tokens.append(tokens)
        self._sizes.append(size)

    def draw(self, mass: Floats, uniforms: Floats, followers: Ints | None = None) -> Ints:
        """Return a token for each row.

        Parameters
        ----------
        mass
            Probability of each token, shape (rows, tokens), each row summing to 1.
        uniforms
            One draw from [0, 1) a row.
        followers
            How many rows get a row's token, shape (rows,): where a column is the same in all rows of a
            patient, all of them for the first and 0 for the others, for which nothing is drawn.
        """
        if followers is None:
            return self._walk(mass, uniforms, np.arange(self._rows), None)
        tokens = np.zeros(self._rows, np.int64)
        first = np.flatnonzero(followers)
        worth = bounded_worth(followers)[first]
        tokens[first] = self._walk(mass[first], uniforms[first], first, worth)
        return tokens

    def _walk(self, mass: Floats, uniforms: Floats, drawn: Ints, worth: Floats | None) -> Ints:
        """Draw a token for some of the rows, each counting for as many rows as it is worth, or one."""
        columns = [0, *range(max(1, len(self._tokens) - MOST_SEEN), len(self._tokens))]
        ends = np.cumsum([0, *(self._sizes[i] for i in columns)])
        cells = np.stack([self._tokens[i][drawn] for i in columns], axis=1) + ends[:-1]
        missing = np.zeros((ends[-1], mass.shape[1]))
        step = max(SMALLEST_STEP, len(drawn) // self._steps)
        gain = GAIN / step / len(columns) ** 0.5 / (1.0 if worth is None else worth.mean())
        counted = np.arange(step)
        # Which cells a row of the step is in, as a 0/1 matrix that is filled and cleared in place.
        place = cells + (np.arange(len(drawn)) % step)[:, None] * ends[-1]
        member = np.zeros((step, ends[-1]))
        flat = member.reshape(-1)
        chosen = np.empty(len(drawn), np.int64)
        for first in range(0, len(drawn), step):
            part = slice(first, first + step)
            now, filled = mass[part], place[part]
            flat[filled] = 1.0
            rows = member[: len(now)]
            tilt = np.minimum(np.maximum(gain * (rows @ missing), -LARGEST_TILT), LARGEST_TILT)
            ladder = np.cumsum(now * np.exp(tilt), axis=1)
            below = ladder <= (uniforms[part] * ladder[:, -1])[:, None]
            picked = np.minimum(below.sum(axis=1), mass.shape[1] - 1)
            chosen[part] = picked
            rest = now.copy()
            rest[counted[: len(now)], picked] -= 1.0
            missing += rows.T @ (rest if worth is None else rest * worth[part, None])
            flat[filled] = 0.0
        return chosen
