"""What every baseline shares: its arguments, and what is done before and after the learning."""

import abc
from typing import Self

import numpy as np
import pandas as pd

from synthvae._types import Ints
from synthvae.baselines.start import TokenTable, detokenise, tokenise
from synthvae.errors import ConfigError, check_positive_integer
from synthvae.plan import check_reviewed
from synthvae.privacy.accounting import compose, default_interval
from synthvae.privacy.budget import BudgetFilter, checked_delta
from synthvae.privacy.guarantee import Account
from synthvae.privacy.mechanisms import Mechanisms
from synthvae.privacy.stream import RandomStream
from synthvae.schema import Schema


class Baseline(abc.ABC):
    """A synthesizer to compare with: the same tokens, the same unit, the same budget.

    Parameters
    ----------
    schema
        Public facts about the table.
    epsilon
        Privacy budget.
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
        self._test_seed = test_seed
        self._released: TokenTable | None = None
        self._record: Account | None = None

    def fit(self, frame: pd.DataFrame) -> Self:
        """Learn from a table under the budget, for adding or removing one patient.

        Raises
        ------
        DataError
            The table does not fit the schema; nothing was spent.
        """
        budget = BudgetFilter(self.epsilon, self.delta)
        mechanisms = Mechanisms(RandomStream(self._test_seed), budget=budget)
        table = tokenise(frame, self.schema, mechanisms, budget, self.anchor_share)
        self._learn(table, mechanisms, budget)
        self._released = table.without_rows()
        self._record = self._account(mechanisms)
        return self

    @property
    def record(self) -> Account:
        """What was released, and the epsilon that it spends."""
        if self._record is None:
            raise ConfigError(f"The baseline {self.name} has not been fitted; call fit first.")
        return self._record

    def sample(self, rows: int, *, seed: int) -> pd.DataFrame:
        """Draw so many records: post-processing. The same seed gives the same records."""
        check_positive_integer("rows", rows)
        if self._released is None:
            raise ConfigError(f"The baseline {self.name} has not been fitted; call fit first.")
        generator = np.random.default_rng(seed)
        tokens = self._draw(self._released, rows, generator)
        return detokenise(tokens, self._released.marginals, self.schema, generator)

    def _account(self, mechanisms: Mechanisms) -> Account:
        rows = self.schema.rows_per_patient
        stages = mechanisms.stages(rows)
        return Account(
            method=self.name,
            valid=self._test_seed is None,
            epsilon=compose(stages, self.delta, default_interval(self.epsilon)),
            epsilon_budget=self.epsilon,
            delta=self.delta,
            rows_per_patient=rows,
            stages=stages,
        )

    @abc.abstractmethod
    def _learn(self, table: TokenTable, mechanisms: Mechanisms, budget: BudgetFilter) -> None:
        """Spend the rest of the budget on dependence."""

    @abc.abstractmethod
    def _draw(self, table: TokenTable, rows: int, generator: np.random.Generator) -> Ints:
        """Return tokens of new records, shape (rows, columns)."""
