"""A plain variational autoencoder under DP-SGD: one-hot columns in, independent columns out.

The kind of model that NHS SynthVAE, and most private VAEs for tables, are: an encoder and a decoder of
one hidden layer each, a Gaussian prior, and a decoder that draws each column on its own given the
latent. It gets what those lack (bins of equal noisy mass, a loss whose terms are all sums over
columns, one account, Poisson sampling over patients) so that what is compared is the model.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from synthvae._types import Floats, Ints
from synthvae.baselines.base import Baseline, TokenTable
from synthvae.model.balance import inverse_cdf
from synthvae.model.training import Normal, PrivateTraining, one_torch_thread
from synthvae.model.vae import Affine
from synthvae.privacy.accounting import calibrate_training
from synthvae.privacy.budget import BudgetFilter
from synthvae.privacy.guarantee import TrainingStage
from synthvae.privacy.mechanisms import Mechanisms
from synthvae.settings import ASSUMED_PATIENTS
from synthvae.table import PatientRows

# Sizes and schedule, public and the same for every table.
LATENT, HIDDEN = 32, 128
STEPS, LEARNING_RATE = 1000, 3e-3
CLIP = 1.0
MOST_BATCH = 1024  # patients expected in a step
CHUNK = 4096  # rows held at once


class Network(nn.Module):
    """Encoder and decoder; its forward returns each patient's loss.

    Shape: one-hot rows (patients, rows, width), latent noise (patients, rows, LATENT), and which rows
    exist, as 1 or 0, (patients, rows), to losses (patients,).
    """

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__()
        self.levels = list(levels)
        self.beta = 1.0
        width = sum(levels)
        self.encoder = Affine(width, HIDDEN)
        self.latent = Affine(HIDDEN, 2 * LATENT)
        self.decoder = Affine(LATENT, HIDDEN)
        self.out = Affine(HIDDEN, width)

    def forward(self, rows: Tensor, noise: Tensor, present: Tensor) -> Tensor:
        """Return the negative evidence bound of each patient's rows, every term a sum."""
        hidden = torch.relu(self.encoder(rows))
        mu, log_var = self.latent(hidden).split(LATENT, dim=-1)
        log_var = 6 * torch.tanh(log_var / 6)
        logits = self.decode(mu + noise * torch.exp(log_var / 2))
        logs = torch.cat(
            [functional.log_softmax(part, dim=-1) for part in logits.split(self.levels, -1)], -1
        )
        lost = -(logs * rows).sum(-1)
        lost = lost + self.beta * 0.5 * (mu.square() + log_var.exp() - 1 - log_var).sum(-1)
        return torch.as_tensor((lost * present).sum(-1))

    def decode(self, latent: Tensor) -> Tensor:
        """Return the logits of all columns' tokens."""
        return torch.as_tensor(self.out(torch.relu(self.decoder(latent))))


@dataclass(frozen=True)
class _OneHotRows:
    """Tokens of all rows and the patients that they belong to: private."""

    tokens: Tensor
    patients: PatientRows
    levels: list[int]

    def take(self, chosen: Ints) -> tuple[Tensor, Tensor]:
        """Return one-hot rows of some patients, and which rows exist, as 1 or 0."""
        rows = torch.from_numpy(self.patients.rows[chosen])
        present = (rows >= 0).float()
        tokens = self.tokens[rows.clamp(min=0)]
        hot = [functional.one_hot(tokens[..., j], n) for j, n in enumerate(self.levels)]
        # Padding is nobody's row: what stands at place 0 must not reach another patient.
        return torch.cat(hot, -1).float() * present.unsqueeze(-1), present


class PlainVAE(Baseline):
    """A factorised VAE under DP-SGD (Abadi et al. 2016) over patients."""

    name = "plain-vae"
    anchor_share = 0.2

    def _learn(self, table: TokenTable, mechanisms: Mechanisms, budget: BudgetFilter) -> None:
        patients = self.schema.patients or ASSUMED_PATIENTS
        rate = min(1.0, min(patients / 3, MOST_BATCH) / patients)
        draft = TrainingStage(
            sampling_rate=rate,
            noise_multiplier=1.0,
            steps=STEPS,
            clip_norm=CLIP,
            expected_batch=rate * patients,
        )
        stage = calibrate_training(self._account(mechanisms), draft, budget.epsilon, budget.delta)
        self._levels = [marginal.tokens for marginal in table.marginals]
        data = _OneHotRows(torch.from_numpy(table.tokens), table.patients, self._levels)
        with one_torch_thread():
            self._weights = _train(data, stage, mechanisms.part("training"))

    def _draw(self, rows: int, generator: np.random.Generator) -> Ints:
        weights = self._weights
        drawn = np.empty((rows, len(self._levels)), np.int64)
        for first in range(0, rows, CHUNK):
            here = slice(first, min(rows, first + CHUNK))
            latent = generator.standard_normal((here.stop - first, LATENT))
            hidden = np.maximum(latent @ weights["decoder.weight"].T + weights["decoder.bias"], 0)
            logits = hidden @ weights["out.weight"].T + weights["out.bias"]
            ends = np.cumsum(self._levels)[:-1]
            for j, part in enumerate(np.split(logits, ends, axis=1)):
                mass = np.exp(part - part.max(axis=1, keepdims=True))
                drawn[here, j] = inverse_cdf(mass, generator.random(len(part)))
        return drawn


def _train(data: _OneHotRows, stage: TrainingStage, mechanisms: Mechanisms) -> dict[str, Floats]:
    """Return weights trained with DP-SGD: post-processing of what `PrivateTraining.run` releases."""
    network = Network(data.levels)
    uniform = mechanisms.stream.part("first weights")
    with torch.no_grad():
        for weight in network.parameters():
            bound = 1 / math.sqrt(weight.shape[-1])
            drawn = uniform.words(weight.numel()) * 2.0**-64
            weight.copy_(torch.from_numpy(bound * (2 * drawn - 1)).view_as(weight))

    def losses(model: nn.Module, patients: Tensor, *, step: int, normal: Normal) -> Tensor:
        # The weight of the Kullback-Leibler term rises to 1 over all of training: with less of a
        # warm-up the noise wins, and the latent collapses at every budget that was tried.
        network.beta = (step + 1) / stage.steps
        rows, present = data.take(patients.numpy())
        noise = torch.from_numpy(normal(present.numel() * LATENT)).float()
        return torch.as_tensor(model(rows, noise.view(*present.shape, LATENT), present))

    chunk = max(1, CHUNK // data.patients.rows.shape[1])
    training = PrivateTraining(stage, mechanisms, LEARNING_RATE, chunk)
    training.run(network, len(data.patients), losses, lambda *_: None)
    return {name: w.detach().double().numpy() for name, w in network.named_parameters()}
