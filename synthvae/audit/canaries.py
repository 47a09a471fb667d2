"""One run: many canaries in one fit, each there by the toss of a coin, and guesses about all of them.

Steinke, Nasr and Jagielski 2023, "Privacy Auditing with One (1) Training Run". The table consists of
canaries alone: records drawn evenly from the schema's bounds and categories. The observer sees every
release, knows each canary's effect on each, and scores how likely each was there; it guesses about the
most and the least likely, and abstains on the rest.
"""

import copy
import time
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from synthvae._runtime import Progress, silent
from synthvae._types import Floats, Ints
from synthvae.audit.bounds import Claim, one_run_epsilon
from synthvae.audit.case import DECLARED, Case, features_of, frame_of
from synthvae.audit.releases import FitReleases, Replay, Training, batch_of, moment_effect
from synthvae.audit.results import AuditResult, Check, Component
from synthvae.audit.worlds import check_asked
from synthvae.errors import ConfigError
from synthvae.field import Field
from synthvae.marginals.column import ColumnMarginal
from synthvae.model.layout import Layout
from synthvae.schema import Schema
from synthvae.settings import settings_for
from synthvae.table.codes import FIRST_SPECIAL, MISSING

FEWEST_CANARIES = 40
SHARES = (0.1, 0.25, 0.5, 1.0)  # of the canaries that are guessed about: fixed beforehand
MODEL = (
    "The observer put the canaries together, knows the code, the settings and every random draw but the "
    "noise and the canaries' coins, and sees every noisy count, moment and gradient of one fit."
)


def canary_case(epsilon: float, *, columns: int = 16, steps: int = 4, **changes: float) -> Case:
    """Return a case with room for canaries: columns enough that records differ, a wide model."""
    schema = Schema.from_dict(
        {
            "name": "canaries",
            "patients": DECLARED,
            "fields": [
                {"name": f"column{j + 1}", "constraints": {"enum": ["a", "b", "c", "d"]}}
                for j in range(columns)
            ],
        }
    )
    wide = {
        "bins": 2,
        "rank": 3,
        "latent": 8,
        "hidden": 16,
        "steps": steps,
        "sampling_rate": 1.0,
        "clip_norm": 0.01,
        "calibration_rounds": 0,
        "balance_steps": 0,
    }
    settings = settings_for(schema, epsilon).model_copy(update=wide | changes)
    return Case(schema, settings, epsilon)


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
        How many records have a coin tossed for them.
    confidence
        With which the largest of the bounds, one for each share of the canaries that is guessed
        about, holds.

    Raises
    ------
    ConfigError
        There are too few canaries, the schema has several rows a patient, or no number of patients.
    """
    check_asked(canaries, confidence, 1)
    check_case(case, canaries)
    begun = time.monotonic()
    generator = np.random.default_rng(seed)
    codes = draw_records(case.schema, canaries, generator)
    coins = generator.random(canaries) < 0.5
    synthesizer = copy.copy(case.synthesizer)
    table = frame_of(codes[coins], np.arange(int(coins.sum())), case.schema)
    progress("one run: fitting", 0.0)
    synthesizer.observer = seen = FitReleases()
    layout = synthesizer.fit(table, silent).state().layout
    effects, releases = [], []
    for effect, release in _gather(case, layout, seen, codes, coins, generator, progress):
        effects.append(effect)
        releases.append(release)
    scores = likely(np.concatenate(effects, axis=1), np.concatenate(releases))
    claim = Claim(case.plan.stages, _delta(case))
    level = (1 - confidence) / len(SHARES)
    components = tuple(_component(scores, coins, share, claim, level) for share in SHARES)
    best = max(components, key=lambda one: one.lower)
    return AuditResult(
        kind="one-run",
        threat_model=MODEL,
        claimed=claim.epsilon,
        delta=claim.delta,
        confidence=confidence,
        lower=best.lower,
        ceiling=max(one.ceiling for one in components),
        patients=int(coins.sum()),
        sampling_rate=case.settings.sampling_rate,
        steps=case.settings.steps,
        trials=(canaries, 1),
        trials_asked=canaries,
        interrupted=False,
        components=components,
        checks=(_check_fit(seen, case),),
        seconds=time.monotonic() - begun,
    )


def check_case(case: Case, canaries: int) -> None:
    """Raise `ConfigError` for what one run cannot be made of."""
    if canaries < FEWEST_CANARIES:
        raise ConfigError(
            f"trials is {canaries}; one run takes at least {FEWEST_CANARIES} canaries: "
            "raise trials, or ask for another kind of audit."
        )
    if case.schema.rows_per_patient > 1 or case.schema.patients is None:
        raise ConfigError(
            "one run takes a schema with one row a patient and a declared number of patients; audit "
            "this one in two worlds."
        )


def _delta(case: Case) -> float:
    assert case.plan.delta is not None
    return case.plan.delta


def _check_fit(seen: FitReleases, case: Case) -> Check:
    assert case.plan.training is not None
    steps = sum(len(training.steps) for training in seen.trainings)
    wanted = case.plan.training.steps
    return Check(
        name="releases",
        passed=steps == wanted,
        detail=f"{steps} steps made, {wanted} accounted",
    )


def draw_records(schema: Schema, number: int, generator: np.random.Generator) -> Ints:
    """Return codes of records drawn evenly from what the schema allows, shape (number, columns)."""
    columns = []
    for field in schema.modelled:
        size, extras = ColumnMarginal.cells_of(field), len(field.special) + field.nullable
        drawn = generator.integers(size, size=number)
        # Special and missing values as often as one of the first few ordinary ones.
        extra = generator.random(number) < extras / (extras + min(size, 8))
        which = generator.integers(max(extras, 1), size=number)
        special = np.where(which < len(field.special), FIRST_SPECIAL - which, MISSING)
        columns.append(np.where(extra, special, drawn))
    return np.stack(columns, axis=1).astype(np.int64)


def likely(effects: Floats, releases: Floats) -> Floats:
    """Return how far above one half the canaries' presence is expected to be, shape (canaries,).

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
    found: Floats = np.linalg.solve(gram + 4 * np.eye(len(gram)), pull)
    return found


def _gather(
    case: Case,
    layout: Layout,
    seen: FitReleases,
    codes: Ints,
    coins: NDArray[np.bool_],
    generator: np.random.Generator,
    progress: Progress,
) -> Iterator[tuple[Floats, Floats]]:
    """Yield, release by release, the canaries' effects and what was released, in units of the noise."""
    plan = case.plan
    number = 0
    for j, (field, noises) in enumerate(zip(case.schema.modelled, plan.column_noise, strict=True)):
        if len(noises) == 1:  # else which cells are counted hangs on the noise
            yield (
                _one_hot(field, codes[:, j]) / noises[0],
                seen.columns[number].released / noises[0],
            )
        number += len(noises)
    features = features_of(codes, layout)
    moments, bound = zip(
        *(moment_effect(layout, case.settings.taper, one[None], 1) for one in features), strict=True
    )
    sigma = plan.pair_noise * bound[0]
    yield np.array(moments) / sigma, seen.pairs[0].released / sigma
    for training in seen.trainings:
        yield from _gradients(case, layout, training, features, coins, generator, progress)


def _one_hot(field: Field, codes: Ints) -> Floats:
    size = ColumnMarginal.cells_of(field)
    entries = np.where(codes >= 0, codes, size + FIRST_SPECIAL - codes)
    entries = np.where(codes == MISSING, size + len(field.special), entries)
    return np.eye(size + len(field.special) + field.nullable)[entries]


def _gradients(
    case: Case,
    layout: Layout,
    training: Training,
    features: Floats,
    coins: NDArray[np.bool_],
    generator: np.random.Generator,
    progress: Progress,
) -> Iterator[tuple[Floats, Floats]]:
    stage = case.plan.training
    assert stage is not None
    scale = stage.noise_multiplier * stage.clip_norm
    replay = Replay(layout, training)
    for number in range(len(training.steps)):
        step = replay.at(number)
        latents = torch.tensor(
            generator.standard_normal((len(features), case.settings.latent)), dtype=torch.float32
        )
        drawn = [batch.latent for batch in step.batches]
        if stage.sampling_rate == 1 and drawn:  # everybody in the table, in its order
            latents[torch.from_numpy(np.flatnonzero(coins))] = torch.cat(drawn)
        effects = []
        for one, latent in zip(features, latents, strict=True):
            parts = replay.clipped_sum(batch_of(one, latent[None], 1), number)
            effects.append(np.concatenate([part.ravel() for part in parts]))
        released = np.concatenate([part.double().numpy().ravel() for part in step.gradients])
        # Of a canary that takes part now and then, the mean effect.
        yield (
            stage.sampling_rate * np.array(effects) / scale,
            released * stage.expected_batch / scale,
        )
        progress("one run: scoring", (number + 1) / len(training.steps))
    replay.close()


def _component(
    scores: Floats, coins: NDArray[np.bool_], share: float, claim: Claim, level: float
) -> Component:
    """Guess about the share of canaries with the most extreme scores, half of them there."""
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
