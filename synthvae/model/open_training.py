"""Training without privacy: minibatches, and early stopping on a validation ELBO.

Whatever is trained here carries no guarantee and says so on every artefact.
"""

import copy

import numpy as np
import torch

from synthvae.model.layout import Layout
from synthvae.model.training import (
    PatientTensor,
    Progress,
    TrainingCurve,
    WeightAverage,
    Weights,
    active_units,
    chunk_size,
    kl_weight,
    patient_losses,
    start_model,
    trained,
)
from synthvae.model.vae import AnchoredVAE

VALIDATION_SHARE = 0.1
CHECKS = 40  # looks at the validation loss, over the longest training
PATIENCE = 6  # looks without a better one before training stops


def train_openly(
    layout: Layout,
    data: PatientTensor,
    seed: int,
    couplings: Weights,
    progress: Progress | None = None,
) -> tuple[Weights, TrainingCurve]:
    """Train the VAE without privacy and return the weights that served the validation rows best."""
    settings = layout.settings
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.randperm(len(data), generator=generator)
    held = max(1, int(VALIDATION_SHARE * len(data))) if len(data) > 1 else 0
    validation, training = shuffled[:held], shuffled[held:]
    model = start_model(layout, np.random.default_rng(seed).standard_normal, couplings)
    adam = torch.optim.Adam(trained(model), lr=settings.learning_rate)
    average = WeightAverage(model, settings.averaging)
    batch = max(1, min(round(settings.sampling_rate * len(data)), chunk_size(layout, data)))
    every = max(1, settings.steps // CHECKS)
    best, kept, stale = np.inf, None, 0
    steps: list[int] = []
    losses: list[float] = []
    checks: list[float] = []
    for step in range(settings.steps):
        adam.param_groups[0]["lr"] = settings.learning_rate * (1 - step / settings.steps)
        drawn = training[torch.randint(len(training), (batch,), generator=generator)]
        beta = kl_weight(settings.kl_weight, settings.kl_warmup, step, settings.steps)
        latents = torch.randn((batch, data.latent), generator=generator)
        loss = patient_losses(model, data, drawn, beta, latents).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        average.update()
        if progress is not None:
            progress(step + 1, settings.steps)
        if (step + 1) % every and step + 1 < settings.steps:
            continue
        found = average.weights()
        score = _validation_loss(layout, found, data, validation, seed)
        steps.append(step)
        losses.append(float(loss.detach()))
        checks.append(score)
        if score < best:
            best, kept, stale = score, copy.deepcopy(found), 0
        elif step >= settings.kl_warmup * settings.steps:
            stale += 1
            if stale >= PATIENCE:
                break
    weights = kept if kept is not None else average.weights()
    active = active_units(layout, weights, data)
    return weights, TrainingCurve(tuple(steps), tuple(losses), tuple(checks), active)


@torch.no_grad()
def _validation_loss(
    layout: Layout, weights: Weights, data: PatientTensor, patients: torch.Tensor, seed: int
) -> float:
    """Return the mean negative ELBO of the validation patients, always with the same noise."""
    model = AnchoredVAE(layout)
    model.load_state_dict({k: torch.tensor(v, dtype=torch.float32) for k, v in weights.items()})
    generator = torch.Generator().manual_seed(seed + 1)
    total = 0.0
    for piece in patients.split(chunk_size(layout, data)):
        latents = torch.randn((len(piece), data.latent), generator=generator)
        total += float(patient_losses(model, data, piece, 1.0, latents).sum())
    return total / max(len(patients), 1)
