"""One fit in a process of its own, so that its time and its memory are its own.

`python -m synthvae.comparison.worker JOB` reads a job, fits, samples, writes the records and what
they cost. It is told everything in the job's file and prints nothing but errors.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from synthvae._frozen import Frozen
from synthvae.comparison.results import OURS
from synthvae.errors import SynthvaeError

if TYPE_CHECKING:
    import pandas as pd

    from synthvae.schema import Schema

# One thread each: methods are compared on one core, whatever the machine has.
ONE_THREAD = {
    **dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
    ),
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "JAX_PLATFORMS": "cpu",
}
SAID = 300  # characters of what a failed process said


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
    """What a finished worker leaves behind beside the records."""

    spent: float
    fit_seconds: float
    cpu_seconds: float
    megabytes: float | None


def do(job: Job) -> None:
    """Fit, sample, and write the records and the costs."""
    from synthvae.schema import Schema
    from synthvae.table import read_table, write_table

    schema = Schema.load(job.schema_file)
    frame = read_table(job.train)
    begun = time.perf_counter()
    fitted = _fit_ours(job, schema, frame) if job.method == OURS else _fit_other(job, schema, frame)
    ended = time.perf_counter()
    records = fitted.sample()
    write_table(records, job.records, schema)
    done = Done(
        spent=fitted.spent,
        fit_seconds=ended - begun,
        cpu_seconds=time.process_time(),
        megabytes=_peak_megabytes(),
    )
    job.done.write_text(done.model_dump_json(), encoding="utf-8")


@dataclass(frozen=True)
class _Fitted:
    """What is left to do after a fit, and what it spent."""

    sample: "Callable[[], pd.DataFrame]"
    spent: float


def _fit_ours(job: Job, schema: "Schema", frame: "pd.DataFrame") -> _Fitted:
    from synthvae._runtime import silent
    from synthvae.pipeline import override_settings
    from synthvae.synthesizer import Synthesizer

    settings = override_settings(schema, job.epsilon, job.settings)
    made = Synthesizer(schema, job.epsilon, job.delta, settings=settings).fit(frame, silent)
    spent = made.guarantee.epsilon
    assert spent is not None, "a comparison has a budget"
    return _Fitted(lambda: made.sample(job.rows, seed=job.seed, progress=silent), spent)


def _fit_other(job: Job, schema: "Schema", frame: "pd.DataFrame") -> _Fitted:
    from synthvae.baselines import make

    made = make(job.method, schema, job.epsilon, job.delta).fit(frame)
    return _Fitted(lambda: made.sample(job.rows, seed=job.seed), made.record.epsilon)


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
    job = Job.model_validate_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
    try:
        do(job)
    except SynthvaeError as error:
        sys.exit(str(error))
    except MemoryError:
        sys.exit("There is not enough memory.")


if __name__ == "__main__":
    main()


@dataclass(frozen=True)
class Ran:
    """How a process ended: what it left, or why it failed; and its seconds on the wall."""

    seconds: float
    done: Done | None
    failed: str | None


def run_alone(job: Job, folder: Path, timeout: float) -> Ran:
    """Do a job in a new process and wait for it.

    A process that is killed, runs out of time or memory, or raises is an outcome, not an error.
    """
    file = folder / "job.json"
    file.write_text(job.model_dump_json(), encoding="utf-8")
    said = folder / "said.txt"
    job.done.unlink(missing_ok=True)
    begun = time.perf_counter()
    with said.open("wb") as stderr:
        child = subprocess.Popen(
            [sys.executable, "-m", "synthvae.comparison.worker", str(file)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env=os.environ | ONE_THREAD,
        )
        try:
            code = child.wait(timeout)
            failed = None if code == 0 else _why(code, said)
        except subprocess.TimeoutExpired:
            failed = f"took longer than the timeout of {timeout:g} seconds"
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
    seconds = time.perf_counter() - begun
    if failed is None and not job.done.exists():
        failed = "ended without a result"
    if failed is not None:
        return Ran(seconds, None, failed)
    return Ran(seconds, Done.model_validate_json(job.done.read_text(encoding="utf-8")), None)


def _why(code: int, said: Path) -> str:
    """Return why a process failed, from its exit code and the last line that it said."""
    if code == -signal.SIGKILL:
        return "was killed (signal 9), as by a system that has no memory left"
    if code < 0:
        return f"was ended by signal {-code}"
    lines = said.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return last[:SAID] or f"ended with exit code {code}"
