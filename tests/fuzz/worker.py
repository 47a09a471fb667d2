"""Run one target on many inputs: `python -m tests.fuzz.worker TARGET SEED SECONDS FOLDER`.

Whatever is found lies in FOLDER/found; FOLDER/input is what is being read, for the parent, should this
process be killed.
"""

import faulthandler
import hashlib
import resource
import shutil
import signal
import sys
import time
import traceback
import warnings
from pathlib import Path
from random import Random
from types import FrameType

from synthvae.errors import SynthvaeError
from tests.fuzz.targets import TARGETS, Target

SECONDS, BYTES = 20, 3 * 2**30  # of processor and of memory that one input may take
LONGEST, LONG = 4000, "an error too long to read"


class TooSlow(BaseException):
    """An input took longer than `SECONDS`."""


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise TooSlow


def attempt(target: Target, content: bytes, folder: Path) -> str | None:
    """Give one input to a reader; return the traceback of anything but a result or our error."""
    place = folder / "read"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    signal.signal(signal.SIGPROF, _stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            target.read(content, place)
    except SynthvaeError as error:
        if len(str(error)) > LONGEST:
            return f"{traceback.format_exc()[:2000]}\n{LONG}: {len(str(error))} characters"
    except (Exception, TooSlow):
        return traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return None


def cause_of(trace: str) -> str:
    """Return what makes two findings the same: the error's kind and our lines that led to it."""
    lines = [line for line in trace.splitlines() if "/synthvae/" in line]
    last = trace.strip().splitlines()[-1].partition(":")[0]
    return "\n".join([*lines[-2:], last])


def main() -> None:
    """Mutate, read, and write down what was found."""
    name, seed, seconds, place = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    folder, target, random = Path(place), TARGETS[name], Random(f"{sys.argv[1]} {seed}")
    pool = target.inputs()
    found = folder / "found"
    found.mkdir(exist_ok=True)
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    faulthandler.enable()
    known: set[str] = set()
    begun, count = time.monotonic(), 0
    while time.monotonic() - begun < seconds:
        content = target.mutate(random.choice(pool), pool, random)
        (folder / "input").write_bytes(content)
        trace = attempt(target, content, folder)
        count += 1
        (folder / "count").write_text(str(count))
        if trace is None:
            if random.random() < 0.02 and len(pool) < 200:  # what passes may be mutated further
                pool.append(content)
        elif cause_of(trace) not in known:
            known.add(cause_of(trace))
            digest = hashlib.sha256(content).hexdigest()[:12]
            (found / f"{digest}{target.suffix}").write_bytes(content)
            (found / f"{digest}.txt").write_text(trace, encoding="utf-8", errors="replace")


if __name__ == "__main__":
    main()
