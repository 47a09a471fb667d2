"""Clipped sums of our own, and per-patient gradients that are materialised (the oracle)."""

import numpy as np
import torch
from opacus.grad_sample import GradSampleModule

from synthvae.model.clipping import GhostClippedModule
from synthvae.model.layout import Layout
from synthvae.model.training import PatientTensor, patient_losses, trainable
from synthvae.model.vae import AnchoredVAE


def patients_of(features: np.ndarray, rows_per_patient: int, layout: Layout) -> PatientTensor:
    """Return records as patients of so many rows, some of whom have fewer."""
    rows = np.arange(len(features)).reshape(-1, rows_per_patient).copy()
    if rows_per_patient > 1:
        rows[0, 1:] = -1
        rows[2, 2:] = -1
    return PatientTensor(features, rows, layout.settings.latent)


def latents_of(data: PatientTensor) -> torch.Tensor:
    """Return latents that are the same in every call: one patient more adds one at the end."""
    drawn = np.random.default_rng(1).standard_normal((len(data), data.latent))
    return torch.tensor(drawn, dtype=torch.float32)


def no_latents(data: PatientTensor, patients: torch.Tensor, _normal: object) -> torch.Tensor:
    """Stand in for `draw_latents` where patients must not differ by their place in a batch."""
    return torch.zeros(len(patients), data.latent)


def losses_of(
    model: torch.nn.Module, data: PatientTensor, latents: torch.Tensor | None = None
) -> torch.Tensor:
    """Return every patient's loss, shape (patients,)."""
    latents = latents_of(data) if latents is None else latents
    return patient_losses(model, data, torch.arange(len(data)), 0.7, latents)


def per_patient_gradients(model: AnchoredVAE, data: PatientTensor) -> torch.Tensor:
    """Return every patient's whole gradient, shape (patients, weights)."""
    oracle = GradSampleModule(model, loss_reduction="sum")
    losses_of(oracle, data).sum().backward()
    samples = [weight.grad_sample.flatten(1) for weight in trainable(oracle)]
    return torch.cat(samples, dim=1)


def our_sum(
    model: AnchoredVAE, data: PatientTensor, clip_norm: float, latents: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the sum of all patients' clipped gradients, shape (weights,), in double precision."""
    clipped = GhostClippedModule(model, clip_norm)
    clipped.add_clipped(losses_of(clipped, data, latents))
    return torch.cat([weight.summed_grad.flatten() for weight in trainable(model)])
