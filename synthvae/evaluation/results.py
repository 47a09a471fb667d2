"""What an evaluation finds, as plain values: the one thing that reports and machines read.

Nothing here holds a data frame or a row; every value is public to whoever may see the evaluation.
Values computed from real rows are disclosures (not covered by the guarantee), so an evaluation
stays with the custodian.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import model_validator

from synthvae._files import write_whole
from synthvae._frozen import Frozen
from synthvae.config import Depth
from synthvae.errors import ConfigError

Topic = Literal["validity", "fidelity", "utility", "privacy"]
Direction = Literal["higher", "lower", "towards"]
Basis = Literal["standard", "literature", "project default", "steward-set"]
Shares = tuple[float, ...]
Matrix = tuple[Shares, ...]


class Interval(Frozen):
    """A confidence interval."""

    low: float
    high: float
    level: float = 0.95
    method: str


class Threshold(Frozen):
    """From where on a figure is called good, and from where on poor, and on whose authority.

    Good is at `good` or better, poor is worse than `poor`; between them a person should look. For a
    direction of "towards", both are distances from the goal. `source` names the paper, the standard
    or the reason.
    """

    good: float
    poor: float
    basis: Basis
    source: str


class Score(Frozen):
    """One figure with its interval, its direction and what to compare it with.

    `references` names what the same figure is for other tables: "holdout" (real rows that the
    model never saw, in place of synthetic ones), "independent" (each column of train shuffled on
    its own), "chance" or "ideal". `value` is None where the metric did not run; `not_run` says why,
    and such a score never counts as a pass. `draws` holds the same figure for further tables drawn
    from the same model: the spread of sampling. `p_value` is that of an attack: how often chance
    alone would give as much, one-sided and adjusted for all attacks of the evaluation.
    """

    key: str
    topic: Topic
    title: str
    meaning: str
    value: float | None
    interval: Interval | None = None
    direction: Direction
    goal: float | None = None
    references: dict[str, float | None] = {}
    draws: tuple[float, ...] = ()
    p_value: float | None = None
    threshold: Threshold | None = None
    detail: str = ""
    not_run: str | None = None


class GroupFigure(Frozen):
    """One figure within one group of a protected column: `key` is that of the score it belongs to."""

    column: str
    group: str
    key: str
    patients: int
    value: float | None
    interval: Interval | None = None
    reference: float | None = None
    not_run: str | None = None


class Coefficient(Frozen):
    """One term of a declared analysis, estimated on real and on synthetic rows.

    `overlap` is the mean share of each confidence interval that the other one covers (Karr et al.
    2006), negative where they are apart. `interaction` marks a product of terms.
    """

    term: str
    real: float
    real_interval: Interval
    synthetic: float
    synthetic_interval: Interval
    overlap: float
    same_sign: bool
    interaction: bool = False


class SubgroupEffect(Frozen):
    """The effect of one term within one subgroup, on real and on synthetic rows.

    `synthetic` is None where those rows allow no estimate; `not_run` says so.
    """

    term: str
    subgroup: str
    real_rows: int
    synthetic_rows: int
    real: float
    real_interval: Interval
    synthetic: float | None = None
    synthetic_interval: Interval | None = None
    not_run: str | None = None


class SubgroupEffects(Frozen):
    """The effects of one predictor within the subgroups of others: a declared interaction."""

    predictor: str
    within: tuple[str, ...]
    measure: str
    effects: tuple[SubgroupEffect, ...]
    detail: str = ""


class Curve(Frozen):
    """Shares over time of one group, on real and on synthetic rows: a Kaplan-Meier estimate."""

    group: str
    times: tuple[float, ...]
    real: Shares
    synthetic: Shares


class Analysis(Frozen):
    """One analysis that the user declared, done on real rows and on synthetic ones."""

    name: str
    kind: Literal["linear", "logistic", "cox", "kaplan-meier"]
    formula: str
    real_rows: int
    synthetic_rows: int
    coefficients: tuple[Coefficient, ...] = ()
    curves: tuple[Curve, ...] = ()
    subgroups: tuple[SubgroupEffects, ...] = ()
    detail: str = ""
    not_run: str | None = None


class NumberSummary(Frozen):
    """A number column in its own unit, without missing cells and special values.

    `p1`, `p50` and `p99` are the points below which 1, 50 and 99 % of the values lie.
    """

    mean: float
    sd: float
    p1: float
    p50: float
    p99: float


class Margin(Frozen):
    """The distribution of one column in bins: shares of train, holdout and synthetic rows.

    Numbers have summaries, too, which say what an outer bin hides.
    """

    column: str
    kind: Literal["category", "number", "date"]
    labels: tuple[str, ...]
    train: Shares
    holdout: Shares
    synthetic: Shares
    distance: float
    holdout_distance: float
    train_summary: NumberSummary | None = None
    synthetic_summary: NumberSummary | None = None

    @model_validator(mode="after")
    def _one_share_a_label(self) -> Self:
        shares = (self.train, self.holdout, self.synthetic)
        if not self.labels or any(len(each) != len(self.labels) for each in shares):
            raise ValueError("labels and shares must be as many, and at least one")
        return self


class PairDistance(Frozen):
    """Total variation distance of one pair of columns, with the holdout's beside it."""

    columns: tuple[str, str]
    distance: float
    holdout_distance: float


class LevelAssociation(Frozen):
    """How two columns go together within one level of a third, −1 to 1, real and synthetic."""

    level: str
    real: float
    real_interval: Interval
    synthetic: float | None = None
    synthetic_interval: Interval | None = None


class TripleDependence(Frozen):
    """How three columns depend on each other beyond their pairs.

    `strength` is that of train, 0 to 1 and more: the root of the mean squared contingency beyond the
    pairs, less what noise adds. `share` of it is found in the synthetic rows, `holdout_share` in the
    holdout. `levels` are those of the last column, within which the first two go together as they
    do.
    """

    columns: tuple[str, str, str]
    strength: float
    p_value: float
    share: float
    holdout_share: float
    levels: tuple[LevelAssociation, ...] = ()


class ThreeWay(Frozen):
    """What was looked at beyond pairs: triples compared of all, how many stand out, the worst."""

    compared: int
    possible: int
    standing_out: int
    declared_share: float | None = None  # that survives in triples of declared interactions
    worst: tuple[TripleDependence, ...] = ()
    detail: str = ""


class PairTable(Frozen):
    """The joint distribution of one pair of columns: shares of rows by cell, as rows of a table.

    `distance` is that of the cells as they stand here, at most that of the pair.
    """

    columns: tuple[str, str]
    row_labels: tuple[str, ...]
    column_labels: tuple[str, ...]
    train: Matrix
    synthetic: Matrix
    distance: float

    @model_validator(mode="after")
    def _one_share_a_cell(self) -> Self:
        rows, columns = len(self.row_labels), len(self.column_labels)
        if not rows or not columns:
            raise ValueError("a table of a pair has at least one row and one column")
        _require_shape((self.train, self.synthetic), rows, columns)
        return self


class Components(Frozen):
    """Rows on the first two principal components of train: shares of rows by cell of one grid.

    `explained` is the share of train's variance along each component; `edges` are the grid's, of the
    first component and of the second. Shares are by cell of the first component, then of the
    second; rows beyond the grid are in its outermost cells.
    """

    explained: tuple[float, float]
    edges: tuple[tuple[float, ...], tuple[float, ...]]
    train: Matrix
    holdout: Matrix
    synthetic: Matrix

    @model_validator(mode="after")
    def _one_share_a_cell(self) -> Self:
        if any(len(edges) < 2 for edges in self.edges):
            raise ValueError("each component needs at least two edges")
        rows, columns = (len(edges) - 1 for edges in self.edges)
        _require_shape((self.train, self.holdout, self.synthetic), rows, columns)
        return self


def _require_shape(
    matrices: Sequence[Matrix], rows: int, columns: int, what: str = "shares must be"
) -> None:
    for matrix in matrices:
        if len(matrix) != rows or any(len(row) != columns for row in matrix):
            raise ValueError(f"{what} in {rows} rows of {columns}")


class Associations(Frozen):
    """Strength of association of every pair of columns, 0 to 1, as square matrices by row."""

    columns: tuple[str, ...]
    measure: str
    train: Matrix
    synthetic: Matrix

    @model_validator(mode="after")
    def _square(self) -> Self:
        size = len(self.columns)
        _require_shape((self.train, self.synthetic), size, size, "the matrices must be square,")
        return self


class Attack(Frozen):
    """One membership-inference attack: its ROC curve, and how well it told members from others."""

    key: str
    title: str
    meaning: str
    members: int
    non_members: int
    auc: float
    auc_interval: Interval
    fpr: Shares
    tpr: Shares
    tpr_at: tuple[tuple[float, float, Interval], ...]
    detection_limit: float
    tripwire: bool = False

    @model_validator(mode="after")
    def _is_curve(self) -> Self:
        if len(self.fpr) != len(self.tpr) or len(self.fpr) < 2:
            raise ValueError("fpr and tpr must be as many, and at least two")
        return self


class Risk(Frozen):
    """An attack that guesses facts about patients: how often it is right, on members and on others.

    The same guesses about patients of the holdout (`control`) show what can be learned from the
    population alone; `gain` = `success` - `control` is what membership adds. `detection_limit` is the
    gain that would be told from 0 four times out of five. `members` and `others` count the guesses on
    each side: one a patient, or in singling out one a description.
    """

    key: str
    title: str
    meaning: str
    members: int
    others: int
    success: float
    success_interval: Interval
    control: float
    control_interval: Interval
    gain: float
    gain_interval: Interval
    detection_limit: float
    detail: str = ""


class TableFacts(Frozen):
    """How large the tables were; `most_rows` is the most rows of one patient in the real ones."""

    train_rows: int
    train_patients: int
    holdout_rows: int
    holdout_patients: int
    synthetic_rows: int
    columns: int
    most_rows: int | None = None


class Evaluation(Frozen):
    """Everything that was found out about one synthetic table."""

    version: int = 2
    name: str
    schema_digest: str
    seed: int
    depth: Depth = "standard"
    tables: TableFacts
    scores: tuple[Score, ...]
    margins: tuple[Margin, ...]
    worst_pairs: tuple[PairDistance, ...]
    pair_tables: tuple[PairTable, ...] = ()
    associations: Associations
    components: Components | None = None
    three_way: ThreeWay | None = None
    attacks: tuple[Attack, ...]
    risks: tuple[Risk, ...] = ()
    groups: tuple[GroupFigure, ...] = ()
    analyses: tuple[Analysis, ...] = ()
    notes: tuple[str, ...] = ()

    def score(self, key: str) -> Score:
        """Return the score of that key."""
        return next(score for score in self.scores if score.key == key)

    def to_json(self) -> str:
        """Return the evaluation as JSON, the same text for the same values."""
        return self.model_dump_json(indent=1) + "\n"

    def save(self, path: str | Path) -> None:
        """Write the evaluation as JSON; a web page of it is `synthvae.report.render`'s."""
        path = Path(path)
        if path.suffix.lower() == ".html":
            raise ConfigError(
                f"{path} would be a web page, but an evaluation is saved as JSON; write what "
                "synthvae.report.render(evaluation) returns."
            )
        write_whole(path, self.to_json())
