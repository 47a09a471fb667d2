"""Fits of tiny tables whose releases are seen, as they are released, by an audit.

The code that is audited runs as it is: a synthesizer hands its mechanisms the observer, who sees whole
numbers where their noise is drawn, and gradients as the optimiser gets them.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer

from synthvae._types import Floats, Ints
from synthvae.marginals.moments import PairQuery
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
    """What went through the model at once: features, the latent's draws, and which rows there are."""

    features: Tensor
    latent: Tensor
    present: Tensor | None


@dataclass
class Step:
    """One step of training: weights before it, the batches, and the gradients that came out noisy."""

    weights: list[Tensor] = field(default_factory=list)
    gradients: list[Tensor] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)
    kl_weight: float | None = None


@dataclass
class Training:
    """One private training of the VAE; `couplings` are the weights that it leaves as they are."""

    stage: TrainingStage
    couplings: dict[str, Tensor]
    steps: list[Step] = field(default_factory=list)


@dataclass
class FitReleases:
    """Everything that one fit released, in order, with what it was made of."""

    columns: list[NoisyCounts] = field(default_factory=list)
    patients: list[NoisyCounts] = field(default_factory=list)
    pairs: list[NoisyCounts] = field(default_factory=list)
    trainings: list[Training] = field(default_factory=list)

    def observe_counts(self, release: Release, exact: Ints, released: Ints) -> None:
        """Keep the numbers of one release."""
        kept: list[NoisyCounts] = getattr(self, release.stage)
        kept.append(NoisyCounts(np.array(exact).ravel(), np.array(released).ravel()))

    def observe_training(
        self, stage: TrainingStage, model: nn.Module, optimizer: Optimizer
    ) -> None:
        """Keep each step of a training: hooks of the model and its optimiser end with them."""
        frozen = {n: w.detach().clone() for n, w in model.named_parameters() if not w.requires_grad}
        training, step = Training(stage, frozen), Step()
        self.trainings.append(training)

        def before_forward(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            features, latent, kl_weight, *rest = inputs
            step.batches.append(Batch(features, latent, rest[0] if rest else None))
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

    The refusal of small tables protects no patient.
    """

    _fewest_patients = 1
    observer: Observer | None = None

    def _mechanisms(self, plan: Plan) -> Mechanisms:
        return Mechanisms(
            RandomStream(self._test_seed), observer=self.observer, exact=not plan.is_private
        )


def moment_effect(
    layout: Layout, taper: float, features: Floats, rows_per_patient: int
) -> tuple[Floats, float]:
    """Return what a patient adds to the released moments, and the claimed bound on its norm.

    Parameters
    ----------
    features
        Of the patient's rows, shape (rows, features).
    """
    query = PairQuery.build(
        layout.owner, layout.order, taper, rows_per_patient, layout.settings.pair_bound
    )
    rows = np.full((1, rows_per_patient), -1, np.int64)
    rows[0, : len(features)] = np.arange(len(features))
    seen = FitReleases()
    query.release(features, rows, 1.0, Mechanisms(RandomStream(), observer=seen))
    return seen.pairs[0].exact.astype(float), float(query.sensitivity)


@dataclass
class Replay:
    """The model of one training, to be set to the weights of any of its steps."""

    layout: Layout
    training: Training

    def __post_init__(self) -> None:
        self.model = AnchoredVAE(self.layout)
        self.model.load_state_dict(self.training.couplings, strict=False)
        self._clipped = GhostClippedModule(self.model, self.training.stage.clip_norm)
        named = self.model.named_parameters()
        self.names = [name for name, weight in named if weight.requires_grad]
        self._weights: list[Any] = [w for w in self.model.parameters() if w.requires_grad]

    def at(self, number: int) -> Step:
        """Set the weights to those before a step and return it."""
        step = self.training.steps[number]
        with torch.no_grad():
            for weight, then in zip(self._weights, step.weights, strict=True):
                weight.copy_(then)
        return step

    def clipped_sum(self, batch: Batch, number: int) -> list[Floats]:
        """Return the sum of the batch's clipped gradients at the present weights, one array a weight."""
        if not len(batch.features):
            return [np.zeros(weight.shape) for weight in self._weights]
        beta = self.training.steps[number].kl_weight
        if beta is None:
            settings = self.layout.settings
            steps = self.training.stage.steps
            beta = kl_weight(settings.kl_weight, settings.kl_warmup, number, steps)
        losses: Tensor = self._clipped(batch.features, batch.latent, beta, batch.present)
        self._clipped.add_clipped(losses)
        found = []
        for weight in self._weights:
            found.append(weight.summed_grad.numpy().copy())
            weight.summed_grad = None
        return found

    def close(self) -> None:
        """Take Opacus's hooks off the model."""
        self._clipped.remove_hooks()


def batch_of(features: Floats, latent: Tensor, rows_per_patient: int) -> Batch:
    """Return a batch of one patient with as many rows as may be, all of the same features.

    Parameters
    ----------
    features
        Shape (features,).
    latent
        Shape (1, latent).
    """
    row = torch.tensor(features, dtype=torch.float32)
    if rows_per_patient == 1:
        return Batch(row[None], latent, None)
    rows = row.expand(1, rows_per_patient, -1)
    return Batch(rows, latent, torch.ones(1, rows_per_patient))


def split_batches(step: Step, features: Floats) -> tuple[list[Batch], Tensor | None]:
    """Return a step's batches without the patient of such features, and that patient's latent draw.

    The draw is None where the patient did not take part.
    """
    wanted = torch.tensor(features, dtype=torch.float32)
    rest, latent = [], None
    for batch in step.batches:
        first = batch.features if batch.present is None else batch.features[:, 0]
        theirs = (first == wanted).all(-1)
        if bool(theirs.any()):
            latent = batch.latent[theirs][:1]
        others = ~theirs
        present = None if batch.present is None else batch.present[others]
        rest.append(Batch(batch.features[others], batch.latent[others], present))
    return rest, latent
