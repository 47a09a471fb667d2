"""What must hold in every fit, whatever chance does: sizes, releases as accounted, fresh noise."""

import math
from collections import Counter

from scipy.stats import poisson

from synthvae.audit.observers import expected_log
from synthvae.audit.tiny import Case
from synthvae.audit.trials import Trials
from synthvae.audit.values import Check

CHANCE = 1e-6  # of a repeat by coincidence, below which it is none


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
