"""Scores as dots with intervals, beside what the same score is for other tables."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from synthvae.evaluation.results import Attack, Score
from synthvae.privacy.tradeoff import Budget, ceiling, corners
from synthvae.report.drawing import COLOUR, DASHES, Drawing, Table, axes, house_style, to_svg
from synthvae.report.phrases import REAL, number, plain, range_text, reference_name, share, shorten
from synthvae.report.run_facts import TrainingCurve

_DRAWN_SCORES = 18
_MARKS = {
    "holdout": ("D", "holdout"),
    "independent": ("s", "independent"),
    "chance": ("|", "muted"),
    "ideal": ("|", "ink"),
    **dict.fromkeys(REAL, ("^", "holdout")),
}
_WARM_UP = (
    "The loss has the Kullback–Leibler term in it, whose weight rises from 0 over the first steps (the "
    "warm-up): the loss can rise with it while the model learns."
)
_RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
_LINES = 6


def score_dots(scores: Sequence[Score]) -> Drawing | None:
    """Draw scores with their intervals beside their references, one panel for each direction."""
    drawn = [score for score in scores if score.value is not None and math.isfinite(score.value)]
    if not drawn:
        return None
    panels = []
    titles = {
        "higher": "Higher is better",
        "lower": "Lower is better",
        "towards": "Best at the goal",
    }
    with house_style():
        for name, title in titles.items():
            some = [score for score in drawn if score.direction == name][:_DRAWN_SCORES]
            if some:
                panels.append(_dots(some, title, f"scores-{name}"))
    kinds = [name for name in _MARKS if any(name in score.references for score in drawn)]
    others = sorted({name for score in drawn for name in score.references} - set(_MARKS))
    head = ("Score", "Synthetic", "Interval", *(reference_name(name) for name in (*kinds, *others)))
    rows = tuple(
        (
            plain(score.title),
            number(score.value),
            range_text(score.interval),
            *(number(score.references.get(name)) for name in (*kinds, *others)),
        )
        for score in drawn
    )
    left_out = len(drawn) - sum(
        min(_DRAWN_SCORES, sum(s.direction == name for s in drawn)) for name in titles
    )
    return Drawing(
        key="utility-scores",
        title="Learned from synthetic data, beside learned from real data",
        panels=tuple(panels),
        table=Table(head, rows),
        caption=f"{left_out} further scores are in the table." if left_out else "",
        legend=(
            ("dot synthetic", "synthetic, with its interval"),
            *((f"mark {'real' if name in REAL else name}", reference_name(name)) for name in kinds),
            *((("mark other", " / ".join(map(reference_name, others))),) if others else ()),
        ),
    )


def _dots(scores: Sequence[Score], title: str, key: str) -> Markup:
    height = 42 * len(scores) + 58
    plot = axes(380, height, (10, 26, 14, 30))
    for row, score in enumerate(scores):
        value = score.value if score.value is not None else math.nan
        plot.axhline(row, color=COLOUR["rule"], linewidth=0.6, zorder=0)
        for name, reference in (("ideal", score.goal), *score.references.items()):
            if reference is not None:
                shape, role = _MARKS.get(name, ("^", "muted"))
                plot.plot(
                    [reference],
                    [row],
                    shape,
                    markersize=12 if shape == "|" else 6,
                    markerfacecolor="none",
                    markeredgecolor=COLOUR[role],
                    markeredgewidth=1.5,
                )
        if score.interval is not None:
            ends = [score.interval.low, score.interval.high]
            plot.plot(ends, [row, row], color=COLOUR["synthetic"], linewidth=2.4)
        plot.plot([value], [row], "o", color=COLOUR["synthetic"], markersize=6.5)
        plot.annotate(
            shorten(score.title, 56),
            (0, row),
            xycoords=("axes fraction", "data"),
            xytext=(0, 9),
            textcoords="offset points",
            fontsize=10.5,
        )
    plot.set_title(title, fontsize=12, loc="left", pad=14)
    plot.set_ylim(len(scores) - 0.5, -0.75)
    plot.margins(x=0.05)
    plot.set_yticks([])
    plot.spines["left"].set_visible(False)
    plot.xaxis.set_major_locator(MaxNLocator(6))
    words = "; ".join(f"{plain(score.title)} {number(score.value)}" for score in scores)
    return to_svg(plot, key, f"{title}: {words}.")


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


def attack_roc(attacks: Sequence[Attack], budget: Budget | None) -> Drawing:
    """Draw the ROC curves of attacks under the ceiling of the guarantee, on two scales."""
    strongest = max(attacks, key=lambda attack: attack.auc)
    alt = (
        f"ROC curves of {len(attacks)} membership attacks. The strongest, "
        f"{plain(strongest.title)}, has an AUC of {number(strongest.auc)}; guessing has 0.5."
    )
    if budget:
        alt += (
            f" The ceiling that epsilon {number(budget[0], 2)} and delta {number(budget[1])} allow "
            f"passes {share(_at(budget, 0.01))} at 1 % false positives."
        )
    with house_style():
        panels = (
            to_svg(_roc_linear(attacks, budget), "roc-linear", f"{alt} Linear scale."),
            to_svg(_roc_log(attacks, budget), "roc-log", f"{alt} Logarithmic scale."),
        )
    legend = [
        (f"line line-{index % _LINES + 1}", plain(attack.title))
        for index, attack in enumerate(attacks)
    ]
    if budget:
        legend.append(("area alarm", "out of any attack's reach, if the guarantee holds"))
    return Drawing(
        key="roc",
        title="What attacks achieved, and the most that the guarantee leaves possible",
        panels=panels,
        table=_roc_table(attacks, budget),
        caption="The second panel has the same curves on logarithmic scales, which show whether a "
        "few patients can be found with near certainty; its bars are intervals.",
        legend=tuple(legend),
    )


def _at(budget: Budget, rate: float) -> float:
    return float(ceiling(rate, *budget))


def _line(axes_: Axes, index: int, x: npt.ArrayLike, y: npt.ArrayLike) -> None:
    axes_.plot(
        x,
        y,
        color=COLOUR[f"line-{index % _LINES + 1}"],
        linestyle=DASHES[index % _LINES],
        linewidth=1.8,
    )


def _roc_linear(attacks: Sequence[Attack], budget: Budget | None) -> Axes:
    plot = axes(380, 350, (44, 42, 10, 10))
    if budget:
        rates = corners(*budget)
        top = ceiling(rates, *budget)
        plot.fill_between(rates, top, 1, color=COLOUR["alarm"], alpha=0.13, linewidth=0)
        plot.plot(rates, top, color=COLOUR["alarm"], linewidth=1.3)
        if _at(budget, 0.15) < 0.8:
            plot.text(0.025, 0.965, "out of reach", color=COLOUR["alarm"], va="top", fontsize=10.5)
    plot.plot([0, 1], [0, 1], color=COLOUR["muted"], linewidth=0.9, linestyle=(0, (3, 3)))
    plot.text(0.63, 0.5, "guessing", color=COLOUR["muted"], fontsize=10.5, rotation=45)
    for index, attack in enumerate(attacks):
        _line(plot, index, attack.fpr, attack.tpr)
    plot.set(xlim=(0, 1), ylim=(0, 1), xlabel="non-members accused (FPR)")
    plot.set_ylabel("members found (TPR)")
    for axis in (plot.xaxis, plot.yaxis):
        axis.set_major_locator(MaxNLocator(5))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.1f}"))
    return plot


def _roc_log(attacks: Sequence[Attack], budget: Budget | None) -> Axes:
    plot = axes(380, 350, (52, 42, 10, 10))
    floor = _log_floor(attacks)
    rates = np.geomspace(floor * 0.7, 1, 200)
    if budget:
        top = ceiling(rates, *budget)
        plot.fill_between(rates, top, 1, color=COLOUR["alarm"], alpha=0.13, linewidth=0)
        plot.plot(rates, top, color=COLOUR["alarm"], linewidth=1.3)
    plot.plot(rates, rates, color=COLOUR["muted"], linewidth=0.9, linestyle=(0, (3, 3)))
    for index, attack in enumerate(attacks):
        found = np.interp(rates, attack.fpr, attack.tpr)
        known = (found >= floor * 0.7) & (rates >= 1 / max(attack.non_members, 1))
        _line(plot, index, rates, np.where(known, found, np.nan))
        for rate, value, interval in attack.tpr_at:
            if rate < floor:
                continue
            place = rate * 1.07 ** (index - (len(attacks) - 1) / 2)
            colour = COLOUR[f"line-{index % _LINES + 1}"]
            low, high = (max(end, floor * 0.7) for end in (interval.low, interval.high))
            plot.plot([place, place], [low, high], color=colour, linewidth=1.2, alpha=0.75)
            plot.plot(
                [place], [max(value, floor * 0.7)], "o", color=colour, markersize=4, clip_on=False
            )
    plot.set(xscale="log", yscale="log", xlim=(floor * 0.7, 1), ylim=(floor * 0.7, 1))
    plot.set(xlabel="non-members accused (FPR)", ylabel="members found (TPR)")
    for axis in (plot.xaxis, plot.yaxis):
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    return plot


def _log_floor(attacks: Sequence[Attack]) -> float:
    """Return the power of ten below which so many non-members can show nothing."""
    largest = max((attack.non_members for attack in attacks), default=1000)
    return float(10.0 ** -min(4, max(2, math.floor(math.log10(max(largest, 1))))))


def _roc_table(attacks: Sequence[Attack], budget: Budget | None) -> Table:
    head = ["False positive rate", *(plain(attack.title) for attack in attacks)]
    rows = []
    for rate in _RATES:
        row = [share(rate), *(share(_tpr(attack, rate)) for attack in attacks)]
        rows.append((*row, share(_at(budget, rate))) if budget else tuple(row))
    return Table((*head, "Ceiling") if budget else tuple(head), tuple(rows))


def _tpr(attack: Attack, rate: float) -> float:
    return float(np.interp(rate, attack.fpr, attack.tpr)) if attack.fpr else math.nan
