"""Private training: DP-SGD over patients (Abadi et al. 2016), with Opacus's ghost clipping.

Each step draws every patient independently with the declared rate (Poisson sampling), clips each
drawn patient's gradient (their rows together), adds Gaussian noise and divides by the declared
expected batch. Steps, rates, noise and normaliser are public and fixed beforehand; an empty batch
takes a step of pure noise.

First weights, draws of patients, latents and noise come from the cryptographic stream, each from a part
of its own. The guarantee needs all of them to be unknown, latents too: they are drawn by place in
the batch, so that one patient more gives others other latents, and other gradients with them.

`train_openly` trains without privacy, by minibatches with early stopping. Its model carries no guarantee
and says so on every artefact.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from opacus.optimizers import DPOptimizerFastGradientClipping
from torch import Tensor, nn

from synthvae.model.clipping import GhostClippedModule
from synthvae.model.layout import Layout
from synthvae.model.state import WeightAverage
from synthvae.model.vae import AnchoredVAE
from synthvae.privacy.guarantee import TrainingStage
from synthvae.privacy.mechanisms import Mechanisms

CELLS_PER_CHUNK = 8_000_000  # floats of the widest intermediate, to bound memory
ACTIVE_VARIANCE = 0.01  # of a latent dimension's posterior mean over patients
ACTIVE_PATIENTS = 4096  # whose posterior means are compared
VALIDATION_SHARE = 0.1
CHECKS = 40  # of the validation loss, over the longest training
PATIENCE = 6  # checks without a better one before training stops

Weights = dict[str, NDArray[np.float64]]
Progress = Callable[[int, int], None]
Normal = Callable[[int], NDArray[np.float64]]


@dataclass(frozen=True)
class TrainingCurve:
    """The mean loss of the drawn patients at each recorded step: private, for the steward only.

    `active_units` counts the latent dimensions whose posterior mean has a variance above 0.01 over the
    patients (Burda et al. 2016, "Importance Weighted Autoencoders", section 5.2).
    """

    steps: tuple[int, ...]
    loss: tuple[float, ...]
    validation: tuple[float, ...] | None = None
    active_units: int | None = None


class GaussianOptimizer(DPOptimizerFastGradientClipping):
    """Opacus's optimiser with the Gaussian mechanism's noise and a declared normaliser."""

    def __init__(
        self, optimizer: torch.optim.Optimizer, stage: TrainingStage, mechanisms: Mechanisms
    ) -> None:
        super().__init__(
            optimizer,
            noise_multiplier=stage.noise_multiplier,
            max_grad_norm=stage.clip_norm,
            expected_batch_size=None,
            loss_reduction="sum",
        )
        self._stage, self._mechanisms = stage, mechanisms

    def accumulate(self) -> None:
        """Leave the clipped sums as the module has added them up: zero where nobody was drawn."""
        for weight in self.params:
            if weight.summed_grad is None:
                weight.summed_grad = torch.zeros_like(weight, dtype=torch.float64)

    def add_noise(self) -> None:
        """Add the noise of one step to the summed clipped gradients and normalise them."""
        sums = torch.cat([weight.summed_grad.flatten() for weight in self.params]).numpy()
        noisy = torch.from_numpy(self._mechanisms.gaussian(sums, self._stage))
        parts = noisy.split([weight.numel() for weight in self.params])
        for weight, part in zip(self.params, parts, strict=True):
            mean = part.view_as(weight) / self._stage.expected_batch
            weight.grad = mean.to(weight.dtype)


class Losses(Protocol):
    """The function that training reduces: the loss of each patient."""

    def __call__(self, model: nn.Module, patients: Tensor, *, step: int, normal: Normal) -> Tensor:
        """Return losses, shape (patients,); `normal` draws a given number of latents."""


@dataclass(frozen=True)
class PrivateTraining:
    """DP-SGD on any model of `Affine` and `MaskedLinear` layers."""

    stage: TrainingStage  # steps, rate, noise, clip norm and normaliser: public
    mechanisms: Mechanisms
    learning_rate: float  # of Adam in the first step; it falls linearly to zero
    chunk: int  # patients held in memory at once

    def run(
        self,
        model: nn.Module,
        patients: int,
        losses: Losses,
        after_step: Callable[[int, float], None],
    ) -> None:
        """Train a model in place.

        Parameters
        ----------
        patients
            Their number, which shapes nothing but whom a step may draw.
        after_step
            Called with the step, from 0, and the mean loss of its patients, which is private.

        Guarantee
        ---------
        The weights after all steps are a function of `stage.steps` releases of the
        Poisson-subsampled Gaussian mechanism with `stage.sampling_rate` and
        `stage.noise_multiplier`, for adding or removing one patient: clipped gradients are
        summed exactly.

        Assumes
        -------
        `stage` does not depend on the patients, nor a patient's loss on others; nobody can predict the
        stream.
        """
        stage, stream = self.stage, self.mechanisms.stream
        drawing, latents = stream.part("patients"), stream.part("latents")
        clipped = GhostClippedModule(model, stage.clip_norm)
        adam = torch.optim.Adam(trainable(model), lr=self.learning_rate)
        optimizer = GaussianOptimizer(adam, stage, self.mechanisms.part("noise"))
        self.mechanisms.observe_training(stage, model, adam)
        for step in range(stage.steps):
            adam.param_groups[0]["lr"] = self.learning_rate * (1 - step / stage.steps)
            drawn = torch.from_numpy(
                np.flatnonzero(drawing.bernoulli(patients, stage.sampling_rate))
            )
            step_losses = partial(losses, clipped, step=step, normal=latents.normal)
            total = self._take_step(clipped, optimizer, drawn, step_losses)
            after_step(step, total / max(len(drawn), 1))
        clipped.remove_hooks()

    def _take_step(
        self,
        clipped: GhostClippedModule,
        optimizer: GaussianOptimizer,
        drawn: Tensor,
        losses: Callable[[Tensor], Tensor],
    ) -> float:
        """Add up the drawn patients' clipped gradients and take one noisy step; return their loss."""
        pieces = drawn.split(self.chunk) if len(drawn) else ()
        total = sum(clipped.add_clipped(losses(patients)) for patients in pieces)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return float(total)


class PatientTensor:
    """Features of all rows, the rows of each patient, padded with -1, and the width of their latent.

    `log_shares` are what rules leave of each row's classes, shape (rows, shares), if there are rules.
    """

    def __init__(
        self,
        features: NDArray[np.float64],
        rows: NDArray[np.int64],
        latent: int,
        log_shares: NDArray[np.float32] | None = None,
    ) -> None:
        self.latent = latent
        self.features = torch.tensor(features, dtype=torch.float32)
        self.log_shares = None if log_shares is None else torch.from_numpy(log_shares)
        self.rows = torch.from_numpy(rows)
        self.single = rows.shape[1] == 1

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, patients: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the features of some patients, and which of their rows exist, as 1 or 0.

        Shapes (patients, rows, features) and (patients, rows); (patients, features) and None where
        each patient has one row.
        """
        rows = self.rows[patients]
        if self.single:
            return self.features[rows[:, 0]], None
        present = (rows >= 0).to(self.features.dtype)
        return self.features[rows.clamp(min=0)] * present.unsqueeze(-1), present

    def take_shares(self, patients: Tensor) -> Tensor | None:
        """Return what rules leave of the classes of some patients' rows, shaped as their features."""
        if self.log_shares is None:
            return None
        rows = self.rows[patients]
        shares = self.log_shares[rows.clamp(min=0)]
        if self.single:
            return shares[:, 0]
        return torch.where(
            (rows >= 0).unsqueeze(-1), shares, 0.0
        )  # nobody's, of a row that is not there


def train_privately(
    layout: Layout,
    data: PatientTensor,
    stage: TrainingStage,
    mechanisms: Mechanisms,
    couplings: Weights,
    progress: Progress = lambda *_: None,
) -> tuple[Weights, TrainingCurve]:
    """Train the VAE under the stage's noise and return averaged weights and the training curve.

    Guarantee
    ---------
    The weights are a function of `stage.steps` releases of the Poisson-subsampled Gaussian mechanism
    (`PrivateTraining.run`). The curve is not covered. `couplings` stay as they are.

    Assumes
    -------
    `data` holds at most the declared rows of each patient; `stage` does not depend on `data`.
    """
    settings = layout.settings
    model = start_model(layout, mechanisms.stream.part("first weights").normal, couplings)
    average = WeightAverage(model, settings.averaging)
    curve: list[tuple[int, float]] = []

    def losses(model: nn.Module, patients: Tensor, *, step: int, normal: Normal) -> Tensor:
        beta = kl_weight(settings.kl_weight, settings.kl_warmup, step, stage.steps)
        return patient_losses(model, data, patients, beta, draw_latents(data, patients, normal))

    def after_step(step: int, loss: float) -> None:
        average.update()
        if step % max(1, stage.steps // 100) == 0 or step == stage.steps - 1:
            curve.append((step, loss))
        progress(step + 1, stage.steps)

    training = PrivateTraining(stage, mechanisms, settings.learning_rate, chunk_size(layout, data))
    training.run(model, len(data), losses, after_step)
    weights, (steps, means) = average.weights(), zip(*curve, strict=True)
    return weights, TrainingCurve(steps, means, active_units=active_units(layout, weights, data))


def start_model(layout: Layout, normal: Normal, couplings: Weights) -> AnchoredVAE:
    """Return a model with first weights and the given couplings."""
    model = AnchoredVAE(layout)
    model.initialise(normal)
    with torch.no_grad():
        model.earlier.weight.copy_(torch.from_numpy(couplings["earlier.weight"]))
        model.earlier.bias.copy_(torch.from_numpy(couplings["earlier.bias"]))
        model.products.weight.copy_(torch.from_numpy(couplings["products.weight"]))
    return model


def trainable(model: nn.Module) -> list[nn.Parameter]:
    """Return the weights that training may change."""
    return [weight for weight in model.parameters() if weight.requires_grad]


def draw_latents(data: PatientTensor, patients: Tensor, normal: Normal) -> Tensor:
    """Return standard normal latents, shape (patients, latent)."""
    drawn = normal(len(patients) * data.latent).reshape(len(patients), data.latent)
    return torch.from_numpy(drawn).float()


def patient_losses(
    model: nn.Module, data: PatientTensor, patients: Tensor, beta: float, latents: Tensor
) -> Tensor:
    """Return each patient's loss, shape (patients,), summed over their rows."""
    features, present = data.take(patients)
    log_shares = data.take_shares(patients)
    return torch.as_tensor(model(features, latents, beta, present, log_shares))


@torch.no_grad()
def active_units(layout: Layout, weights: Weights, data: PatientTensor) -> int:
    """Return the number of latent dimensions that tell patients apart."""
    model = _loaded_model(layout, weights)
    patients = torch.arange(len(data))[:ACTIVE_PATIENTS]
    means = [model.encode(*data.take(p))[0] for p in patients.split(chunk_size(layout, data))]
    return int((torch.cat(means).var(0) > ACTIVE_VARIANCE).sum())


def _loaded_model(layout: Layout, weights: Weights) -> AnchoredVAE:
    model = AnchoredVAE(layout)
    model.load_state_dict({k: torch.tensor(v, dtype=torch.float32) for k, v in weights.items()})
    return model


def kl_weight(goal: float, warmup: float, step: int, steps: int) -> float:
    """Return beta at a step: a linear rise to `goal` over the first `warmup` share of steps."""
    rise = warmup * steps
    return goal * min(1.0, (step + 1) / rise) if rise >= 1 else goal


@contextlib.contextmanager
def one_torch_thread() -> Iterator[None]:
    """Train on one thread: steps are small, and on a busy machine more threads wait for each other
    (measured: ten times slower on two busy cores)."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def chunk_size(layout: Layout, data: PatientTensor) -> int:
    """Return the number of patients to hold in memory at once, from public sizes."""
    widest = max(layout.features, sum(group.masses.size for group in layout.groups))
    return max(1, CELLS_PER_CHUNK // (widest * data.rows.shape[1]))


def train_openly(
    layout: Layout,
    data: PatientTensor,
    seed: int,
    couplings: Weights,
    progress: Progress = lambda *_: None,
) -> tuple[Weights, TrainingCurve]:
    """Train the VAE without privacy, which every artefact says, and stop early.

    The weights are those with the best evidence bound on a tenth of the patients. Where the couplings
    alone have it, nothing of training is kept: it is of no use to patients that it has not seen.
    """
    settings = layout.settings
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.randperm(len(data), generator=generator)
    held = max(1, int(VALIDATION_SHARE * len(data))) if len(data) > 1 else 0
    validation, training = shuffled[:held], shuffled[held:]
    model = start_model(layout, np.random.default_rng(seed).standard_normal, couplings)
    adam = torch.optim.Adam(trainable(model), lr=settings.learning_rate)
    average = WeightAverage(model, settings.averaging)
    batch = max(1, min(round(settings.sampling_rate * len(data)), chunk_size(layout, data)))
    every = max(1, settings.steps // CHECKS)
    alone = couplings_alone(model)
    best, best_weights, stale = np.inf, alone, 0
    checks: list[tuple[int, float, float]] = []  # step, loss of its batch, validation loss
    for step in range(settings.steps):
        adam.param_groups[0]["lr"] = settings.learning_rate * (1 - step / settings.steps)
        drawn = training[torch.randint(len(training), (batch,), generator=generator)]
        beta = kl_weight(settings.kl_weight, settings.kl_warmup, step, settings.steps)
        loss = _open_step(model, adam, data, drawn, beta, generator)
        average.update()
        progress(step + 1, settings.steps)
        if (step + 1) % every and step + 1 < settings.steps:
            continue
        weights = average.weights()
        score = _validation_loss(layout, weights, data, validation, seed)
        checks.append((step, loss, score))
        if score < best:
            best, best_weights, stale = score, weights, 0
        elif step >= settings.kl_warmup * settings.steps:
            stale += 1
            if stale >= PATIENCE:
                break
    if held and _validation_loss(layout, alone, data, validation, seed) <= best:
        best_weights = alone
    steps, losses, scores = zip(*checks, strict=True)
    curve = TrainingCurve(steps, losses, scores, active_units(layout, best_weights, data))
    return best_weights, curve


def _open_step(
    model: nn.Module,
    adam: torch.optim.Optimizer,
    data: PatientTensor,
    drawn: Tensor,
    beta: float,
    generator: torch.Generator,
) -> float:
    """Take one step without privacy and return the mean loss of the drawn patients before it."""
    latents = torch.randn((len(drawn), data.latent), generator=generator)
    loss = patient_losses(model, data, drawn, beta, latents).mean()
    adam.zero_grad()
    loss.backward()
    adam.step()
    return float(loss.detach())


@torch.no_grad()
def couplings_alone(model: nn.Module) -> Weights:
    """Return a model's weights with nothing of what training changes."""
    return {
        name: np.zeros(weight.shape) if weight.requires_grad else weight.double().numpy().copy()
        for name, weight in model.named_parameters()
    }


@torch.no_grad()
def _validation_loss(
    layout: Layout, weights: Weights, data: PatientTensor, patients: torch.Tensor, seed: int
) -> float:
    """Return the mean negative ELBO of the validation patients, always with the same noise."""
    model = _loaded_model(layout, weights)
    generator = torch.Generator().manual_seed(seed + 1)
    total = 0.0
    for piece in patients.split(chunk_size(layout, data)):
        latents = torch.randn((len(piece), data.latent), generator=generator)
        total += float(patient_losses(model, data, piece, 1.0, latents).sum())
    return total / max(len(patients), 1)
