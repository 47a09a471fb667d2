"""Many fits of one case in its two worlds, here or in worker processes; what was done is kept."""

import contextlib
import copy
import multiprocessing
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field

import numpy as np
import torch

from synthvae._runtime import Progress, silent
from synthvae.audit.observers import Observation, look_at_release, look_inside
from synthvae.audit.tiny import Case
from synthvae.audit.watching import FitReleases

FEWEST = 10  # trials a world, below which nothing is said

Task = tuple[bool, int]  # which world, and the seed of the observer's own draws


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
