"""One fit in a process of its own, so that its time and its memory are its own.

`run_alone` writes a job to a file and starts `python -m synthvae.comparison.worker JOB`, which fits,
samples, writes the records and what they cost, and prints nothing but errors.
"""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthvae._frozen import Frozen, read_value
from synthvae._runtime import silent
from synthvae._text import one_line
from synthvae.comparison.results import OURS
from synthvae.errors import InputFileError, SynthvaeError

if TYPE_CHECKING:
    import pandas as pd

    from synthvae.baselines.base import Baseline
    from synthvae.synthesizer import Synthesizer

# One thread each: methods are compared on one core, whatever the machine has.
ONE_THREAD = {
    **dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
    ),
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "JAX_PLATFORMS": "cpu",
}
MESSAGE_END = 10_000  # bytes of what a failed process wrote that are read: its last line


class Job(Frozen):
    """What a worker does; paths are absolute. `records` and `done` are what it writes."""

    method: str
    settings: dict[str, float]
    epsilon: float
    delta: float
    rows: int
    seed: int
    schema_file: Path
    train: Path
    records: Path
    done: Path


class Done(Frozen):
    """What a finished worker leaves behind beside the records.

    Of baselines under rules, how many of their records broke one, and how many were repaired.
    """

    spent: float
    fit_seconds: float
    cpu_seconds: float
    megabytes: float | None
    refused: float | None = None  # records, for each that keeps the rules
    repaired: float | None = None  # share of records
    notes: tuple[str, ...] = ()  # what a baseline left out, in words


def run_alone(job: Job, folder: Path, timeout: float) -> tuple[float, Done | str]:
    """Do a job in a new process, and return its seconds on the wall, and its costs or why it failed.

    A process that is killed, runs out of time or memory, or raises is an outcome, not an error.
    """
    file = folder / "job.json"
    file.write_text(job.model_dump_json(), encoding="utf-8")
    messages = folder / "stderr.txt"
    job.done.unlink(missing_ok=True)
    start = time.perf_counter()
    with messages.open("wb") as stderr:
        child = subprocess.Popen(
            [sys.executable, "-m", "synthvae.comparison.worker", str(file)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env=os.environ | ONE_THREAD,
        )
        try:
            code = child.wait(timeout)
            failed = None if code == 0 else _reason_of_failure(code, messages)
        except subprocess.TimeoutExpired:
            failed = f"took longer than the timeout of {timeout:g} seconds"
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
    seconds = time.perf_counter() - start
    if failed is None and not job.done.exists():
        failed = "ended without a result"
    if failed is not None:
        return seconds, failed
    try:
        return seconds, read_value(job.done, Done)
    except InputFileError as cause:
        return seconds, one_line(cause)


def _reason_of_failure(code: int, messages: Path) -> str:
    if code == -signal.SIGKILL:
        return "was killed (signal 9), as by a system that has no memory left"
    if code < 0:
        return f"was ended by signal {-code}"
    with messages.open("rb") as file:  # however long it is
        file.seek(max(0, messages.stat().st_size - MESSAGE_END))
        lines = file.read(MESSAGE_END).decode("utf-8", "replace").strip().split("\n")
    return one_line(lines[-1]) or f"ended with exit code {code}"


def do(job: Job) -> None:
    """Fit, sample, and write the records and the costs."""
    from synthvae.schema import Schema
    from synthvae.table import read_table, write_table

    schema = Schema.load(job.schema_file)
    frame = read_table(job.train)
    start = time.perf_counter()
    # Each method loads its own libraries only, so that its memory is its own.
    if job.method == OURS:
        from synthvae.pipeline import override_settings
        from synthvae.synthesizer import Synthesizer
        from synthvae.table.reading_warnings import without_reading_warnings

        settings = override_settings(schema, job.epsilon, job.settings)
        with without_reading_warnings():  # which whoever split the table has seen
            ours = Synthesizer(schema, job.epsilon, job.delta, settings=settings).fit(frame, silent)
        spent = ours.guarantee.epsilon
        draw = partial(_draw_ours, ours, job)
    else:
        from synthvae.baselines import make

        baseline = make(job.method, schema, job.epsilon, job.delta).fit(frame)
        spent = baseline.record.epsilon
        draw = partial(_draw_baseline, baseline, job)
    assert spent is not None, "a comparison has a budget"
    fit_seconds = time.perf_counter() - start
    records, told = draw()
    write_table(records, job.records, schema)
    done = Done(
        spent=spent,
        fit_seconds=fit_seconds,
        cpu_seconds=time.process_time(),
        megabytes=_peak_megabytes(),
        **told,
    )
    job.done.write_text(done.model_dump_json(), encoding="utf-8")


def _draw_ours(ours: "Synthesizer", job: Job) -> tuple["pd.DataFrame", dict[str, Any]]:
    return ours.sample(job.rows, seed=job.seed, progress=silent), {}


def _draw_baseline(baseline: "Baseline", job: Job) -> tuple["pd.DataFrame", dict[str, Any]]:
    """Return a baseline's records, and what `Done` tells of baselines alone."""
    records = baseline.draw_records(job.rows, seed=job.seed)
    told: dict[str, Any] = {"notes": baseline.notes}
    if records.denied:
        told["notes"] += (
            f"{records.denied:.0%} of patients had visits that did not agree with their number or with "
            "the end of time: what was lacking was drawn from the columns' margins.",
        )
    if baseline.schema.rules:
        number = records.number
        told |= {"refused": records.refused / number, "repaired": records.repaired / number}
    return baseline.table_of(records), told


def _peak_megabytes() -> float | None:
    """Return the largest memory of this process, without what its parent had before it began."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        import resource
    except (OSError, ImportError):
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1024**2 if sys.platform == "darwin" else 1024)


def main() -> None:
    """Do the job that the first argument names; an error of ours is one line on stderr."""
    try:
        do(read_value(Path(sys.argv[1]), Job))
    except SynthvaeError as error:
        sys.exit(str(error))
    except MemoryError:
        sys.exit("There is not enough memory.")


if __name__ == "__main__":
    main()
