"""A fit from top to bottom: counts, moments, couplings, training, calibration."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from synthvae._runtime import Progress, one_blas_thread
from synthvae._types import Floats, Ints
from synthvae.marginals.interactions import InteractionQuery
from synthvae.marginals.measure import measure_marginals
from synthvae.marginals.moments import PairMoments, PairQuery
from synthvae.model.coupling import couple, couple_untrained, population, with_sampling_error
from synthvae.model.history_state import HistoryState
from synthvae.model.layout import Layout
from synthvae.model.products import Aims, find_interactions, without_products
from synthvae.model.records import calibrate_margins
from synthvae.model.state import FittedState
from synthvae.model.unbounding import Cohort
from synthvae.plan import Plan
from synthvae.precedence import declared_uses
from synthvae.privacy.mechanisms import Mechanisms
from synthvae.storage.checkpoint import RESUME_POINTS, Checkpoint
from synthvae.storage.checkpoint_file import Released
from synthvae.table import PatientRows

if TYPE_CHECKING:
    from synthvae.model.training import TrainingCurve

PAIRS_DONE, BEFORE_TRAINING = 0.6, 0.75  # of the time that coupling takes under a budget


@dataclass(frozen=True)
class _Coupled:
    """A model before its training, and the moments that it is to have."""

    layout: Layout
    weights: dict[str, Floats]
    moments: PairMoments
    ridge: Floats
    aims: Aims


@dataclass(frozen=True)
class Fit:
    """One fit: the plan's releases and nothing else, each made once and kept before the next.

    What an earlier process kept is not released again. A noisy number of patients counts as `fewest`
    at least.
    """

    plan: Plan
    codes: Ints
    patients: PatientRows
    mechanisms: Mechanisms
    kept: Checkpoint
    fewest: int
    progress: Progress

    def run(self) -> tuple[FittedState | HistoryState, "TrainingCurve | None"]:
        """Measure, train and calibrate; the model is kept before it is returned."""
        counts = self.counts()
        if counts.model is not None:
            return counts.model, None
        schema, settings = self.plan.schema, self.plan.settings
        layout = Layout.build(counts.marginals, schema.drawn, settings, schema.rule_set)
        features = layout.record_features(layout.tokens(self.codes))
        with one_blas_thread():
            coupled = self.couple(layout, counts, features)
        layout = coupled.layout
        weights, curve = self.train(layout, features, counts.patients, coupled.weights)
        with one_blas_thread():
            shown = self._shown("coupling columns", BEFORE_TRAINING, 1)
            moments, ridge, aims = coupled.moments, coupled.ridge, coupled.aims
            weights = couple(layout, moments, ridge, weights, shown, aims)
            offsets = calibrate_margins(layout, weights, self._shown("calibrating margins"))
        state = FittedState(layout, weights, offsets, counts.row_shares, counts.patients)
        self.kept.keep(Released.finished(state))
        return state, curve

    def couple(self, layout: Layout, counts: Released, features: Floats) -> "_Coupled":
        """Return the model before training, from moments of two, three and four columns."""
        schema, settings = self.plan.schema, self.plan.settings
        rows, share = schema.rows_per_patient, settings.pair_bound
        order, taper = layout.order, settings.taper
        pairs = PairQuery.build(layout.owner, order, taper, rows, share)
        released = self.moments(counts, pairs, features)
        products = self.plan.interaction_query(layout.smooth_first, order)
        if products is not None:
            released = self.interactions(released, products, features)
        measured = released.moments
        assert measured is not None
        if not self.plan.is_private:
            measured = with_sampling_error(measured, len(features))
        cohort = Cohort(counts.row_shares, sum(field.perPatient for field in schema.drawn))
        weights, moments, ridge = couple_untrained(
            layout,
            measured,
            pairs if self.plan.is_private else None,
            cohort,
            self._shown("coupling columns", 0, PAIRS_DONE),
        )
        aims = without_products(layout)
        if products is not None and released.interactions is not None:
            blocks = cohort.draw(layout, weights, population(layout, measured))
            layout, aims = find_interactions(
                layout,
                products,
                released.interactions,
                blocks,
                counts.patients,
                declared_uses(schema),
            )
        if len(layout.products):
            shown = self._shown("coupling columns", PAIRS_DONE, BEFORE_TRAINING)
            weights = couple(layout, moments, ridge, weights, shown, aims)
        return _Coupled(layout, weights, moments, ridge, aims)

    def counts(self) -> Released:
        """Return the noisy counts: of patients, of columns, of patients by their rows."""
        if self.kept.released is not None:
            self.progress(f"going on {RESUME_POINTS[self.kept.released.stage]}", 1.0)
            return self.kept.released
        self.progress("measuring anchors", 0.0)
        mechanisms = self.mechanisms.part("counts")
        patients = self._number_of_patients(mechanisms)
        marginals = measure_marginals(
            self.codes[self.patients.kept],
            self.plan.schema.drawn,
            self.plan.column_noise,
            self.plan.settings.bins,
            self.plan.schema.rows_per_patient,
            mechanisms,
            self._shown("measuring anchors"),
        )
        released = Released(tuple(marginals), self._row_shares(mechanisms), patients)
        self.kept.keep(released)
        return released

    def _number_of_patients(self, mechanisms: Mechanisms) -> int:
        """Return the declared number of patients, or a noisy count where none is declared."""
        if self.plan.schema.patients is not None:
            return self.plan.schema.patients
        counted = mechanisms.discrete_gaussian(
            np.array([len(self.patients)], np.int64),
            stage="patients",
            what="the number of patients",
            sensitivity=1,
            noise_multiplier=self.plan.count_noise or 0.0,
        )
        return max(self.fewest, int(counted[0]))

    def _row_shares(self, mechanisms: Mechanisms) -> Floats | None:
        """Return the noisy shares of patients with 1, 2, ... rows; None where a row is a patient."""
        if self.plan.schema.patientKey is None:
            return None
        most = self.plan.schema.rows_per_patient
        counted = mechanisms.discrete_gaussian(
            np.bincount(self.patients.present.sum(axis=1), minlength=most + 1)[1:],
            stage="patients",
            what="numbers of patients by their rows",
            sensitivity=1,
            noise_multiplier=self.plan.rows_noise or 0.0,
        )
        shares = np.maximum(counted, 0).astype(float)
        shares = shares if shares.sum() > 0 else np.ones(most)
        normalised: Floats = shares / shares.sum()
        return normalised

    def moments(self, counts: Released, query: PairQuery, features: Floats) -> Released:
        """Return what was released, with the noisy moments of pairs of columns."""
        if counts.moments is not None:
            return counts
        mechanisms = self.mechanisms.part("moments")
        moments = query.release(features, self.patients.rows, self.plan.pair_noise, mechanisms)
        released = replace(counts, moments=moments)
        self.kept.keep(released)
        return released

    def interactions(self, before: Released, query: InteractionQuery, features: Floats) -> Released:
        """Return what was released, with the noisy moments of three and four columns."""
        noise = self.plan.interaction_noise
        if before.interactions is not None or noise is None:
            return before
        mechanisms = self.mechanisms.part("interactions")
        moments = query.release(features, self.patients.rows, noise, mechanisms)
        released = replace(before, interactions=moments)
        self.kept.keep(released)
        return released

    def train(
        self, layout: Layout, features: Floats, patients: int, couplings: dict[str, Floats]
    ) -> tuple[dict[str, Floats], "TrainingCurve"]:
        """Return the trained weights, normalised by the public number of patients."""
        self.progress("training", 0.0)
        # torch takes seconds to import: only training needs it.
        from synthvae.model import training

        data = training.PatientTensor(
            features, self.patients.rows, layout.settings.latent, layout.log_shares(self.codes)
        )
        mechanisms = self.mechanisms.part("training")
        stage = self.plan.with_patients(patients).training

        def show(step: int, steps: int) -> None:
            self.progress("training", step / steps)

        with training.one_torch_thread():
            if stage is None:
                seed = int(mechanisms.stream.words(1)[0] >> np.uint64(33))
                result = training.train_openly(layout, data, seed, couplings, show)
            else:
                result = training.train_privately(layout, data, stage, mechanisms, couplings, show)
        self.progress("training", 1.0)
        return result

    def _shown(self, what: str, first: float = 0, last: float = 1) -> Callable[[float], None]:
        """Return a progress of the part of `what` that lies between two shares of it."""
        return lambda done: self.progress(what, first + (last - first) * done)
