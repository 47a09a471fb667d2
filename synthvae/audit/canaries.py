"""One run: many canaries in one fit, each there by the toss of a coin, and guesses about all of them.

Steinke, Nasr and Jagielski 2023, "Privacy Auditing with One (1) Training Run". The table consists of
canaries alone: records drawn evenly from the schema's bounds and categories. The observer sees every
release, knows each canary's effect on each, and scores how likely each was there; it guesses about the
most and the least likely, and abstains on the rest.
"""

import time
from collections.abc import Iterator
from math import comb

import numpy as np
import torch

from synthvae._runtime import Progress, silent
from synthvae._types import Bools, Floats, Ints
from synthvae.audit.bounds import Claim, one_run_epsilon
from synthvae.audit.case import Case, even_marginals, features_of, frame_of, simulated_case
from synthvae.audit.releases import Batch, FitReleases, Replay, moment_releases
from synthvae.audit.results import AuditResult, Check, Component
from synthvae.audit.worlds import check_size
from synthvae.baselines.ruled import sample_under_rules
from synthvae.errors import ConfigError
from synthvae.field import Field
from synthvae.marginals.column import ColumnMarginal
from synthvae.model.layout import Layout
from synthvae.rules.values import FIRST_SPECIAL, MISSING
from synthvae.schema import Schema

FEWEST_CANARIES = 40
SHARES = (0.1, 0.25, 0.5, 1.0)  # of the canaries that are guessed about: fixed beforehand
MODEL = (
    "The observer put the canaries together, knows the code, the settings and every random draw but the "
    "noise and the canaries' coins, and sees every noisy count, moment and gradient of one fit."
)


def canary_case(epsilon: float, *, columns: int = 16, **changes: float) -> Case:
    """Return a case with room for canaries: columns enough that records differ, a wide model."""
    sizes = {"rank": 3, "latent": 8, "hidden": 16, "steps": 4, "interactions": comb(columns, 3)}
    return simulated_case("canaries", epsilon, list("abcd"), columns, sizes | changes)


def audit_one_run(
    case: Case,
    canaries: int,
    *,
    confidence: float = 0.95,
    seed: int = 0,
    progress: Progress = silent,
) -> AuditResult:
    """Fit once with canaries in the table and bound epsilon from the guesses that are right.

    Parameters
    ----------
    canaries
        Number of records, for each of which a coin is tossed.
    confidence
        With which the largest of the bounds, one for each share of the canaries that is guessed
        about, holds.

    Raises
    ------
    ConfigError
        There are too few canaries, the schema has several rows a patient, or no number of patients.
    """
    check_one_run(case, canaries, confidence)
    start = time.monotonic()
    generator = np.random.default_rng(seed)
    codes = draw_records(case.schema, canaries, generator)
    coins = generator.random(canaries) < 0.5
    patients = int(coins.sum())
    progress("one run: fitting", 0.0)
    seen = FitReleases()
    fitted = case.fit(frame_of(codes[coins], np.arange(patients), case.schema), seen)
    layout = fitted.state().layout
    effects, releases = zip(
        *_effects(case, layout, seen, codes, coins, generator, progress), strict=True
    )
    scores = presence_scores(np.concatenate(effects, axis=1), np.concatenate(releases))
    claim, level = case.claim(), (1 - confidence) / len(SHARES)
    components = tuple(_component(scores, coins, share, claim, level) for share in SHARES)
    steps = sum(len(training.steps) for training in seen.trainings)
    check = Check(
        name="releases",
        passed=steps == case.training.steps,
        detail=f"{steps} steps made, {case.training.steps} accounted",
    )
    return AuditResult(
        kind="one-run",
        threat_model=MODEL,
        claimed=claim.epsilon,
        delta=claim.delta,
        confidence=confidence,
        lower=max(one.lower for one in components),
        ceiling=max(one.ceiling for one in components),
        patients=patients,
        sampling_rate=case.settings.sampling_rate,
        steps=case.settings.steps,
        trials=(canaries, 1),
        trials_asked=canaries,
        interrupted=False,
        components=components,
        checks=(check,),
        seconds=time.monotonic() - start,
    )


def check_one_run(case: Case, canaries: int, confidence: float) -> None:
    """Raise `ConfigError` for a case, canaries or a confidence that one run cannot have."""
    check_size(canaries, confidence, 1)
    if canaries < FEWEST_CANARIES:
        raise ConfigError(
            f"trials is {canaries}; one run takes at least {FEWEST_CANARIES} canaries: "
            "raise trials, or ask for another kind of audit."
        )
    schema = case.schema
    if schema.rows_per_patient > 1 or schema.orderBy is not None or schema.patients is None:
        raise ConfigError(
            "one run takes a schema with one row a patient, without orderBy, and a declared number of "
            "patients; audit this one in two worlds."
        )


def draw_records(schema: Schema, number: int, generator: np.random.Generator) -> Ints:
    """Return codes of records drawn evenly from what the schema allows, shape (number, columns)."""

    def draw(number: int) -> Ints:
        columns = [_draw_column(field, number, generator) for field in schema.drawn]
        return np.stack(columns, axis=1).astype(np.int64)

    return sample_under_rules(
        draw, number, schema.rule_set, even_marginals(schema), generator
    ).codes


def _draw_column(field: Field, number: int, generator: np.random.Generator) -> Ints:
    size, extras = ColumnMarginal.cells_of(field), len(field.specials) + field.nullable
    drawn = generator.integers(size, size=number)
    # Special and missing values as often as one of the first few ordinary ones.
    extra = generator.random(number) < extras / (extras + min(size, 8))
    which = generator.integers(max(extras, 1), size=number)
    special = np.where(which < len(field.specials), FIRST_SPECIAL - which, MISSING)
    return np.where(extra, special, drawn)


def presence_scores(effects: Floats, releases: Floats) -> Floats:
    """Return the posterior mean of each canary's presence, less one half, shape (canaries,).

    With effects A and releases y in units of the noise, y = A^T s + N(0, I). A Gaussian prior of s
    with a coin's mean 1/2 and variance 1/4 has the posterior mean
    1/2 + (4 I + A A^T)^-1 (A y - A A^T 1/2).

    Parameters
    ----------
    effects
        Shape (canaries, numbers).
    releases
        Shape (numbers,).
    """
    gram = effects @ effects.T
    pull = effects @ releases - gram.sum(axis=1) / 2
    return np.asarray(np.linalg.solve(gram + 4 * np.eye(len(gram)), pull))


def _effects(
    case: Case,
    layout: Layout,
    seen: FitReleases,
    codes: Ints,
    coins: Bools,
    generator: np.random.Generator,
    progress: Progress,
) -> Iterator[tuple[Floats, Floats]]:
    """Yield, release by release, the canaries' effects and what was released, in units of the noise."""
    plan = case.plan
    number = 0
    for j, (field, noises) in enumerate(zip(case.schema.drawn, plan.column_noise, strict=True)):
        if len(noises) == 1:  # else which cells are counted depends on the noise
            sigma = noises[0]
            yield _one_hot(field, codes[:, j]) / sigma, seen.columns[number].released / sigma
        number += len(noises)
    features, left = features_of(codes, layout), layout.log_shares(codes)
    for moments in moment_releases(plan, layout):
        effects = np.array([moments.effect(one[None]) for one in features])
        yield effects / moments.sigma, seen.of(moments.stage)[0].released / moments.sigma
    stage = case.training
    scale, rate = stage.noise_multiplier * stage.clip_norm, stage.sampling_rate
    for training in seen.trainings:
        replay = Replay(layout, training)
        for done, step in enumerate(replay, 1):
            latents = torch.tensor(
                generator.standard_normal((len(features), case.settings.latent)),
                dtype=torch.float32,
            )
            drawn = [batch.latent for batch in step.batches]
            if rate == 1 and drawn:  # everybody in the table, in its order
                latents[torch.from_numpy(np.flatnonzero(coins))] = torch.cat(drawn)
            sums = []
            for place, (one, latent) in enumerate(zip(features, latents, strict=True)):
                log_shares = None if left is None else left[place]
                parts = replay.clipped_sum(Batch.of_patient(one, latent[None], 1, log_shares))
                sums.append(np.concatenate([part.ravel() for part in parts]))
            released = np.concatenate([part.double().numpy().ravel() for part in step.gradients])
            # Of a canary that is sampled, the mean effect.
            yield rate * np.array(sums) / scale, released * stage.expected_batch / scale
            progress("one run: scoring", done / len(training.steps))


def _one_hot(field: Field, codes: Ints) -> Floats:
    size = ColumnMarginal.cells_of(field)
    entries = np.where(codes >= 0, codes, size + FIRST_SPECIAL - codes)
    entries = np.where(codes == MISSING, size + len(field.specials), entries)
    return np.eye(size + len(field.specials) + field.nullable)[entries]


def _component(scores: Floats, coins: Bools, share: float, claim: Claim, level: float) -> Component:
    """Guess that half of the share with the most extreme scores is there, and the other half not."""
    half = round(share * len(scores) / 2)
    order = np.argsort(scores, kind="stable")
    right = int(coins[order[-half:]].sum() + (~coins[order[:half]]).sum())
    guesses, canaries = 2 * half, len(scores)
    lower = one_run_epsilon(canaries, guesses, right, claim.delta, level)
    return Component(
        name=f"guesses about {guesses:,} of {canaries:,}",
        sees="every count, moment and gradient",
        claimed=claim.epsilon,
        lower=lower,
        ceiling=one_run_epsilon(canaries, guesses, guesses, claim.delta, level),
        confidence=1 - level,
        method="right guesses in one run",
        threshold="how many are guessed about is fixed beforehand",
        false_alarms=0,
        misses=guesses - right,
        trials=(guesses, 1),
        violated=lower > claim.epsilon,
    )
