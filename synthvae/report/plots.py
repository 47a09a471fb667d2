"""Plots with axes: scores beside their references, the training curve, ROC curves of attacks."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from synthvae._text import counted
from synthvae.evaluation.results import Attack, Score
from synthvae.privacy.tradeoff import Budget, ceiling, corners
from synthvae.report import drawing, phrases
from synthvae.report.run_facts import TrainingCurve

_DRAWN_SCORES = 18
_PANELS = {"higher": "Higher is better", "lower": "Lower is better", "towards": "Best at the goal"}
_MARKS = {
    "holdout": ("D", "holdout"),
    "independent": ("s", "independent"),
    "chance": ("|", "muted"),
    "ideal": ("|", "ink"),
    **dict.fromkeys(phrases.REAL, ("^", "holdout")),
}
_HOLLOW: dict[str, Any] = {"markerfacecolor": "none", "markeredgewidth": 1.5}
_ABOVE_ROW: dict[str, Any] = {
    "xycoords": ("axes fraction", "data"),
    "xytext": (0, 9),
    "textcoords": "offset points",
}
_LISTED_STEPS = 60
_WARM_UP = (
    "The loss has the Kullback–Leibler term in it, whose weight rises from 0 over the first steps (the "
    "warm-up): the loss can rise with it while the model learns."
)
_LISTED_RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
_LINES = 6


def score_plot(scores: Sequence[Score]) -> drawing.Drawing | None:
    """Draw scores with their intervals beside their references, one panel for each direction."""
    scores = [score for score in scores if score.value is not None and math.isfinite(score.value)]
    if not scores:
        return None
    by_direction = {name: [s for s in scores if s.direction == name] for name in _PANELS}
    with drawing.house_style():
        panels = [
            _score_panel(some[:_DRAWN_SCORES], _PANELS[name], f"scores-{name}")
            for name, some in by_direction.items()
            if some
        ]
    left_out = sum(len(some[_DRAWN_SCORES:]) for some in by_direction.values())
    names = {name for score in scores for name in score.references}
    known, others = [name for name in _MARKS if name in names], sorted(names - set(_MARKS))
    columns = [*known, *others]
    rows = [
        (
            phrases.plain(score.title),
            phrases.number(score.value),
            phrases.range_text(score.interval),
            *(phrases.number(score.references.get(name)) for name in columns),
        )
        for score in scores
    ]
    legend = [("dot synthetic", "synthetic, with its interval")]
    legend += [
        (f"mark {'real' if name in phrases.REAL else name}", phrases.reference_name(name))
        for name in known
    ]
    if others:
        legend.append(("mark other", " / ".join(map(phrases.reference_name, others))))
    return drawing.Drawing(
        key="utility-scores",
        title="Learned from synthetic data, beside learned from real data",
        panels=panels,
        table=drawing.Table(
            ("Score", "Synthetic", "Interval", *map(phrases.reference_name, columns)), rows
        ),
        caption=f"{left_out} further scores are in the table." if left_out else "",
        legend=legend,
    )


def _score_panel(scores: Sequence[Score], title: str, key: str) -> Markup:
    plot = drawing.axes(380, 42 * len(scores) + 58, (10, 26, 14, 30))
    for row, score in enumerate(scores):
        plot.axhline(row, color=drawing.COLOUR["rule"], linewidth=0.6, zorder=0)
        for name, reference in (("ideal", score.goal), *score.references.items()):
            if reference is not None:
                shape, role = _MARKS.get(name, ("^", "muted"))
                size, edge = 12 if shape == "|" else 6, drawing.COLOUR[role]
                plot.plot(
                    [reference], [row], shape, markersize=size, markeredgecolor=edge, **_HOLLOW
                )
        if score.interval is not None:
            ends = [score.interval.low, score.interval.high]
            plot.plot(ends, [row, row], color=drawing.COLOUR["synthetic"], linewidth=2.4)
        plot.plot(
            [drawing.finite(score.value)],
            [row],
            "o",
            color=drawing.COLOUR["synthetic"],
            markersize=6.5,
        )
        plot.annotate(phrases.shorten(score.title, 56), (0, row), fontsize=10.5, **_ABOVE_ROW)
    plot.set_title(title, fontsize=12, loc="left", pad=14)
    plot.set_ylim(len(scores) - 0.5, -0.75)
    plot.margins(x=0.05)
    plot.set_yticks([])
    plot.spines["left"].set_visible(False)
    plot.xaxis.set_major_locator(MaxNLocator(6))
    values = "; ".join(
        f"{phrases.plain(score.title)} {phrases.number(score.value)}" for score in scores
    )
    return drawing.to_svg(plot, key, f"{title}: {values}.")


def training_curve(curve: TrainingCurve | None) -> drawing.Drawing | None:
    """Draw the loss over the training steps; None where there is none."""
    if curve is None or not curve.steps:
        return None
    losses = {"training": curve.loss}
    if curve.validation is not None:
        losses["validation"] = curve.validation
    styles: dict[str, tuple[str, Any]] = {
        "training": ("synthetic", "solid"),
        "validation": ("alarm", (0, (5, 2))),
    }
    with drawing.house_style():
        plot = drawing.axes(400, 240, (52, 42, 12, 12))
        for name, loss in losses.items():
            role, dash = styles[name]
            plot.plot(curve.steps, loss, color=drawing.COLOUR[role], linestyle=dash, linewidth=1.8)
        plot.set(xlabel="training step", ylabel="loss per record")
        plot.grid(axis="y")
        plot.yaxis.set_major_locator(MaxNLocator(5))
        plot.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        alt = (
            f"Loss per record from {phrases.number(curve.loss[0], 2)} at step {curve.steps[0]} "
            f"to {phrases.number(curve.loss[-1], 2)} at step {curve.steps[-1]}."
        )
        panel = drawing.to_svg(plot, "training-curve", alt)
    last = len(curve.steps) - 1
    listed = sorted({*range(0, last, max(1, math.ceil((last + 1) / _LISTED_STEPS))), last})
    title = "Loss while training"
    if curve.active_units is not None:
        title += f" ({counted(curve.active_units, 'active unit')} in the latent)"
    rows = [
        (f"{curve.steps[i]:,}", *(phrases.number(loss[i], 3) for loss in losses.values()))
        for i in listed
    ]
    legend = [("line solid-synthetic", "training"), ("line dash-alarm", "validation")]
    return drawing.Drawing(
        key="training-loss",
        title=title,
        caption=_WARM_UP,
        panels=[panel],
        table=drawing.Table(("Step", *map(str.capitalize, losses)), rows),
        legend=legend[: len(losses)],
    )


def attack_roc(attacks: Sequence[Attack], budget: Budget | None) -> drawing.Drawing | None:
    """Draw the ROC curves of attacks under the ceiling of the guarantee, on two scales."""
    if not attacks:
        return None
    strongest = max(attacks, key=lambda attack: attack.auc)
    alt = (
        f"ROC curves of {len(attacks)} membership attacks. The strongest, "
        f"{phrases.plain(strongest.title)}, has an AUC of {phrases.number(strongest.auc)}; "
        "guessing has 0.5."
    )
    legend = [
        (f"line line-{place % _LINES + 1}", phrases.plain(attack.title))
        for place, attack in enumerate(attacks)
    ]
    if budget:
        alt += (
            f" The ceiling that ε = {phrases.epsilon(budget[0])} and "
            f"δ = {phrases.delta(budget[1])} allow passes "
            f"{phrases.share(_ceiling_at(0.01, budget))} at 1 % false positives."
        )
        legend.append(("area alarm", "out of any attack's reach, if the guarantee holds"))
    with drawing.house_style():
        panels = [
            drawing.to_svg(_linear_roc(attacks, budget), "roc-linear", f"{alt} Linear scale."),
            drawing.to_svg(_log_roc(attacks, budget), "roc-log", f"{alt} Logarithmic scale."),
        ]
    return drawing.Drawing(
        key="roc",
        title="What attacks achieved, and the most that the guarantee leaves possible",
        panels=panels,
        table=_roc_table(attacks, budget),
        caption="The second panel has the same curves on logarithmic scales, which show whether a "
        "few patients can be found with near certainty; its bars are intervals.",
        legend=legend,
    )


def _ceiling_at(rate: float, budget: Budget) -> float:
    return float(ceiling(rate, *budget))


def _line(plot: Axes, place: int, x: npt.ArrayLike, y: npt.ArrayLike) -> None:
    colour, dashes = drawing.COLOUR[f"line-{place % _LINES + 1}"], drawing.DASHES[place % _LINES]
    plot.plot(x, y, color=colour, linestyle=dashes, linewidth=1.8)


def _roc_axes(
    left: int, rates: npt.ArrayLike, chance: npt.ArrayLike, budget: Budget | None
) -> Axes:
    """Return axes with the ceiling at some rates, and the line of chance."""
    plot = drawing.axes(380, 350, (left, 42, 10, 10))
    if budget:
        top = ceiling(rates, *budget)
        plot.fill_between(rates, top, 1, color=drawing.COLOUR["alarm"], alpha=0.13, linewidth=0)
        plot.plot(rates, top, color=drawing.COLOUR["alarm"], linewidth=1.3)
    plot.plot(chance, chance, color=drawing.COLOUR["muted"], linewidth=0.9, linestyle=(0, (3, 3)))
    plot.set(xlabel="non-members accused (FPR)", ylabel="members found (TPR)")
    return plot


def _linear_roc(attacks: Sequence[Attack], budget: Budget | None) -> Axes:
    plot = _roc_axes(44, corners(*budget) if budget else (), [0, 1], budget)
    if budget and _ceiling_at(0.15, budget) < 0.8:
        plot.text(
            0.025, 0.965, "out of reach", color=drawing.COLOUR["alarm"], va="top", fontsize=10.5
        )
    plot.text(0.63, 0.5, "guessing", color=drawing.COLOUR["muted"], fontsize=10.5, rotation=45)
    for place, attack in enumerate(attacks):
        _line(plot, place, attack.fpr, attack.tpr)
    plot.set(xlim=(0, 1), ylim=(0, 1))
    for axis in (plot.xaxis, plot.yaxis):
        axis.set_major_locator(MaxNLocator(5))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.1f}"))
    return plot


def _log_roc(attacks: Sequence[Attack], budget: Budget | None) -> Axes:
    # The power of ten below which this number of non-members can show nothing.
    non_members = max(1, *(attack.non_members for attack in attacks))
    floor = 10.0 ** -min(4, max(2, math.floor(math.log10(non_members))))
    low = floor * 0.7
    rates = np.geomspace(low, 1, 200)
    plot = _roc_axes(52, rates, rates, budget)
    for place, attack in enumerate(attacks):
        tpr = np.interp(rates, attack.fpr, attack.tpr)
        known = (tpr >= low) & (rates >= 1 / max(attack.non_members, 1))
        _line(plot, place, rates, np.where(known, tpr, np.nan))
        colour = drawing.COLOUR[f"line-{place % _LINES + 1}"]
        for rate, value, interval in attack.tpr_at:
            if rate < floor:
                continue
            x = rate * 1.07 ** (place - (len(attacks) - 1) / 2)
            ends = [max(end, low) for end in (interval.low, interval.high)]
            plot.plot([x, x], ends, color=colour, linewidth=1.2, alpha=0.75)
            plot.plot([x], [max(value, low)], "o", color=colour, markersize=4, clip_on=False)
    plot.set(xscale="log", yscale="log", xlim=(low, 1), ylim=(low, 1))
    for axis in (plot.xaxis, plot.yaxis):
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    return plot


def _roc_table(attacks: Sequence[Attack], budget: Budget | None) -> drawing.Table:
    head: tuple[str, ...] = (
        "False positive rate",
        *(phrases.plain(attack.title) for attack in attacks),
    )
    rows: list[tuple[str, ...]] = [
        (
            phrases.share(rate),
            *(phrases.share(float(np.interp(rate, a.fpr, a.tpr))) for a in attacks),
        )
        for rate in _LISTED_RATES
    ]
    if budget:
        head = (*head, "Ceiling")
        tops = [phrases.share(_ceiling_at(rate, budget)) for rate in _LISTED_RATES]
        rows = [(*row, top) for row, top in zip(rows, tops, strict=True)]
    return drawing.Table(head, rows)
