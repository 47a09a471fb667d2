"""What each part of the page says: values in, words and tables out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from synthvae.evaluation.values import Attack, Evaluation, PairDistance, Score, Topic
from synthvae.privacy.guarantee import GaussianStage, Guarantee, TrainingStage
from synthvae.report.ceiling import best_guess, ceiling, largest_auc, odds_factor
from synthvae.report.drawing import Table
from synthvae.report.panels import strip
from synthvae.report.words import (
    bound,
    count,
    counted,
    direction,
    exact,
    number,
    plain,
    power,
    range_text,
    reference_name,
    share,
    shorten,
)

TOPICS: dict[Topic, str] = {
    "validity": "Validity",
    "fidelity": "Fidelity",
    "utility": "Utility",
    "privacy": "Privacy",
}
_TRIPWIRES = ("dcr", "closest", "tripwire", "copies")
_HEADLINES: dict[Topic, tuple[str, ...]] = {
    "validity": ("valid_rows",),
    "fidelity": ("tvd2", "c2st"),
    "utility": ("tstr.",),
    "privacy": ("copies",),
}


@dataclass(frozen=True)
class ScoreRow:
    """One score as the page shows it."""

    key: str
    title: str
    topic: str
    meaning: str
    detail: str
    value: str
    interval: str
    interval_note: str
    references: tuple[tuple[str, str, str], ...]
    direction: str
    strip: Markup
    not_run: str | None
    tripwire: bool


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
    public_inputs: tuple[str, ...]
    not_covered: tuple[str, ...]


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


def score_row(score: Score) -> ScoreRow:
    """Return a score in words; one that did not run says so and shows no value."""
    ran = score.not_run is None and score.value is not None
    references = tuple(
        (name, reference_name(name), number(value)) for name, value in score.references.items()
    )
    note = ""
    if score.interval is not None:
        note = f"{share(score.interval.level, 0)} interval, {plain(score.interval.method)}"
    return ScoreRow(
        key=score.key,
        title=shorten(score.title, 160),
        topic=TOPICS[score.topic],
        meaning=plain(score.meaning),
        detail=plain(score.detail),
        value=number(score.value) if ran else "not run",
        interval=range_text(score.interval) if ran and score.interval is not None else "",
        interval_note=note,
        references=references if ran else (),
        direction=direction(score.direction, score.goal),
        strip=strip(score) if ran else Markup(""),
        not_run=None if ran else plain(score.not_run or "no reason was given"),
        tripwire=is_tripwire(score),
    )


def is_tripwire(found: Score | Attack) -> bool:
    """Tell whether a finding can raise an alarm but is no evidence of privacy when it is quiet."""
    text = f"{found.key} {found.title} {found.meaning}".lower()
    private = isinstance(found, Attack) or found.topic == "privacy"
    return private and any(word in text for word in _TRIPWIRES)


def rows_of(evaluation: Evaluation, topic: Topic) -> tuple[ScoreRow, ...]:
    """Return the scores of one topic, in the evaluation's order."""
    return tuple(score_row(score) for score in evaluation.scores if score.topic == topic)


def headlines(evaluation: Evaluation) -> tuple[ScoreRow, ...]:
    """Return the scores to read first: for each topic the known ones that ran, or else any one."""
    chosen: list[Score] = []
    for topic, keys in _HEADLINES.items():
        ran = [
            score
            for score in evaluation.scores
            if score.topic == topic and score.not_run is None and score.value is not None
        ]
        known = [next((score for score in ran if score.key.startswith(key)), None) for key in keys]
        chosen += [score for score in known if score is not None] or ran[:1]
    return tuple(score_row(score) for score in chosen)


def not_tested(evaluation: Evaluation) -> tuple[tuple[str, str], ...]:
    """Return what this evaluation leaves open, each with its reason."""
    found = [
        (plain(score.title), plain(score.not_run or "no reason was given"))
        for score in evaluation.scores
        if score.not_run is not None or score.value is None
    ]
    for topic, title in TOPICS.items():
        if not any(score.topic == topic for score in evaluation.scores) and not (
            topic == "privacy" and evaluation.attacks
        ):
            found.append((title, "the evaluation has no scores on it"))
    if not evaluation.attacks:
        found.append(("Membership attacks", "none was run"))
    return tuple(found)


def strongest(attacks: Sequence[Attack]) -> Attack | None:
    """Return the attack with the largest AUC."""
    return max(attacks, key=lambda attack: attack.auc, default=None)


def budget_of(guarantee: Guarantee | None) -> tuple[float, float] | None:
    """Return epsilon and delta of a guarantee that holds."""
    if guarantee is None or not guarantee.valid:
        return None
    if guarantee.epsilon is None or guarantee.delta is None:
        return None
    return guarantee.epsilon, guarantee.delta


def attack_row(attack: Attack, budget: tuple[float, float] | None) -> AttackRow:
    """Return an attack in words, with an alarm where it surely beats what the guarantee allows."""
    rates = []
    beaten = []
    for rate, found, interval in attack.tpr_at:
        top = float(ceiling(rate, *budget)) if budget else math.nan
        if budget and interval.low > top:
            beaten.append(share(rate))
        rates.append(
            (
                share(rate),
                share(found),
                f"{share(interval.low)} to {share(interval.high)}",
                share(top),
            )
        )
    if budget and attack.auc_interval.low > largest_auc(*budget):
        beaten.append("all rates together (AUC)")
    alarm = None
    if beaten:
        alarm = (
            f"Above the ceiling at {' and '.join(beaten)}. But for chance (about 1 in 40 each), "
            "the guarantee, its implementation or the random split of the patients is wrong: "
            "find out which before anything is released."
        )
    return AttackRow(
        title=shorten(attack.title, 160),
        meaning=plain(attack.meaning),
        sizes=f"{count(attack.members)} members, {count(attack.non_members)} non-members",
        auc=number(attack.auc),
        interval=range_text(attack.auc_interval),
        rates=tuple(rates),
        detection_limit=number(attack.detection_limit),
        tripwire=is_tripwire(attack),
        alarm=alarm,
    )


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
        ("Schema (SHA-256)", guarantee.schema_digest),
    )
    return Promise(
        void=why_void(guarantee),
        epsilon=bound(guarantee.epsilon, 3),
        delta=exact(guarantee.delta),
        facts=facts,
        stages=_stages(guarantee),
        plain_words=_plain_words(guarantee, budget) if budget else (),
        odds=_odds(budget) if budget else None,
        public_inputs=tuple(plain(text) for text in guarantee.public_inputs),
        not_covered=tuple(plain(text) for text in guarantee.not_covered),
    )


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


def _plain_words(guarantee: Guarantee, budget: tuple[float, float]) -> tuple[str, ...]:
    epsilon, delta = budget
    factor = odds_factor(epsilon)
    times = power(factor) if factor >= 1000 else bound(factor, 2 if factor < 10 else 0)
    sentences = [
        "Imagine two worlds that differ in one patient only: in one the patient's record was used, "
        "in the other it was not. Whatever anybody concludes from the synthetic table, with any "
        f"method and any other knowledge, is at most {times} times as likely in one world as in "
        f"the other, but for a remainder of probability δ = {exact(delta)}.",
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


def _odds(budget: tuple[float, float]) -> Table:
    rows = []
    for rate in (0.001, 0.01, 0.1):
        top = float(ceiling(rate, *budget))
        rows.append((share(rate), share(top), f"{top / rate:.1f} times"))
    head = (
        "If an attacker wrongly accuses this share of people who are not in the data …",
        "… at most this share of the real patients can be found",
        "compared with guessing",
    )
    return Table(head, tuple(rows), words=0)


def pairs_table(pairs: Sequence[PairDistance]) -> Table:
    """Return the pairs of columns whose joint distribution is furthest off."""
    rows = tuple(
        (
            plain(pair.columns[0]),
            plain(pair.columns[1]),
            number(pair.distance),
            number(pair.holdout_distance),
            f"{pair.distance / pair.holdout_distance:.1f}" if pair.holdout_distance > 0 else "–",
        )
        for pair in pairs
    )
    return Table(("Column", "with", "Synthetic", "Holdout", "Times the holdout's"), rows, words=2)
