"""What a comparison finds, as plain values."""

from synthvae._frozen import Frozen
from synthvae.evaluation.values import Direction

OURS = "synthvae"  # the method that the others are compared with


class Cell(Frozen):
    """One fit: a method (or variant) at a budget, on a number of patients; the how-manieth.

    `size` is None for the table as it is.
    """

    method: str
    epsilon: float
    size: int | None = None
    run: int


class Outcome(Frozen):
    """What came of one cell: its figures and what they cost, or why there are none.

    Attributes
    ----------
    settings
        What was replaced in the VAE's settings.
    spent
        The epsilon that the fit spent.
    seconds, cpu_seconds
        Of the whole process: starting up, reading, fitting, sampling and writing.
    fit_seconds
        Of the fit alone.
    megabytes
        Largest memory of the process.
    """

    cell: Cell
    settings: dict[str, float] = {}
    failed: str | None = None
    figures: dict[str, float | None] = {}
    spent: float | None = None
    seconds: float | None = None
    cpu_seconds: float | None = None
    fit_seconds: float | None = None
    megabytes: float | None = None


class Reference(Frozen):
    """What the same figures are for real rows, at one size."""

    size: int | None = None
    patients: int | None
    delta: float
    train_rows: int
    holdout_rows: int
    figures: dict[str, float | None]


class Meaning(Frozen):
    """What a figure says."""

    key: str
    title: str
    meaning: str
    direction: Direction
    goal: float | None = None
    reference: str = ""


class Mean(Frozen):
    """A mean over runs, with its t-interval where there are several."""

    value: float
    low: float | None = None
    high: float | None = None
    runs: int


class Summary(Frozen):
    """All runs of one method at one budget and size."""

    method: str
    epsilon: float
    size: int | None = None
    settings: dict[str, float] = {}
    runs: int
    failed: tuple[str, ...] = ()
    figures: dict[str, Mean] = {}
    costs: dict[str, Mean] = {}
    ratios: dict[str, float] = {}


class Comparison(Frozen):
    """Everything that a comparison found out."""

    version: int = 1
    name: str
    title: str
    created: str
    schema_digest: str
    declared_patients: int | None
    columns: int
    runs: int
    seed: int
    split_is_predictable: bool = False
    meanings: tuple[Meaning, ...]
    references: tuple[Reference, ...]
    summaries: tuple[Summary, ...]
    variants: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    software: dict[str, str] = {}

    def to_json(self) -> str:
        """Return the comparison as JSON, the same text for the same values."""
        return self.model_dump_json(indent=1) + "\n"
