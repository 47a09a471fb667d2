"""The guarantee of one fitted model, as values: what an auditor reads and recomputes."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class GaussianStage(_Value):
    """Whole numbers released once with discrete Gaussian noise.

    `noise_multipliers` holds, for each query, its noise in units of one patient's largest effect on
    it (L2): `rows_per_patient` rows for counts of columns, 1 for counts of patients, and the norm to
    which a patient's part is bounded for the moments of pairs.
    """

    stage: Literal["anchors", "pairs"] = "anchors"
    mechanism: str = "discrete Gaussian"
    queries: int
    noise_multipliers: tuple[float, ...]
    rows_per_patient: int


class TrainingStage(_Value):
    """DP-SGD with Poisson sampling of patients: what the accountant needs, and nothing private."""

    stage: Literal["training"] = "training"
    mechanism: str = "Poisson-subsampled Gaussian (DP-SGD)"
    sampling_rate: float
    noise_multiplier: float
    steps: int
    clip_norm: float
    expected_batch: float


class Guarantee(_Value):
    """What is promised, about whom, and the log from which anybody can recompute it.

    `epsilon` is the epsilon spent at `delta`, recomputed from the stages; None where the model was
    trained without privacy. `valid` is False for that, and for test modes that void the guarantee;
    `why_void` says why.
    """

    version: int = 1
    valid: bool
    why_void: str | None = None
    epsilon: float | None
    epsilon_budget: float | None
    delta: float | None
    unit: str
    neighbours: str = "add or remove one patient"
    declared_patients: int | None
    rows_per_patient: int
    accountant: str
    stages: tuple[GaussianStage | TrainingStage, ...]
    public_inputs: tuple[str, ...]
    not_covered: tuple[str, ...]
    schema_digest: str
    software: dict[str, str]
