"""Scores of the public rendering: each by the rule that its metric's record has, or withheld."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from synthvae.evaluation.catalogue import metric_of
from synthvae.evaluation.levels import with_threshold
from synthvae.evaluation.values import (
    Analysis,
    Attack,
    Interval,
    Margin,
    Risk,
    Score,
    TableFacts,
    Threshold,
)
from synthvae.report.coarse import OUTWARD, Grid, Scale
from synthvae.report.controlled import WITHHELD
from synthvae.report.judging import WITHHELD as WITHHELD_BECAUSE

OF_GROUPS = f"{WITHHELD_BECAUSE}figures of groups of real patients"
_CHANCE = (0.0, 0.5)  # that of other scores is the share of an outcome: a count
_LEAST_COLUMNS = 3  # an average over fewer columns is nearly one column's own figure


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
