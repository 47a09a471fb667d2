"""Scores as dots with intervals, beside what the same score is for other tables."""

import math
from collections.abc import Sequence

from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from synthvae.evaluation.values import Score
from synthvae.report.drawing import COLOUR, Drawing, Table, axes, house_style, to_svg
from synthvae.report.words import REAL, number, plain, range_text, reference_name, shorten

_DRAWN_SCORES = 18
_MARKS = {
    "holdout": ("D", "holdout"),
    "independent": ("s", "independent"),
    "chance": ("|", "muted"),
    "ideal": ("|", "ink"),
    **dict.fromkeys(REAL, ("^", "holdout")),
}


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
