"""`python -m tests.fuzz --minutes N [--only TARGET]`: fuzz every reader in turn."""

import argparse
import os
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.targets import TARGETS
from tests.fuzz.worker import cause_of

SEEDS = Path(__file__).parent / "seeds"
TURN = 30.0  # seconds of one target before the next one's turn
PATIENCE = 300.0  # seconds after which a worker counts as stuck


def turn(name: str, seed: int, seconds: float, folder: Path, causes: set[str]) -> tuple[int, int]:
    """Run one worker; return how many inputs it read and how many new causes it found."""
    words = [sys.executable, "-m", "tests.fuzz.worker", name, str(seed), str(seconds), str(folder)]
    said = folder / "said.txt"
    with said.open("wb") as stderr:
        child = subprocess.Popen(words, stderr=stderr, env=os.environ | {"OMP_NUM_THREADS": "1"})
        try:
            child.wait(seconds + PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    count = folder / "count"
    read = int(count.read_text() or 0) if count.exists() else 0
    found = folder / "found"
    found.mkdir(exist_ok=True)
    if child.returncode and (folder / "input").exists():
        content = (folder / "input").read_bytes()
        (found / f"died{TARGETS[name].suffix}").write_bytes(content)
        why = said.read_text(errors="replace")
        (found / "died.txt").write_text(f"{why}\nended with {child.returncode}", errors="replace")
    return read, keep(name, found, causes)


def keep(name: str, found: Path, causes: set[str]) -> int:
    """Move findings of new causes to the seeds; return how many there were."""
    new = 0
    for trace in sorted(found.glob("*.txt")):
        cause = f"{name}\n{cause_of(trace.read_text(errors='replace'))}"
        if cause in causes:
            continue
        causes.add(cause)
        new += 1
        target = SEEDS / name
        target.mkdir(parents=True, exist_ok=True)
        content = trace.with_suffix(TARGETS[name].suffix).read_bytes()
        stem = trace.stem if trace.stem != "died" else f"died-{secrets.token_hex(4)}"
        (target / f"{stem}{TARGETS[name].suffix}").write_bytes(content)
        print(f"FOUND in {name}: {target / stem}\n{trace.read_text(errors='replace')}", flush=True)
    return new


def main() -> None:
    """Take turns until the time is up."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--only", choices=sorted(TARGETS), action="append")
    parser.add_argument("--seed", type=int, default=0, help="of the first turn")
    given = parser.parse_args()
    names = given.only or list(TARGETS)
    end, seed, causes = time.monotonic() + 60 * given.minutes, given.seed, set[str]()
    totals = dict.fromkeys(names, (0, 0))
    while time.monotonic() < end:
        for name in names:
            left = end - time.monotonic()
            if left <= 0:
                break
            with tempfile.TemporaryDirectory() as folder:
                read, new = turn(name, seed, min(TURN, left), Path(folder), causes)
            totals[name] = (totals[name][0] + read, totals[name][1] + new)
            print(f"{name}: {totals[name][0]} inputs, {totals[name][1]} findings", flush=True)
        seed += 1
    inputs, findings = (sum(total[i] for total in totals.values()) for i in (0, 1))
    print(f"In all {inputs} inputs, {findings} findings.")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
