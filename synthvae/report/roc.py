"""The ROC curves of attacks, under the ceiling that the guarantee sets."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from synthvae.evaluation.values import Attack
from synthvae.report.ceiling import Budget, ceiling, corners
from synthvae.report.drawing import COLOUR, DASHES, Drawing, Table, axes, house_style, to_svg
from synthvae.report.words import number, plain, share

_RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
_LINES = 6


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
