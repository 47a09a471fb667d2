"""What every baseline learns from: rows bounded per patient, cut into the same tokens as the VAE's.

Bins, and what is drawn inside a bin, come from the private marginals (`synthvae.marginals`), so that
methods differ in how they learn dependence and in nothing else. Derived columns are computed of what is
drawn, and no record breaks a rule of the schema (`synthvae.baselines.ruled`).

Of a schema with `orderBy`, a row is a patient, with all visits side by side
(`synthvae.baselines.side_by_side`).
"""

import abc
import math
import warnings
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from synthvae._types import Ints
from synthvae.baselines.ruled import RuledRecords, sample_under_rules
from synthvae.baselines.ruled_visits import RuledVisits
from synthvae.baselines.side_by_side import SideBySide, columns_side_by_side
from synthvae.errors import ConfigError, RedrawnWarning, check_positive_integer
from synthvae.marginals.column import ColumnMarginal
from synthvae.marginals.measure import measure_marginals, query_weights
from synthvae.plan import budget_left, check_reviewed, stages_before_fit
from synthvae.privacy.accounting import compose, default_interval, squared_mu
from synthvae.privacy.budget import BudgetFilter, checked_delta, noises_for
from synthvae.privacy.guarantee import Account, Stage
from synthvae.privacy.mechanisms import Mechanisms
from synthvae.privacy.stream import RandomStream
from synthvae.schema import Schema
from synthvae.settings import ASSUMED_PATIENTS
from synthvae.table import PatientRows, decode, encode, group_by_patient, with_identifiers

OFTEN = 0.05  # records that were refused, for each that is kept, from which on it is said


@dataclass(frozen=True)
class TokenTable:
    """Private tokens of the bounded rows, and the noisy marginals that define them."""

    tokens: Ints  # shape (rows, columns): private
    patients: PatientRows  # indices into `tokens`: private
    marginals: tuple[ColumnMarginal, ...]  # of each column: released
    sigmas: tuple[float, ...]  # noise, in rows, of the last count of each column's tokens: public


def bins_for(schema: Schema, epsilon: float) -> int:
    """Return the bins of a number, 6 to 32: 12 where n times epsilon is 7,000."""
    signal = math.log10(max((schema.patients or ASSUMED_PATIENTS) * epsilon, 1) / 7000)
    return round(min(32, max(6, 12 + 8 * signal)))


def tokens_per_patient(schema: Schema) -> int:
    """Return the largest number of rows of tokens of one patient: 1 with visits side by side."""
    return 1 if schema.orderBy is not None else schema.rows_per_patient


def tokenise(
    frame: pd.DataFrame, schema: Schema, mechanisms: Mechanisms, budget: BudgetFilter, share: float
) -> TokenTable:
    """Check and bound the rows, measure marginals with a share of the budget, and cut into tokens.

    Guarantee
    ---------
    Everything but `tokens` and `patients` is a function of noisy counts, released by `mechanisms`. A
    count changes by at most `tokens_per_patient` in L2 norm when a patient comes or goes.
    """
    codes, fields, most = encode(frame, schema), schema.drawn, tokens_per_patient(schema)
    grouped = group_by_patient(frame, schema, mechanisms.stream.part("rows").take(32))
    if schema.orderBy is not None:
        side = SideBySide(schema)
        codes, fields = side.flatten(codes, grouped.rows), side.fields
        grouped = PatientRows(np.arange(len(codes))[:, None])
    bins = bins_for(schema, budget.epsilon)
    weights = [query_weights(field, bins) for field in fields]
    noises = noises_for(weights, share * budget.left)
    kept = grouped.kept
    marginals = measure_marginals(codes[kept], fields, noises, bins, most, mechanisms)
    tokens = np.stack([a.encode(codes[kept, j]) for j, a in enumerate(marginals)], axis=1)
    # `kept` is sorted: a kept row's place in it is its index among the tokens.
    rows = np.where(grouped.present, np.searchsorted(kept, grouped.rows), -1)
    sigmas = tuple(column[-1] * most for column in noises)
    return TokenTable(tokens, PatientRows(rows), tuple(marginals), sigmas)


class Baseline(abc.ABC):
    """A synthesizer to compare with: the same tokens, the same unit, the same budget.

    Parameters
    ----------
    delta
        Below 1/n for n declared patients; None for a tenth of that, at most 1e-5.
    test_seed
        Makes the noise repeatable, and the guarantee void, for tests.

    Raises
    ------
    BudgetError
        The budget is not valid.
    """

    name: str
    anchor_share: float  # of the budget, in squared mu, that buys the marginals

    def __init__(
        self,
        schema: Schema,
        epsilon: float,
        delta: float | None = None,
        *,
        test_seed: int | None = None,
    ) -> None:
        check_reviewed(schema)
        self.schema = schema
        self.epsilon, self.delta = epsilon, checked_delta(epsilon, delta, schema.patients)
        budget_left(schema, self.epsilon, self.delta)  # or the error of a budget that is spent
        self._test_seed = test_seed
        self.notes: tuple[str, ...] = ()  # on what the latest fit did, in words: public
        self._marginals: tuple[ColumnMarginal, ...] = ()
        self._record: Account | None = None

    def fit(self, frame: pd.DataFrame) -> Self:
        """Learn from a table under the budget, for adding or removing one patient.

        Raises
        ------
        DataError
            The table does not fit the schema; nothing was spent.
        """
        before = squared_mu(stages_before_fit(self.schema))
        budget = BudgetFilter(self.epsilon, self.delta, spent=before)
        mechanisms = Mechanisms(RandomStream(self._test_seed), budget=budget)
        table = tokenise(frame, self.schema, mechanisms, budget, self.anchor_share)
        self.notes = self._notes
        self._learn(table, mechanisms, budget)
        rows = self.schema.rows_per_patient
        stages = self._account(mechanisms)
        self._marginals = table.marginals
        self._record = Account(
            method=self.name,
            valid=self._test_seed is None,
            epsilon=compose(stages, self.delta, default_interval(self.epsilon)),
            epsilon_budget=self.epsilon,
            delta=self.delta,
            rows_per_patient=rows,
            stages=stages,
        )
        return self

    @property
    def _notes(self) -> tuple[str, ...]:
        """What is to be known of every fit for the schema: public."""
        if self.schema.orderBy is None:
            return ()
        columns = columns_side_by_side(self.schema)
        return (
            f"visits stand side by side, a row a patient of {columns} columns, which leaves the order "
            "of time to the gaps between visits.",
        )

    def _account(self, mechanisms: Mechanisms) -> tuple[Stage, ...]:
        """Return what was released so far, before the fit and in it, as the stages of an account."""
        in_fit = mechanisms.stages(self.schema.rows_per_patient)
        return (*stages_before_fit(self.schema), *in_fit)

    @property
    def record(self) -> Account:
        """What was released, and the epsilon that it spends."""
        if self._record is None:
            raise ConfigError(f"The baseline {self.name} has not been fitted; call fit first.")
        return self._record

    def sample(self, rows: int, *, seed: int) -> pd.DataFrame:
        """Draw `rows` records, the same for the same seed: post-processing.

        Every row is of a patient of its own, but for a schema with `orderBy`: of that, whole patients
        are drawn, with at most `rows` visits together.

        Raises
        ------
        ConfigError
            The rules leave next to nothing to draw from.

        Warns
        -----
        RedrawnWarning
            Many records broke a rule, and were drawn again or repaired.
        """
        records = self.draw_records(rows, seed=seed)
        if records.repaired or records.refused > OFTEN * records.number:
            what = "records" if records.patients is None else "patients"
            warnings.warn(
                f"{records.refused:,} {what} of {self.name} broke a rule and were drawn again, for "
                f"{records.number:,} that keep them, of which {records.repaired:,} had to be repaired "
                "column by column.",
                RedrawnWarning,
                stacklevel=2,
            )
        return self.table_of(records)

    def draw_records(self, rows: int, *, seed: int) -> RuledRecords:
        """Draw the codes of `rows` records that keep the rules, and say what that took."""
        check_positive_integer("rows", rows)
        _ = self.record  # or the error of a baseline that is not fitted
        generator = np.random.default_rng(seed)

        def draw(count: int) -> Ints:
            tokens = self._draw(count, generator)
            columns = [
                marginal.decode(tokens[:, j], generator.random(count))
                for j, marginal in enumerate(self._marginals)
            ]
            return np.stack(columns, axis=1)

        if self.schema.orderBy is not None:
            side = SideBySide(self.schema)
            return RuledVisits(side, self._marginals).draw(draw, rows, generator)
        return sample_under_rules(draw, rows, self.schema.rule_set, self._marginals, generator)

    def table_of(self, records: RuledRecords) -> pd.DataFrame:
        """Return records as a table, with invented identifiers."""
        frame = decode(records.codes, self.schema)
        patients = np.arange(len(frame)) if records.patients is None else records.patients
        return with_identifiers(frame, self.schema, patients)

    @abc.abstractmethod
    def _learn(self, table: TokenTable, mechanisms: Mechanisms, budget: BudgetFilter) -> None:
        """Spend the rest of the budget on dependence."""

    @abc.abstractmethod
    def _draw(self, rows: int, generator: np.random.Generator) -> Ints:
        """Return tokens of new records, shape (rows, columns)."""
