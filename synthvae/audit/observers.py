"""The observers: what each looks at, and the score by which it tells the two worlds apart.

The white-box observer knows everything except whether the record takes part, and the noise: the
tables, the weights before each step, and every draw of the latent. It sees each release. Its score is
the log-likelihood ratio of the two worlds under the noise that is claimed, so 0 is the best
threshold before anything is seen; the ratios of independent releases add up.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from synthvae._runtime import silent
from synthvae._types import Floats
from synthvae.audit.case import Case, features_of
from synthvae.audit.releases import (
    FitReleases,
    Replay,
    Training,
    batch_of,
    moment_effect,
    split_batches,
)
from synthvae.model.layout import Layout
from synthvae.model.state import FittedState
from synthvae.synthesizer import Synthesizer

EVERYTHING, COUNTS, PAIRS, TRAINING = "everything", "counts", "pairs", "training"
RECORDS = "records"
UPDATES = "training: size of the updates"
SAMPLED = 500  # synthetic rows that the black-box observer looks at
LATTICE = 1000.0  # steps in a standard deviation of gradients' noise, for finding repeats
KEPT, KEPT_STEPS = 4, 10  # coordinates of a layer's noise, and steps, that are kept for that


@dataclass
class Observation:
    """What an observer keeps of one fit.

    Attributes
    ----------
    ratios
        Log-likelihood ratios by component: above 0 speaks for the record.
    measured
        Scores without a natural threshold, by component.
    numbers
        All numbers of the released model, for the black-box observer.
    noise
        The noise of each stage as whole numbers, with its standard deviation in them.
    shape
        Public facts about the model, which must not depend on the record.
    log
        How often each kind of release was made.
    """

    ratios: dict[str, float] = field(default_factory=dict)
    measured: dict[str, float] = field(default_factory=dict)
    numbers: tuple[float, ...] = ()
    noise: dict[str, tuple[tuple[int, ...], float]] = field(default_factory=dict)
    shape: str = ""
    log: dict[str, int] = field(default_factory=dict)


def look_inside(
    case: Case,
    fitted: Synthesizer,
    seen: FitReleases,
    with_record: bool,
    generator: torch.Generator,
) -> Observation:
    """Return what the white-box observer keeps of one fit.

    Parameters
    ----------
    with_record
        Which world it is: used only to take the record's effect off what is kept of the noise.
    generator
        Draws the record's latent where it took no part: the observer knows one either way.
    """
    state = fitted.state()
    found = Observation(shape=public_shape(case, fitted), log=_log(seen))
    found.ratios[COUNTS] = _score_counts(case, seen, found)
    found.ratios[PAIRS] = _score_pairs(case, state, seen, with_record, found)
    training = 0.0
    for one in seen.trainings:
        training += _score_training(case, state.layout, one, with_record, generator, found)
    found.ratios[TRAINING] = training
    found.ratios[EVERYTHING] = found.ratios[COUNTS] + found.ratios[PAIRS] + training
    return found


def look_at_release(case: Case, fitted: Synthesizer, seed: int) -> Observation:
    """Return what the black-box observer keeps: of sampled records, and of the model as it is saved."""
    state = fitted.state()
    records = fitted.sample(SAMPLED, seed=seed, progress=silent)
    record = case.table(True).iloc[-1]
    columns = [one.name for one in case.schema.modelled]
    alike = np.column_stack([_alike(records[name], record[name]) for name in columns])
    found = Observation(shape=public_shape(case, fitted))
    found.measured[RECORDS] = float(alike.mean())
    found.measured["records like it in every column"] = float(alike.all(axis=1).mean())
    masses = [float(marginal.mass[-1]) for marginal in state.layout.marginals]
    found.measured["model: masses of its values"] = float(np.mean(masses))
    parts = [marginal.mass for marginal in state.layout.marginals]
    parts += [np.asarray(state.weights[name]).ravel() for name in sorted(state.weights)]
    parts += [*state.offsets, np.array([state.patients])]
    found.numbers = tuple(np.concatenate(parts).tolist())
    return found


def _alike(column: "pd.Series[Any]", value: Any) -> NDArray[np.bool_]:
    if pd.isna(value):
        return column.isna().to_numpy()
    same: NDArray[np.bool_] = (column == value).fillna(False).to_numpy(dtype=bool)
    return same


def public_shape(case: Case, fitted: Synthesizer) -> str:
    """Return the sizes, settings and guarantee of a model, which are fixed before the data are seen."""
    state, guarantee = fitted.state(), fitted.guarantee
    facts: dict[str, object] = {
        "sizes": [int(marginal.size) for marginal in state.layout.marginals],
        "special": [[marginal.specials, marginal.nullable] for marginal in state.layout.marginals],
        "settings": state.layout.settings.model_dump(),
        "epsilon": guarantee.epsilon,
        "delta": guarantee.delta,
    }
    if case.schema.patients is not None:  # else its noisy count enters
        facts |= {"rows": state.patients, "guarantee": guarantee.model_dump()}
    return json.dumps(facts, sort_keys=True, default=str)


def _log(seen: FitReleases) -> dict[str, int]:
    return {
        "counts of columns": len(seen.columns),
        "counts of patients": len(seen.patients),
        "moments": len(seen.pairs),
        "trainings": len(seen.trainings),
        "steps": sum(len(training.steps) for training in seen.trainings),
    }


def expected_log(case: Case) -> dict[str, int]:
    """Return how often the account says that each kind of release is made."""
    plan = case.plan
    assert plan.training is not None
    return {
        "counts of columns": sum(len(column) for column in plan.column_noise),
        "counts of patients": (plan.count_noise is not None) + (plan.rows_noise is not None),
        "moments": 1,
        "trainings": 1,
        "steps": plan.training.steps,
    }


def _score_counts(case: Case, seen: FitReleases, found: Observation) -> float:
    """Return the ratio of all counts: the record adds its rows to each one's last entry."""
    plan, rows = case.plan, case.schema.rows_per_patient
    columns = [noise for column in plan.column_noise for noise in column]
    patients = [noise for noise in (plan.count_noise, plan.rows_noise) if noise is not None]
    total, noise = 0.0, []
    for counts, noises, effect in (
        (seen.columns, columns, rows),
        (seen.patients, patients, 1),
    ):
        for number, count in enumerate(counts):
            sigma = noises[number % len(noises)] * effect
            # Where there is only one entry, everybody is in it.
            known = case.patients if len(count.released) == 1 else 0
            total += _ratio(count.released[-1:] - float(known), np.array([float(effect)]), sigma)
            noise += (count.released - count.exact).tolist()
    found.noise[COUNTS] = (tuple(noise), min((*columns, *patients)))
    return total


def _score_pairs(
    case: Case, state: FittedState, seen: FitReleases, with_record: bool, found: Observation
) -> float:
    """Return the ratio of the moments: the others are all alike, so theirs are one's times how many."""
    taper, rows = case.settings.taper, case.schema.rows_per_patient
    usual, record = (features_of(codes[None], state.layout) for codes in (case.usual, case.record))
    one, bound = moment_effect(state.layout, taper, usual, rows)
    effect, _ = moment_effect(state.layout, taper, np.repeat(record, rows, axis=0), rows)
    total, noise = 0.0, []
    for release in seen.pairs:
        rest = release.released - case.patients * one
        total += _ratio(rest, effect, case.plan.pair_noise * bound)
        noise += (rest - with_record * effect).astype(np.int64).tolist()
    found.noise[PAIRS] = (tuple(noise), case.plan.pair_noise * bound)
    return total


def _score_training(
    case: Case,
    layout: Layout,
    training: Training,
    with_record: bool,
    generator: torch.Generator,
    found: Observation,
) -> float:
    """Return the ratio of a training's noisy gradients, and add those of its layers to what is found."""
    stage = case.plan.training
    assert stage is not None
    scale = stage.noise_multiplier * stage.clip_norm
    expected = (
        training.stage.expected_batch if case.schema.patients is None else stage.expected_batch
    )
    total, squares, size = 0.0, 0.0, 0
    steps = _steps(case, layout, training, expected, generator)
    for number, (names, rest, effect, took_part) in enumerate(steps):
        whole = np.concatenate([part.ravel() for part in rest])
        total += _ratio(
            whole, np.concatenate([part.ravel() for part in effect]), scale, stage.sampling_rate
        )
        for name, one, other in zip(names, rest, effect, strict=True):
            key = f"{TRAINING}: {name}"
            ratio = _ratio(one.ravel(), other.ravel(), scale, stage.sampling_rate)
            found.ratios[key] = found.ratios.get(key, 0.0) + ratio
            noise = (one - other if with_record and took_part else one).ravel()[:KEPT]
            whole_steps = np.rint(noise / scale * LATTICE).astype(np.int64)
            if number < KEPT_STEPS:
                found.noise[f"{key}, step {number}"] = (tuple(whole_steps.tolist()), LATTICE)
        squares, size = squares + float(whole @ whole), size + whole.size
    found.measured[UPDATES] = math.log(max(squares / max(size, 1), 1e-300))
    return total


def _steps(
    case: Case, layout: Layout, training: Training, expected: float, generator: torch.Generator
) -> Iterator[tuple[list[str], list[Floats], list[Floats], bool]]:
    """Yield, for each step, the weights' names, what is left of the sums without the others, the
    record's clipped gradient, and whether the record took part."""
    rows = case.schema.rows_per_patient
    features = features_of(case.record[None], layout)[0]
    replay = Replay(layout, training)
    for number in range(len(training.steps)):
        step = replay.at(number)
        others, latent = split_batches(step, features)
        took_part = latent is not None
        if latent is None:
            latent = torch.randn((1, case.settings.latent), generator=generator)
        rest = [gradient.double().numpy() * expected for gradient in step.gradients]
        for batch in others:
            for left, known in zip(rest, replay.clipped_sum(batch, number), strict=True):
                np.subtract(left, known, out=left)
        effect = replay.clipped_sum(batch_of(features, latent, rows), number)
        yield replay.names, rest, effect, took_part
    replay.close()


def _ratio(rest: NDArray[Any], effect: Floats, sigma: float, rate: float = 1.0) -> float:
    """Return the log-likelihood ratio of noise plus the effect, with a probability, against noise."""
    shift = float(rest @ effect - effect @ effect / 2) / sigma**2
    if rate >= 1:
        return shift
    # log(1 - rate + rate e^shift), for a shift of any size
    return float(np.logaddexp(math.log1p(-rate), math.log(rate) + shift))
