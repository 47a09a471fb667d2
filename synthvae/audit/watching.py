"""Fits of tiny tables whose releases are seen, as they are released, by an audit.

The code that is audited runs as it is: a synthesizer hands its mechanisms the observer, who sees whole
numbers where their noise is drawn, and gradients as the optimiser gets them.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer

from synthvae._types import Ints
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
