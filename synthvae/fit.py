"""A fit from top to bottom: counts, moments, couplings, training, calibration."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from synthvae._runtime import Progress, one_blas_thread
from synthvae._types import Floats, Ints
from synthvae.marginals.measure import measure_marginals
from synthvae.marginals.moments import PairMoments, PairQuery
from synthvae.model.coupling import Bounding, couple, couple_untrained
from synthvae.model.layout import Layout
from synthvae.model.records import calibrate_margins
from synthvae.model.state import FittedState
from synthvae.plan import Plan
from synthvae.privacy.mechanisms import Mechanisms
from synthvae.storage.checkpoint import RESUME_POINTS, Checkpoint
from synthvae.storage.checkpoint_file import Released
from synthvae.table import PatientRows

if TYPE_CHECKING:
    from synthvae.model.training import TrainingCurve

BEFORE_TRAINING = 0.75  # of the time that coupling takes under a budget


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

    def run(self) -> tuple[FittedState, "TrainingCurve | None"]:
        """Measure, train and calibrate; the model is kept before it is returned."""
        counts = self.counts()
        if counts.model is not None:
            return counts.model, None
        schema, settings = self.plan.schema, self.plan.settings
        layout = Layout.build(counts.marginals, schema.drawn, settings, schema.rule_set)
        features = layout.record_features(layout.tokens(self.codes))
        with one_blas_thread():
            query = PairQuery.build(
                layout.owner,
                layout.order,
                settings.taper,
                schema.rows_per_patient,
                settings.pair_bound,
            )
            measured = self.moments(counts, query, features)
            shared = sum(field.perPatient for field in schema.drawn)
            bounding = Bounding(query, counts.row_shares, shared) if self.plan.is_private else None
            couplings, moments, ridge = couple_untrained(
                layout, measured, bounding, self._shown("coupling columns", 0, BEFORE_TRAINING)
            )
        weights, curve = self.train(layout, features, counts.patients, couplings)
        with one_blas_thread():
            shown = self._shown("coupling columns", BEFORE_TRAINING, 1)
            weights = couple(layout, moments, ridge, weights, shown)
            offsets = calibrate_margins(layout, weights, self._shown("calibrating margins"))
        state = FittedState(layout, weights, offsets, counts.row_shares, counts.patients)
        self.kept.keep(Released.finished(state))
        return state, curve

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

    def moments(self, counts: Released, query: PairQuery, features: Floats) -> PairMoments:
        """Return the noisy moments of pairs of columns."""
        if counts.moments is not None:
            return counts.moments
        mechanisms = self.mechanisms.part("moments")
        moments = query.release(features, self.patients.rows, self.plan.pair_noise, mechanisms)
        self.kept.keep(replace(counts, moments=moments))
        return moments

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
