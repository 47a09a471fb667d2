"""Small multiples: each figure against epsilon, a line a method, beside what real rows reach."""

from collections.abc import Sequence

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from synthvae.comparison.values import Comparison, Meaning, Summary
from synthvae.report.drawing import COLOUR, DASHES, Drawing, Table, axes, house_style, to_svg
from synthvae.report.words import count, direction, number, plain

LINES = 6  # that are told apart; further methods are in the table
APART = 1.025  # between the methods' marks at one epsilon, as a factor


def figure_of(
    result: Comparison, size: int | None, methods: Sequence[str], what: str, key: str
) -> Drawing:
    """Draw every figure of some methods, which are called `what`, at one size."""
    shown = tuple(methods)[:LINES]
    chosen = [s for s in result.summaries if s.size == size and s.method in methods]
    reference = next(r.figures for r in result.references if r.size == size)
    with house_style():
        panels = [
            _panel(meaning, chosen, shown, reference.get(meaning.key), f"{key}-{place}")
            for place, meaning in enumerate(result.meanings)
            if any(meaning.key in one.figures for one in chosen)
        ]
    more = len(tuple(methods)) - len(shown)
    return Drawing(
        key=key,
        title=f"{what} against epsilon" + ("" if size is None else f", {count(size)} patients"),
        panels=tuple(panels),
        table=_numbers(result.meanings, chosen),
        caption="Bars are 95 % t-intervals over runs. "
        "The broken grey line is what real rows reach in the place of synthetic ones."
        + (f" {more} further methods are in the table." if more > 0 else ""),
        legend=tuple((f"line line-{place + 1}", plain(name)) for place, name in enumerate(shown)),
    )


def _panel(
    meaning: Meaning,
    chosen: Sequence[Summary],
    methods: Sequence[str],
    reference: float | None,
    key: str,
) -> Markup:
    plot = axes(300, 220, (48, 40, 12, 26))
    epsilons = sorted({one.epsilon for one in chosen})
    said = []
    if reference is not None:
        plot.axhline(reference, color=COLOUR["muted"], linewidth=1.1, linestyle=(0, (4, 3)))
    for place, name in enumerate(methods):
        found = {
            s.epsilon: s.figures[meaning.key]
            for s in chosen
            if s.method == name and meaning.key in s.figures
        }
        if not found:
            continue
        colour = COLOUR[f"line-{place + 1}"]
        shift = APART ** (place - (len(methods) - 1) / 2)
        places = [epsilon * shift for epsilon in sorted(found)]
        means = [found[epsilon] for epsilon in sorted(found)]
        plot.plot(
            places,
            [m.value for m in means],
            color=colour,
            linestyle=DASHES[place],
            linewidth=1.6,
            marker="o",
            markersize=4,
        )
        for x, one in zip(places, means, strict=True):
            if one.low is not None and one.high is not None:
                plot.plot([x, x], [one.low, one.high], color=colour, linewidth=1.1, alpha=0.75)
        said.append(
            f"{plain(name)} "
            + ", ".join(f"{number(found[e].value)} at {e:g}" for e in sorted(found))
        )
    _dress(plot, meaning, epsilons)
    real = "" if reference is None else f" Real rows: {number(reference)}."
    return to_svg(plot, key, f"{plain(meaning.title)} by epsilon: {'; '.join(said)}.{real}")


def _dress(plot: Axes, meaning: Meaning, epsilons: Sequence[float]) -> None:
    plot.set_title(
        f"{plain(meaning.title)}: {direction(meaning.direction, meaning.goal)}",
        fontsize=11,
        loc="left",
        pad=10,
    )
    plot.set_xscale("log")
    plot.set_xlabel("epsilon")
    plot.set_xlim(min(epsilons) / 1.35, max(epsilons) * 1.35)
    plot.xaxis.set_major_locator(FixedLocator(list(epsilons)))
    plot.xaxis.set_minor_locator(NullLocator())
    plot.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    plot.yaxis.set_major_locator(MaxNLocator(5))
    plot.margins(y=0.12)
    plot.grid(axis="y")


def _numbers(meanings: Sequence[Meaning], chosen: Sequence[Summary]) -> Table:
    """Return the means as text, one line a method and epsilon."""
    rows = []
    for one in chosen:
        cells = [plain(one.method), f"{one.epsilon:g}", str(one.runs)]
        for meaning in meanings:
            found = one.figures.get(meaning.key)
            cells.append(number(found.value if found else None))
        rows.append(tuple(cells))
    head = ("Method", "Epsilon", "Runs", *(plain(meaning.title) for meaning in meanings))
    return Table(head, tuple(rows))
