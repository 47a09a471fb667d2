"""The public rule: every size, rate and schedule of a fit, from declared public numbers alone.

The rule sees the declared number of patients, epsilon, delta and the schema; never the data. What it
returns is fixed before the first look at a table.
"""

import math
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from synthvae.schema import Schema

ASSUMED_PATIENTS = 5000  # sizes the model where no number of patients is declared


class Settings(BaseModel):
    """Sizes of the model, the split of the budget, and the schedule of training.

    Parameters
    ----------
    bins
        Bins of a number that aim at equal mass, besides its special and missing values.
    rank
        Largest number of basis functions of one column.
    parents
        How many of the columns before it each column is conditioned on directly.
    latent, hidden
        Dimension of the latent, and hidden units of encoder and decoder.
    mixture
        Hidden units of the masked network over earlier columns; 0 leaves it out.
    anchor_share
        Share of the budget (in squared mu of Gaussian differential privacy) that buys the anchors.
    sampling_rate
        Probability with which a patient takes part in a training step.
    clip_norm
        Largest L2 norm of one patient's gradient.
    kl_weight, kl_warmup
        Weight of the Kullback-Leibler term (beta), and the share of steps over which it rises.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bins: Annotated[int, Field(ge=2, le=200)]
    rank: Annotated[int, Field(ge=1, le=50)]
    parents: Annotated[int, Field(ge=1)]
    latent: Annotated[int, Field(ge=2, le=256)]
    hidden: Annotated[int, Field(ge=1, le=4096)]
    mixture: Annotated[int, Field(ge=0, le=4096)]
    anchor_share: Annotated[float, Field(gt=0, lt=1)]
    steps: Annotated[int, Field(ge=1, le=100_000)]
    sampling_rate: Annotated[float, Field(gt=0, le=1)]
    clip_norm: Annotated[float, Field(gt=0)]
    learning_rate: Annotated[float, Field(gt=0, le=1)]
    averaging: Annotated[float, Field(ge=0, lt=1)]
    kl_weight: Annotated[float, Field(ge=0)]
    kl_warmup: Annotated[float, Field(ge=0, le=1)]
    calibration_rounds: Annotated[int, Field(ge=0, le=50)]


def settings_for(schema: Schema, epsilon: float | None) -> Settings:
    """Return the settings for a schema and a privacy budget, by the public rule.

    The rule follows the signal that the budget leaves: the declared number of patients times
    epsilon. More of it affords finer bins, a richer basis and a larger latent, and leaves a larger
    share to dependence.
    """
    patients = schema.patients or ASSUMED_PATIENTS
    columns = len(schema.modelled)
    rows = schema.rows_per_patient
    if epsilon is None:
        return _without_privacy(patients * rows, columns)
    signal = math.log10(max(patients * epsilon, 1) / 7000)
    wide = max(0.0, math.log10(columns / 16))
    # The cost of a step grows with the square of the features: about 200 of them stay quick.
    rank = min(round(3 + 5 * signal - 3 * wide), 200 // columns)
    return Settings(
        bins=round(min(32, max(6, 12 + 8 * signal))),
        rank=min(8, max(1, rank)),
        parents=max(columns - 1, 1) if columns <= 20 else 12,
        latent=2 if signal < 0.8 else 4,
        hidden=4 if signal < 0.8 else 16,
        mixture=0,
        anchor_share=min(0.45, max(0.2, 0.4 - 0.2 * signal)),
        steps=400,
        sampling_rate=min(1.0, min(patients / 3, 4096) / patients),
        clip_norm=3.0 * math.sqrt(rows),
        learning_rate=0.01,
        averaging=0.99,
        kl_weight=1.0,
        kl_warmup=0.25,
        calibration_rounds=6,
    )


def _without_privacy(rows: int, columns: int) -> Settings:
    batch = min(max(rows / 20, 64), 1024)
    return Settings(
        bins=32,
        rank=8,
        parents=max(columns - 1, 1) if columns <= 60 else 24,
        latent=8,
        hidden=64,
        mixture=128 if columns <= 60 else 64,
        anchor_share=0.5,
        steps=4000,
        sampling_rate=min(1.0, batch / rows),
        clip_norm=1.0,
        learning_rate=0.005,
        averaging=0.99,
        kl_weight=1.0,
        kl_warmup=0.1,
        calibration_rounds=6,
    )
