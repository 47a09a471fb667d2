"""The guarantee as the page shows it: in plain words, and in full."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from synthvae._text import counted
from synthvae.evaluation.results import Attack, Risk
from synthvae.privacy.guarantee import GaussianStage, Guarantee, SecondOpinion, TrainingStage
from synthvae.privacy.tradeoff import Budget, beaten, best_guess, budget_of, ceiling, odds_factor
from synthvae.report.drawing import Drawing, Table
from synthvae.report.phrases import (
    NONE,
    bound,
    count,
    exact,
    listed,
    number,
    plain,
    power,
    raised,
    range_text,
    share,
    shorten,
)
from synthvae.report.svg import Mark, Row, row_chart

NO_CEILING = "–"


@dataclass(frozen=True)
class Promise:
    """The guarantee as the page shows it."""

    void: str | None
    epsilon: str
    delta: str
    facts: tuple[tuple[str, str], ...]
    stages: Table
    plain_words: tuple[str, ...]
    odds: Table | None
    groups: Table | None
    assumptions: tuple[str, ...]
    public_inputs: tuple[str, ...]
    not_covered: tuple[str, ...]


def why_void(guarantee: Guarantee | None) -> str | None:
    """Return why the table is not private, or None where a guarantee holds."""
    if guarantee is None:
        return (
            "No guarantee came with this evaluation, so nothing here bounds what the table tells "
            "about a patient."
        )
    if budget_of(guarantee) is None:
        return plain(guarantee.why_void or "The guarantee is not valid; no reason was given.")
    return None


def promise(guarantee: Guarantee) -> Promise:
    """Return the guarantee in full and in plain words."""
    budget = budget_of(guarantee)
    facts = (
        ("Unit of protection", plain(guarantee.unit)),
        ("Neighbouring tables", plain(guarantee.neighbours)),
        ("ε spent", bound(guarantee.epsilon)),
        ("ε budget", exact(guarantee.epsilon_budget)),
        ("δ", exact(guarantee.delta)),
        ("Declared patients", count(guarantee.declared_patients)),
        ("Rows per patient, at most", count(guarantee.rows_per_patient)),
        ("Accountant", plain(guarantee.accountant)),
        ("Second accountant", _second(guarantee.second_opinion)),
        ("Schema of the fit (SHA-256)", plain(guarantee.schema_digest)),
        ("Code of the fit (SHA-256)", plain(guarantee.code_sha256)),
    )
    return Promise(
        void=why_void(guarantee),
        epsilon=bound(guarantee.epsilon, 3),
        delta=exact(guarantee.delta),
        facts=facts,
        stages=_stages(guarantee),
        plain_words=_plain_words(guarantee, budget) if budget else (),
        odds=_odds(budget) if budget else None,
        groups=_groups(guarantee, budget) if budget else None,
        assumptions=tuple(plain(one.text) for one in guarantee.assumptions),
        public_inputs=tuple(plain(text) for text in guarantee.public_inputs),
        not_covered=tuple(plain(text) for text in guarantee.not_covered),
    )


def _second(opinion: SecondOpinion | None) -> str:
    if opinion is None:
        return NONE
    who = plain(opinion.accountant)
    if opinion.epsilon is None or opinion.error is None:
        return f"{who}: no figure; {plain(opinion.unavailable or 'no reason was given')}"
    shown = round(opinion.epsilon, 1 if opinion.epsilon >= 100 else 4)
    error = opinion.error + abs(shown - opinion.epsilon)  # what rounding takes, the error gives
    return f"ε = {number(shown, 4)} ± {bound(error)}, by {who}"


def _groups(guarantee: Guarantee, budget: Budget) -> Table:
    epsilon, delta = budget
    protected: list[tuple[str, float | None]] = [
        ("One patient is there or not: the guarantee", epsilon),
        ("One patient's record is replaced by another", guarantee.replace_epsilon),
    ]
    protected += [
        (f"{size} patients are there or not, such as a family", found)
        for size, found in sorted(guarantee.group_epsilon.items())
    ]
    head = (
        "If two tables differ in this …",
        "ε at the same δ",
        "… what anybody concludes is at most this much likelier with one than with the other",
        "A guess that chance gets right half the time is right at most",
    )
    note = (
        "Figures for several patients follow from the same account, are upper bounds, and cost "
        "nothing more. Where it says that there is no bound, none is in the range of the accountant."
    )
    return Table(head, tuple(_bounds(what, e, delta) for what, e in protected), note, words=1)


def _bounds(what: str, epsilon: float | None, delta: float) -> tuple[str, ...]:
    if epsilon is None:
        return what, "no bound", "no bound", "always"
    guess = bound(100 * best_guess(epsilon, delta), 1)
    return what, bound(epsilon), f"{_times(epsilon)} times", f"{guess} %"


def _times(epsilon: float) -> str:
    """Return e^ε as a reader can take it in."""
    factor = odds_factor(epsilon)
    return power(raised(factor)) if factor >= 1000 else bound(factor, 2 if factor < 10 else 0)


def _stages(guarantee: Guarantee) -> Table:
    rows: list[tuple[str, ...]] = []
    for stage in guarantee.stages:
        if isinstance(stage, GaussianStage):
            low, high = min(stage.noise_multipliers), max(stage.noise_multipliers)
            noise = exact(low) if low == high else f"{exact(low)} to {exact(high)}"
            size = counted(stage.queries, "query", "queries")
            rows.append((stage.stage, plain(stage.mechanism), noise, size, "all patients"))
        elif isinstance(stage, TrainingStage):
            rows.append(
                (
                    stage.stage,
                    plain(stage.mechanism),
                    exact(stage.noise_multiplier),
                    counted(stage.steps, "step"),
                    f"rate {exact(stage.sampling_rate)}, about {stage.expected_batch:,.0f} a step; "
                    f"clipped at {exact(stage.clip_norm)}",
                )
            )
    head = ("Stage", "Mechanism", "Noise (σ)", "Releases", "Who takes part")
    note = (
        "σ is in units of the most that one patient can change. All stages are composed together; "
        "anybody can recompute ε from the guarantee's file."
    )
    return Table(head, tuple(rows), note, words=5)


def _plain_words(guarantee: Guarantee, budget: Budget) -> tuple[str, ...]:
    epsilon, delta = budget
    times = _times(epsilon)
    sentences = [
        "Imagine two worlds that differ in one patient only: in one the patient's record was used, "
        "in the other it was not. Whatever anybody concludes from the synthetic table, with any "
        f"practicable method and any other knowledge, is at most {times} times as likely in one world "
        f"as in the other, but for a remainder of probability δ = {exact(delta)}.",
        f"A guess about one patient that would be right half the time by chance is right at most "
        f"{bound(100 * best_guess(epsilon, delta), 1)} % of the time after the table is seen.",
    ]
    if guarantee.declared_patients:
        expected = guarantee.declared_patients * delta
        sentences.append(
            f"Summed over all {count(guarantee.declared_patients)} declared patients, the "
            f"remainder δ comes to {number(expected)}: "
            + ("it stays small beside one patient." if expected < 0.5 else "that is much.")
        )
    if epsilon > 10:
        sentences.append(
            "At an ε as large as this the bound says little, and attacks that find nothing do not "
            "make up for it."
        )
    return tuple(sentences)


def _odds(budget: Budget) -> Table:
    rows = []
    for rate in (0.001, 0.01, 0.1):
        top = float(ceiling(rate, *budget))
        rows.append((share(rate), f"{bound(100 * top, 1)} %", f"{bound(top / rate, 1)} times"))
    head = (
        "If an attacker wrongly accuses this share of people who are not in the data …",
        "… at most this share of the real patients can be found",
        "compared with guessing",
    )
    return Table(head, tuple(rows), words=0)


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


def planted_bugs() -> Table | None:
    """Return the bugs that were planted and what caught them; None where no record of it ships."""
    file = resources.files("synthvae").joinpath("audit", "planted.json")
    if not file.is_file():
        return None
    bugs = json.loads(file.read_text(encoding="utf-8"))["bugs"]
    rows = tuple(
        (
            plain(bug["name"]),
            plain(bug["breaks"]),
            listed([plain(test) for test in bug["caught_by"]], 3) or "nothing",
            plain(bug["audit"] or "–"),
            f"{share(bug['power'], 0)} of {bug['repetitions']:,}",
            "yes" if bug["in_ci"] else "no",
        )
        for bug in bugs
    )
    head = ("Planted bug", "What it breaks", "Caught by", "Audit", "How often", "In each build")
    return Table(head, rows, words=4) if rows else None
