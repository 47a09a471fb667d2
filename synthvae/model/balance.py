"""Tokens drawn so that a column's tables with earlier ones come out as the model has them.

Rows are drawn a few at a time. What the rows so far have too few of, in each cell of a table of two
columns, tilts the next draws towards it: a self-balancing walk in the spirit of Alweiss, Liu and
Sawhney (2021, "Discrepancy Minimization via a Self-Balancing Walk"). Each record still comes from the
model's own conditional probabilities, slightly tilted; it is the counts over a whole table that vary
less. Of few columns, tables of three are balanced, too. Rows that agree in all columns so far share out
one column's probabilities among them (systematic sampling), so that whole tables vary less as well.
"""

import numpy as np

from synthvae._types import Floats, Ints

SMALLEST_STEP = 16  # rows drawn at a time, at least
GAIN = 3.2  # tilt a missing row brings, times the rows that a step is worth
LARGEST_WEIGHT = 2.0  # rows that a patient counts for at most, relative to the mean
LARGEST_TILT = 3.0
BALANCED_COLUMNS = 30  # earlier columns, the latest, that a column is balanced against
BALANCED_CELLS = 400  # of two earlier columns together
LOW_DIGITS = 2.0**20  # a draw times this has a fractional part that its rank tells nothing of


def bounded_weights(followers: Ints) -> Floats:
    """Return the rows that each first row of a patient counts for, 0 for the others.

    The bound keeps all others from making up for one patient of many rows.
    """
    weights: Floats = np.minimum(followers, LARGEST_WEIGHT * followers[followers > 0].mean())
    return weights


class Balance:
    """Draws the columns of one block of rows, in order, each in about `steps` steps.

    More steps balance better and take longer, and so do more earlier `columns` to balance against.
    """

    def __init__(
        self, rows: int, steps: int, columns: int = BALANCED_COLUMNS, *, in_pairs: bool = False
    ) -> None:
        self._rows, self._steps, self._columns, self._in_pairs = rows, steps, columns, in_pairs
        self._tokens: list[Ints] = [np.zeros(rows, np.int64)]
        self._sizes = [1]
        self._alike = np.zeros(rows, np.int64)  # which rows agree in all columns so far

    def add(self, tokens: Ints, size: int) -> None:
        """Take in a finished column, of `size` different tokens."""
        before = [*zip(self._tokens, self._sizes, strict=True)][1:] if self._in_pairs else []
        for earlier, count in before:
            if count * size <= BALANCED_CELLS:
                self._tokens.append(earlier * size + tokens)
                self._sizes.append(count * size)
        self._tokens.append(tokens)
        self._sizes.append(size)
        places = self._alike * size + tokens
        self._alike = np.unique(places, return_inverse=True)[1].reshape(-1)

    def draw(self, mass: Floats, uniforms: Floats, followers: Ints | None = None) -> Ints:
        """Return a token for each row.

        Parameters
        ----------
        mass
            Probability of each token, shape (rows, tokens), each row summing to 1.
        uniforms
            One draw from [0, 1) per row.
        followers
            Number of rows that get a row's token, shape (rows,): where a column is the same in all rows
            of a patient, all of them for the first and 0 for the others, for which nothing is drawn.
        """
        if followers is None:
            uniforms = stratified(uniforms, self._alike)
            return self._walk(mass, uniforms, np.arange(self._rows), np.ones(self._rows))
        tokens = np.zeros(self._rows, np.int64)
        first = np.flatnonzero(followers)
        weights = bounded_weights(followers)[first]
        tokens[first] = self._walk(mass[first], uniforms[first], first, weights)
        return tokens

    def _walk(self, mass: Floats, uniforms: Floats, drawn: Ints, weights: Floats) -> Ints:
        """Draw a token for some of the rows, each of which counts for `weights` rows."""
        columns = [0, *range(max(1, len(self._tokens) - self._columns), len(self._tokens))]
        ends = np.cumsum([0, *(self._sizes[i] for i in columns)])
        cells = np.stack([self._tokens[i][drawn] for i in columns], axis=1) + ends[:-1]
        missing = np.zeros((ends[-1], mass.shape[1]))
        step = max(SMALLEST_STEP, len(drawn) // self._steps)
        gain = GAIN / step / len(columns) ** 0.5 / weights.mean()
        # Which cells a row of the step is in, as a 0/1 matrix that is filled and cleared in place.
        place = cells + (np.arange(len(drawn)) % step)[:, None] * ends[-1]
        member = np.zeros((step, ends[-1]))
        flat = member.reshape(-1)
        tokens = np.empty(len(drawn), np.int64)
        for first in range(0, len(drawn), step):
            part = slice(first, first + step)
            flat[place[part]] = 1.0
            rest = mass[part].copy()
            rows = member[: len(rest)]
            tilt = np.clip(gain * (rows @ missing), -LARGEST_TILT, LARGEST_TILT)
            tokens[part] = inverse_cdf(rest * np.exp(tilt), uniforms[part])
            rest[np.arange(len(rest)), tokens[part]] -= 1.0
            missing += rows.T @ (rest * weights[part, None])
            flat[place[part]] = 0.0
        return tokens


def stratified(uniforms: Floats, groups: Ints) -> Floats:
    """Return draws from [0, 1) of which each group of rows has one in each of as many strata as rows.

    Each row's draw is still uniform. `groups` are numbers from 0, all of which occur, shape (rows,).
    """
    order = np.lexsort((uniforms, groups))
    counts = np.bincount(groups)
    rank = np.arange(len(groups)) - np.repeat(np.cumsum(counts) - counts, counts)
    draws = np.empty(len(groups))
    draws[order] = (rank + (uniforms[order] * LOW_DIGITS) % 1.0) / np.repeat(counts, counts)
    return np.minimum(draws, np.nextafter(1.0, 0.0))


def inverse_cdf(mass: Floats, uniforms: Floats) -> Ints:
    """Return a token per row, drawn in proportion to masses of shape (rows, tokens)."""
    ladder = np.cumsum(mass, axis=1)
    below = ladder <= (uniforms * ladder[:, -1])[:, None]
    return np.asarray(np.minimum(below.sum(axis=1), mass.shape[1] - 1))
