"""Run a piece of Python in a process of its own with a limit on its memory and its time."""

import os
import subprocess
import sys
from pathlib import Path

PREFACE = """
import resource, sys, time
resource.setrlimit(resource.RLIMIT_AS, ({most}, {most}))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
from pathlib import Path
from synthvae.errors import SynthvaeError
try:
    {call}
except SynthvaeError as error:
    print("ERROR", error)
else:
    print("READ")
"""


def said_within(call: str, folder: Path, *, seconds: float, gigabytes: float) -> str:
    """Return what a call led to: `READ`, or `ERROR` and the message; anything else fails."""
    most = int(gigabytes * 2**30)
    done = subprocess.run(
        [sys.executable, "-c", PREFACE.format(call=call, most=most)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=seconds,
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
