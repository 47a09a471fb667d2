"""The observers: what each looks at, and the score by which it tells the two worlds apart.

The white-box observer knows everything except whether the record takes part, and the noise: the
tables, the weights before each step, and every draw of the latent. It sees each release. Its score is
the log-likelihood ratio of the two worlds under the noise that is claimed, so 0 is the best
threshold before anything is seen; the ratios of independent releases add up.
"""

import json
import math
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from synthvae._runtime import silent
from synthvae._types import Bools, Floats
from synthvae.audit.case import Case, features_of, last_code
from synthvae.audit.releases import (
    Batch,
    FitReleases,
    MomentRelease,
    Replay,
    Training,
    moment_releases,
)
from synthvae.audit.visit_effects import VisitsOf
from synthvae.errors import RedrawnWarning
from synthvae.model.history_state import HistoryState
from synthvae.model.layout import Layout
from synthvae.synthesizer import Synthesizer

EVERYTHING, COUNTS, TRAINING = "everything", "counts", "training"
PAIRS, INTERACTIONS = "pairs", "interactions"
RECORDS = "records"
UPDATES = "training: size of the updates"
SAMPLED = 500  # synthetic rows that the black-box observer looks at
LATTICE = 1000.0  # steps in a standard deviation of gradients' noise, for finding repeats
KEPT, KEPT_STEPS = 4, 10  # coordinates of a layer's noise, and steps, that are kept for that


@dataclass
class Observation:
    """What an observer keeps of one fit, by the name of its component."""

    # Log-likelihood ratios: above 0 speaks for the record.
    ratios: dict[str, float] = field(default_factory=dict)
    # Scores without a natural threshold.
    measured: dict[str, float] = field(default_factory=dict)
    # All numbers of the released model, for the black-box observer.
    numbers: tuple[float, ...] = ()
    # The noise of each stage as whole numbers, with its standard deviation in them.
    noise: dict[str, tuple[tuple[int, ...], float]] = field(default_factory=dict)
    # Public facts about the model, which must not depend on the record.
    shape: str = ""
    # How often each kind of release was made.
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
    state, layout = fitted.state(), fitted.state().layout
    kept = Observation(shape=_public_shape(case, fitted), log=_log(seen))
    if isinstance(state, HistoryState):
        _score_visits(case, state, seen, with_record, kept)
        return kept
    kept.ratios[COUNTS] = _score_counts(case, seen, kept)
    for release in moment_releases(case.plan, layout):
        usual, record = (features_of(codes[None], layout) for codes in (case.usual, case.record))
        one = release.effect(usual)
        effect = release.effect(np.repeat(record, release.rows_per_patient, axis=0))
        kept.ratios[release.stage] = _score_moments(
            release, seen, case.patients * one, effect, with_record, kept
        )
    measured = sum(kept.ratios.values())
    training = 0.0
    for ran in seen.trainings:
        training += _score_training(case, layout, ran, with_record, generator, kept)
    kept.ratios[TRAINING] = training
    kept.ratios[EVERYTHING] = measured + training
    return kept


def look_at_release(case: Case, fitted: Synthesizer, seed: int) -> Observation:
    """Return what the black-box observer keeps: of sampled records, and of the model as it is saved."""
    state = fitted.state()
    marginals = state.layout.marginals
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RedrawnWarning)
        records = fitted.sample(SAMPLED, seed=seed, progress=silent)
    record = case.table(True).iloc[-1]
    columns = [one.name for one in case.schema.modelled]
    alike = np.column_stack([_is_alike(records[name], record[name]) for name in columns])
    parts = [marginal.mass for marginal in marginals]
    arrays = sorted(state.arrays().items())
    parts += [array.ravel() for name, array in arrays if not name.startswith("columns/")]
    parts += [*state.offsets, np.array([state.patients])]
    measured = {
        RECORDS: float(alike.mean()),
        "records like it in every column": float(alike.all(axis=1).mean()),
        "model: masses of its values": float(np.mean([float(one.mass[-1]) for one in marginals])),
    }
    numbers = tuple(np.concatenate(parts).tolist())
    return Observation(measured=measured, numbers=numbers, shape=_public_shape(case, fitted))


def _is_alike(column: "pd.Series[Any]", value: Any) -> Bools:
    equal = column.isna() if pd.isna(value) else (column == value).fillna(False)
    return np.asarray(equal, bool)


def _public_shape(case: Case, fitted: Synthesizer) -> str:
    """Return the sizes, settings and guarantee of a model, which are fixed before the data are seen."""
    state, guarantee = fitted.state(), fitted.guarantee
    facts: dict[str, object] = {
        "sizes": [int(marginal.size) for marginal in state.layout.marginals],
        "special": [[marginal.specials, marginal.nullable] for marginal in state.layout.marginals],
        "settings": state.layout.settings.model_dump(),
        "epsilon": guarantee.epsilon,
        "delta": guarantee.delta,
    }
    if case.schema.patients is not None:  # else the noisy number of patients enters
        facts |= {"rows": state.patients, "guarantee": guarantee.model_dump()}
    return json.dumps(facts, sort_keys=True, default=str)


def _log(seen: FitReleases) -> dict[str, int]:
    return {
        "counts of columns": len(seen.columns),
        "counts of patients": len(seen.patients),
        "moments of pairs": len(seen.pairs),
        "moments of three and four columns": len(seen.interactions),
        "trainings": len(seen.trainings),
        "steps": sum(len(training.steps) for training in seen.trainings),
    }


def expected_log(case: Case) -> dict[str, int]:
    """Return how often the account says that each kind of release is made."""
    plan = case.plan
    patients = (plan.count_noise is not None) + (plan.rows_noise is not None)
    return {
        "counts of columns": plan.marginals.queries - patients,
        "counts of patients": patients,
        "moments of pairs": 1,
        "moments of three and four columns": len(plan.interactions),
        "trainings": int(plan.training is not None),
        "steps": case.steps,
    }


def _score_counts(case: Case, seen: FitReleases, kept: Observation) -> float:
    """Return the ratio of all counts, and keep their noise: the record adds to each one's last entry.

    Where rules keep the record, or the usual one, from such values, a column's counts are left out: in
    which entry a record is may depend on the noise.
    """
    plan, rows = case.plan, case.schema.rows_per_patient
    apart = [
        code == last_code(field) and usual == 0
        for field, code, usual in zip(case.schema.drawn, case.record, case.usual, strict=False)
    ]
    told = [
        is_apart for is_apart, column in zip(apart, plan.column_noise, strict=True) for _ in column
    ]
    columns = [noise for column in plan.column_noise for noise in column]
    patients = [noise for noise in (plan.count_noise, plan.rows_noise) if noise is not None]
    kinds = (
        (seen.columns, columns, rows, told),
        (seen.patients, patients, 1, [True] * len(patients)),
    )
    total, noise = 0.0, []
    for counts, noises, effect, tells in kinds:
        for number, count in enumerate(counts):
            noise += (count.released - count.exact).tolist()
            if not tells[number % len(tells)]:
                continue
            sigma = noises[number % len(noises)] * effect
            # Where there is only one entry, everybody is in it.
            known = case.patients if len(count.released) == 1 else 0
            total += _ratio(count.released[-1:] - float(known), np.array([float(effect)]), sigma)
    kept.noise[COUNTS] = (tuple(noise), min((*columns, *patients)))
    return total


def _score_visits(
    case: Case, state: HistoryState, seen: FitReleases, with_record: bool, kept: Observation
) -> None:
    """Keep the ratios and the noise of a fit of visits in time.

    Of a column that is counted several times, the first count is looked at: the cells of the others
    depend on noise.
    """
    usual, record = (VisitsOf(case.plan, state, codes) for codes in (case.usual[None], case.rows))
    total, noise, scales = 0.0, [], []
    for number, sigma in usual.first_counts:
        known, effect = case.patients * usual.counts[number], record.counts[number]
        total += _ratio(seen.columns[number].released - known, effect, sigma)
        scales.append(sigma)
    for count in (*seen.columns, *seen.patients):
        noise += (count.released - count.exact).tolist()
    if case.plan.count_noise is not None:
        counted = seen.patients[0].released - float(case.patients)
        total += _ratio(counted, np.ones(1), case.plan.count_noise)
    kept.noise[COUNTS], kept.ratios[COUNTS] = (tuple(noise), min(scales)), total
    known, effect = case.patients * usual.moments, record.moments
    kept.ratios[PAIRS] = _score_moments(usual.release, seen, known, effect, with_record, kept)
    kept.ratios[EVERYTHING] = total + kept.ratios[PAIRS]


def _score_moments(
    release: MomentRelease,
    seen: FitReleases,
    known: Floats,
    effect: Floats,
    with_record: bool,
    kept: Observation,
) -> float:
    """Return the ratio of some moments, and keep their noise: known is what all but the record add."""
    total, noise = 0.0, []
    for moments in seen.of(release.stage):
        rest = moments.released - known
        total += _ratio(rest, effect, release.sigma)
        noise += (rest - with_record * effect).astype(np.int64).tolist()
    kept.noise[release.stage] = (tuple(noise), release.sigma)
    return total


def _score_training(
    case: Case,
    layout: Layout,
    training: Training,
    with_record: bool,
    generator: torch.Generator,
    kept: Observation,
) -> float:
    """Return the ratio of a training's noisy gradients, and keep those of its layers."""
    stage, rows = case.training, case.schema.rows_per_patient
    scale, rate = stage.noise_multiplier * stage.clip_norm, stage.sampling_rate
    expected = (training.stage if case.schema.patients is None else stage).expected_batch
    features = features_of(case.record[None], layout)[0]
    shares = layout.log_shares(case.record[None])
    log_shares = None if shares is None else shares[0]
    total, squares, size = 0.0, 0.0, 0
    replay = Replay(layout, training)
    for number, step in enumerate(replay):
        others, latent = step.without(features)
        took_part = latent is not None
        if latent is None:
            latent = torch.randn((1, case.settings.latent), generator=generator)
        rest = [gradient.double().numpy() * expected for gradient in step.gradients]
        for batch in others:
            for left, known in zip(rest, replay.clipped_sum(batch), strict=True):
                np.subtract(left, known, out=left)
        effect = replay.clipped_sum(Batch.of_patient(features, latent, rows, log_shares))
        whole = np.concatenate([part.ravel() for part in rest])
        total += _ratio(whole, np.concatenate([part.ravel() for part in effect]), scale, rate)
        squares, size = squares + float(whole @ whole), size + whole.size
        for name, one, other in zip(replay.names, rest, effect, strict=True):
            key = f"{TRAINING}: {name}"
            ratio = _ratio(one.ravel(), other.ravel(), scale, rate)
            kept.ratios[key] = kept.ratios.get(key, 0.0) + ratio
            if number < KEPT_STEPS:
                noise = (one - other if with_record and took_part else one).ravel()[:KEPT]
                lattice = np.rint(noise / scale * LATTICE).astype(np.int64)
                kept.noise[f"{key}, step {number}"] = (tuple(lattice.tolist()), LATTICE)
    kept.measured[UPDATES] = math.log(max(squares / max(size, 1), 1e-300))
    return total


def _ratio(rest: NDArray[Any], effect: Floats, sigma: float, rate: float = 1.0) -> float:
    """Return the log-likelihood ratio of noise plus the effect, with a probability, against noise."""
    shift = float(rest @ effect - effect @ effect / 2) / sigma**2
    if rate >= 1:
        return shift
    # log(1 - rate + rate e^shift), for a shift of any size
    return float(np.logaddexp(math.log1p(-rate), math.log(rate) + shift))
