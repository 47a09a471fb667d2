"""The public rendering: an evaluation coded so that nobody can tell which counts of real rows are small.

`for_public` joins it; then each part of an evaluation, in its order, and the shares of one column last.

The public evaluation is a new object, made of an allow-list:

    free       what is public already, and figures of the synthetic rows alone
    coded      figures that touch real rows, each in one way that is proved or argued below
    left out   everything else, and every field that nobody has put on the list yet

**Principle**: counts of real rows come out in whole steps, and a step is more than two smallest
cells of patients. Whatever is shown for a cell of 3 would be shown for the same cell of 13, so
nobody can tell that any cell is small. All that is said of a count is computed from its whole steps:
its share, a distance between shares, a rate of success with its interval. So there is no second
figure to take a difference with. Figures that are no counts (an area under a curve, an average of
distances) are multiples of the work of a smallest cell of patients; their intervals are widened to
the same multiples. Where a table has too few patients for ten of these, nothing of it is shown.

What comes out is still computed from real records. It is controlled for disclosure as the tables of
statistics offices are, which bounds nothing: the guarantee of differential privacy does not cover it.
"""

from collections.abc import Sequence
from math import comb

from synthvae._text import counted
from synthvae.evaluation.results import Associations, Evaluation, Margin, PairDistance, TableFacts
from synthvae.levels import metric_of
from synthvae.report import disclosure_rules, disclosure_scores, phrases

ELSE = "all else"
MISSING = "(missing)"
_NO_RANGE = (" (special)", MISSING)
_DIGITS = 3
_ASSOCIATED = 20  # an association is no share: its grid has no more parts than this


def for_public(
    evaluation: Evaluation, profile: disclosure_rules.Profile, rows_per_patient: int = 1
) -> Evaluation:
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
    tables = evaluation.tables
    scale = disclosure_rules.scale_of(tables, profile, rows_per_patient)
    margins = tuple(
        filter(None, (public_margin(margin, tables, scale) for margin in evaluation.margins))
    )
    risks = tuple(
        filter(None, (disclosure_scores.public_risk(risk, profile) for risk in evaluation.risks))
    )
    attacks = tuple(
        filter(
            None,
            (disclosure_scores.public_attack(attack, profile) for attack in evaluation.attacks),
        )
    )
    columns = {margin.column for margin in margins}
    large_celled = frozenset(
        margin.column
        for margin in evaluation.margins
        if scale is not None and all(_steps(margin.train, tables.train_rows, scale.step))
    )
    single_valued = frozenset(margin.column for margin in evaluation.margins) - {
        margin.column
        for margin in margins
        if sum(label not in (ELSE, MISSING) for label in margin.labels) > 1
    }
    analyses = disclosure_scores.public_analyses(
        evaluation, scale, profile, large_celled, single_valued
    )
    public = disclosure_scores.PublicFigures(
        scale, tables, margins, attacks, risks, analyses, single_valued
    )
    return disclosure_rules.public_record(
        evaluation,
        "version name schema_digest seed depth",
        tables=_public_facts(tables, scale, profile),
        # A score whose being there follows from more than what is declared would tell, by being
        # withheld, that there was something to withhold.
        scores=tuple(
            disclosure_scores.public_score(score, public)
            for score in evaluation.scores
            if metric_of(score.key).disclosure != "left out"
        ),
        margins=margins,
        worst_pairs=() if scale is None else _public_pairs(evaluation, scale, columns),
        associations=_public_associations(evaluation.associations, scale, large_celled),
        attacks=attacks,
        risks=risks,
        analyses=analyses,
        notes=_notes(
            profile, [m.column for m in evaluation.margins if m.column not in columns], scale
        ),
    )


def _public_facts(
    tables: TableFacts, scale: disclosure_rules.Scale | None, profile: disclosure_rules.Profile
) -> TableFacts:
    def rows(number: int) -> int:
        return 0 if scale is None else number // scale.step * scale.step

    return disclosure_rules.public_record(
        tables,
        "synthetic_rows columns",
        train_rows=rows(tables.train_rows),
        train_patients=profile.whole_steps(tables.train_patients),
        holdout_rows=rows(tables.holdout_rows),
        holdout_patients=profile.whole_steps(tables.holdout_patients),
    )


def _public_pairs(
    evaluation: Evaluation, scale: disclosure_rules.Scale, columns: set[str]
) -> tuple[PairDistance, ...]:
    """Return the worst pairs with coarse distances, the worst first.

    Which pairs are among the worst is decided by their exact distances. So where some are not listed,
    those that are as far off as the last, by what is published, are left out as well.
    """
    pairs = evaluation.worst_pairs
    last = min((pair.distance for pair in pairs), default=0.0)
    cut = scale.train.near(last) if len(pairs) < comb(evaluation.tables.columns, 2) else -1.0
    shown = [
        disclosure_rules.public_record(
            pair,
            "columns",
            distance=scale.train.near(pair.distance),
            holdout_distance=scale.both.near(pair.holdout_distance),
        )
        for pair in pairs
        if set(pair.columns) <= columns
    ]
    kept = [pair for pair in shown if pair.distance > cut]
    return tuple(sorted(kept, key=lambda pair: (-pair.distance, pair.columns)))


def _public_associations(
    associations: Associations, scale: disclosure_rules.Scale | None, large_celled: frozenset[str]
) -> Associations:
    """Return the associations of columns without a small cell, which one patient could turn."""
    kept = [i for i, column in enumerate(associations.columns) if column in large_celled]
    if len(kept) < 2:
        kept = []
    grid = disclosure_rules.Grid(min(scale.train.parts, _ASSOCIATED) if scale else 1)
    train, synthetic = (
        tuple(tuple(grid.near(matrix[i][j]) for j in kept) for i in kept)
        for matrix in (associations.train, associations.synthetic)
    )
    columns = tuple(associations.columns[place] for place in kept)
    return disclosure_rules.public_record(
        associations, "measure", columns=columns, train=train, synthetic=synthetic
    )


def _notes(
    profile: disclosure_rules.Profile, withheld: list[str], scale: disclosure_rules.Scale | None
) -> tuple[str, ...]:
    notes = [
        f"Disclosure control by the profile '{profile.name}': {phrases.plain(profile.title)}",
        f"Counts of real patients are in whole steps of {profile.step}, so that none below "
        f"{profile.smallest_cell} can be told from one above. Cells of less than a step are in "
        "'all else', with what rounding leaves. Ranges of numbers and dates have ranks in place "
        "of edges.",
        "Other figures of real rows are multiples of what a smallest cell of patients can change. "
        "Figures of too few patients, of groups, of the ends of distributions, and of members found "
        "at low false positive rates are withheld. ROC curves have eleven points and straight "
        "lines between them.",
        "Levels and conditions follow from what is shown here alone. What is withheld keeps a claim "
        "from green, and the custodian’s copy may judge otherwise.",
    ]
    if withheld:
        # Naming them says no more than that they are not shown, which whole steps decide, too.
        columns = counted(len(withheld), "column")
        no_cell = "no cell has a whole step of rows in both real tables"
        why = no_cell if scale else "the tables have too few patients"
        notes.append(f"{columns} withheld, as {why}: {phrases.listed(withheld, 12)}.")
    return tuple(notes)


def public_margin(
    margin: Margin, tables: TableFacts, scale: disclosure_rules.Scale | None
) -> Margin | None:
    """Return one margin in whole steps of rows, or None where no cell has one or there is no scale.

    A cell is shown where both real tables have at least one step of rows in it; its share is that of
    the middle of its step. All other cells, and what rounding leaves, are together in one that is
    always there. Distances are those of the shares shown.

    *Guarantee*: what is returned is a function of each cell's whole steps and of those of the
    tables, so that it is the same for any two numbers of rows within one step.
    """
    if scale is None:
        return None
    step = scale.step
    train_steps = _steps(margin.train, tables.train_rows, step)
    holdout_steps = _steps(margin.holdout, tables.holdout_rows, step)
    shown = [i for i, both in enumerate(zip(train_steps, holdout_steps, strict=True)) if all(both)]
    if not shown:
        return None
    train = _middles([train_steps[i] for i in shown], tables.train_rows // step)
    holdout = _middles([holdout_steps[i] for i in shown], tables.holdout_rows // step)
    labels, synthetic = _public_labels(margin, shown, scale.train)
    return disclosure_rules.public_record(
        margin,
        "column kind",
        labels=(*labels, ELSE),
        train=train,
        holdout=holdout,
        synthetic=synthetic,
        distance=_distance(train, synthetic),
        holdout_distance=_distance(train, holdout),
    )


def _steps(shares: Sequence[float], rows: int, step: int) -> list[int]:
    """Return how many whole steps of rows are in each cell: 0 for all that have less than one."""
    return [round(share * rows) // step for share in shares]


def _middles(steps: Sequence[int], whole: int) -> tuple[float, ...]:
    """Return the share of the middle of each cell's step, of `whole` steps; last that of all else."""
    shares = [(cell + 0.5) / (whole + 0.5) for cell in steps]
    shares.append(max(0.0, 1 - sum(shares)))
    total = sum(shares)
    return tuple(round(share / total, _DIGITS) for share in shares)


def _public_labels(
    margin: Margin, shown: Sequence[int], grid: disclosure_rules.Grid
) -> tuple[Sequence[str], tuple[float, ...]]:
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
    return labels, tuple(round(share, _DIGITS) for share in shares)


def _ranks(labels: Sequence[str]) -> list[str]:
    ranges = [label for label in labels if not label.endswith(_NO_RANGE)]
    ranks = {label: f"range {place + 1}" for place, label in enumerate(ranges)}
    if ranges:
        ranks[ranges[-1]] += " (highest)"
        ranks[ranges[0]] = "range 1 (lowest)" if len(ranges) > 1 else "range 1"
    return [ranks.get(label, label) for label in labels]


def _distance(one: Sequence[float], other: Sequence[float]) -> float:
    return round(sum(abs(a - b) for a, b in zip(one, other, strict=True)) / 2, _DIGITS)
