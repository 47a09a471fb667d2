"""Run one fit in a process of its own, with a clock beside it and a limit to it."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from synthvae.comparison.worker import Done, Job

# One thread each: methods are compared on one core, whatever the machine has.
ONE_THREAD = {
    **dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
    ),
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "JAX_PLATFORMS": "cpu",
}
SAID = 300  # characters of what a failed process said


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
