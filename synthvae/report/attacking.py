"""Attacks as the page shows them: membership under the ceiling, and guesses about patients."""

from collections.abc import Sequence
from dataclasses import dataclass

from synthvae.evaluation.values import Attack, Risk
from synthvae.report.ceiling import Budget, beaten, ceiling
from synthvae.report.drawing import Drawing, Table
from synthvae.report.rows import Mark, Row, row_chart
from synthvae.report.words import count, number, plain, range_text, share, shorten

NO_CEILING = "–"


@dataclass(frozen=True)
class AttackRow:
    """One attack as the page shows it."""

    title: str
    meaning: str
    sizes: str
    auc: str
    interval: str
    rates: tuple[tuple[str, str, str, str], ...]
    detection_limit: str
    tripwire: bool
    alarm: str | None


def attack_row(attack: Attack, budget: Budget | None) -> AttackRow:
    """Return an attack in words, with an alarm where it surely beats what the guarantee allows."""
    rates = tuple(
        (
            share(rate),
            share(found),
            f"{share(interval.low)} to {share(interval.high)}",
            share(float(ceiling(rate, *budget))) if budget else NO_CEILING,
        )
        for rate, found, interval in attack.tpr_at
    )
    return AttackRow(
        title=shorten(attack.title, 160),
        meaning=plain(attack.meaning),
        sizes=f"{count(attack.members)} members, {count(attack.non_members)} non-members",
        auc=number(attack.auc),
        interval=range_text(attack.auc_interval),
        rates=rates,
        detection_limit=number(attack.detection_limit),
        tripwire=attack.tripwire,
        alarm=_alarm(attack, budget),
    )


def _alarm(attack: Attack, budget: Budget | None) -> str | None:
    above = beaten(attack, budget) if budget else ()
    if not above:
        return None
    places = ["all rates together (AUC)" if rate is None else share(rate) for rate in above]
    return (
        f"Above the ceiling at {' and '.join(places)}. But for chance (about 1 in 40 each), "
        "the guarantee, its implementation or the random split of the patients is wrong: "
        "find out which before anything is released."
    )


def strongest(attacks: Sequence[Attack]) -> Attack | None:
    """Return the attack with the largest AUC; a tripwire only where there is nothing else."""
    return max(attacks, key=lambda attack: (not attack.tripwire, attack.auc), default=None)


def risk_gains(risks: Sequence[Risk]) -> Drawing | None:
    """Draw what membership adds to guesses about patients, with each guess's figures beside it."""
    if not risks:
        return None
    rows = [
        Row(
            shorten(risk.title, 60),
            (Mark("synthetic", risk.gain, risk.gain_interval.low, risk.gain_interval.high),),
        )
        for risk in risks
    ]
    words = "; ".join(
        f"{plain(risk.title)} {number(risk.gain)} ({range_text(risk.gain_interval)})"
        for risk in risks
    )
    head = (
        "Attack", "Right on members", "Interval", "Right on others", "Gain", "Interval",
        "Could be seen from",
    )  # fmt: skip
    table = tuple(
        (
            plain(risk.title),
            share(risk.success),
            f"{share(risk.success_interval.low)} to {share(risk.success_interval.high)}",
            share(risk.control),
            number(risk.gain),
            range_text(risk.gain_interval),
            number(risk.detection_limit),
        )
        for risk in risks
    )
    return Drawing(
        key="risks",
        title="What membership adds to guesses about a patient",
        panels=(
            row_chart(rows, f"Gain over guesses about patients not in the table: {words}.", 0.0),
        ),
        table=Table(head, table),
        caption="The gain is how much oftener a guess is right about patients in the table than about "
        "others; at 0 the table tells what the population tells.",
        legend=(("dot synthetic", "gain, with its interval"), ("mark ideal", "none")),
    )
