"""The guarantee of one fitted model, as values: what an auditor reads and recomputes."""

from typing import Annotated, Any, Final, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from synthvae._frozen import Frozen

VERSION: Final = 2
AssumptionId = Literal[
    "computational-adversary",
    "table-fits-schema",
    "rows-beyond-max-rows",
    "one-key-one-patient",
    "public-inputs",
    "declared-from-data",
    "floating-point-residue",
    "timing-and-memory-unobserved",
    "single-fit",
]
Clipping = Literal[
    "one bin per patient",
    "rows capped at rows_per_patient",
    "moments scaled per patient to a norm",
    "gradients scaled per patient to clip_norm",
]
Normaliser = Literal["declared patients", "noisily counted patients"]
GroupSize = Annotated[int, Field(ge=2, le=5)]


class GaussianStage(Frozen, allow_inf_nan=False):
    """Whole numbers released once with discrete Gaussian noise.

    `sensitivities` holds, for each query, the L2 norm of what one patient adds at most: to counts of
    columns in rows, to counts of patients in patients, to moments in units of the norm that they are
    scaled to, which follows from noisy anchors. `noise_multipliers` holds its noise in units of that;
    `clipping` is how the norm is enforced, None where a log does not state it. The stage `max-rows` was
    released before the fit, to choose the schema's `maxRows`; `pairs` are moments of two columns,
    `interactions` of three and four.
    """

    stage: Literal["max-rows", "anchors", "pairs", "interactions"] = "anchors"
    mechanism: str = "discrete Gaussian"
    queries: int
    noise_multipliers: tuple[float, ...]
    rows_per_patient: int
    sensitivities: tuple[float, ...] | None = None
    clipping: Clipping | None = None


class TrainingStage(Frozen, allow_inf_nan=False):
    """DP-SGD with Poisson sampling of patients: what the accountant needs, and nothing private.

    `sensitivity` is the L2 norm of what one patient adds at most to the sum of a step's gradients;
    the noise has `noise_multiplier` times that. `normaliser` says which number of patients the noisy
    sum's divisor, `expected_batch`, comes from: never the true one.
    """

    stage: Literal["training"] = "training"
    mechanism: str = "Poisson-subsampled Gaussian (DP-SGD)"
    sampling_rate: float
    noise_multiplier: float
    steps: int
    clip_norm: float
    expected_batch: float
    sensitivity: float | None = None
    clipping: Clipping | None = None
    normaliser: Normaliser | None = None


class SelectionStage(Frozen, allow_inf_nan=False):
    """Choices by the exponential mechanism: candidates weigh exp(epsilon score / 2 sensitivity).

    `epsilons` holds, for each choice, the range of its privacy loss; `sensitivities` how much one
    patient changes a score at most.
    """

    stage: Literal["selection"] = "selection"
    mechanism: str = "exponential"
    queries: int
    epsilons: tuple[float, ...]
    sensitivities: tuple[float, ...] | None = None


Stage = GaussianStage | SelectionStage | TrainingStage


class Account(Frozen, allow_inf_nan=False):
    """What a fit spent at `delta`, for adding or removing one patient, and the log to recompute it from.

    `valid` is False for a test seed, whose noise is predictable.
    """

    method: str
    valid: bool
    epsilon: float
    epsilon_budget: float
    delta: float
    rows_per_patient: int
    stages: tuple[Stage, ...]


class Assumption(Frozen, allow_inf_nan=False):
    """Something that the guarantee rests on: `id` for programs, `text` for people."""

    id: AssumptionId
    text: str


class SecondOpinion(Frozen, allow_inf_nan=False):
    """What another accountant finds for the same log: epsilon within plus or minus `error`.

    Both are None where that accountant cannot tell, and `unavailable` says why.
    """

    accountant: str
    epsilon: float | None
    error: float | None
    unavailable: str | None = None


class Guarantee(Frozen, allow_inf_nan=False):
    """What is promised, about whom, and the log from which anybody can recompute it.

    `epsilon` is what is spent at `delta`, recomputed from the stages; None without privacy. `valid` is
    False then, and for test modes that void the guarantee; `why_void` says why.

    `group_epsilon` holds, by the number of patients in which tables differ, the epsilon at the same
    delta, and `replace_epsilon` that for one patient's record in place of another's. None where no
    finite figure is within the accountant's range: the guarantee says nothing there.

    `epsilon_before_fit` is what the releases before the fit, which the schema records, spend alone at
    `delta`; `epsilon` includes them. None where there were none.

    `code_sha256` is the digest of the package's own code that made the fit (`synthvae._runtime`).
    """

    version: Literal[2] = VERSION
    valid: bool
    why_void: str | None = None
    epsilon: float | None
    epsilon_budget: float | None
    epsilon_before_fit: float | None = None
    delta: float | None
    unit: str
    neighbours: str = "add or remove one patient"
    group_epsilon: dict[GroupSize, float | None]
    replace_epsilon: float | None
    declared_patients: int | None
    rows_per_patient: int
    accountant: str
    second_opinion: SecondOpinion | None
    stages: tuple[GaussianStage | TrainingStage, ...]
    assumptions: tuple[Assumption, ...]
    public_inputs: tuple[str, ...]
    not_covered: tuple[str, ...]
    schema_digest: str
    code_sha256: str
    software: dict[str, str]

    @field_validator("version", mode="before")
    @classmethod
    def _of_this_version(cls, value: Any) -> Any:
        # The readers of files quote the first error: it must say which way out there is.
        if type(value) is int and value != VERSION and 0 < value < 1000:
            raise PydanticCustomError(
                "other_version",
                "it has version {found}, this synthvae reads {reads}: use the synthvae that wrote it",
                {"reads": VERSION, "found": value},
            )
        return value
