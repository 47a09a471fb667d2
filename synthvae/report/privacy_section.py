"""The sections on privacy: the guarantee in plain words and in full, attacks, and planted bugs."""

import json
import math
from collections.abc import Sequence
from importlib import resources
from typing import assert_never

from synthvae._text import counted, epsilon_text
from synthvae.evaluation.results import Attack, Evaluation, Risk
from synthvae.privacy.guarantee import GaussianStage, Guarantee, SecondOpinion, TrainingStage
from synthvae.privacy.tradeoff import Budget, best_guess, budget_of, ceiling, odds_factor
from synthvae.report import drawing, phrases
from synthvae.report.claims import beaten
from synthvae.report.svg import Estimate, forest_plot


def privacy_values(evaluation: Evaluation, guarantee: Guarantee | None) -> dict[str, object]:
    """Return what the page's templates read of the guarantee and of the attacks, by name."""
    budget = budget_of(guarantee)
    values: dict[str, object] = {
        "guarantee": guarantee,
        "budget": budget,
        "void": why_void(guarantee),
        "planted": planted_bugs(),
        # A tripwire is the strongest attack only where there is no other.
        "strongest": max(evaluation.attacks, key=lambda a: (not a.tripwire, a.auc), default=None),
        "attacks": [(attack, alarm(attack, budget)) for attack in evaluation.attacks],
    }
    if guarantee:
        values["stages"] = _stage_table(guarantee)
        values["second_opinion"] = _second_opinion(guarantee.second_opinion)
    if guarantee and budget:
        values |= {
            "factor": _factor(budget[0]),
            "best_guess": _best_guess(budget),
            "odds": _odds_table(budget),
            "group_odds": group_table(guarantee, budget),
        }
    return values


def why_void(guarantee: Guarantee | None) -> str | None:
    """Return why the table is not private, or None where a guarantee holds."""
    if guarantee is None:
        return (
            "No guarantee came with this evaluation, so nothing here bounds what the table tells "
            "about a patient."
        )
    if budget_of(guarantee) is None:
        return phrases.plain(
            guarantee.why_void or "The guarantee is not valid; no reason was given."
        )
    return None


def _second_opinion(opinion: SecondOpinion | None) -> str:
    if opinion is None:
        return phrases.NONE
    accountant = phrases.plain(opinion.accountant)
    if opinion.epsilon is None or opinion.error is None:
        return f"{accountant}: no figure; {phrases.plain(opinion.unavailable or phrases.NO_REASON)}"
    shown = epsilon_text(opinion.epsilon)
    # Three digits, rounded up, add at most 1 % of the figure: the error has to take that back.
    error = opinion.error + 0.01 * abs(opinion.epsilon)
    return f"ε = {shown} ± {epsilon_text(error)}, by {accountant}"


def _stage_table(guarantee: Guarantee) -> drawing.Table:
    rows = []
    for stage in guarantee.stages:
        if isinstance(stage, GaussianStage):
            low, high = min(stage.noise_multipliers), max(stage.noise_multipliers)
            noise = (
                phrases.exact(low)
                if low == high
                else f"{phrases.exact(low)} to {phrases.exact(high)}"
            )
            releases = counted(stage.queries, "query", "queries")
            participants = "all patients"
        elif isinstance(stage, TrainingStage):
            noise, releases = phrases.exact(stage.noise_multiplier), counted(stage.steps, "step")
            participants = (
                f"rate {phrases.exact(stage.sampling_rate)}, about {stage.expected_batch:,.0f} a step; "
                f"clipped at {phrases.exact(stage.clip_norm)}"
            )
        else:
            assert_never(stage)
        rows.append((stage.stage, phrases.plain(stage.mechanism), noise, releases, participants))
    return drawing.Table(
        ("Stage", "Mechanism", "Noise (σ)", "Releases", "Who takes part"),
        rows,
        "σ is in units of the most that one patient can change. Anchors are counts; pairs are moments "
        "of two columns, interactions of three and four. All stages are composed together; anybody can "
        "recompute ε from the guarantee's file.",
        text_columns=5,
    )


def _odds_table(budget: Budget) -> drawing.Table:
    head = (
        "If an attacker wrongly accuses this share of people who are not in the data …",
        "… at most this share of the real patients can be found",
        "compared with guessing",
    )
    tops = {rate: float(ceiling(rate, *budget)) for rate in (0.001, 0.01, 0.1)}
    rows = [
        (
            phrases.share(rate),
            f"{phrases.upper_bound(100 * top, 1)} %",
            f"{phrases.upper_bound(top / rate, 1)} times",
        )
        for rate, top in tops.items()
    ]
    return drawing.Table(head, rows, text_columns=0)


def group_table(guarantee: Guarantee, budget: Budget) -> drawing.Table:
    epsilon, delta = budget
    bounds = {
        "One patient is there or not: the guarantee": epsilon,
        "One patient's record is replaced by another": guarantee.replace_epsilon,
    } | {
        f"{size} patients are there or not, such as a family": group_epsilon
        for size, group_epsilon in sorted(guarantee.group_epsilon.items())
    }
    return drawing.Table(
        (
            "If two tables differ in this …",
            "ε at the same δ",
            "… what anybody concludes is at most this much likelier with one than with the other",
            "A guess that chance gets right half the time is right at most",
        ),
        [
            (change, "no bound", "no bound", "always")
            if bound is None
            else (
                change,
                phrases.epsilon(bound),
                f"{_factor(bound)} times",
                _best_guess((bound, delta)),
            )
            for change, bound in bounds.items()
        ],
        "Figures for several patients follow from the same account, are upper bounds, and cost "
        "nothing more. Where it says that there is no bound, none is in the range of the accountant.",
    )


def _best_guess(budget: Budget) -> str:
    return f"{phrases.upper_bound(100 * best_guess(*budget), 1)} %"


def _factor(epsilon: float) -> str:
    """Return e^ε as a reader can take it in, rounded up."""
    factor = odds_factor(epsilon)
    if factor < 1000:
        return phrases.upper_bound(factor, 2 if factor < 10 else 0)
    if math.isfinite(factor):
        step = 10.0 ** (math.floor(math.log10(factor)) - 1)
        factor = math.ceil(factor / step - 1e-6) * step
    return phrases.power(factor)


def ceiling_text(rate: float, budget: Budget | None) -> str:
    """Return the most members that the guarantee lets be found at a false positive rate."""
    return phrases.share(float(ceiling(rate, *budget))) if budget else phrases.NONE


def alarm(attack: Attack, budget: Budget | None) -> str | None:
    """Return the warning that an attack surely beats what the guarantee allows, None where none does."""
    above = beaten(attack, budget) if budget else ()
    if not above:
        return None
    places = ["all rates together (AUC)" if rate is None else phrases.share(rate) for rate in above]
    return (
        f"Above the ceiling at {' and '.join(places)}. But for chance (1 in 40 for all together), "
        "the guarantee, its implementation or the random split of the patients is wrong: "
        "find out which before anything is released."
    )


def risk_drawing(risks: Sequence[Risk]) -> drawing.Drawing | None:
    """Draw what membership adds to guesses about patients, with each guess's figures beside it."""
    if not risks:
        return None
    rows = [
        (phrases.shorten(risk.title, 60), [Estimate("synthetic", risk.gain, risk.gain_interval)])
        for risk in risks
    ]
    gains = "; ".join(
        f"{phrases.plain(risk.title)} {phrases.number(risk.gain)} "
        f"({phrases.range_text(risk.gain_interval)})"
        for risk in risks
    )
    head = (
        "Attack", "Right on members", "Interval", "Right on others", "Gain", "Interval",
        "Could be seen from",
    )  # fmt: skip
    table = [
        (
            phrases.plain(risk.title),
            phrases.share(risk.success),
            phrases.share_range(risk.success_interval),
            phrases.share(risk.control),
            phrases.number(risk.gain),
            phrases.range_text(risk.gain_interval),
            phrases.number(risk.detection_limit),
        )
        for risk in risks
    ]
    alt = f"Gain over guesses about patients not in the table: {gains}."
    return drawing.Drawing(
        key="risks",
        title="What membership adds to guesses about a patient",
        panels=[forest_plot(rows, alt, 0.0)],
        table=drawing.Table(head, table),
        caption="The gain is how much oftener a guess is right about patients in the table than about "
        "others; at 0 the table tells what the population tells.",
        legend=[("dot synthetic", "gain, with its interval"), ("mark ideal", "none")],
    )


def planted_bugs() -> drawing.Table | None:
    """Return the bugs that were planted and what caught them; None where no record of it ships."""
    file = resources.files("synthvae").joinpath("audit", "planted.json")
    if not file.is_file():
        return None
    rows = [
        (
            phrases.plain(bug["name"]),
            phrases.plain(bug["breaks"]),
            phrases.listed([phrases.plain(test) for test in bug["caught_by"]], 3) or "nothing",
            phrases.plain(bug["audit"] or phrases.NONE),
            f"{phrases.share(bug['power'], 0)} of {bug['repetitions']:,}",
            "yes" if bug["in_ci"] else "no",
        )
        for bug in json.loads(file.read_text(encoding="utf-8"))["bugs"]
    ]
    head = ("Planted bug", "What it breaks", "Caught by", "Audit", "How often", "In each build")
    return drawing.Table(head, rows, text_columns=4) if rows else None
