"""What a fit leaves behind, as values."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthvae.model.layout import Layout

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FittedState:
    """What a fit leaves behind: noisy anchors and weights, no real row.

    Attributes
    ----------
    offsets
        For each column, what calibration adds to its tokens' logits.
    row_shares
        Share of patients with 1, 2, ... rows; None where each row is one patient.
    patients
        The declared or noisily counted number of patients.
    """

    layout: Layout
    weights: dict[str, Floats]
    offsets: list[Floats]
    row_shares: Floats | None
    patients: int
