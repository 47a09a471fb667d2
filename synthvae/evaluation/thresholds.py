"""From where on a figure is good, and from where on poor: one table, with where each line is from.

Few of these figures have a threshold that the literature or a standard agrees on. Where one is ours,
the basis says "project default": a starting point for a steward's own, not a law. Most are distances
from what real rows reach, because that depends on the table.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from synthvae._checks import nearest
from synthvae.errors import ConfigError
from synthvae.evaluation.asked import Limit
from synthvae.evaluation.intervals import rounded
from synthvae.evaluation.values import Basis, Direction, Score, Threshold


@dataclass(frozen=True)
class Default:
    """The threshold of one kind of figure.

    `good` and `poor` are values; where `beside` names a reference, they are added to it, and where
    `times` is given, multiplied with it. For a direction of "towards", it is the reference's distance
    from the goal.
    """

    direction: Direction
    good: float
    poor: float
    source: str
    basis: Basis = "project default"
    beside: str | None = None
    times: bool = False


_SCHEMA = Default(
    "higher",
    1.0,
    0.99,
    "Frictionless Table Schema v1: a table is valid where every cell keeps its constraints; that 1 "
    "in 100 is poor is our own line",
    "standard",
)
_SKILL = "an analyst should lose at most 0.03 against training on real rows; 0.10 is poor"
_AT_HOLDOUT = "SDMetrics sets none; at most 0.03 below what real rows of the holdout reach"
_NOISE = "beyond the noise of train's patients drawn again"
_ATTACK = (
    "how far from a coin's toss an attack may be; the attack's interval says what it could see"
)

TABLE: dict[str, Default] = {
    "valid_cells": _SCHEMA,
    "valid_rows": _SCHEMA,
    "rule": Default(
        "lower", 0.005, 0.02, "broken by at most 5 in 1,000 rows more than in train", beside="train"
    ),
    "sdmetrics_shapes": Default("higher", -0.03, -0.10, _AT_HOLDOUT, beside="holdout"),
    "sdmetrics_diagnostic": Default("higher", -0.02, -0.10, _AT_HOLDOUT, beside="holdout"),
    "tvd1": Default("lower", 0.02, 0.08, f"2 in 100 rows {_NOISE}", beside="bootstrap"),
    "tvd2": Default("lower", 0.04, 0.12, f"4 in 100 rows {_NOISE}", beside="bootstrap"),
    "tvd3": Default("lower", 0.06, 0.20, f"6 in 100 rows {_NOISE}", beside="bootstrap"),
    "tails": Default(
        "lower",
        0.1,
        0.5,
        f"a tenth of the real range {_NOISE}; half of it is poor",
        beside="bootstrap",
    ),
    "associations": Default("lower", 0.02, 0.06, f"0.02 {_NOISE}", beside="bootstrap"),
    "c2st": Default(
        "towards",
        0.1,
        0.2,
        "Hosmer, Lemeshow & Sturdivant 2013, Applied Logistic Regression, section 5.2.4: from an AUC "
        "of 0.7 on, discrimination counts as acceptable, here poor; that 0.6 is good is our own line",
        "literature",
    ),
    "pmse_ratio": Default("lower", 3.0, 10.0, "3 and 10 times what new real rows give on average"),
    "tstr": Default("higher", -0.03, -0.10, _SKILL, beside="real"),
    "tstr_loss": Default("lower", 0.03, 0.10, _SKILL),
    "auprc": Default("higher", -0.03, -0.10, _SKILL, beside="real"),
    "brier": Default("lower", 0.01, 0.04, "at most 0.01 worse than after real rows", beside="real"),
    "calibration_slope": Default(
        "towards", 0.1, 0.3, "a tenth further from 1 than after real rows", beside="real"
    ),
    "calibration_intercept": Default(
        "towards", 0.1, 0.3, "a tenth further from 0 than after real rows", beside="real"
    ),
    "rmse": Default(
        "lower", 1.05, 1.20, "at most 5 % worse than after real rows", beside="real", times=True
    ),
    "rank_agreement": Default("higher", 0.6, 0.0, "at most one pair of four models out of order"),
    "all_targets": Default("higher", 0.9, 0.6, "nine tenths of the skill that real rows teach"),
    "overlap": Default(
        "higher",
        0.6,
        0.3,
        "two samples of one population and size overlap by 0.71 on average (1 - 2/(3.92 √π))",
    ),
    "signs": Default("higher", 0.95, 0.80, "at most one conclusion in twenty turns round"),
    "c_index": Default("higher", -0.02, -0.06, "0.02 below fitting on real rows", beside="real"),
    "km_distance": Default("lower", 0.02, 0.06, f"2 in 100 patients {_NOISE}", beside="bootstrap"),
    "group_share": Default("lower", 0.02, 0.05, "a group's share off by 2 in 100 rows"),
    "group_tvd1": Default("lower", 0.03, 0.10, f"3 in 100 rows {_NOISE}, in the worst group"),
    "group_tvd2": Default("lower", 0.05, 0.15, f"5 in 100 rows {_NOISE}, in the worst group"),
    "group_tstr": Default("lower", 0.05, 0.15, "the loss that the worst group may have"),
    "copies": Default(
        "lower",
        0.0,
        0.05,
        "what real rows of others may reach, the upper 95 % end of the holdout's share; 5 in 100 rows "
        "above that is poor",
        beside="holdout, upper end",
    ),
    "membership_auc": Default("towards", 0.05, 0.10, _ATTACK),
    "membership_tpr": Default("lower", 0.02, 0.05, "twice what guessing finds at 1 % false alarms"),
    "attack.*.auc": Default("towards", 0.05, 0.10, _ATTACK),
    "attack.*.tpr": Default("lower", 0.02, 0.05, "twice what guessing finds at 1 % false alarms"),
    "attack.*.gain": Default("lower", 0.05, 0.10, "1 in 20 guesses more than about non-members"),
}

# Shuffled columns reach more than real rows do: a steward may set a limit, but none is ours.
INFORMATIONAL: dict[str, Direction] = {"sdmetrics_quality": "higher", "sdmetrics_pairs": "higher"}


def default_of(key: str) -> Default | None:
    """Return the table's line for a score's key, None where there is none."""
    stem, last = key.partition(".")[0], key.rpartition(".")[2]
    return TABLE.get(stem, TABLE.get(f"{stem}.*.{last}"))


def check_limits(limits: Mapping[str, Limit]) -> None:
    """Raise `ConfigError` for a limit of no known figure, or one whose ends are the wrong way round."""
    for key, limit in limits.items():
        found = default_of(key)
        direction = INFORMATIONAL.get(key) if found is None else found.direction
        if direction is None:
            stems = [name for name in (*TABLE, *INFORMATIONAL) if "*" not in name]
            raise ConfigError(
                f"evaluation: limits names '{key}', which is no score{nearest(key, stems)}."
            )
        wrong = limit.good < limit.poor if direction == "higher" else limit.good > limit.poor
        if wrong:
            better = "higher" if direction == "higher" else "lower"
            raise ConfigError(
                f"evaluation: the limit of '{key}' has good {limit.good:g} and poor {limit.poor:g}, "
                f"but {better} is better; exchange them."
            )


def with_threshold(score: Score, limits: Mapping[str, Limit]) -> Score:
    """Return a score with the steward's threshold, else the table's; None where it has none."""
    limit = limits.get(score.key)
    if limit is not None:
        own = Threshold(good=limit.good, poor=limit.poor, basis="steward-set", source=limit.reason)
        return score.model_copy(update={"threshold": own})
    default = default_of(score.key)
    if default is None:
        return score
    ends = _ends(default, score)
    if ends is None:
        return score
    said = Threshold(
        good=rounded(ends[0]), poor=rounded(ends[1]), basis=default.basis, source=default.source
    )
    return score.model_copy(update={"threshold": said})


def _ends(default: Default, score: Score) -> tuple[float, float] | None:
    if default.beside is None:
        return default.good, default.poor
    reference = score.references.get(default.beside)
    if reference is None:
        return None
    if default.direction == "towards":
        reference = abs(reference - (score.goal or 0.0))
    if default.times:
        return default.good * reference, default.poor * reference
    return reference + default.good, reference + default.poor
