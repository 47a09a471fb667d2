"""The guarantee as the page shows it: in plain words, and in full."""

from dataclasses import dataclass

from synthvae.privacy.guarantee import GaussianStage, Guarantee, TrainingStage
from synthvae.report.ceiling import Budget, best_guess, budget_of, ceiling, odds_factor
from synthvae.report.drawing import Table
from synthvae.report.words import bound, count, counted, exact, number, plain, power, share


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
        ("Schema of the fit (SHA-256)", guarantee.schema_digest),
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


def _plain_words(guarantee: Guarantee, budget: Budget) -> tuple[str, ...]:
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


def _odds(budget: Budget) -> Table:
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
