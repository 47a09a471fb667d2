"""A fit of visits in time from top to bottom: counts, moments, couplings of whole patients."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from synthvae._runtime import one_blas_thread
from synthvae._types import Ints
from synthvae.fit import Fit
from synthvae.marginals.visit_counts import counted_columns, measure_visits
from synthvae.marginals.visit_moments import BlockMoments
from synthvae.model.histories import Histories, Ways, visit_codes, visit_layout
from synthvae.model.history_state import HistoryState
from synthvae.model.layout import Layout
from synthvae.model.visit_coupling import VisitFit
from synthvae.model.visit_goals import history_features, visit_query
from synthvae.storage.checkpoint_file import Released
from synthvae.timeline import Timeline

if TYPE_CHECKING:
    from synthvae.model.training import TrainingCurve

SAMPLING_PART = 0.5  # of the standard error of exact moments that counts as noise


@dataclass(frozen=True)
class FitVisits(Fit):
    """One fit of visits: the plan's releases and nothing else, each made once and kept before the next.

    A patient's visits are one example in everything: whatever is released of them is bounded for all of
    them together.
    """

    def run(self) -> tuple[HistoryState, "TrainingCurve | None"]:
        """Measure, couple and calibrate; the model is kept before it is returned."""
        timeline = Timeline(self.plan.schema)
        codes, rows = visit_codes(timeline, self.codes, self.patients.rows)
        released = self.kept.released
        if released is None:
            self.progress("measuring anchors", 0.0)
            released = self._visit_counts(timeline, codes)
        if isinstance(released.model, HistoryState):
            return released.model, None
        moves = released.moves
        assert moves is not None
        counted = dict(zip(counted_columns(timeline), released.marginals, strict=True))
        layout = visit_layout(timeline, counted, self.plan.settings)
        histories = Histories(codes, layout.tokens(codes), rows)
        released = self._visit_moments(timeline, layout, histories, released)
        assert released.visits is not None
        nothing = np.zeros(layout.columns)
        ways = Ways(moves, nothing, nothing.copy())
        measured = released.visits
        if not self.plan.is_private:
            measured = _with_sampling_error(measured, histories)
        with one_blas_thread():
            query = visit_query(timeline, layout)
            fit = VisitFit(timeline, layout, query, measured, ways, self.plan.is_private)
            sampler = fit.run(self._shown("coupling visits"))
        state = HistoryState(sampler, released.patients)
        self.kept.keep(Released.finished(state))
        return state, None

    def _visit_counts(self, timeline: Timeline, codes: Ints) -> Released:
        """Return the noisy counts: of patients, of columns, of steps from visit to visit."""
        plan, noise = self.plan, self.plan.visit_noise
        assert noise is not None
        mechanisms = self.mechanisms.part("counts")
        patients = self._number_of_patients(mechanisms)
        names = [field.name for field in plan.schema.drawn]
        counts = measure_visits(
            timeline,
            codes,
            dict(zip(names, plan.column_noise, strict=True)),
            noise,
            plan.settings.bins,
            mechanisms,
        )
        marginals = tuple(counts.marginals[j] for j in counted_columns(timeline))
        released = Released(marginals, None, patients, moves=counts.moves)
        self.kept.keep(released)
        return released

    def _visit_moments(
        self, timeline: Timeline, layout: Layout, histories: Histories, before: Released
    ) -> Released:
        """Return what was released, with the noisy moments of visits."""
        if before.visits is not None:
            return before
        assert before.moves is not None
        features = history_features(timeline, layout, histories, before.moves)
        query, mechanisms = visit_query(timeline, layout), self.mechanisms.part("moments")
        found = query.release(features, histories.rows, self.plan.pair_noise, mechanisms)
        released = replace(before, visits=found)
        self.kept.keep(released)
        return released


def _with_sampling_error(
    measured: Mapping[str, BlockMoments], histories: Histories
) -> dict[str, BlockMoments]:
    """Return exact moments with what so many visits leave uncertain of them as noise."""
    patients = len(histories.rows)
    error = SAMPLING_PART / np.sqrt([patients, len(histories.codes)])
    return {
        name: replace(block, noise=block.noise + error[int(name != "static")])
        for name, block in measured.items()
    }
