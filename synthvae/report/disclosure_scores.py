"""Attacks, guesses and declared analyses of the public rendering, made anew from coded figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

import numpy as np

from synthvae.evaluation.intervals import exact_limits
from synthvae.evaluation.levels import metric_of, with_threshold
from synthvae.evaluation.results import (
    Analysis,
    Attack,
    Coefficient,
    Evaluation,
    Interval,
    Margin,
    Risk,
    Score,
    TableFacts,
    Threshold,
)
from synthvae.report.disclosure_rules import (
    COARSEST,
    OUTWARD,
    Grid,
    Profile,
    Scale,
    grid_of,
    two_digits,
)
from synthvae.report.phrases import WITHHELD as WITHHELD_BECAUSE

# One reason for both: some figures do not run where there is no patient, and would run with one.
WITHHELD = f"{WITHHELD_BECAUSE}small numbers, or not run"
_RATES = np.linspace(0, 1, 11)
_HUNDREDTHS = Grid(100)
OF_GROUPS = f"{WITHHELD_BECAUSE}figures of groups of real patients"
_CHANCE = (0.0, 0.5)  # that of other scores is the share of an outcome: a count
_LEAST_COLUMNS = 3  # an average over fewer columns is nearly one column's own figure


def public_attack(attack: Attack, profile: Profile) -> Attack | None:
    """Return an attack with its AUC on a grid, and a curve of eleven points that starts at (0, 0).

    Members found at low false positive rates are counts of few patients, and are left out. None where
    either side has too few patients.
    """
    grid = grid_of(min(attack.members, attack.non_members), profile)
    if grid is None:
        return None
    inner = np.interp(_RATES[1:-1], attack.fpr, attack.tpr)
    return Attack(
        key=attack.key,
        title=attack.title,
        meaning=attack.meaning,
        members=attack.members // profile.step * profile.step,
        non_members=attack.non_members // profile.step * profile.step,
        auc=grid.near(attack.auc),
        auc_interval=grid.outward(attack.auc_interval),
        fpr=tuple(_RATES.round(2).tolist()),
        tpr=(0.0, *(grid.near(float(rate)) for rate in inner), 1.0),
        tpr_at=(),
        detection_limit=grid.above(attack.detection_limit),
        tripwire=attack.tripwire,
    )


def public_risk(risk: Risk, profile: Profile) -> Risk | None:
    """Return an attack that guesses, made from whole steps of right and of wrong guesses alone.

    Intervals hold those of every count within the steps, at 95 % each; the gain's reaches from the
    least of one less the most of the other, so it is wider than the custodian's.
    """
    fewest = min(risk.members, risk.others)
    if grid_of(fewest, profile) is None or fewest < 2 * profile.step:
        return None
    success, first = _rate(risk.success, risk.members, profile.step)
    control, second = _rate(risk.control, risk.others, profile.step)
    low, high = first.low - second.high, first.high - second.low
    gain = _HUNDREDTHS.near(success - control)
    return Risk(
        key=risk.key,
        title=risk.title,
        meaning=risk.meaning,
        members=risk.members // profile.step * profile.step,
        others=risk.others // profile.step * profile.step,
        success=success,
        success_interval=first,
        control=control,
        control_interval=second,
        gain=gain,
        gain_interval=Interval(
            low=_HUNDREDTHS.below(low), high=_HUNDREDTHS.above(high), method=first.method
        ),
        detection_limit=_HUNDREDTHS.above(max(high - gain, gain - low)),
    )


def _rate(share: float, guesses: int, step: int) -> tuple[float, Interval]:
    """Return the share of whole steps that are right, and an interval for all that they may be."""
    right = round(share * guesses)
    won, lost = right // step, (guesses - right) // step
    most_won, most_lost = (won + 1) * step - 1, (lost + 1) * step - 1
    low = exact_limits(won * step, won * step + most_lost)[0]
    high = exact_limits(most_won, most_won + lost * step)[1]
    found = Interval(
        low=_HUNDREDTHS.below(low),
        high=_HUNDREDTHS.above(high),
        method="Clopper-Pearson of both ends of the rounded count",
    )
    return _HUNDREDTHS.near(won / (won + lost)), found


def public_analyses(
    evaluation: Evaluation,
    scale: Scale | None,
    profile: Profile,
    whole: frozenset[str],
    thin: frozenset[str],
) -> tuple[Analysis, ...]:
    """Return the declared analyses: coefficients with two digits, and one number of rows for all.

    That number is the smallest, rounded down, so that no two analyses differ by a few rows. Terms of
    categories are left out where a cell of their column has less than one step of rows, and curves
    always, since nobody says how few patients are left at their ends.

    Parameters
    ----------
    whole
        Columns of which every cell has a step of rows.
    thin
        Columns of which fewer than two values are published: an analysis of one is left out, since
        its intervals tell how many patients had the outcome, and that it ran that one had it.
    """
    split = {m.column for m in evaluation.margins if m.kind == "category" and m.column not in whole}
    terms = [
        tuple(map(_term, (c for c in one.coefficients if c.term.partition(" = ")[0] not in split)))
        for one in evaluation.analyses
    ]
    shown = [
        scale is not None
        and bool(left)
        and _outcome(one) not in thin
        and one.real_rows >= COARSEST * scale.step
        and one.real_rows - len(one.coefficients) >= profile.smallest_freedom
        for one, left in zip(evaluation.analyses, terms, strict=True)
    ]
    rows = [
        one.real_rows for one, is_shown in zip(evaluation.analyses, shown, strict=True) if is_shown
    ]
    common = min(rows) // scale.step * scale.step if rows and scale is not None else 0
    return tuple(
        Analysis(
            name=one.name,
            kind=one.kind,
            formula=one.formula,
            real_rows=common if is_shown else 0,
            synthetic_rows=one.synthetic_rows if is_shown else 0,
            coefficients=left if is_shown else (),
            not_run=None if is_shown else WITHHELD,
        )
        for one, left, is_shown in zip(evaluation.analyses, terms, shown, strict=True)
    )


def _outcome(analysis: Analysis) -> str:
    """Return the column that an analysis explains, of survival its event.

    Examples
    --------
    >>> one = Analysis(name="a", kind="cox", formula="Surv(days, died) ~ age", real_rows=9,
    ...                synthetic_rows=9)
    >>> _outcome(one)
    'died'
    """
    left = analysis.formula.partition(" ~ ")[0]
    return left.removesuffix(")").rpartition(", ")[2] if left.startswith("Surv(") else left


def _term(term: Coefficient) -> Coefficient:
    real, *ends = two_digits(term.real, term.real_interval.low, term.real_interval.high)
    made = term.synthetic_interval
    shared = min(ends[1], made.high) - max(ends[0], made.low)
    lengths = (ends[1] - ends[0], made.high - made.low)
    overlap = sum(shared / length for length in lengths) / 2 if min(lengths) > 0 else 0.0
    return Coefficient(
        term=term.term,
        real=real,
        real_interval=Interval(
            low=ends[0],
            high=ends[1],
            level=term.real_interval.level,
            method=term.real_interval.method,
        ),
        synthetic=term.synthetic,
        synthetic_interval=made,
        overlap=round(overlap, 2),
        same_sign=real * term.synthetic > 0,
    )


@dataclass(frozen=True)
class Shown:
    """What of an evaluation is public already, which scores of the same facts must repeat.

    `thin` names the columns of which fewer than two values are published.
    """

    scale: Scale | None
    tables: TableFacts
    margins: Sequence[Margin]
    attacks: Sequence[Attack]
    risks: Sequence[Risk]
    analyses: Sequence[Analysis]
    thin: frozenset[str] = frozenset()


def public_score(score: Score, shown: Shown) -> Score:
    """Return a score as it is published; where it is not, it says so and has no value.

    Thresholds that are relative to a reference are computed anew from the published one.
    """
    if metric_of(score.key).disclosure == "withheld, of groups":
        return _without(score, OF_GROUPS)
    if score.not_run is not None or score.value is None:
        return _without(score, WITHHELD)
    found = _by_rule(score, score.value, shown)
    return _without(score, WITHHELD) if found is None else _with_public_threshold(score, found)


def _by_rule(score: Score, value: float, shown: Shown) -> Score | None:
    rule, scale = metric_of(score.key).disclosure, shown.scale
    if rule == "synthetic rows":
        return _of_synthetic(score, value, shown)
    if rule == "attack":
        return _of_attack(score, shown)
    if scale is None or _is_nearly_a_count(score, shown) or _is_of_thin(score, shown):
        return None
    if rule == "margins":
        return _of_margins(score, scale, shown.margins)
    if rule == "rounded down":
        return _rounded_down(score, value, scale)
    return _on_grid(score, value, scale) if rule == "grid" else None


def _is_nearly_a_count(score: Score, shown: Shown) -> bool:
    """Tell whether a score averages so little that few patients could be read from it."""
    metric = metric_of(score.key)
    if metric.family == "analyses":
        mine = [one for one in shown.analyses if score.title.endswith(f": {one.name}")]
        return not mine or any(one.not_run is not None for one in mine)
    few = shown.tables.columns < _LEAST_COLUMNS
    return score.topic == "fidelity" and metric.disclosure != "margins" and few


def _is_of_thin(score: Score, shown: Shown) -> bool:
    """Tell whether a score is of a target of which fewer than two values are published.

    Nothing can be predicted where only one value is there: that a score ran would tell that some
    patient has another. A score of all targets is an average over every column that can be predicted.
    """
    metric = metric_of(score.key)
    if metric.family != "predictions":
        return False
    target = (metric.names(score.key) or {}).get("target")
    return bool(shown.thin) if target is None else target in shown.thin


def _of_synthetic(score: Score, value: float, shown: Shown) -> Score:
    """Return a figure of the synthetic rows, beside shares of real rows in whole steps."""
    tables, scale = shown.tables, shown.scale
    rows = {"train": tables.train_rows, "holdout": tables.holdout_rows}
    references: dict[str, float | None] = {}
    goal = None
    if scale is not None:
        for name, reference in score.references.items():
            if name in rows:
                references[name] = _share(reference, rows[name], scale.step)
            else:
                references[name] = None if reference is None else scale.train.near(reference)
        goal = _share(score.goal, tables.train_rows, scale.step)
    return _published(
        score, value, score.interval, goal=goal, references=references, draws=score.draws
    )


def _share(value: float | None, rows: int, step: int) -> float | None:
    whole = rows // step
    if value is None or not whole:
        return None
    return round(min(1.0, round(value * rows) // step / whole), 3)


def _of_attack(score: Score, shown: Shown) -> Score | None:
    """Return what the public values of an attack say already, and nothing else of it."""
    key = metric_of(score.key).attack
    chance = {k: v for k, v in score.references.items() if k == "chance" and v in _CHANCE}
    for risk in shown.risks:
        if risk.key == key:
            return _published(score, risk.gain, risk.gain_interval, goal=0.0, references=chance)
    for attack in shown.attacks:
        if attack.key == key:
            return _published(score, attack.auc, attack.auc_interval, goal=0.5, references=chance)
    return None


def _of_margins(score: Score, scale: Scale, margins: Sequence[Margin]) -> Score | None:
    """Return the mean distance of columns, from the distances that are published."""
    if not margins:
        return None
    value = round(mean(margin.distance for margin in margins), 3)
    interval = None
    if score.interval is not None and score.value is not None:
        half = max(score.value - score.interval.low, score.interval.high - score.value)
        half = scale.train.above(half)
        interval = Interval(
            low=round(value - half, 3),
            high=round(value + half, 3),
            level=score.interval.level,
            method=OUTWARD,
        )
    references = _near(score.references, scale)
    if "holdout" in references:
        references["holdout"] = round(mean(margin.holdout_distance for margin in margins), 3)
    goal = None if score.goal is None else scale.train.near(score.goal)
    return _published(score, value, interval, goal=goal, references=references)


def _rounded_down(score: Score, value: float, scale: Scale) -> Score:
    """Return a share that a single record may make, rounded down to twice the step of figures.

    Its interval is left out: where its ends cross a step would tell small counts apart.
    """
    grid = Grid(scale.both.parts // 2)
    return _published(
        score,
        grid.below(value),
        None,
        goal=None if score.goal is None else grid.below(score.goal),
        references={k: None if v is None else grid.below(v) for k, v in score.references.items()},
        draws=tuple(map(grid.below, score.draws)),
    )


def _on_grid(score: Score, value: float, scale: Scale) -> Score:
    grid = scale.train if score.topic == "fidelity" else scale.both
    return _published(
        score,
        grid.near(value),
        score.interval and grid.outward(score.interval),
        goal=None if score.goal is None else grid.near(score.goal),
        references=_near(score.references, scale, grid),
        draws=tuple(map(grid.near, score.draws)),
    )


def _near(
    references: dict[str, float | None], scale: Scale, grid: Grid | None = None
) -> dict[str, float | None]:
    grids = {"holdout": scale.both}
    return {
        name: None if value is None else grids.get(name, grid or scale.train).near(value)
        for name, value in references.items()
        if name != "chance" or value in _CHANCE
    }


def _published(
    score: Score,
    value: float,
    interval: Interval | None,
    *,
    goal: float | None,
    references: Mapping[str, float | None],
    draws: tuple[float, ...] = (),
) -> Score:
    return Score(
        **_described(score),
        value=value,
        interval=interval,
        goal=goal,
        references=dict(references),
        draws=draws,
    )


def _without(score: Score, why: str) -> Score:
    return Score(**_described(score), value=None, threshold=_of_steward(score), not_run=why)


def _described(score: Score) -> dict[str, Any]:
    """Return what is public of every score."""
    return {
        name: getattr(score, name) for name in ("key", "topic", "title", "meaning", "direction")
    }


def _with_public_threshold(score: Score, found: Score) -> Score:
    own = _of_steward(score)
    if score.threshold is None or own is not None:
        return found.model_copy(update={"threshold": own})
    return with_threshold(found, {})


def _of_steward(score: Score) -> Threshold | None:
    limit = score.threshold
    return limit if limit is not None and limit.basis == "steward-set" else None
