"""`maxRows` from a noisy histogram of rows per patient, which is paid for and recorded in the schema.

How many rows a patient has is private. What nobody knows from a protocol is bought: patients are counted
by their rows, each in one bin, with exact discrete noise, and the choice follows from the noisy numbers
alone. The price is in the schema's file before anything is drawn, so that no interruption loses it, and
every fit with the schema counts it into its own epsilon (`synthvae.plan.stages_before_fit`).
"""

import math
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from synthvae._files import locked
from synthvae._text import brief
from synthvae._types import Ints
from synthvae.drafting.keys import LADDER
from synthvae.drafting.review import SchemaReview
from synthvae.errors import BudgetError, ConfigError, SchemaError
from synthvae.plan import epsilon_before_fit
from synthvae.privacy.accounting import gaussian_epsilon, gaussian_mu
from synthvae.privacy.budget import LEAST_NOISE, checked_delta
from synthvae.privacy.mechanisms import Mechanisms
from synthvae.rows_release import RowsRelease
from synthvae.schema import MOST_ROWS, Schema
from synthvae.table.codes import encode, identify_patients

WHAT = "numbers of patients by their rows, to choose maxRows"


@dataclass(frozen=True)
class RowHistogram:
    """Noisy numbers of patients by their rows: more than the level before, at most their own.

    The last level is open: it holds all the others, and is chosen where no smaller one will do.
    """

    levels: tuple[int, ...]
    counts: tuple[int, ...]
    sigma: float  # standard deviation of the noise of each

    @property
    def names(self) -> tuple[str, ...]:
        """The bins in words, such as `1`, `6 to 8` and `16 or more`."""
        firsts = [1, *(level + 1 for level in self.levels[:-1])]
        bounded = zip(firsts[:-1], self.levels[:-1], strict=True)
        closed = [str(last) if first == last else f"{first} to {last}" for first, last in bounded]
        return (*closed, f"{firsts[-1]} or more")

    def share_beyond(self, rows: int) -> float:
        """Return the noisy share of patients with more rows than one of the levels, but the last."""
        pairs = zip(self.levels, self.counts, strict=True)
        return sum(count for level, count in pairs if level > rows) / max(1, sum(self.counts))

    def error_beyond(self, rows: int) -> float:
        """Return the standard deviation that noise gives that share."""
        bins = sum(level > rows for level in self.levels)
        return self.sigma * math.sqrt(bins) / max(1, sum(self.counts))

    def choose(self, beyond: float) -> int:
        """Return the least level that less than a share of the patients exceeds, by these numbers."""
        if sum(self.counts) <= 0:  # nothing but noise
            return self.levels[-1]
        fitting = (level for level in self.levels[:-1] if self.share_beyond(level) < beyond)
        return next(fitting, self.levels[-1])


@dataclass(frozen=True)
class PaidRows:
    """What was bought and what it cost: all of it public once it is recorded."""

    histogram: RowHistogram
    rows: int
    release: RowsRelease
    releases: int  # that the schema records, this one among them
    spent: float  # epsilon at this one's delta, of all of them together

    @property
    def share_of_one(self) -> float:
        """The percentage of a budget of epsilon 1, in squared mu, that all of them take."""
        delta = self.release.delta
        return 100 * (gaussian_mu(self.spent, delta) / gaussian_mu(1.0, delta)) ** 2


def levels_up_to(most: int) -> tuple[int, ...]:
    """Return the numbers of rows that are considered: few, since each bin brings noise of its own.

    Examples
    --------
    >>> levels_up_to(7)
    (1, 2, 3, 4, 5, 6, 7)
    """
    if not 2 <= most <= MOST_ROWS:
        raise ConfigError(f"most is {most}; the largest maxRows considered is 2 to {MOST_ROWS:,}.")
    return (1, *(level for level in LADDER if level < most), most)


def count_patients(frame: pd.DataFrame, schema: Schema, levels: tuple[int, ...]) -> Ints:
    """Return how many patients have how many rows, exactly: private, for a mechanism alone."""
    whose, _ = pd.factorize(identify_patients(frame, schema))
    place = np.searchsorted(np.array(levels[:-1]), np.bincount(whose))
    return np.bincount(place, minlength=len(levels)).astype(np.int64)


def release_histogram(
    frame: pd.DataFrame,
    schema: Schema,
    levels: tuple[int, ...],
    noise_multiplier: float,
    mechanisms: Mechanisms,
) -> RowHistogram:
    """Return noisy numbers of patients by their rows.

    Guarantee
    ---------
    1/(2 z²)-zCDP for a noise multiplier of z, for adding or removing one patient with all their rows.

    Assumes
    -------
    The levels are public. A patient has one value of the schema's patientKey, and so stands in one bin,
    which is counted once: the sensitivity is 1.
    """
    counts = mechanisms.discrete_gaussian(
        count_patients(frame, schema, levels),
        stage="max-rows",
        what=WHAT,
        sensitivity=1,
        noise_multiplier=noise_multiplier,
    )
    return RowHistogram(levels, tuple(counts.tolist()), noise_multiplier)


def pay_for_rows(
    path: Path,
    frame: pd.DataFrame,
    epsilon: float,
    *,
    delta: float | None = None,
    beyond: float,
    most: int,
    on: date,
    mechanisms: Mechanisms,
) -> PaidRows:
    """Choose a schema's `maxRows` by a noisy histogram; price and outcome go into the schema's file.

    The price is written before the noise is drawn: whoever is stopped in between has paid, and a further
    call is a further release with a further price.

    Parameters
    ----------
    epsilon, delta
        The price of this release alone; `delta` is by default that of a fit.
    beyond
        The share of the patients that may have more rows: a public number.
    most
        The largest `maxRows` that is considered: a public number.

    Raises
    ------
    BudgetError
        The price is not valid, or so small that noise alone would decide; nothing was released.
    DataError
        The table does not fit the schema; nothing was released.
    SchemaError
        The schema has no patientKey, or one that awaits review; or somebody changed the file meanwhile.
    OutputExistsError
        Another process is at work on the file.
    """
    # Whoever read the file before another had written its price would write over that.
    path = path.resolve()  # or another name of the file would have another lock
    with locked(path.with_name(f".{path.name}.lock"), path):
        review = SchemaReview(path, "", on)
        schema, levels = review.schema, levels_up_to(most)
        if schema.patientKey is None:
            raise SchemaError(
                f"The schema {path} has no patientKey, so each row is one patient and maxRows has no "
                "meaning; name the column that says whose row it is."
            )
        _check_settled(review)
        if not 0 < beyond < 1:
            raise ConfigError(
                f"beyond is {beyond:g}; a share of the patients is above 0 and below 1."
            )
        delta = checked_delta(epsilon, delta, schema.patients)
        noise_multiplier = _noise_of(epsilon, delta, schema.patients, beyond, levels)
        encode(frame, schema)  # a table that does not fit is refused before anything is spent
        release = RowsRelease(
            what="rows per patient",
            patientKey=schema.patientKey,
            epsilon=epsilon,
            delta=delta,
            on=on,
            beyond=beyond,
        )
        review.record_release(release)
        histogram = release_histogram(frame, schema, levels, noise_multiplier, mechanisms)
        rows = histogram.choose(beyond)
        review.settle_rows(dict(zip(levels, histogram.counts, strict=True)), rows)
        releases = review.schema.releases
        spent = epsilon_before_fit(review.schema, delta) or 0.0
        return PaidRows(histogram, rows, releases[-1], len(releases), spent)


def _check_settled(review: SchemaReview) -> None:
    """Raise `SchemaError` while it is open whether the key tells patients apart."""
    open_key = review.open_key
    if open_key is not None:
        raise SchemaError(
            f"The column {brief(open_key)} of patientKey awaits review for more than maxRows, and a "
            "price holds for one key alone: first say whose row it tells (`synthvae schema review`, or "
            "take its marks out of the file). Nothing was spent."
        )


def _noise_of(
    epsilon: float, delta: float, patients: int | None, beyond: float, levels: tuple[int, ...]
) -> float:
    """Return the noise multiplier that a price buys; `BudgetError` where it buys nothing."""
    noise_multiplier = 1 / gaussian_mu(epsilon, delta)
    if noise_multiplier < LEAST_NOISE:
        enough = gaussian_epsilon(1 / LEAST_NOISE, delta)
        raise BudgetError(
            f"epsilon is {epsilon:g}; for rows per patient more than {_floor(enough):g} buys nothing. "
            "Nothing was spent."
        )
    # Of the largest sum of bins that is compared with the share: known before anything is spent.
    error = noise_multiplier * math.sqrt(len(levels) - 1)
    if patients is not None and error > beyond * patients:
        raise BudgetError(
            f"epsilon is {epsilon:g}, with which noise alone would decide: its standard deviation is up "
            f"to {error:.0f} patients, and {100 * beyond:g} % of {patients:,} declared patients are "
            f"{beyond * patients:.0f}. Take a larger epsilon, consider fewer rows (--most), or take a "
            "number from the protocol. Nothing was spent."
        )
    return noise_multiplier


def _floor(epsilon: float) -> float:
    return math.floor(1000 * epsilon) / 1000
