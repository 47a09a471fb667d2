"""What one fit releases, as an observer at the door sees it, and the replay of its training.

The code that is audited runs as it is: a synthesizer hands its mechanisms the observer, who sees whole
numbers where their noise is drawn, and gradients as the optimiser gets them.

A release is a known part that does not depend on the record, the record's effect if it is there, and
noise. Both parts are found here: of counts by hand, of moments and gradients by giving the very same
code a table of the one record alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer

from synthvae._types import Floats, Ints
from synthvae.marginals.interactions import InteractionQuery
from synthvae.marginals.moments import PairQuery
from synthvae.marginals.visit_moments import VisitQuery
from synthvae.model.clipping import GhostClippedModule
from synthvae.model.layout import Layout
from synthvae.model.training import kl_weight
from synthvae.model.vae import AnchoredVAE
from synthvae.plan import Plan
from synthvae.privacy.guarantee import TrainingStage
from synthvae.privacy.mechanisms import Mechanisms, Observer, Release
from synthvae.privacy.stream import RandomStream
from synthvae.synthesizer import Synthesizer


@dataclass(frozen=True)
class NoisyCounts:
    """Whole numbers as they were handed to the noise, and as they were released."""

    exact: Ints
    released: Ints


@dataclass(frozen=True)
class Batch:
    """What went through the model at once: features, draws of the latent, and which rows exist.

    `log_shares` are what the rules leave of each row's classes (`Layout.log_shares`), if there are any.
    """

    features: Tensor
    latent: Tensor
    present: Tensor | None
    log_shares: Tensor | None = None

    @classmethod
    def of_patient(
        cls,
        features: Floats,
        latent: Tensor,
        rows_per_patient: int,
        log_shares: NDArray[np.float32] | None = None,
    ) -> "Batch":
        """Return a batch of one patient with the most rows, all of the same features.

        Parameters
        ----------
        features
            Shape (features,).
        latent
            Shape (1, latent).
        log_shares
            Shape (shares,).
        """
        row = torch.tensor(features, dtype=torch.float32)
        left = None if log_shares is None else torch.tensor(log_shares)
        if rows_per_patient == 1:
            return cls(row[None], latent, None, None if left is None else left[None])
        rows = row.expand(1, rows_per_patient, -1)
        left = None if left is None else left.expand(1, rows_per_patient, -1)
        return cls(rows, latent, torch.ones(1, rows_per_patient), left)

    def take(self, patients: Tensor) -> "Batch":
        """Return the part of some patients."""
        present = None if self.present is None else self.present[patients]
        left = None if self.log_shares is None else self.log_shares[patients]
        return Batch(self.features[patients], self.latent[patients], present, left)


@dataclass
class Step:
    """One step of training: the weights before it, its batches, and its noisy gradients."""

    weights: list[Tensor] = field(default_factory=list)
    gradients: list[Tensor] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)
    kl_weight: float | None = None

    def without(self, features: Floats) -> tuple[list[Batch], Tensor | None]:
        """Return the batches without the patient who has the features, and that patient's latent draw.

        The draw is None where the patient did not take part.
        """
        record = torch.tensor(features, dtype=torch.float32)
        rest, latent = [], None
        for batch in self.batches:
            first = batch.features if batch.present is None else batch.features[:, 0]
            others = (first != record).any(-1)
            if not bool(others.all()):
                latent = batch.latent[~others][:1]
            rest.append(batch.take(others))
        return rest, latent


@dataclass
class Training:
    """One private training of the VAE; `couplings` are the weights that it does not train."""

    stage: TrainingStage
    couplings: dict[str, Tensor]
    steps: list[Step] = field(default_factory=list)


@dataclass
class FitReleases:
    """Everything that one fit released, in order, with what went into it."""

    columns: list[NoisyCounts] = field(default_factory=list)
    patients: list[NoisyCounts] = field(default_factory=list)
    pairs: list[NoisyCounts] = field(default_factory=list)
    interactions: list[NoisyCounts] = field(default_factory=list)
    trainings: list[Training] = field(default_factory=list)

    def observe_counts(self, release: Release, exact: Ints, released: Ints) -> None:
        """Keep the numbers of one release."""
        numbers = NoisyCounts(np.array(exact).ravel(), np.array(released).ravel())
        self.of(release.stage).append(numbers)

    def of(self, stage: str) -> list[NoisyCounts]:
        """Return the releases of whole numbers of a stage, by its name at the door."""
        kept: list[NoisyCounts] = getattr(self, stage)
        return kept

    def observe_training(
        self, stage: TrainingStage, model: nn.Module, optimizer: Optimizer
    ) -> None:
        """Keep each step of a training, by hooks that end with the model and its optimiser."""
        frozen = {n: w.detach().clone() for n, w in model.named_parameters() if not w.requires_grad}
        training, step = Training(stage, frozen), Step()
        self.trainings.append(training)

        def before_forward(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            features, latent, kl_weight, *rest = inputs
            step.batches.append(Batch(features, latent, *rest))
            step.kl_weight = kl_weight

        def before_step(optimizer: Optimizer, *_: Any) -> None:
            nonlocal step
            weights = [weight for group in optimizer.param_groups for weight in group["params"]]
            step.weights = [weight.detach().clone() for weight in weights]
            step.gradients = [weight.grad.detach().clone() for weight in weights]
            training.steps.append(step)
            step = Step()

        model.register_forward_pre_hook(before_forward)
        optimizer.register_step_pre_hook(before_step)


class AuditedSynthesizer(Synthesizer):
    """A synthesizer whose fits an observer may see, and which takes tables of a single patient.

    That other synthesizers refuse small tables protects no patient.
    """

    _fewest_patients = 1
    observer: Observer | None = None

    def _mechanisms(self, plan: Plan) -> Mechanisms:
        return Mechanisms(
            RandomStream(self._test_seed), observer=self.observer, exact=not plan.is_private
        )


@dataclass(frozen=True)
class MomentRelease:
    """One release of moments, as the plan has it: the query, and its noise by the claimed bound."""

    stage: Literal["pairs", "interactions"]
    query: PairQuery | InteractionQuery | VisitQuery
    noise_multiplier: float
    rows_per_patient: int

    @property
    def sigma(self) -> float:
        """Standard deviation of the noise that is claimed, in the released whole numbers."""
        return self.noise_multiplier * self.query.sensitivity

    def effect(self, features: Floats) -> Floats:
        """Return what a patient adds to the released numbers, by the code that is audited.

        Parameters
        ----------
        features
            Of the patient's rows, shape (rows, features).
        """
        rows = np.full((1, self.rows_per_patient), -1, np.int64)
        rows[0, : len(features)] = np.arange(len(features))
        seen = FitReleases()
        self.query.release(features, rows, 1.0, Mechanisms(RandomStream(), observer=seen))
        return seen.of(self.stage)[0].exact.astype(float)


def moment_releases(plan: Plan, layout: Layout) -> tuple[MomentRelease, ...]:
    """Return the releases of moments that a plan has, in order, for a fit's layout."""
    settings, rows = plan.settings, plan.schema.rows_per_patient
    scaling = (layout.order, settings.taper, rows, settings.pair_bound)
    pairs = PairQuery.build(layout.owner, *scaling)
    releases = [MomentRelease("pairs", pairs, plan.pair_noise, rows)]
    products = plan.interaction_query(layout.smooth_first, layout.order)
    if products is not None and plan.interaction_noise is not None:
        releases.append(MomentRelease("interactions", products, plan.interaction_noise, rows))
    return tuple(releases)


class Replay:
    """One training, step by step, to ask for the clipped gradients of any patients."""

    def __init__(self, layout: Layout, training: Training) -> None:
        self._training, self._settings = training, layout.settings
        model = AnchoredVAE(layout)
        model.load_state_dict(training.couplings, strict=False)
        self._clipped = GhostClippedModule(model, training.stage.clip_norm)
        trained = {name: w for name, w in model.named_parameters() if w.requires_grad}
        self.names = tuple(trained)
        self._weights: list[Any] = list(trained.values())

    def __iter__(self) -> Iterator[Step]:
        """Yield each step, with the model at the weights before it."""
        for number, step in enumerate(self._training.steps):
            with torch.no_grad():
                for weight, before in zip(self._weights, step.weights, strict=True):
                    weight.copy_(before)
            goal, warmup = self._settings.kl_weight, self._settings.kl_warmup
            usual = kl_weight(goal, warmup, number, self._training.stage.steps)
            self._beta = usual if step.kl_weight is None else step.kl_weight
            yield step
        self._clipped.remove_hooks()

    def clipped_sum(self, batch: Batch) -> list[Floats]:
        """Return the sum of the batch's clipped gradients at the present step, one array a weight."""
        if not len(batch.features):
            return [np.zeros(weight.shape) for weight in self._weights]
        losses: Tensor = self._clipped(
            batch.features, batch.latent, self._beta, batch.present, batch.log_shares
        )
        self._clipped.add_clipped(losses)
        sums = []
        for weight in self._weights:
            sums.append(weight.summed_grad.numpy().copy())
            weight.summed_grad = None
        return sums
