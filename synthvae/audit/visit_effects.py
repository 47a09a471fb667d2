"""What one patient's visits in time add to each release of a fit, by the very code that is audited."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from synthvae._types import Floats, Ints
from synthvae.audit.releases import FitReleases, MomentRelease
from synthvae.marginals.visit_counts import count_groups, measure_visits
from synthvae.model.histories import Histories, visit_codes
from synthvae.model.history_state import HistoryState
from synthvae.model.visit_goals import history_features, visit_query
from synthvae.plan import Plan
from synthvae.privacy.mechanisms import Mechanisms
from synthvae.privacy.stream import RandomStream
from synthvae.timeline import Timeline


@dataclass(frozen=True)
class VisitsOf:
    """A table of one patient, beside a fit to whose releases that patient adds.

    Attributes
    ----------
    codes
        Of the schema's columns for each visit in the order of time, shape (visits, columns).
    """

    plan: Plan
    state: HistoryState
    codes: Ints

    @property
    def timeline(self) -> Timeline:
        """The columns of visits in time."""
        return self.state.sampler.timeline

    @cached_property
    def histories(self) -> Histories:
        """The patient's visits, each with the one before."""
        rows = np.full((1, self.plan.schema.rows_per_patient), -1, np.int64)
        rows[0, : len(self.codes)] = np.arange(len(self.codes))
        codes, rows = visit_codes(self.timeline, self.codes, rows)
        return Histories(codes, self.state.layout.tokens(codes), rows)

    @property
    def _column_noise(self) -> dict[str, tuple[float, ...]]:
        names = (field.name for field in self.plan.schema.drawn)
        return dict(zip(names, self.plan.column_noise, strict=True))

    @property
    def first_counts(self) -> list[tuple[int, float]]:
        """The place of each column's first count among all, and the noise that is claimed for it."""
        assert self.plan.visit_noise is not None
        found, number = [], 0
        for noises, changes in count_groups(
            self.timeline, self._column_noise, self.plan.visit_noise
        ):
            found.append((number, noises[0] * changes))
            number += len(noises)
        return found

    @cached_property
    def counts(self) -> list[Floats]:
        """What the patient adds to each count; beyond a column's first, over cells of other noise."""
        assert self.plan.visit_noise is not None
        seen = FitReleases()
        measure_visits(
            self.timeline,
            self.histories.codes,
            self._column_noise,
            self.plan.visit_noise,
            self.plan.settings.bins,
            Mechanisms(RandomStream(), observer=seen),
        )
        return [count.exact.astype(float) for count in seen.columns]

    @property
    def release(self) -> MomentRelease:
        """The release of moments."""
        rows, noise = self.plan.schema.rows_per_patient, self.plan.pair_noise
        return MomentRelease("pairs", visit_query(self.timeline, self.state.layout), noise, rows)

    @cached_property
    def moments(self) -> Floats:
        """What the patient adds to the moments."""
        layout, moves = self.state.layout, self.state.sampler.ways.moves
        return self.release.effect(history_features(self.timeline, layout, self.histories, moves))
