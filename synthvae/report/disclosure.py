"""The public rendering: an evaluation after statistical disclosure control.

    counts and shares of real rows   small cells are merged, until what is merged is not small
    groups                           small ones, and the next smallest, are left out
    rates of attacks                 bottom and top coded, at the smallest cell
    curves                           a coarse grid in place of one step for each patient
    all figures                      rounded
    free text with counts in it      left out

What comes out is still computed from real records. It is controlled for disclosure as the tables of
statistics offices are, which bounds nothing: the guarantee of differential privacy does not cover it.
"""

from dataclasses import dataclass

import numpy as np

from synthvae.evaluation.values import (
    Analysis,
    Attack,
    Coefficient,
    Evaluation,
    GroupFigure,
    Interval,
    Risk,
    Score,
    TableFacts,
)
from synthvae.report.cells import control_margins
from synthvae.report.profiles import Profile
from synthvae.report.words import counted, listed, plain

WITHHELD = "withheld from the public rendering"
_RATES = np.linspace(0, 1, 11)
_CURVE_DIGITS = 2


def for_public(evaluation: Evaluation, profile: Profile, rows_per_patient: int = 1) -> Evaluation:
    """Return the evaluation as a disclosure-control profile lets it be published.

    Parameters
    ----------
    evaluation : Evaluation
        The custodian's values.
    profile : Profile
        What counts as small, and how figures are rounded.
    rows_per_patient : int
        The most rows that one patient has. A cell of real rows is small where fewer rows than that
        many times the smallest cell are in it, since they may be of too few patients.

    Returns
    -------
    Evaluation
        Of the same type. Its notes say what was done.

    Notes
    -----
    *Guarantee*: none. *Assumes* that no patient has more rows than `rows_per_patient`, and that
    whoever reads it has no second table of the same patients to take differences with.
    """
    coder = _Coder(profile, evaluation.tables)
    margins, withheld = control_margins(
        evaluation.margins, evaluation.tables, profile, rows_per_patient
    )
    groups, left_out = _groups(evaluation.groups, profile, coder)
    digits = profile.digits
    return evaluation.model_copy(
        update={
            "tables": coder.facts(),
            "scores": tuple(map(coder.score, evaluation.scores)),
            "margins": margins,
            "worst_pairs": tuple(
                pair.model_copy(
                    update={
                        "distance": round(pair.distance, digits),
                        "holdout_distance": round(pair.holdout_distance, digits),
                    }
                )
                for pair in evaluation.worst_pairs
                if not set(pair.columns) & set(withheld)
            ),
            "associations": evaluation.associations.model_copy(
                update={
                    name: tuple(
                        tuple(round(value, _CURVE_DIGITS) for value in row)
                        for row in getattr(evaluation.associations, name)
                    )
                    for name in ("train", "synthetic")
                }
            ),
            "attacks": tuple(map(coder.attack, evaluation.attacks)),
            "risks": tuple(map(coder.risk, evaluation.risks)),
            "groups": groups,
            "analyses": tuple(map(coder.analysis, evaluation.analyses)),
            "notes": _notes(profile, withheld, left_out),
        }
    )


@dataclass(frozen=True)
class _Coder:
    """Rounds and codes figures by one profile."""

    profile: Profile
    tables: TableFacts

    def number(self, value: float) -> float:
        return round(value, self.profile.digits)

    def significant(self, value: float) -> float:
        return float(f"{value:.{self.profile.digits}g}")

    def count(self, value: int) -> int:
        base = self.profile.round_to
        return (2 * value + base) // (2 * base) * base

    def rate(self, value: float, people: int) -> float:
        """Return a share of so many people, which says of none, few, all but few: at least few."""
        least = min(0.5, self.profile.smallest_cell / max(people, 1))
        if value == 0 and not self.profile.zeros_are_small:
            return 0.0
        return self.number(min(max(value, least), 1 - least))

    def interval(self, found: Interval) -> Interval:
        return found.model_copy(
            update={"low": self.number(found.low), "high": self.number(found.high)}
        )

    def rate_interval(self, found: Interval, people: int) -> Interval:
        ends = {"low": self.rate(found.low, people), "high": self.rate(found.high, people)}
        return found.model_copy(update=ends)

    def facts(self) -> TableFacts:
        facts = self.tables.model_dump()
        real = ("train_rows", "train_patients", "holdout_rows", "holdout_patients")
        return TableFacts(**{k: self.count(v) if k in real else v for k, v in facts.items()})

    def score(self, score: Score) -> Score:
        private = score.topic == "privacy" and score.direction != "towards"
        people = min(self.tables.train_patients, self.tables.holdout_patients)

        def coded(value: float) -> float:
            return self.rate(value, people) if private and 0 <= value <= 1 else self.number(value)

        return score.model_copy(
            update={
                "value": None if score.value is None else coded(score.value),
                "interval": score.interval and self.interval(score.interval),
                "references": {
                    name: None if value is None else coded(value)
                    for name, value in score.references.items()
                },
                "goal": None if score.goal is None else self.number(score.goal),
                "draws": tuple(map(coded, score.draws)),
                "detail": "",
                "not_run": None if score.not_run is None else _why_not_run(),
            }
        )

    def attack(self, attack: Attack) -> Attack:
        smallest = self.profile.smallest_cell
        return attack.model_copy(
            update={
                "members": self.count(attack.members),
                "non_members": self.count(attack.non_members),
                "auc": self.number(attack.auc),
                "auc_interval": self.interval(attack.auc_interval),
                "fpr": tuple(_RATES.round(_CURVE_DIGITS).tolist()),
                "tpr": tuple(
                    np.interp(_RATES, attack.fpr, attack.tpr).round(_CURVE_DIGITS).tolist()
                    if attack.fpr
                    else []
                ),
                "tpr_at": tuple(
                    (
                        rate,
                        self.rate(found, attack.members),
                        self.rate_interval(interval, attack.members),
                    )
                    for rate, found, interval in attack.tpr_at
                    if rate * attack.non_members >= smallest
                ),
                "detection_limit": self.number(attack.detection_limit),
            }
        )

    def risk(self, risk: Risk) -> Risk:
        return risk.model_copy(
            update={
                "members": self.count(risk.members),
                "others": self.count(risk.others),
                "success": self.rate(risk.success, risk.members),
                "success_interval": self.rate_interval(risk.success_interval, risk.members),
                "control": self.rate(risk.control, risk.others),
                "control_interval": self.rate_interval(risk.control_interval, risk.others),
                "gain": self.number(risk.gain),
                "gain_interval": self.interval(risk.gain_interval),
                "detection_limit": self.number(risk.detection_limit),
                "detail": "",
            }
        )

    def analysis(self, analysis: Analysis) -> Analysis:
        free = analysis.real_rows - len(analysis.coefficients)
        tight = bool(analysis.coefficients) and free < self.profile.smallest_freedom
        why = analysis.not_run and _why_not_run()
        if tight or analysis.curves:
            why = f"{WITHHELD}: too few patients may stand behind it"
        return analysis.model_copy(
            update={
                "real_rows": self.count(analysis.real_rows),
                "coefficients": () if tight else tuple(map(self.term, analysis.coefficients)),
                "curves": (),
                "detail": "",
                "not_run": why,
            }
        )

    def term(self, term: Coefficient) -> Coefficient:
        real = term.real_interval
        ends = {"low": self.significant(real.low), "high": self.significant(real.high)}
        return term.model_copy(
            update={
                "real": self.significant(term.real),
                "real_interval": real.model_copy(update=ends),
                "overlap": self.number(term.overlap),
            }
        )


def _why_not_run() -> str:
    return "the custodian’s copy says why"


def _groups(
    found: tuple[GroupFigure, ...], profile: Profile, coder: _Coder
) -> tuple[tuple[GroupFigure, ...], int]:
    """Leave out small groups and, so that no total gives them away, the next smallest one."""
    sizes: dict[str, dict[str, int]] = {}
    for figure in found:
        sizes.setdefault(figure.column, {})[figure.group] = figure.patients
    hidden = {
        (column, group)
        for column, groups in sizes.items()
        for group in _hidden(groups, profile.smallest_cell)
    }
    kept = tuple(
        figure.model_copy(
            update={
                "patients": coder.count(figure.patients),
                "value": None if figure.value is None else coder.number(figure.value),
                "interval": figure.interval and coder.interval(figure.interval),
                "reference": (None if figure.reference is None else coder.number(figure.reference)),
                "not_run": None if figure.not_run is None else _why_not_run(),
            }
        )
        for figure in found
        if (figure.column, figure.group) not in hidden
    )
    return kept, len(hidden)


def _hidden(sizes: dict[str, int], smallest: int) -> set[str]:
    small = {group for group, size in sizes.items() if size < smallest}
    others = sorted((size, group) for group, size in sizes.items() if group not in small)
    alone = len(small) == 1 or sum(sizes[group] for group in small) < smallest
    if small and alone and others:
        small.add(others[0][1])
    return small


def _notes(profile: Profile, withheld: tuple[str, ...], groups: int) -> tuple[str, ...]:
    notes = [
        f"Disclosure control by the profile '{profile.name}': {plain(profile.title)}",
        f"Cells of fewer than {profile.smallest_cell} patients, and the next smallest with them, are "
        "merged into one.",
        "Rates of attacks are coded as if at least, and all but at least, that many patients were "
        "concerned.",
    ]
    if profile.round_to > 1:
        notes.append(f"Counts of real rows and patients are rounded to {profile.round_to}.")
    if withheld:
        columns = counted(len(withheld), "column")
        notes.append(f"{columns} withheld, as too few patients: {listed(withheld, 12)}.")
    if groups:
        notes.append(f"{counted(groups, 'group')} left out: small, or next to a small one.")
    return tuple(notes)
