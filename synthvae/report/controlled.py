"""Attacks, guesses and declared analyses of the public rendering, made anew from coded figures."""

import numpy as np

from synthvae.evaluation.intervals import exact_limits
from synthvae.evaluation.values import Analysis, Attack, Coefficient, Evaluation, Interval, Risk
from synthvae.report.coarse import COARSEST, Grid, Scale, grid_of, two_digits
from synthvae.report.judging import WITHHELD as WITHHELD_BECAUSE
from synthvae.report.profiles import Profile

# One reason for both: some figures do not run where there is no patient, and would run with one.
WITHHELD = f"{WITHHELD_BECAUSE}small numbers, or not run"
_RATES = np.linspace(0, 1, 11)
_HUNDREDTHS = Grid(100)


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
