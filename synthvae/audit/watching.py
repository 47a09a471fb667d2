"""Watch a fit from outside: record what it releases, as it releases it.

The code that is audited runs as it is. Where a module draws its noise, or hands noisy gradients to
the optimiser, what passes is written down and passed on. Whatever stands in a module at that moment
is what is watched, so a fault planted there is watched too.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.optim.optimizer import Optimizer, register_optimizer_step_pre_hook

import synthvae.anchors.measure as measure_module
import synthvae.anchors.pairs as pairs_module
import synthvae.model.training as training_module
import synthvae.plan as plan_module
import synthvae.synthesizer as synthesizer_module
from synthvae.model.layout import Layout
from synthvae.model.vae import AnchoredVAE
from synthvae.privacy.guarantee import TrainingStage

Ints = NDArray[np.int64]


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
    """One call of private training."""

    layout: Layout
    stage: TrainingStage
    couplings: dict[str, NDArray[np.float64]]
    steps: list[Step] = field(default_factory=list)


@dataclass
class Releases:
    """Everything that one fit released, in order."""

    columns: list[NoisyCounts] = field(default_factory=list)
    patients: list[NoisyCounts] = field(default_factory=list)
    pairs: list[NoisyCounts] = field(default_factory=list)
    trainings: list[Training] = field(default_factory=list)


@contextlib.contextmanager
def watching() -> Iterator[Releases]:
    """Record what a fit inside the block releases; one fit, in one thread."""
    seen = Releases()
    with contextlib.ExitStack() as stack:
        places = (
            (measure_module, seen.columns),
            (synthesizer_module, seen.patients),
            (pairs_module, seen.pairs),
        )
        for module, found in places:
            stack.enter_context(recording_counts(module, found))
        watched = partial(_train, training_module.train_privately, seen)
        stack.enter_context(replaced(training_module, "train_privately", watched))
        yield seen


@contextlib.contextmanager
def replaced(module: Any, name: str, value: Any) -> Iterator[None]:
    """Put something in a module's place inside the block, and back afterwards."""
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


@contextlib.contextmanager
def recording_counts(module: Any, found: list[NoisyCounts]) -> Iterator[None]:
    """Record the noisy counts that a module draws."""
    original: Callable[..., Ints] = module.noisy_counts

    def watched(counts: Ints, *rest: Any, **named: Any) -> Ints:
        released = original(counts, *rest, **named)
        found.append(NoisyCounts(np.array(counts).ravel(), np.array(released).ravel()))
        return released

    with replaced(module, "noisy_counts", watched):
        yield


@contextlib.contextmanager
def many_small_fits() -> Iterator[None]:
    """Let `fit` take tables of two patients, and recall the accountant's sums between fits.

    The refusal of small tables protects no patient, and the account depends on public numbers alone.
    """
    with (
        replaced(synthesizer_module, "FEWEST_PATIENTS", 1),
        replaced(plan_module, "compose", cache(vars(plan_module)["compose"])),
    ):
        yield


def _train(original: Callable[..., Any], seen: Releases, *arguments: Any, **named: Any) -> Any:
    """Train as `train_privately` does, and record the steps."""
    layout, _, stage, _, couplings = arguments[:5]
    training = Training(layout, stage, couplings)
    seen.trainings.append(training)
    step = Step()

    def before_forward(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if not isinstance(module, AnchoredVAE):
            return
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

    handles = (
        register_module_forward_pre_hook(before_forward),
        register_optimizer_step_pre_hook(before_step),
    )
    try:
        return original(*arguments, **named)
    finally:
        for handle in handles:
            handle.remove()
