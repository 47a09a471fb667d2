"""The mechanisms: the one door through which anything about real rows is released.

`Mechanisms` owns the random stream, refuses what a budget does not allow, logs what is released
(public facts alone) and draws: discrete Gaussian noise for counts and bounded moments, Gaussian noise
for sums of clipped gradients, choices among candidates. Nothing else in the package adds noise. What
is not permitted raises before anything is drawn or logged.

**Sensitivities are taken on trust.** A mechanism sees numbers, not patients: that one patient changes
them by no more than the sensitivity is the caller's to enforce, and is tested there. Histograms are
bounded by the rows kept per patient (`table.patients`), moments by `marginals.moments.PairQuery`,
gradients by clipping (`model.clipping`); a score by what its docstring says in `baselines`.
"""

import copy
import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np

from synthvae._types import Floats, Ints
from synthvae.errors import BudgetError
from synthvae.privacy.accounting import selection_mu
from synthvae.privacy.budget import LARGEST_SELECTION, BudgetFilter
from synthvae.privacy.guarantee import GaussianStage, SelectionStage, Stage, TrainingStage
from synthvae.privacy.stream import RandomStream

StageName = Literal[
    "max-rows", "columns", "patients", "pairs", "interactions", "selection", "training"
]
# Stages of an account, and the releases that each takes in.
_STAGES = {
    "max-rows": ("max-rows",),
    "anchors": ("columns", "patients"),
    "pairs": ("pairs",),
    "interactions": ("interactions",),
    "selection": ("selection",),
}
# Of a release: within them no cost, noise or weight of a choice overflows or loses its digits.
SMALLEST, LARGEST = 1e-9, 1e150


@dataclass(frozen=True)
class Release:
    """An entry of the log: public, or decided by earlier releases."""

    stage: StageName
    what: str  # a description of what was released
    mechanism: Literal["discrete Gaussian", "exponential", "Gaussian"]
    sensitivity: float  # the most that one patient changes: in L2 norm, or of a score
    parameter: float  # the noise multiplier, in units of the sensitivity; of a choice, its epsilon
    training: TrainingStage | None = None  # that a step of training belongs to
    times: int = field(default=1, compare=False)  # in a row: the steps of a training

    @property
    def sigma(self) -> float:
        """Standard deviation of the noise."""
        return self.parameter * self.sensitivity


class Observer(Protocol):
    """An audit's white-box observer, who sees real rows: nobody else may be one."""

    def observe_counts(self, release: Release, exact: Ints, released: Ints) -> None:
        """See whole numbers as they were handed to the noise, and as they were released."""

    def observe_training(self, stage: TrainingStage, model: Any, optimizer: Any) -> None:
        """See a training begin: its model, and the optimizer that gets noisy gradients."""


class Mechanisms:
    """The mechanisms of one fit, with their randomness and the log of what they released.

    Parameters
    ----------
    budget
        Refuses releases beyond it; None where a plan has fixed all releases beforehand.
    observer
        Sees what goes in, too. It is for audits of simulated tables alone, and no argument of a
        public function leads here. Without one, no real row lives longer than the call that takes it.
    exact
        Whether a noise multiplier of 0 is permitted, which releases exactly: of fits without privacy.
    """

    def __init__(
        self,
        stream: RandomStream,
        *,
        budget: BudgetFilter | None = None,
        observer: Observer | None = None,
        exact: bool = False,
    ) -> None:
        self.stream, self.budget = stream, budget
        self.log: list[Release] = []
        self._observer, self._exact = observer, exact

    def part(self, name: str) -> "Mechanisms":
        """Return the same mechanisms, log and budget, drawing from a part of the stream of its own."""
        part = copy.copy(self)
        part.stream = self.stream.part(name)
        return part

    def discrete_gaussian(
        self,
        exact: Ints,
        *,
        stage: StageName,
        what: str,
        sensitivity: float,
        noise_multiplier: float,
    ) -> Ints:
        """Return whole numbers plus discrete Gaussian noise of scale sensitivity times multiplier.

        Guarantee
        ---------
        1/(2 z²)-zCDP for a noise multiplier of z (Canonne, Kamath and Steinke 2020, Theorem 4).

        Assumes
        -------
        Adding or removing one patient changes `exact` by at most `sensitivity` in L2 norm.
        """
        if exact.dtype != np.int64:
            raise TypeError(f"The numbers are {exact.dtype}; discrete noise is for int64.")
        release = Release(stage, what, "discrete Gaussian", float(sensitivity), noise_multiplier)
        self._check(release, exact)
        self._enter(release, noise_multiplier**-2 if noise_multiplier else math.inf)
        released = exact
        if noise_multiplier:
            released = add_discrete_gaussian(exact, release.sigma, self.stream)
        if self._observer is not None:
            self._observer.observe_counts(release, exact, released)
        return released

    def exponential(self, scores: Floats, *, what: str, sensitivity: float, epsilon: float) -> int:
        """Return the index of a large score, by the exponential mechanism (largest with Gumbel noise).

        Guarantee
        ---------
        `epsilon`-bounded range (Durfee and Rogers 2019, Lemma 3.2).

        Assumes
        -------
        One patient changes no score by more than `sensitivity`. Which candidates there are does not
        depend on the real rows, other than through releases. Scores are in floating point, whose last
        bits the proof does not cover.
        """
        release = Release("selection", what, "exponential", float(sensitivity), epsilon)
        self._check(release, scores)
        self._enter(release, selection_mu(epsilon) ** 2)
        words = (self.stream.words(len(scores)) >> np.uint64(11)).astype(np.float64)
        gumbel = -np.log(-np.log((words + 0.5) * 2.0**-53))
        return int(np.argmax(epsilon * scores / (2 * sensitivity) + gumbel))

    def gaussian(self, sums: Floats, training: TrainingStage) -> Floats:
        """Return one step's sums of clipped gradients with the noise of its training.

        Guarantee
        ---------
        One release of the Gaussian mechanism with the stage's noise multiplier, in double precision;
        its last bits are not covered.

        Assumes
        -------
        Adding or removing one patient changes `sums` by at most `training.clip_norm` in L2 norm. The
        steps of a training are accounted for beforehand: a budget filter composes no sampling.
        """
        noise_multiplier, clip_norm = training.noise_multiplier, training.clip_norm
        what = "sums of clipped gradients"
        release = Release("training", what, "Gaussian", clip_norm, noise_multiplier, training)
        self._check(release, sums)
        self._enter(release, 0.0)
        noisy: Floats = sums + self.stream.normal(len(sums)) * release.sigma
        return noisy

    def observe_training(self, stage: TrainingStage, model: Any, optimizer: Any) -> None:
        """Tell the observer, if any, that a training begins."""
        if self._observer is not None:
            self._observer.observe_training(stage, model, optimizer)

    def stages(self, rows_per_patient: int) -> tuple[Stage, ...]:
        """Return the log as the stages of an account."""

        stages: list[Stage] = []
        for name, names in _STAGES.items():
            entries = [e for e in self.log if e.stage in names for _ in range(e.times)]
            parameters = tuple(entry.parameter for entry in entries)
            common: dict[str, Any] = {
                "queries": len(entries),
                "sensitivities": tuple(entry.sensitivity for entry in entries),
            }
            if entries and name == "selection":
                stages.append(SelectionStage(epsilons=parameters, **common))
            elif entries:
                common |= {"stage": name, "rows_per_patient": rows_per_patient}
                stages.append(GaussianStage(noise_multipliers=parameters, **common))
        stages += [
            entry.training.model_copy(update={"steps": entry.times})
            for entry in self.log
            if entry.training is not None
        ]
        return tuple(stages)

    def _check(self, release: Release, values: Floats | Ints) -> None:
        """Raise `BudgetError` where the mechanism's guarantee says nothing; no text shows `values`."""
        is_choice = release.mechanism == "exponential"
        name = "epsilon" if is_choice else "noise multiplier"
        largest = LARGEST_SELECTION if is_choice else LARGEST
        value, sensitivity = release.parameter, release.sensitivity
        wrong = None
        if not (SMALLEST <= value <= largest or (value == 0 and self._exact and not is_choice)):
            wrong = f"{name} {value!r}; it must be from {SMALLEST:g} to {largest:g}"
        elif not SMALLEST <= sensitivity <= LARGEST:
            wrong = f"sensitivity {sensitivity!r}; it must be from {SMALLEST:g} to {LARGEST:g}"
        elif not (np.abs(values) <= LARGEST * sensitivity).all():
            wrong = f"values beyond {LARGEST:g} times the sensitivity; all must be finite"
        elif is_choice and not len(values):
            wrong = "0 candidates; there must be one or more"
        if wrong is not None:
            raise BudgetError(
                f"{release.what} would be released with {wrong}. Nothing was released."
            )

    def _enter(self, release: Release, cost: float) -> None:
        """Log a release before it is made, unless the budget does not allow it."""
        if self.budget is not None:
            self.budget.spend(cost, release.what)
        if self.log and self.log[-1] == release:
            self.log[-1] = replace(release, times=self.log[-1].times + 1)
        else:
            self.log.append(release)


def add_discrete_gaussian(exact: Ints, sigma: float, stream: RandomStream) -> Ints:
    """Return whole numbers plus independent discrete Gaussian noise of scale `sigma`.

    OpenDP's sampler draws without floating point (Canonne, Kamath and Steinke 2020, "The Discrete
    Gaussian for Differential Privacy"), and so without its side channel (Mironov 2012).
    """
    if not stream.is_secure:  # a test mode: repeatable, and marked void wherever it is used
        noise = np.rint(stream.normal(exact.size) * sigma).astype(np.int64)
        return exact + noise.reshape(exact.shape)
    import opendp.prelude as dp

    dp.enable_features("contrib")
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T="f64")
    mechanism = dp.m.make_gaussian(*space, scale=float(sigma))
    return np.array(mechanism(exact.ravel().tolist()), np.int64).reshape(exact.shape)
