"""Two worlds: many fits with one record and without it, and how well an observer tells them apart.

A table and the same table with one record more are fitted many times. Whatever tells the fits of one
from those of the other bounds epsilon from below (Jagielski, Ullman and Oprea 2020, "Auditing
Differentially Private Machine Learning"; Nasr et al. 2023, "Tight Auditing of Differentially Private
Machine Learning").
"""

import time
from collections import Counter

import numpy as np

from synthvae._runtime import Progress, silent
from synthvae._types import Floats
from synthvae.audit.bounds import Claim
from synthvae.audit.checks import check_noise, check_releases, check_shape
from synthvae.audit.observers import (
    COUNTS,
    EVERYTHING,
    PAIRS,
    RECORDS,
    TRAINING,
    Observation,
)
from synthvae.audit.scores import Scored, bound, discriminant
from synthvae.audit.tiny import Case
from synthvae.audit.trials import FEWEST, Trials, run_trials
from synthvae.audit.values import AuditResult, Check
from synthvae.errors import ConfigError, check_positive_integer

NUMBERS = "model: all its numbers"
WHITE_MODEL = (
    "The observer knows the code, the settings, both tables and every random draw but the noise and who "
    "takes part, and sees every noisy count, moment and gradient of a fit."
)
BLACK_MODEL = (
    "The observer knows both tables, and sees what is released: synthetic records and the saved "
    "model."
)


def audit_worlds(
    case: Case,
    trials: int,
    *,
    inside: bool = True,
    confidence: float = 0.95,
    seed: int = 0,
    workers: int = 1,
    progress: Progress = silent,
) -> AuditResult:
    """Fit a case many times in two worlds and bound its epsilon from below.

    Parameters
    ----------
    trials
        Fits of each world.
    inside
        Whether the observer sees every release (white box), or only what is published.
    confidence
        With which all bounds hold together; the first component gets most of the allowed error.
    seed
        Of the observer's own draws; the noise of the fits is fresh every time.
    workers
        Processes that fit; with 1, everything happens here, whatever has been put in its modules.

    Raises
    ------
    ConfigError
        There are fewer trials than `FEWEST`, or the confidence is no probability.
    """
    check_asked(trials, confidence, workers)
    begun = time.monotonic()
    found = run_trials(case, inside, trials, seed, workers, progress)
    scored = _white_scores(case, found) if inside else _black_scores(case, found)
    components = bound(scored, 1 - confidence)
    checks: tuple[Check, ...] = (check_shape(found),)
    if inside:
        checks = (check_releases(case, found), check_noise(found), *checks)
    first = components[0]
    return AuditResult(
        kind="two-worlds-white" if inside else "two-worlds-black",
        threat_model=WHITE_MODEL if inside else BLACK_MODEL,
        claimed=first.claimed,
        delta=_delta(case),
        confidence=confidence,
        lower=first.lower,
        ceiling=first.ceiling,
        patients=case.patients,
        sampling_rate=case.settings.sampling_rate,
        steps=case.settings.steps,
        trials=(len(found.without), len(found.with_record)),
        trials_asked=trials,
        interrupted=found.interrupted,
        components=components,
        checks=checks,
        seconds=time.monotonic() - begun,
    )


def check_asked(trials: int, confidence: float, workers: int) -> None:
    """Raise `ConfigError` for what no audit can be made of."""
    check_positive_integer("workers", workers)
    if check_positive_integer("trials", trials) < FEWEST:
        raise ConfigError(f"trials is {trials}; below {FEWEST} nothing can be shown.")
    if not 0.5 <= confidence < 1:
        raise ConfigError(f"confidence is {confidence}; it must be at least 0.5 and below 1.")


def _delta(case: Case) -> float:
    assert case.plan.delta is not None
    return case.plan.delta


def _white_scores(case: Case, found: Trials) -> list[Scored]:
    plan = case.plan
    assert plan.training is not None
    delta = _delta(case)
    training = Claim((plan.training,), delta)
    parts = {
        EVERYTHING: (Claim(plan.stages, delta), "every count, moment and gradient"),
        COUNTS: (Claim((plan.marginals,), delta), "noisy counts of columns and patients"),
        PAIRS: (Claim((plan.pairs,), delta), "noisy moments of pairs of columns"),
        TRAINING: (training, "noisy gradients of all layers"),
    }
    scored = []
    for name in _names(found, "ratios"):
        claim, sees = parts.get(name, (training, "noisy gradients of one layer"))
        rank = 1 if name == EVERYTHING else 2 if name in parts else 3
        scored.append(Scored(name, sees, claim, *_collect(found, name, "ratios"), 0.0, rank))
    for name in _names(found, "measured"):
        values = _collect(found, name, "measured")
        scored.append(Scored(name, "how large noisy gradients are", training, *values, None, 3))
    return scored


def _black_scores(case: Case, found: Trials) -> list[Scored]:
    claim = Claim(case.plan.stages, _delta(case))
    scored = []
    for name in _names(found, "measured"):
        sees = "the saved model" if name.startswith("model") else "synthetic records"
        rank = 1 if name == RECORDS else 2
        scored.append(Scored(name, sees, claim, *_collect(found, name, "measured"), None, rank))
    numbers = [np.array([one.numbers for one in world]) for world in _same_length(found)]
    if min(map(len, numbers)) >= FEWEST:
        scored.append(Scored(NUMBERS, "the saved model", claim, *discriminant(*numbers), None, 2))
    return scored


def _names(found: Trials, kind: str) -> list[str]:
    return list(
        dict.fromkeys(
            name
            for world in (found.without, found.with_record)
            for one in world
            for name in getattr(one, kind)
        )
    )


def _collect(found: Trials, name: str, kind: str) -> tuple[Floats, Floats]:
    """Return a score of all fits of both worlds; one that a fit lacks says nothing, 0."""
    worlds = (found.without, found.with_record)
    first, second = (
        np.nan_to_num([getattr(one, kind).get(name, 0.0) for one in world]) for world in worlds
    )
    return first, second


def _same_length(found: Trials) -> tuple[list[Observation], list[Observation]]:
    """Return the observations whose models have the most common number of numbers."""
    lengths = Counter(len(one.numbers) for one in found.without + found.with_record)
    usual = lengths.most_common(1)[0][0]
    first, second = (
        [one for one in world if len(one.numbers) == usual]
        for world in (found.without, found.with_record)
    )
    return first, second
