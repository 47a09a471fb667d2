"""What every baseline shares: its arguments, and what is done before and after the learning."""

import abc
from typing import Self

import numpy as np
import pandas as pd

from synthvae._checks import check_positive_integer
from synthvae.baselines.budget import Budget, checked_delta
from synthvae.baselines.record import Record
from synthvae.baselines.start import Ints, Start, begin, finish
from synthvae.errors import ConfigError, SchemaError
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
    anchor_share: float  # of the budget, in squared mu, that buys the anchors

    def __init__(
        self,
        schema: Schema,
        epsilon: float,
        delta: float | None = None,
        *,
        test_seed: int | None = None,
    ) -> None:
        if schema.to_review:
            raise SchemaError(
                f"The fields {', '.join(schema.to_review)} await review: confirm that they are public "
                "and remove `review: true`."
            )
        self.schema = schema
        self.epsilon, self.delta = epsilon, checked_delta(epsilon, delta, schema.patients)
        self._test_seed = test_seed
        self._start: Start | None = None
        self._record: Record | None = None

    def fit(self, frame: pd.DataFrame) -> Self:
        """Learn from a table under the budget, for adding or removing one patient.

        Raises
        ------
        DataError
            The table does not fit the schema; nothing was spent.
        """
        stream = RandomStream(self._test_seed)
        budget = Budget(self.epsilon, self.delta, self.schema.rows_per_patient)
        start = begin(frame, self.schema, budget, self.anchor_share, stream)
        self._learn(start, budget, stream)
        # The private tokens end here.
        empty = start.tokens[:0]
        self._start = Start(empty, type(start.patients)(empty), start.anchors, start.sigmas)
        self._record = self._promise(budget)
        return self

    @property
    def record(self) -> Record:
        """What was released, and the epsilon that it spends."""
        if self._record is None:
            raise ConfigError(f"The baseline {self.name} has not been fitted; call fit first.")
        return self._record

    def sample(self, rows: int, *, seed: int) -> pd.DataFrame:
        """Draw so many records: post-processing. The same seed gives the same records."""
        check_positive_integer("rows", rows)
        if self._start is None:
            raise ConfigError(f"The baseline {self.name} has not been fitted; call fit first.")
        generator = np.random.default_rng(seed)
        tokens = self._draw(self._start, rows, generator)
        return finish(tokens, self._start.anchors, self.schema, generator)

    def _promise(self, budget: Budget) -> Record:
        return budget.record(self.name, valid=self._test_seed is None)

    @abc.abstractmethod
    def _learn(self, start: Start, budget: Budget, stream: RandomStream) -> None:
        """Spend the rest of the budget on dependence."""

    @abc.abstractmethod
    def _draw(self, start: Start, rows: int, generator: np.random.Generator) -> Ints:
        """Return tokens of new records, shape (rows, columns)."""
