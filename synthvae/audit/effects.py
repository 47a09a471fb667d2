"""What a record does to each release, by the code under audit itself.

A release is a known part that does not depend on the record, the record's effect if it is there, and
noise. Here both parts are found: of counts by hand, of moments and gradients by giving the very same
code a table of the one record alone.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from synthvae._types import Floats
from synthvae.anchors.pairs import PairQuery
from synthvae.audit.watching import Batch, FitReleases, Step, Training
from synthvae.model.ghost import GhostClippedModule
from synthvae.model.layout import Layout
from synthvae.model.training import kl_weight
from synthvae.model.vae import AnchoredVAE
from synthvae.privacy.mechanisms import Mechanisms
from synthvae.privacy.stream import RandomStream


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
