"""What a fit leaves behind, as values."""

from dataclasses import dataclass

from synthvae._types import Floats
from synthvae.model.layout import Layout


@dataclass(frozen=True)
class FittedState:
    """What a fit leaves behind: noisy marginals and weights, no real row.

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
