"""The public rendering of attacks, guesses, declared analyses and scores, from coded figures alone.

Attacks, guesses and analyses first; then scores, which repeat what of the same facts is public.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

import numpy as np

from synthvae.evaluation import intervals, results
from synthvae.evaluation.validity import slug
from synthvae.levels import metric_of, with_threshold
from synthvae.report import disclosure_rules, phrases

# One reason for both: some figures do not run where there is no patient, and would run with one.
SMALL_NUMBERS = f"{phrases.WITHHELD}small numbers, or not run"
OF_GROUPS = f"{phrases.WITHHELD}figures of groups of real patients"
_RATES = np.linspace(0, 1, 11)
_HUNDREDTHS = disclosure_rules.Grid(100)
_CHANCE = (0.0, 0.5)  # that of other scores is the share of an outcome: a count
_LEAST_COLUMNS = 3  # an average over fewer columns is nearly one column's own figure
_References = Mapping[str, float | None]
_Rounding = Callable[[float], float]


def public_attack(
    attack: results.Attack, profile: disclosure_rules.Profile
) -> results.Attack | None:
    """Return an attack with its AUC on a grid, and a curve of eleven points that starts at (0, 0).

    Members found at low false positive rates are counts of few patients, and are left out. None where
    either side has too few patients.
    """
    grid = disclosure_rules.grid_of(min(attack.members, attack.non_members), profile)
    if grid is None:
        return None
    inner = np.interp(_RATES[1:-1], attack.fpr, attack.tpr)
    return disclosure_rules.public_record(
        attack,
        "key title meaning tripwire",
        members=profile.whole_steps(attack.members),
        non_members=profile.whole_steps(attack.non_members),
        auc=grid.near(attack.auc),
        auc_interval=grid.outward(attack.auc_interval),
        fpr=tuple(_RATES.round(2).tolist()),
        tpr=(0.0, *(grid.near(float(rate)) for rate in inner), 1.0),
        tpr_at=(),
        detection_limit=grid.above(attack.detection_limit),
    )


def public_risk(risk: results.Risk, profile: disclosure_rules.Profile) -> results.Risk | None:
    """Return an attack that guesses, made from whole steps of right and of wrong guesses alone.

    Intervals hold those of every count within the steps, at 95 % each; the gain's reaches from the
    least of one less the most of the other, so it is wider than the custodian's.
    """
    fewest = min(risk.members, risk.others)
    if disclosure_rules.grid_of(fewest, profile) is None or fewest < 2 * profile.step:
        return None
    success, of_members = _rate(risk.success, risk.members, profile.step)
    control, of_others = _rate(risk.control, risk.others, profile.step)
    low, high = of_members.low - of_others.high, of_members.high - of_others.low
    gain = _HUNDREDTHS.near(success - control)
    return disclosure_rules.public_record(
        risk,
        "key title meaning",
        members=profile.whole_steps(risk.members),
        others=profile.whole_steps(risk.others),
        success=success,
        success_interval=of_members,
        control=control,
        control_interval=of_others,
        gain=gain,
        gain_interval=_outward(low, high),
        detection_limit=_HUNDREDTHS.above(max(high - gain, gain - low)),
    )


def _rate(share: float, guesses: int, step: int) -> tuple[float, results.Interval]:
    """Return the share of whole steps that are right, and an interval for all that they may be."""
    right = round(share * guesses)
    steps_right, steps_wrong = right // step, (guesses - right) // step
    most_right, most_wrong = (steps_right + 1) * step - 1, (steps_wrong + 1) * step - 1
    low = intervals.exact_limits(steps_right * step, steps_right * step + most_wrong)[0]
    high = intervals.exact_limits(most_right, most_right + steps_wrong * step)[1]
    return _HUNDREDTHS.near(steps_right / (steps_right + steps_wrong)), _outward(low, high)


def _outward(low: float, high: float) -> results.Interval:
    return results.Interval(
        low=_HUNDREDTHS.below(low),
        high=_HUNDREDTHS.above(high),
        method="Clopper-Pearson of both ends of the rounded count",
    )


def public_analyses(
    evaluation: results.Evaluation,
    scale: disclosure_rules.Scale | None,
    profile: disclosure_rules.Profile,
    large_celled: frozenset[str],
    single_valued: frozenset[str],
) -> tuple[results.Analysis, ...]:
    """Return the declared analyses: coefficients with two digits, and one number of rows for all.

    That number is the smallest, rounded down, so that no two analyses differ by a few rows. Terms of
    categories are left out where a cell of their column has less than one step of rows. Curves,
    products of terms and effects within subgroups are left out always, since nobody says how few
    patients are left at the ends, in a cell of two columns or in a subgroup.

    Parameters
    ----------
    large_celled
        Columns of which every cell has a step of rows.
    single_valued
        Columns of which fewer than two values are published: an analysis of one is left out, since
        its intervals tell how many patients had the outcome, and that it ran that one had it.
    """
    small_celled = {m.column for m in evaluation.margins if m.kind == "category"} - large_celled
    published = {}
    for place, analysis in enumerate(evaluation.analyses):
        terms = [
            _public_term(term)
            for term in analysis.coefficients
            if not term.interaction and not _is_term_of(term.term, small_celled)
        ]
        if (
            scale is not None
            and terms
            and not _explains(analysis.formula, single_valued)
            and analysis.real_rows >= disclosure_rules.COARSEST * scale.step
            and analysis.real_rows - len(analysis.coefficients) >= profile.smallest_freedom
        ):
            published[place] = terms
    fewest = min((evaluation.analyses[place].real_rows for place in published), default=0)
    common = fewest // scale.step * scale.step if scale is not None else 0
    return tuple(
        disclosure_rules.public_record(
            analysis,
            "name kind formula synthetic_rows",
            real_rows=common,
            coefficients=tuple(published[place]),
        )
        if place in published
        else disclosure_rules.public_record(
            analysis, "name kind formula", real_rows=0, synthetic_rows=0, not_run=SMALL_NUMBERS
        )
        for place, analysis in enumerate(evaluation.analyses)
    )


# A saved analysis names its columns in its formula and its terms alone, and a column's name may hold
# their signs: whatever could be of one of the columns is taken for it, and is not published.
def _is_term_of(term: str, columns: Collection[str]) -> bool:
    """Tell whether a term may be of one of the columns: `sex = female`, or the column itself."""
    return any(term == column or term.startswith(f"{column} = ") for column in columns)


def _explains(formula: str, columns: Collection[str]) -> bool:
    """Tell whether a formula may explain one of the columns: `died ~`, `Surv(days, died) ~`."""
    left = r"(?:Surv\(.*, )?{}\)?(?: ~ |$)"
    return any(re.match(left.format(re.escape(name)), formula, re.DOTALL) for name in columns)


def _public_term(term: results.Coefficient) -> results.Coefficient:
    real, low, high = disclosure_rules.two_digits(
        term.real, term.real_interval.low, term.real_interval.high
    )
    synthetic = term.synthetic_interval
    shared = min(high, synthetic.high) - max(low, synthetic.low)
    lengths = (high - low, synthetic.high - synthetic.low)
    overlap = sum(shared / length for length in lengths) / 2 if min(lengths) > 0 else 0.0
    return disclosure_rules.public_record(
        term,
        "term synthetic synthetic_interval",
        real=real,
        real_interval=disclosure_rules.public_record(
            term.real_interval, "level method", low=low, high=high
        ),
        overlap=round(overlap, 2),
        same_sign=real * term.synthetic > 0,
    )


@dataclass(frozen=True)
class PublicFigures:
    """What of an evaluation is public already, which scores of the same facts must repeat.

    `single_valued` names the columns of which fewer than two values are published.
    """

    scale: disclosure_rules.Scale | None
    tables: results.TableFacts
    margins: Sequence[results.Margin]
    attacks: Sequence[results.Attack]
    risks: Sequence[results.Risk]
    analyses: Sequence[results.Analysis]
    single_valued: frozenset[str]


def public_score(score: results.Score, public: PublicFigures) -> results.Score:
    """Return a score as it is published; where it is not, it says so and has no value.

    Thresholds that are relative to a reference are computed anew from the published one.
    """
    reason = SMALL_NUMBERS
    limit = score.threshold
    steward_set = limit if limit is not None and limit.basis == "steward-set" else None
    published = None
    if metric_of(score.key).disclosure == "withheld, of groups":
        reason = OF_GROUPS
    elif phrases.has_run(score):
        published = _by_rule(score, public)
    if published is None:
        return _score(score, None, threshold=steward_set, not_run=reason)
    if limit is None or steward_set is not None:
        return published.model_copy(update={"threshold": steward_set})
    return with_threshold(published, {})


def _by_rule(score: results.Score, public: PublicFigures) -> results.Score | None:
    rule, scale = metric_of(score.key).disclosure, public.scale
    if rule == "synthetic rows":
        return _of_synthetic_rows(score, public)
    if rule == "attack":
        return _of_attack(score, public)
    if scale is None or _is_nearly_a_count(score, public) or _is_of_single_valued(score, public):
        return None
    if rule == "margins":
        return _of_margins(score, scale, public.margins)
    if rule == "rounded down":
        return _rounded_down(score, scale)
    return _on_grid(score, scale) if rule == "grid" else None


def _is_nearly_a_count(score: results.Score, public: PublicFigures) -> bool:
    """Tell whether a score averages so little that few patients could be read from it."""
    metric = metric_of(score.key)
    if metric.family == "analyses":
        name = (metric.names(score.key) or {}).get("analysis")
        its_own = [one for one in public.analyses if slug(one.name) == name]
        return not its_own or any(analysis.not_run is not None for analysis in its_own)
    few = public.tables.columns < _LEAST_COLUMNS
    return score.topic == "fidelity" and metric.disclosure != "margins" and few


def _is_of_single_valued(score: results.Score, public: PublicFigures) -> bool:
    """Tell whether a score is of a target of which fewer than two values are published.

    Nothing can be predicted where only one value is there: that a score ran would tell that some
    patient has another. A score of all targets is an average over every column that can be predicted.
    """
    metric = metric_of(score.key)
    if metric.family != "predictions":
        return False
    target = (metric.names(score.key) or {}).get("target")
    return bool(public.single_valued) if target is None else target in public.single_valued


def _of_synthetic_rows(score: results.Score, public: PublicFigures) -> results.Score:
    """Return a figure of the synthetic rows, beside shares of real rows in whole steps."""
    scale = public.scale
    rows = {"train": public.tables.train_rows, "holdout": public.tables.holdout_rows}
    references: dict[str, float | None] = {}
    goal = None
    if scale is not None:
        references = {
            name: _share(value, rows[name], scale.step)
            if name in rows
            else _each(scale.train.near, value)
            for name, value in score.references.items()
        }
        goal = _share(score.goal, rows["train"], scale.step)
    return _score(score, score.value, score.interval, goal, references, draws=score.draws)


def _share(value: float | None, rows: int, step: int) -> float | None:
    if value is None or rows < step:
        return None
    return round(min(1.0, round(value * rows) // step / (rows // step)), 3)


def _of_attack(score: results.Score, public: PublicFigures) -> results.Score | None:
    """Return what the public values of an attack say already, and nothing else of it."""
    key = metric_of(score.key).attack
    chance = {k: v for k, v in score.references.items() if k == "chance" and v in _CHANCE}
    for risk in public.risks:
        if risk.key == key:
            return _score(score, risk.gain, risk.gain_interval, 0.0, chance)
    for attack in public.attacks:
        if attack.key == key:
            return _score(score, attack.auc, attack.auc_interval, 0.5, chance)
    return None


def _of_margins(
    score: results.Score, scale: disclosure_rules.Scale, margins: Sequence[results.Margin]
) -> results.Score | None:
    """Return the mean distance of columns, from the distances that are published."""
    if not margins:
        return None
    value = round(mean(margin.distance for margin in margins), 3)
    interval = score.interval
    if interval is not None and score.value is not None:
        half = scale.train.above(max(score.value - interval.low, interval.high - score.value))
        low, high = round(value - half, 3), round(value + half, 3)
        interval = results.Interval(
            low=low, high=high, level=interval.level, method=disclosure_rules.OUTWARD
        )
    references = _near(score.references, scale, scale.train)
    if "holdout" in references:
        references["holdout"] = round(mean(margin.holdout_distance for margin in margins), 3)
    return _score(score, value, interval, _each(scale.train.near, score.goal), references)


def _rounded_down(score: results.Score, scale: disclosure_rules.Scale) -> results.Score:
    """Return a share that a single record may make, rounded down to twice the step of figures.

    Its interval is left out: where its ends cross a step would tell small counts apart.
    """
    below = disclosure_rules.Grid(scale.both.parts // 2).below
    references = {name: _each(below, value) for name, value in score.references.items()}
    return _rounded(score, below, None, references)


def _on_grid(score: results.Score, scale: disclosure_rules.Scale) -> results.Score:
    grid = scale.train if score.topic == "fidelity" else scale.both
    interval = score.interval and grid.outward(score.interval)
    return _rounded(score, grid.near, interval, _near(score.references, scale, grid))


def _rounded(
    score: results.Score,
    rounding: _Rounding,
    interval: results.Interval | None,
    references: _References,
) -> results.Score:
    value, goal = _each(rounding, score.value), _each(rounding, score.goal)
    draws = tuple(map(rounding, score.draws))
    return _score(score, value, interval, goal, references, draws=draws)


def _near(
    references: _References, scale: disclosure_rules.Scale, grid: disclosure_rules.Grid
) -> dict[str, float | None]:
    return {
        name: _each((scale.both if name == "holdout" else grid).near, value)
        for name, value in references.items()
        if name != "chance" or value in _CHANCE
    }


def _each(rounding: _Rounding, value: float | None) -> float | None:
    return None if value is None else rounding(value)


def _score(
    score: results.Score,
    value: float | None,
    interval: results.Interval | None = None,
    goal: float | None = None,
    references: _References | None = None,
    **coded: object,
) -> results.Score:
    """Return a score of what is public of every one, and of coded figures."""
    return disclosure_rules.public_record(
        score,
        "key topic title meaning direction",
        value=value,
        interval=interval,
        goal=goal,
        references=dict(references or {}),
        **coded,
    )
