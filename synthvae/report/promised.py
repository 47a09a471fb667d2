"""The guarantee as the page shows it: in plain words, and in full."""

from dataclasses import dataclass

from synthvae._text import counted
from synthvae.privacy.guarantee import (
    GaussianStage,
    Guarantee,
    SecondOpinion,
    TrainingStage,
)
from synthvae.report.ceiling import Budget, best_guess, budget_of, ceiling, odds_factor
from synthvae.report.drawing import Table
from synthvae.report.words import NONE, bound, count, exact, number, plain, power, raised, share


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
