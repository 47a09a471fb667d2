"""The loss over the training steps."""

import math
from typing import Any

from matplotlib.ticker import MaxNLocator

from synthvae.report.drawing import COLOUR, Drawing, Table, axes, house_style, to_svg
from synthvae.report.values import TrainingCurve
from synthvae.report.words import number

_WARM_UP = (
    "The loss has the Kullback–Leibler term in it, whose weight rises from 0 over the first steps (the "
    "warm-up): the loss can rise with it while the model learns."
)


def training_curve(curve: TrainingCurve) -> Drawing | None:
    """Draw the loss over the training steps."""
    if not curve.steps:
        return None
    plots: list[tuple[str, tuple[float, ...], str, Any]] = [
        ("training", curve.loss, "synthetic", "solid")
    ]
    if curve.validation is not None:
        plots.append(("validation", curve.validation, "alarm", (0, (5, 2))))
    with house_style():
        plot = axes(400, 240, (52, 42, 12, 12))
        for _, loss, role, dash in plots:
            plot.plot(curve.steps, loss, color=COLOUR[role], linestyle=dash, linewidth=1.8)
        plot.set(xlabel="training step", ylabel="loss per record")
        plot.grid(axis="y")
        plot.yaxis.set_major_locator(MaxNLocator(5))
        plot.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        alt = (
            f"Loss per record from {number(curve.loss[0], 2)} at step {curve.steps[0]} "
            f"to {number(curve.loss[-1], 2)} at step {curve.steps[-1]}."
        )
        panel = to_svg(plot, "training-curve", alt)
    every = max(1, math.ceil(len(curve.steps) / 60))
    chosen = sorted({*range(0, len(curve.steps), every), len(curve.steps) - 1})
    rows = tuple(
        (f"{curve.steps[i]:,}", *(number(loss[i], 3) for _, loss, _, _ in plots)) for i in chosen
    )
    return Drawing(
        key="training-loss",
        title="Loss while training" + _latent(curve),
        caption=_WARM_UP,
        panels=(panel,),
        table=Table(("Step", *(name.capitalize() for name, *_ in plots)), rows),
        legend=tuple(
            ("line " + ("solid-synthetic" if name == "training" else "dash-alarm"), name)
            for name, *_ in plots
        ),
    )


def _latent(curve: TrainingCurve) -> str:
    if curve.active_units is None:
        return ""
    units = "unit" if curve.active_units == 1 else "units"
    return f" ({curve.active_units} active {units} in the latent)"
