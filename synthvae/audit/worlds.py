"""Two worlds: many fits of one case without the record and with it, and what tells them apart.

`audit_worlds` runs the trials, here or in worker processes, turns what the observer kept into scores,
bounds epsilon by each, and checks what must hold in every fit.

References: Jagielski, Ullman and Oprea 2020, "Auditing Differentially Private Machine Learning"; Nasr et
al. 2023, "Tight Auditing of Differentially Private Machine Learning".
"""

import contextlib
import math
import multiprocessing
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from scipy.stats import poisson

from synthvae._runtime import Progress, silent
from synthvae._types import Floats
from synthvae.audit import observers
from synthvae.audit.bounds import Scores, bound_all, discriminant
from synthvae.audit.case import Case
from synthvae.audit.releases import FitReleases
from synthvae.audit.results import AuditResult, Check
from synthvae.errors import ConfigError, check_positive_integer

FEWEST = 10  # trials a world, below which nothing can be shown
CHANCE = 1e-6  # probability of the repeats, below which they are no coincidence
NUMBERS = "model: all its numbers"
WHITE_MODEL = (
    "The observer knows the code, the settings, both tables and every random draw but the noise and who "
    "takes part, and sees every noisy count, moment and gradient of a fit."
)
BLACK_MODEL = (
    "The observer knows both tables, and sees what is released: synthetic records and the saved "
    "model."
)

Task = tuple[bool, int]  # which world, and the seed of the observer's own draws


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
        With which all bounds hold jointly; the first component gets most of the allowed error.
    seed
        Of the observer's own draws; the noise of the fits is fresh every time.
    workers
        Processes that fit; with 1, the fits run in this process, with whatever is patched in it.

    Raises
    ------
    ConfigError
        There are fewer trials than `FEWEST`, or the confidence is no probability.
    """
    check_size(trials, confidence, workers)
    start = time.monotonic()
    fits = run_trials(case, inside, trials, seed, workers, progress)
    components = bound_all(
        _white_scores(case, fits) if inside else _black_scores(case, fits), 1 - confidence
    )
    checks: tuple[Check, ...] = (check_shape(fits),)
    if inside:
        checks = (check_releases(case, fits), check_noise(fits), *checks)
    first = components[0]
    without, with_record = map(len, fits.worlds)
    return AuditResult(
        kind="two-worlds-white" if inside else "two-worlds-black",
        threat_model=WHITE_MODEL if inside else BLACK_MODEL,
        claimed=first.claimed,
        delta=case.claim().delta,
        confidence=confidence,
        lower=first.lower,
        ceiling=first.ceiling,
        patients=case.patients,
        sampling_rate=case.settings.sampling_rate if case.steps else 1.0,
        steps=case.steps,
        trials=(without, with_record),
        trials_asked=trials,
        interrupted=fits.interrupted,
        components=components,
        checks=checks,
        seconds=time.monotonic() - start,
    )


def check_size(trials: int, confidence: float, workers: int) -> None:
    """Raise `ConfigError` for trials, a confidence or workers that no audit can have."""
    check_positive_integer("workers", workers)
    if check_positive_integer("trials", trials) < FEWEST:
        raise ConfigError(f"trials is {trials}; below {FEWEST} nothing can be shown.")
    if not 0.5 <= confidence < 1:
        raise ConfigError(f"confidence is {confidence}; it must be at least 0.5 and below 1.")


@dataclass
class Trials:
    """Observations of the fits of both worlds: without the record, and with it."""

    worlds: tuple[list[observers.Observation], list[observers.Observation]] = field(
        default_factory=lambda: ([], [])
    )
    interrupted: bool = False

    @property
    def observations(self) -> list[observers.Observation]:
        """Those of both worlds."""
        return self.worlds[0] + self.worlds[1]

    def scores(self, kind: str) -> dict[str, tuple[Floats, Floats]]:
        """Return each score of a kind of all fits of both worlds; 0, no evidence, where one lacks it."""
        names = dict.fromkeys(name for one in self.observations for name in getattr(one, kind))
        scores = {}
        for name in names:
            without, with_record = (
                np.nan_to_num([getattr(one, kind).get(name, 0.0) for one in world])
                for world in self.worlds
            )
            scores[name] = (without, with_record)
        return scores


def run_trials(
    case: Case, inside: bool, trials: int, seed: int, workers: int, progress: Progress
) -> Trials:
    """Fit the case `trials` times in each world, the worlds in turn, and observe each fit.

    An interrupt ends the trials and keeps those that are done, if they are enough to show something.
    The fits' noise comes from the operating system, and has no seed.
    """
    fits = Trials()
    seeds = np.random.default_rng(seed).integers(2**62, size=2 * trials)
    tasks = [(bool(number % 2), int(one)) for number, one in enumerate(seeds)]
    try:
        for done, (with_record, observation) in enumerate(_observe(case, inside, tasks, workers)):
            fits.worlds[with_record].append(observation)
            progress(f"fitting: {done + 1:,} of {len(tasks):,}", (done + 1) / len(tasks))
    except KeyboardInterrupt:
        if min(map(len, fits.worlds)) < FEWEST:
            raise
        fits.interrupted = True
    return fits


def _observe(
    case: Case, inside: bool, tasks: list[Task], workers: int
) -> Iterator[tuple[bool, observers.Observation]]:
    if workers == 1:
        for task in tasks:
            yield task[0], observe_fit(case, inside, task)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, _start_worker, (case, inside))
    try:
        with (
            _interrupts_ignored()
        ):  # workers inherit it: the parent decides what an interrupt means
            waiting = {pool.submit(_work, task): task[0] for task in tasks}
        for ended in as_completed(waiting):
            yield waiting[ended], ended.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


# Of a worker process, set once when it starts.
_observer: list[Callable[[Task], observers.Observation]] = []


def _start_worker(case: Case, inside: bool) -> None:
    _observer[:] = [partial(observe_fit, case, inside)]


def _work(task: Task) -> observers.Observation:
    return _observer[0](task)


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


def observe_fit(case: Case, inside: bool, task: Task) -> observers.Observation:
    """Fit the table of one world, by the code that is audited, and return what the observer keeps."""
    with_record, seed = task
    table = case.table(with_record)
    if not inside:
        return observers.look_at_release(case, case.fit(table), seed)
    seen = FitReleases()
    fitted = case.fit(table, seen)
    return observers.look_inside(
        case, fitted, seen, with_record, torch.Generator().manual_seed(seed)
    )


def check_shape(fits: Trials) -> Check:
    """Check that the public facts of the model are the same in every fit."""
    same = len({one.shape for one in fits.observations}) == 1
    detail = "sizes, settings and guarantee are the same in every fit"
    if not same:
        detail = "public facts of the model (sizes, settings, guarantee) differ between fits"
    return Check(name="public facts", passed=same, detail=detail)


def check_releases(case: Case, fits: Trials) -> Check:
    """Compare how often each kind of release was made with what the account says."""
    wrong = []
    for kind, accounted in observers.expected_log(case).items():
        others = {one.log[kind] for one in fits.observations} - {accounted}
        if others:
            wrong.append(
                f"{kind}: {', '.join(map(str, sorted(others)))} made, {accounted} accounted"
            )
    detail = "; ".join(wrong) or "every release is made as often as it is accounted"
    return Check(name="releases", passed=not wrong, detail=detail)


def check_noise(fits: Trials) -> Check:
    """Look for noise that is repeated more often than chance allows."""
    drawn: dict[str, list[tuple[int, ...]]] = {}
    odds: dict[str, float] = {}
    for one in fits.observations:
        for name, (noise, sigma) in one.noise.items():
            stage = name.partition(",")[0]
            drawn.setdefault(stage, []).append(noise)
            # Two draws of a rounded normal are equal with about this log-probability.
            alike = -len(noise) * math.log(max(2 * sigma * math.sqrt(math.pi), 1.0))
            odds[stage] = max(alike, odds.get(stage, -math.inf))
    wrong = []
    for stage, noises in drawn.items():
        number, repeats = len(noises), len(noises) - len(set(noises))
        by_chance = number * (number - 1) / 2 * math.exp(odds[stage])
        if repeats and poisson.sf(repeats - 1, by_chance) < CHANCE:
            wrong.append(f"{repeats:,} of {number:,} draws of the noise of {stage} came before")
    detail = "; ".join(wrong) or "no noise came twice"
    return Check(name="fresh noise", passed=not wrong, detail=detail)


def _white_scores(case: Case, fits: Trials) -> list[Scores]:
    plan, in_time = case.plan, case.schema.orderBy is not None
    moments = "noisy moments of visits" if in_time else "noisy moments of pairs of columns"
    everything = "every count and moment" if in_time else "every count, moment and gradient"
    stages = {
        observers.EVERYTHING: (case.claim(), everything),
        observers.COUNTS: (case.claim(plan.marginals), "noisy counts of columns and patients"),
        observers.PAIRS: (case.claim(plan.pairs), moments),
    }
    training = case.claim() if plan.training is None else case.claim(plan.training)
    if plan.training is not None:
        stages[observers.TRAINING] = (training, "noisy gradients of all layers")
    if plan.interactions:
        claim, sees = case.claim(*plan.interactions), "noisy moments of three and four columns"
        stages[observers.INTERACTIONS] = (claim, sees)
    scores = []
    for name, worlds in fits.scores("ratios").items():
        claim, sees = stages.get(name, (training, "noisy gradients of one layer"))
        rank = 1 if name == observers.EVERYTHING else 2 if name in stages else 3
        scores.append(Scores(name, sees, claim, worlds, 0.0, rank))
    for name, worlds in fits.scores("measured").items():
        scores.append(Scores(name, "how large noisy gradients are", training, worlds, None, 3))
    return scores


def _black_scores(case: Case, fits: Trials) -> list[Scores]:
    claim, scores = case.claim(), []
    for name, worlds in fits.scores("measured").items():
        sees = "the saved model" if name.startswith("model") else "synthetic records"
        scores.append(
            Scores(name, sees, claim, worlds, None, 1 if name == observers.RECORDS else 2)
        )
    # Models of the most common number of numbers only: others cannot be compared with them.
    lengths = Counter(len(one.numbers) for one in fits.observations)
    usual = lengths.most_common(1)[0][0]
    numbers = [
        np.array([one.numbers for one in world if len(one.numbers) == usual])
        for world in fits.worlds
    ]
    if min(map(len, numbers)) >= FEWEST:
        scores.append(Scores(NUMBERS, "the saved model", claim, discriminant(*numbers), None, 2))
    return scores
