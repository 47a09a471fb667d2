"""Draw how attacks fare against epsilon: `python -m tests.attacks.power_curve` writes docs/curve.png.

Each run makes a new simulated population, fits a synthesizer to a small sample of it and attacks
what it samples. Few patients and many synthetic rows favour the attacker. Minutes, on two cores.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from synthvae.attacks import run_attacks
from synthvae.evaluation.results import Attack
from synthvae.evaluation.tables import prepare
from synthvae.privacy.tradeoff import ceiling, largest_auc
from synthvae.settings import Settings, settings_for
from synthvae.synthesizer import Synthesizer
from tests.attacks.known_generators import PEOPLE, people

PATIENTS, HELD, ROWS = 300, 4000, 3000
EPSILONS = (0.5, 1.0, 2.0, 4.0, 8.0)
NONE, OVERFITTED = 28.0, 90.0  # where the fits without a budget stand on the axis
RATE = 0.1
PAPER, MUTED, ALARM = "#fdfcf8", "#5b6470", "#b3362b"
NAMES = {
    "closest_record": "closest record",
    "calibrated_neighbour": "calibrated neighbour",
    "domias": "density ratio",
    "classifier": "classifier",
}
LINES = (("#5b6470", "-"), ("#0072a8", "--"), ("#9c4a7a", "-"), ("#8a5a00", "-."))
SCHEMA = PEOPLE.replace(patients=PATIENTS)
DELTA = 1e-5


def by_heart() -> Settings:
    """Return settings without a budget that learn the rows by heart."""
    return settings_for(SCHEMA, None).model_copy(
        update={
            "bins": 100,
            "rank": 24,
            "mixture": 256,
            "hidden": 128,
            "latent": 16,
            "kl_weight": 0.05,
            "learning_rate": 0.01,
            "steps": 600,
        }
    )


def attacked(
    epsilon: float | None, seed: int, settings: Settings | None = None
) -> tuple[Attack, ...]:
    """Fit a synthesizer to a small simulated table, and return the attacks on its records."""
    train, holdout = people(PATIENTS, 2 * seed), people(HELD, 2 * seed + 1)
    delta = None if epsilon is None else DELTA
    synth = Synthesizer(SCHEMA, epsilon, delta, settings=settings, test_seed=seed)
    made = synth.fit(train, progress=lambda _what, _share: None).sample(ROWS, seed=seed)
    tables = prepare(train, holdout, made, SCHEMA, np.random.default_rng(seed))
    return run_attacks(tables, "screen", np.random.default_rng(seed)).attacks


def measure(runs: int) -> pd.DataFrame:
    """Return one line a run and attack: where it stands, the AUC, and the members found."""
    settings: dict[float, tuple[float | None, Settings | None]] = {
        place: (place, None) for place in EPSILONS
    }
    settings |= {NONE: (None, None), OVERFITTED: (None, by_heart())}
    lines = []
    for place, (epsilon, chosen) in settings.items():
        for seed in range(runs):
            for attack in attacked(epsilon, 100 + seed, chosen):
                found = next(share for rate, share, _ in attack.tpr_at if rate == RATE)
                lines.append((place, seed, NAMES[attack.key], attack.auc, found))
        print(f"{place:g} done", flush=True)
    return pd.DataFrame(lines, columns=["place", "run", "attack", "auc", "found"])


def draw(lines: pd.DataFrame) -> Figure:
    """Draw both figures of every attack against epsilon, under their ceilings."""
    runs = lines["run"].nunique()
    with rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(11, 4.6), facecolor=PAPER)
        panels = figure.subplots(1, 2)
        fine = np.geomspace(min(EPSILONS) / 1.3, 12, 200)
        found = [float(ceiling(RATE, epsilon, DELTA)) for epsilon in fine]
        areas = [largest_auc(epsilon, DELTA) for epsilon in fine]
        _panel(panels[0], lines, "found", RATE, (fine, found))
        panels[0].set_title(f"members found at {RATE:.0%} false alarms", loc="left")
        _panel(panels[1], lines, "auc", 0.5, (fine, areas))
        panels[1].set_title("area under the ROC curve", loc="left")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, frameon=False, ncols=4, fontsize=10, loc="upper left")
        figure.text(
            0.01,
            0.015,
            f"{PATIENTS} simulated patients, {ROWS:,} synthetic records, {runs} runs: pale dots are "
            "runs, lines their means.",
            fontsize=9,
            color=MUTED,
        )
        figure.tight_layout(rect=(0, 0.05, 1, 0.93))
    return figure


def _panel(
    plot: Axes,
    lines: pd.DataFrame,
    what: str,
    chance: float,
    top: tuple[np.ndarray, Sequence[float]],
) -> None:
    plot.set_facecolor(PAPER)
    plot.fill_between(top[0], top[1], 1.03, color=ALARM, alpha=0.13, linewidth=0)
    plot.plot(*top, color=ALARM, linewidth=1.3)
    plot.text(0.44, 0.97, "out of any\nattack's reach", color=ALARM, fontsize=9.5, va="top")
    plot.axhline(chance, color=MUTED, linewidth=0.9, linestyle=(0, (3, 3)))
    for number, (title, own) in enumerate(lines.groupby("attack", sort=False)):
        (colour, dashes), shift = LINES[number], 1.06 ** (number - 1.5)
        by_place = own.groupby("place")[what]
        means = by_place.mean()
        plot.plot(own["place"] * shift, own[what], ".", color=colour, alpha=0.45, markersize=5)
        for part in (means.index <= max(EPSILONS), means.index > max(EPSILONS)):
            x = means.index[part] * shift
            plot.plot(
                x,
                means[part],
                color=colour,
                linestyle=dashes if part[0] else "none",
                marker="o",
                markersize=4,
                linewidth=1.5,
                label=title if part[0] else None,
            )
    plot.set(xscale="log", xlim=(0.4, 150), ylim=(0, 1.03), xlabel="epsilon")
    plot.xaxis.set_major_locator(FixedLocator([*EPSILONS, NONE, OVERFITTED]))
    plot.xaxis.set_minor_locator(NullLocator())
    names = {NONE: "none", OVERFITTED: "none, over-\nfitted"}
    plot.xaxis.set_major_formatter(FuncFormatter(lambda x, _: names.get(x, f"{x:g}")))
    plot.grid(axis="y", color="#e2e0d8", linewidth=0.7)
    plot.set_axisbelow(True)


def main() -> None:
    """Measure and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("docs/curve.png"))
    chosen = parser.parse_args()
    lines = measure(chosen.runs)
    print(lines.groupby(["place", "attack"], sort=False)[["auc", "found"]].mean().round(3))
    draw(lines).savefig(chosen.out, dpi=100, metadata={"Software": None})


if __name__ == "__main__":
    main()
