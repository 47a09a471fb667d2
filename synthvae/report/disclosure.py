"""Counts of real rows, coded so that nobody can tell which of them are small."""

from collections.abc import Iterable, Iterator, Sequence
from math import comb
from typing import TypeVar

from synthvae._text import counted
from synthvae.evaluation.levels import metric_of
from synthvae.evaluation.results import (
    Associations,
    Evaluation,
    Margin,
    PairDistance,
    Score,
    TableFacts,
)
from synthvae.report.disclosure_rules import Grid, Profile, Scale, scale_of
from synthvae.report.disclosure_scores import (
    Shown,
    public_analyses,
    public_attack,
    public_risk,
    public_score,
)
from synthvae.report.phrases import listed, plain

ELSE = "all else"
MISSING = "(missing)"
_DIGITS = 3
_NO_RANGE = (" (special)", MISSING)
_T = TypeVar("_T")
_ASSOCIATED = 20  # an association is no share: its grid has no more parts than this


def control(margin: Margin, tables: TableFacts, scale: Scale | None) -> Margin | None:
    """Return one margin in whole steps of rows, or None where no cell has one or there is no scale.

    A cell is shown where both real tables have at least one step of rows in it; its share is that of
    the middle of its step. All other cells, and what rounding leaves, are together in one that is
    always there. Distances are those of the shares shown.

    *Guarantee*: what is returned is a function of each cell's whole steps and of those of the
    tables, so that it is the same for any two numbers of rows within one step.
    """
    if scale is None:
        return None
    sides = {
        name: steps(_counts(shares, rows), scale.step)
        for name, shares, rows in (
            ("train", margin.train, tables.train_rows),
            ("holdout", margin.holdout, tables.holdout_rows),
        )
    }
    shown = [i for i in range(len(margin.labels)) if all(side[i] for side in sides.values())]
    if not shown:
        return None
    train = _middles([sides["train"][i] for i in shown], tables.train_rows // scale.step)
    holdout = _middles([sides["holdout"][i] for i in shown], tables.holdout_rows // scale.step)
    labels, synthetic = _public_part(margin, shown, scale.train)
    return Margin(
        column=margin.column,
        kind=margin.kind,
        labels=(*labels, ELSE),
        train=train,
        holdout=holdout,
        synthetic=synthetic,
        distance=_distance(train, synthetic),
        holdout_distance=_distance(train, holdout),
    )


def is_whole(margin: Margin, tables: TableFacts, scale: Scale) -> bool:
    """Tell whether each cell of a margin has at least one step of train's rows."""
    return all(steps(_counts(margin.train, tables.train_rows), scale.step))


def steps(counts: Sequence[int], step: int) -> tuple[int, ...]:
    """Return how many whole steps are in each count: 0 for all that are less than one.

    Examples
    --------
    >>> steps((0, 3, 19, 20, 57), 20)
    (0, 0, 0, 1, 2)
    """
    return tuple(count // step for count in counts)


def _counts(shares: Sequence[float], rows: int) -> tuple[int, ...]:
    return tuple(round(share * rows) for share in shares)


def _middles(cells: Sequence[int], whole: int) -> tuple[float, ...]:
    """Return the shares of cells of so many steps each, and last that of all else."""
    shares = [(cell + 0.5) / (whole + 0.5) for cell in cells]
    shares.append(max(0.0, 1 - sum(shares)))
    total = sum(shares)
    return tuple(round(share / total, _DIGITS) for share in shares)


def _public_part(
    margin: Margin, shown: Sequence[int], grid: Grid
) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Return the labels of the cells shown, and the synthetic shares with all else last.

    The synthetic rows and categories are public. Ranges are not: their edges are quantiles of train,
    which the labels would say, and which exact shares of synthetic rows within them would, too.
    """
    shares = [margin.synthetic[i] for i in shown]
    labels = [margin.labels[i] for i in shown]
    if margin.kind != "category":
        shares = [grid.near(share) for share in shares]
        labels = _ranks(labels)
    shares.append(max(0.0, 1 - sum(shares)))
    return tuple(labels), tuple(round(share, _DIGITS) for share in shares)


def _ranks(labels: Sequence[str]) -> list[str]:
    ranges = [label for label in labels if not label.endswith(_NO_RANGE)]
    ranks = {label: f"range {place + 1}" for place, label in enumerate(ranges)}
    if ranges:
        ranks[ranges[-1]] += " (highest)"
        ranks[ranges[0]] = "range 1 (lowest)" if len(ranges) > 1 else "range 1"
    return [ranks.get(label, label) for label in labels]


def _distance(one: Sequence[float], other: Sequence[float]) -> float:
    return round(sum(abs(a - b) for a, b in zip(one, other, strict=True)) / 2, _DIGITS)


def for_public(evaluation: Evaluation, profile: Profile, rows_per_patient: int = 1) -> Evaluation:
    """Return the evaluation as a disclosure-control profile lets it be published.

    Parameters
    ----------
    evaluation : Evaluation
        The custodian's values.
    profile : Profile
        What counts as small, and how figures are rounded.
    rows_per_patient : int
        The most rows that one patient is declared to have. Where one was seen with more, that
        number is used, rounded up.

    Returns
    -------
    Evaluation
        Of the same type. Its notes say what was done.

    Notes
    -----
    *Guarantee*: none of differential privacy. For every column and every cell of it below the
    smallest cell, some table in which that cell is not small has the same whole steps. *Assumes* that
    readers know the sizes of the tables only as they are published, and have no second table of the
    same patients to take differences with.
    """
    facts = evaluation.tables
    scale = scale_of(facts, profile, rows_per_patient)
    margins = tuple(_found(control(one, facts, scale) for one in evaluation.margins))
    risks = tuple(_found(public_risk(risk, profile) for risk in evaluation.risks))
    attacks = tuple(_found(public_attack(attack, profile) for attack in evaluation.attacks))
    whole = _whole_columns(evaluation, scale)
    thin = _thin_columns(evaluation.margins, margins)
    analyses = public_analyses(evaluation, scale, profile, whole, thin)
    rated = Shown(scale, facts, margins, attacks, risks, analyses, thin)
    columns = {margin.column for margin in margins}
    withheld = [m.column for m in evaluation.margins if m.column not in columns]
    return Evaluation(
        version=evaluation.version,
        name=evaluation.name,
        schema_digest=evaluation.schema_digest,
        seed=evaluation.seed,
        depth=evaluation.depth,
        tables=_facts(facts, scale, profile),
        scores=tuple(public_score(score, rated) for score in _always_there(evaluation.scores)),
        margins=margins,
        worst_pairs=() if scale is None else _pairs(evaluation, scale, columns),
        associations=_associations(evaluation.associations, scale, whole),
        attacks=attacks,
        risks=risks,
        pair_tables=(),
        components=None,
        groups=(),
        analyses=analyses,
        notes=_notes(profile, withheld, scale),
    )


def _always_there(scores: Iterable[Score]) -> Iterator[Score]:
    """Return the scores whose being there follows from what is declared alone.

    Others would tell by being withheld that there was something to withhold.
    """
    return (score for score in scores if metric_of(score.key).disclosure != "left out")


def _found(values: Iterable[_T | None]) -> Iterator[_T]:
    return (value for value in values if value is not None)


def _facts(facts: TableFacts, scale: Scale | None, profile: Profile) -> TableFacts:
    rows = 1 if scale is None else scale.step
    patients = profile.step
    return TableFacts(
        train_rows=0 if scale is None else facts.train_rows // rows * rows,
        train_patients=facts.train_patients // patients * patients,
        holdout_rows=0 if scale is None else facts.holdout_rows // rows * rows,
        holdout_patients=facts.holdout_patients // patients * patients,
        synthetic_rows=facts.synthetic_rows,
        columns=facts.columns,
    )


def _whole_columns(evaluation: Evaluation, scale: Scale | None) -> frozenset[str]:
    """Return the columns of which every cell has at least one step of rows."""
    if scale is None:
        return frozenset()

    def is_so(margin: Margin) -> bool:
        return is_whole(margin, evaluation.tables, scale)

    return frozenset(margin.column for margin in filter(is_so, evaluation.margins))


def _thin_columns(margins: Iterable[Margin], shown: Iterable[Margin]) -> frozenset[str]:
    """Return the columns of which fewer than two values, or ranges of them, are published."""
    told = {
        margin.column
        for margin in shown
        if sum(label not in (ELSE, MISSING) for label in margin.labels) > 1
    }
    return frozenset(margin.column for margin in margins if margin.column not in told)


def _pairs(evaluation: Evaluation, scale: Scale, columns: set[str]) -> tuple[PairDistance, ...]:
    """Return the worst pairs with coarse distances, the worst first.

    Which pairs are among the worst is decided by their exact distances. So where some are not listed,
    those that are as far off as the last, by what is published, are left out as well.
    """
    pairs = evaluation.worst_pairs
    every = comb(evaluation.tables.columns, 2)
    last = min((pair.distance for pair in pairs), default=0.0)
    cut = scale.train.near(last) if len(pairs) < every else -1.0
    shown = [
        PairDistance(
            columns=pair.columns,
            distance=scale.train.near(pair.distance),
            holdout_distance=scale.both.near(pair.holdout_distance),
        )
        for pair in pairs
        if set(pair.columns) <= columns
    ]
    kept = [pair for pair in shown if pair.distance > cut]
    return tuple(sorted(kept, key=lambda pair: (-pair.distance, pair.columns)))


def _associations(found: Associations, scale: Scale | None, whole: frozenset[str]) -> Associations:
    """Return the associations of columns without a small cell, which one patient could turn."""
    kept = [place for place, column in enumerate(found.columns) if column in whole]
    if scale is None or len(kept) < 2:
        kept = []
    grid = Grid(min(scale.train.parts, _ASSOCIATED)) if scale else Grid(1)
    train, synthetic = (
        tuple(tuple(grid.near(matrix[i][j]) for j in kept) for i in kept)
        for matrix in (found.train, found.synthetic)
    )
    return Associations(
        columns=tuple(found.columns[place] for place in kept),
        measure=found.measure,
        train=train,
        synthetic=synthetic,
    )


def _notes(profile: Profile, withheld: list[str], scale: Scale | None) -> tuple[str, ...]:
    notes = [
        f"Disclosure control by the profile '{profile.name}': {plain(profile.title)}",
        f"Counts of real patients are in whole steps of {profile.step}, so that none below "
        f"{profile.smallest_cell} can be told from one above. Cells of less than a step are in "
        "'all else', with what rounding leaves. Ranges of numbers and dates have ranks in place "
        "of edges.",
        "Other figures of real rows are multiples of what a smallest cell of patients can change. "
        "Figures of too few patients, of groups, of the ends of distributions, and of members found "
        "at low false positive rates are withheld. ROC curves have eleven points and straight "
        "lines between them.",
    ]
    notes.append(
        "Levels and conditions follow from what is shown here alone. What is withheld keeps a claim "
        "from green, and the custodian’s copy may judge otherwise."
    )
    if withheld:
        # Naming them says no more than that they are not shown, which whole steps decide, too.
        columns = counted(len(withheld), "column")
        why = "no cell has a whole step of rows in both real tables"
        if scale is None:
            why = "the tables have too few patients"
        notes.append(f"{columns} withheld, as {why}: {listed(withheld, 12)}.")
    return tuple(notes)
