"""What a baseline released, as values: enough to recompute its epsilon from."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Mechanism = Literal["gaussian", "exponential", "dp-sgd"]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Release(_Value):
    """One use of the real rows.

    Attributes
    ----------
    parameter
        Gaussian and DP-SGD: the noise multiplier, in units of what one patient can change. The
        exponential mechanism: its epsilon.
    what
        What was released, in words; public, or decided by earlier releases.
    sampling_rate, steps
        Of DP-SGD only.
    """

    mechanism: Mechanism
    what: str
    parameter: float
    sampling_rate: float | None = None
    steps: int | None = None


class Record(_Value):
    """The guarantee of one fitted baseline: for adding or removing one patient.

    `epsilon` is what `releases` spend together at `delta`; `valid` is False for a test seed, whose
    noise is predictable.
    """

    method: str
    valid: bool
    epsilon: float
    epsilon_budget: float
    delta: float
    rows_per_patient: int
    releases: tuple[Release, ...]
