"""Private training: DP-SGD over patients (Abadi et al. 2016), with Opacus's ghost clipping.

Each step draws every patient independently with the declared rate (Poisson sampling), clips each
drawn patient's gradient (their rows together), adds Gaussian noise from the cryptographic stream and
divides by the declared expected batch. Steps, rates, noise and normaliser are public and fixed
beforehand; an empty batch takes a step of pure noise.
"""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from opacus.optimizers import DPOptimizerFastGradientClipping
from torch import Tensor, nn

from synthvae.model.ghost import GhostClippedModule
from synthvae.model.layout import Layout
from synthvae.model.training_state import Keeper, TrainingState
from synthvae.model.vae import AnchoredVAE, MaskedLinear
from synthvae.privacy.guarantee import TrainingStage
from synthvae.privacy.stream import RandomStream

CELLS_PER_CHUNK = 8_000_000  # floats of the widest intermediate, to bound memory
ACTIVE_VARIANCE = 0.01
PATIENTS_LOOKED_AT = 4096
Weights = dict[str, NDArray[np.float64]]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class TrainingCurve:
    """The mean loss of the drawn patients at each recorded step: private, for the steward only.

    `active_units` is the number of latent dimensions whose posterior mean varies over the patients
    with a variance above 0.01 (Burda et al. 2016, "Importance Weighted Autoencoders", section 5.2).
    """

    steps: tuple[int, ...]
    loss: tuple[float, ...]
    validation: tuple[float, ...] | None = None
    active_units: int | None = None


class StreamNoiseOptimizer(DPOptimizerFastGradientClipping):
    """Opacus's optimiser with noise from the cryptographic stream and a declared normaliser."""

    def __init__(
        self, optimizer: torch.optim.Optimizer, stage: TrainingStage, stream: RandomStream
    ) -> None:
        super().__init__(
            optimizer,
            noise_multiplier=stage.noise_multiplier,
            max_grad_norm=stage.clip_norm,
            expected_batch_size=None,
            loss_reduction="sum",
        )
        self._stage, self._stream = stage, stream

    def accumulate(self) -> None:
        """Add this chunk's clipped sums to those of the step's earlier chunks."""
        for weight in self.params:
            earlier = weight.summed_grad
            weight.summed_grad = weight.grad if earlier is None else earlier + weight.grad

    def add_noise(self) -> None:
        """Add the noise of one step to the summed clipped gradients and normalise them."""
        scale = self.noise_multiplier * self.max_grad_norm
        sizes = [weight.numel() for weight in self.params]
        noise = torch.from_numpy(self._stream.normal(sum(sizes)) * scale).split(sizes)
        for weight, part in zip(self.params, noise, strict=True):
            noisy = weight.summed_grad.double() + part.view_as(weight)
            weight.grad = (noisy / self._stage.expected_batch).to(weight.dtype)


class PatientTensor:
    """Features of all patients, which of their rows there are, and how wide their latent is.

    Shapes (patients, features) where each patient has one row, otherwise (patients, rows, features).
    """

    def __init__(self, features: NDArray[np.float64], rows: NDArray[np.int64], latent: int) -> None:
        self.latent = latent
        self.features = torch.tensor(features, dtype=torch.float32)
        self.rows = torch.from_numpy(rows)
        self.single = rows.shape[1] == 1

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, patients: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the features of some patients and the weight, 1 or 0, of each row."""
        rows = self.rows[patients]
        if self.single:
            return self.features[rows[:, 0]], None
        present = (rows >= 0).to(self.features.dtype)
        return self.features[rows.clamp(min=0)] * present.unsqueeze(-1), present


def train_privately(
    layout: Layout,
    data: PatientTensor,
    stage: TrainingStage,
    stream: RandomStream,
    couplings: Weights,
    progress: Progress | None = None,
    keeper: Keeper | None = None,
) -> tuple[Weights, TrainingCurve]:
    """Train the VAE under the stage's noise and return averaged weights and the training curve.

    With a `keeper` it goes on from the steps that an earlier process kept, if there are any; the
    curve then begins there.

    Guarantee
    ---------
    The weights are a function of `stage.steps` releases of the Poisson-subsampled Gaussian mechanism
    with `stage.sampling_rate` and `stage.noise_multiplier`, for adding or removing one patient; those
    of an earlier process included. The curve is not covered. `couplings` stay as they are.

    Assumes
    -------
    `data` holds at most the declared rows of each patient; `stage` does not depend on `data`. What
    a keeper kept was made with the same `stage`, and nobody saw steps that it did not keep.
    """
    settings = layout.settings
    generator = torch.Generator().manual_seed(int(stream.words(1)[0] >> np.uint64(1)))
    model = start_model(layout, generator, couplings)
    clipped = GhostClippedModule(model, stage.clip_norm)
    adam = torch.optim.Adam(trained(model), lr=settings.learning_rate)
    optimizer = StreamNoiseOptimizer(adam, stage, stream)
    average = WeightAverage(model, settings.averaging)
    chunk = chunk_size(layout, data)
    steps, losses = [], []
    begun = keeper.training if keeper is not None else None
    if begun is not None:
        begun.restore(model, adam, average)
    for step in range(begun.step if begun is not None else 0, stage.steps):
        adam.param_groups[0]["lr"] = settings.learning_rate * (1 - step / stage.steps)
        drawn = torch.from_numpy(np.flatnonzero(stream.bernoulli(len(data), stage.sampling_rate)))
        beta = kl_weight(settings.kl_weight, settings.kl_warmup, step, stage.steps)
        total = _accumulate(clipped, optimizer, data, drawn, chunk, beta, generator)
        optimizer.zero_grad(set_to_none=True)
        average.update()
        if step % max(1, stage.steps // 100) == 0 or step == stage.steps - 1:
            steps.append(step)
            losses.append(total / max(len(drawn), 1))
        if keeper is not None:
            state = partial(TrainingState.after, step + 1, model, adam, average)
            keeper.after_step(step + 1, state)
        if progress is not None:
            progress(step + 1, stage.steps)
    clipped.remove_hooks()
    weights = average.weights()
    active = active_units(layout, weights, data)
    return weights, TrainingCurve(tuple(steps), tuple(losses), active_units=active)


def start_model(layout: Layout, generator: torch.Generator, couplings: Weights) -> AnchoredVAE:
    """Return a model with first weights and the given couplings."""
    model = AnchoredVAE(layout)
    model.initialise(generator)
    with torch.no_grad():
        model.earlier.weight.copy_(torch.from_numpy(couplings["earlier.weight"]))
        model.earlier.bias.copy_(torch.from_numpy(couplings["earlier.bias"]))
    return model


def trained(model: nn.Module) -> list[nn.Parameter]:
    """Return the weights that training may change."""
    return [weight for weight in model.parameters() if weight.requires_grad]


def _accumulate(
    clipped: GhostClippedModule,
    optimizer: StreamNoiseOptimizer,
    data: PatientTensor,
    drawn: Tensor,
    chunk: int,
    beta: float,
    generator: torch.Generator,
) -> float:
    """Sum the drawn patients' clipped gradients in chunks and take one noisy step; return the loss."""
    pieces = drawn.split(chunk) if len(drawn) else ()
    total = 0.0
    for i, patients in enumerate(pieces):
        if i:
            optimizer.zero_grad(set_to_none=True)
        total += clipped_gradient(clipped, data, patients, beta, generator)
        if i < len(pieces) - 1:
            optimizer.signal_skip_step(True)
            optimizer.step()
    if not pieces:
        for weight in optimizer.params:
            weight.grad = torch.zeros_like(weight)
    optimizer.signal_skip_step(False)
    optimizer.step()
    return total


def clipped_gradient(
    clipped: GhostClippedModule,
    data: PatientTensor,
    patients: Tensor,
    beta: float,
    generator: torch.Generator,
) -> float:
    """Leave the sum of these patients' clipped gradients in each weight's `grad`; return the loss."""
    losses = patient_losses(clipped, data, patients, beta, generator)
    with warnings.catch_warnings():
        # The features are data and need no gradient, which is what torch points out here.
        warnings.filterwarnings("ignore", message="Full backward hook is firing")
        losses.sum().backward()
    clipped.sum_clipped()
    return float(losses.detach().nan_to_num(0.0, 0.0, 0.0).sum())


def patient_losses(
    model: nn.Module, data: PatientTensor, patients: Tensor, beta: float, generator: torch.Generator
) -> Tensor:
    """Return each patient's loss, shape (patients,), summed over their rows."""
    features, present = data.take(patients)
    noise = torch.randn((len(features), data.latent), generator=generator)
    losses: Tensor = model(features, noise, beta, present)
    return losses


@torch.no_grad()
def active_units(layout: Layout, weights: Weights, data: PatientTensor) -> int:
    """Return how many latent dimensions tell patients apart."""
    model = AnchoredVAE(layout)
    model.load_state_dict({k: torch.tensor(v, dtype=torch.float32) for k, v in weights.items()})
    chosen = torch.arange(len(data))[:PATIENTS_LOOKED_AT]
    means = [model.encode(*data.take(piece))[0] for piece in chosen.split(chunk_size(layout, data))]
    return int((torch.cat(means).var(0) > ACTIVE_VARIANCE).sum())


def kl_weight(goal: float, warmup: float, step: int, steps: int) -> float:
    """Return beta at a step: a linear rise to `goal` over the first `warmup` share of steps."""
    rise = warmup * steps
    return goal * min(1.0, (step + 1) / rise) if rise >= 1 else goal


@contextlib.contextmanager
def one_torch_thread() -> Iterator[None]:
    """Train on one thread: the steps are small, more threads gain little on an idle machine, and on
    a busy one they wait for each other (measured: ten times slower on two busy cores)."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def chunk_size(layout: Layout, data: PatientTensor) -> int:
    """Return how many patients to hold in memory at once; public sizes decide."""
    widest = max(layout.features, sum(group.masses.size for group in layout.groups))
    return max(1, CELLS_PER_CHUNK // (widest * data.rows.shape[1]))


class WeightAverage:
    """An exponential moving average of a model's weights, unbiased for its start."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._model, self._decay, self._mass = model, decay, 0.0
        self.sums = [torch.zeros_like(weight) for weight in model.parameters()]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the model's present weights."""
        self._add_mass()
        torch._foreach_lerp_(self.sums, list(self._model.parameters()), 1 - self._decay)

    def restore(self, sums: list[Tensor], updates: int) -> None:
        """Stand where an earlier average stood after so many updates."""
        self.sums, self._mass = sums, 0.0
        for _ in range(updates):
            self._add_mass()

    def _add_mass(self) -> None:
        self._mass = self._decay * self._mass + 1 - self._decay

    def weights(self) -> Weights:
        """Return the averaged weights as float64 arrays, masked weights where they exist only."""
        masks = {
            f"{name}.weight": layer.mask.double()
            for name, layer in self._model.named_modules()
            if isinstance(layer, MaskedLinear)
        }
        names = [name for name, _ in self._model.named_parameters()]
        return {
            name: (total.double() * masks.get(name, 1.0) / self._mass).numpy()
            for name, total in zip(names, self.sums, strict=True)
        }
