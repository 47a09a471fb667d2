"""Clipped sums of our own, and per-patient gradients that are materialised (the oracle)."""

import numpy as np
import torch
from opacus.grad_sample import GradSampleModule

from synthvae.model.ghost import GhostClippedModule
from synthvae.model.layout import Layout
from synthvae.model.training import PatientTensor, clipped_gradient, patient_losses, trained
from synthvae.model.vae import AnchoredVAE


def patients_of(features: np.ndarray, rows_per_patient: int, layout: Layout) -> PatientTensor:
    """Return records as patients of so many rows, some of whom have fewer."""
    rows = np.arange(len(features)).reshape(-1, rows_per_patient).copy()
    if rows_per_patient > 1:
        rows[0, 1:] = -1
        rows[2, 2:] = -1
    return PatientTensor(features, rows, layout.settings.latent)


def per_patient_gradients(model: AnchoredVAE, data: PatientTensor) -> torch.Tensor:
    """Return every patient's whole gradient, shape (patients, weights)."""
    oracle = GradSampleModule(model, loss_reduction="sum")
    generator = torch.Generator().manual_seed(1)
    patient_losses(oracle, data, torch.arange(len(data)), 0.7, generator).sum().backward()
    samples = [weight.grad_sample.flatten(1) for weight in trained(oracle)]
    return torch.cat(samples, dim=1)


def our_sum(model: AnchoredVAE, data: PatientTensor, clip_norm: float) -> torch.Tensor:
    """Return the sum of all patients' clipped gradients, shape (weights,)."""
    clipped = GhostClippedModule(model, clip_norm)
    generator = torch.Generator().manual_seed(1)
    clipped_gradient(clipped, data, torch.arange(len(data)), 0.7, generator)
    return torch.cat([weight.grad.flatten() for weight in trained(model)])
