"""Many fits of one case in its two worlds, here or in worker processes; what was done is kept."""

import contextlib
import copy
import math
import multiprocessing
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.stats import poisson

from synthvae._runtime import Progress, silent
from synthvae._types import Floats
from synthvae.audit.bounds import Claim, Scored, bound, discriminant
from synthvae.audit.case import Case
from synthvae.audit.observers import (
    COUNTS,
    EVERYTHING,
    PAIRS,
    RECORDS,
    TRAINING,
    Observation,
    expected_log,
    look_at_release,
    look_inside,
)
from synthvae.audit.releases import FitReleases
from synthvae.audit.results import AuditResult, Check
from synthvae.errors import ConfigError, check_positive_integer

FEWEST = 10  # trials a world, below which nothing is said

Task = tuple[bool, int]  # which world, and the seed of the observer's own draws
CHANCE = 1e-6  # of a repeat by coincidence, below which it is none
NUMBERS = "model: all its numbers"
WHITE_MODEL = (
    "The observer knows the code, the settings, both tables and every random draw but the noise and who "
    "takes part, and sees every noisy count, moment and gradient of a fit."
)
BLACK_MODEL = (
    "The observer knows both tables, and sees what is released: synthetic records and the saved "
    "model."
)


@dataclass
class Trials:
    """Observations of fits without the record and with it."""

    without: list[Observation] = field(default_factory=list)
    with_record: list[Observation] = field(default_factory=list)
    interrupted: bool = False

    def of(self, with_record: bool) -> list[Observation]:
        """Return the observations of one world."""
        return self.with_record if with_record else self.without


def run_trials(
    case: Case, inside: bool, trials: int, seed: int, workers: int, progress: Progress
) -> Trials:
    """Fit the case as many times in each world, the worlds in turn, and observe each fit.

    An interrupt ends the trials and keeps those that are done, once there are enough to say
    something.

    Parameters
    ----------
    inside
        Whether the observer sees inside (white box).
    seed
        Of the observer's own draws. The fits' noise comes from the operating system, and has no seed.
    """
    found = Trials()
    seeds = np.random.default_rng(seed).integers(2**62, size=2 * trials)
    tasks = [(bool(number % 2), int(one)) for number, one in enumerate(seeds)]
    try:
        for done, (with_record, observation) in enumerate(_observe(case, inside, tasks, workers)):
            found.of(with_record).append(observation)
            progress(f"fitting: {done + 1:,} of {len(tasks):,}", (done + 1) / len(tasks))
    except KeyboardInterrupt:
        if min(len(found.without), len(found.with_record)) < FEWEST:
            raise
        found.interrupted = True
    return found


def _observe(
    case: Case, inside: bool, tasks: list[Task], workers: int
) -> Iterator[tuple[bool, Observation]]:
    if workers == 1:
        for task in tasks:
            yield task[0], observe_fit(case, inside, task)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, _begin_worker, (case, inside))
    try:
        with (
            _interrupts_ignored()
        ):  # workers inherit it: the parent decides what an interrupt means
            waiting: dict[Future[Observation], bool] = {
                pool.submit(_work, task): task[0] for task in tasks
            }
        for ended in as_completed(waiting):
            yield waiting[ended], ended.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # where signals cannot be set
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


_subject: dict[str, object] = {}  # of a worker process, set once when it begins


def _begin_worker(case: Case, inside: bool) -> None:
    _subject.update(case=case, inside=inside)


def _work(task: Task) -> Observation:
    case, inside = _subject["case"], _subject["inside"]
    assert isinstance(case, Case)
    return observe_fit(case, bool(inside), task)


def observe_fit(case: Case, inside: bool, task: Task) -> Observation:
    """Fit the table of one world, by the code that is audited, and return what the observer keeps."""
    with_record, seed = task
    synthesizer = copy.copy(case.synthesizer)
    table = case.table(with_record)
    if not inside:
        synthesizer.fit(table, silent)
        return look_at_release(case, synthesizer, seed)
    synthesizer.observer = seen = FitReleases()
    synthesizer.fit(table, silent)
    generator = torch.Generator().manual_seed(seed)
    return look_inside(case, synthesizer, seen, with_record, generator)


def check_shape(found: Trials) -> Check:
    shapes = {one.shape for one in found.without + found.with_record}
    detail = "sizes, settings and guarantee are the same in every fit"
    if len(shapes) > 1:
        detail = "public facts of the model (sizes, settings, guarantee) differ between fits"
    return Check(name="public facts", passed=len(shapes) == 1, detail=detail)


def check_releases(case: Case, found: Trials) -> Check:
    """Compare how often each kind of release was made with what the account says."""
    expected = expected_log(case)
    wrong = []
    for kind, times in expected.items():
        made = Counter(one.log[kind] for one in found.without + found.with_record)
        made.pop(times, None)
        if made:
            wrong.append(f"{kind}: {', '.join(map(str, sorted(made)))} made, {times} accounted")
    detail = "; ".join(wrong) or "every release is made as often as it is accounted"
    return Check(name="releases", passed=not wrong, detail=detail)


def check_noise(found: Trials) -> Check:
    """Look for noise that came twice more often than chance lets it."""
    drawn: dict[str, list[tuple[int, ...]]] = {}
    odds: dict[str, float] = {}
    for one in found.without + found.with_record:
        for name, (noise, sigma) in one.noise.items():
            stage = name.partition(",")[0]
            drawn.setdefault(stage, []).append(noise)
            # Two draws of a rounded normal are equal with about this log-probability.
            alike = -len(noise) * math.log(max(2 * sigma * math.sqrt(math.pi), 1.0))
            odds[stage] = max(alike, odds.get(stage, -math.inf))
    wrong = []
    for stage, noises in drawn.items():
        repeats = len(noises) - len(set(noises))
        pairs = len(noises) * (len(noises) - 1) / 2
        by_chance = pairs * math.exp(odds[stage])
        if repeats and poisson.sf(repeats - 1, by_chance) < CHANCE:
            wrong.append(
                f"{repeats:,} of {len(noises):,} draws of the noise of {stage} came before"
            )
    return Check(
        name="fresh noise",
        passed=not wrong,
        detail="; ".join(wrong) or "no noise came twice",
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
