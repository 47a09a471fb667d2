"""Small multiples: each figure against epsilon, a line a method, beside what real rows reach."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from synthvae._text import counted
from synthvae.comparison.results import OURS, Comparison, Mean, Meaning, Summary
from synthvae.report.drawing import COLOUR, DASHES, Drawing, Table, axes, house_style, to_svg
from synthvae.report.page import environment
from synthvae.report.phrases import count, direction, exact, number, plain

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


@dataclass(frozen=True)
class Line:
    """One line of a table: a method at a budget; each figure with its interval as text."""

    method: str
    epsilon: str
    runs: str
    figures: tuple[tuple[str, str], ...]
    costs: tuple[tuple[str, str], ...]
    settings: str


@dataclass(frozen=True)
class Part:
    """Everything at one size of the table."""

    title: str
    key: str
    facts: str
    delta: float
    real: tuple[str, ...]
    lines: tuple[Line, ...]
    variants: tuple[Line, ...]
    pictures: tuple[Drawing, ...]
    failures: tuple[tuple[str, str, int, str], ...]


def render(result: Comparison) -> str:
    """Return the page of a comparison as HTML that loads nothing."""
    return (
        environment("synthvae.comparison", "synthvae.report")
        .get_template("comparison.html")
        .render(
            result=result,
            parts=[_part(result, place) for place in range(len(result.references))],
            directions={m.key: direction(m.direction, m.goal) for m in result.meanings},
            ours=OURS,
            fits=sum(s.runs + len(s.failed) for s in result.summaries),
        )
    )


def _part(result: Comparison, place: int) -> Part:
    reference = result.references[place]
    size = reference.size
    chosen = [one for one in result.summaries if one.size == size]
    methods = list(dict.fromkeys(s.method for s in chosen if s.method not in result.variants))
    variants = [name for name in result.variants if any(s.method == name for s in chosen)]
    key = f"size-{place + 1}"
    pictures = [figure_of(result, size, methods, "Methods", key)]
    if variants:
        ours = [OURS] if OURS in methods else []
        pictures.append(figure_of(result, size, [*ours, *variants], "Variants", f"{key}-variants"))
    lines = [_line(result, one) for one in chosen]
    return Part(
        title="The table as it is" if size is None else counted(size, "training patient"),
        key=key,
        facts=f"{counted(reference.train_rows, 'row')} to learn from, "
        f"{counted(reference.holdout_rows, 'row')} held out",
        delta=reference.delta,
        real=tuple(number(reference.figures.get(m.key)) for m in result.meanings),
        lines=tuple(one for one in lines if one.method not in result.variants),
        variants=tuple(one for one in lines if one.method in result.variants),
        pictures=tuple(pictures),
        failures=tuple(_failures(chosen)),
    )


def _line(result: Comparison, one: Summary) -> Line:
    costs = [
        (number(_value(one.costs.get("seconds")), 1), _times(one, "seconds")),
        (number(_value(one.costs.get("cpu_seconds")), 1), ""),
        (number(_value(one.costs.get("fit_seconds")), 1), ""),
        (number(_value(one.costs.get("megabytes")), 0), _times(one, "megabytes")),
        (number(_value(one.costs.get("spent"))), ""),
    ]
    return Line(
        method=one.method,
        epsilon=f"{one.epsilon:g}",
        runs=str(one.runs) + (f", {len(one.failed)} failed" if one.failed else ""),
        figures=tuple(
            (number(_value(found)), _interval(found))
            for found in (one.figures.get(m.key) for m in result.meanings)
        ),
        costs=tuple(costs),
        settings=", ".join(f"{name} {exact(value)}" for name, value in one.settings.items()),
    )


def _value(found: Mean | None) -> float | None:
    return None if found is None else found.value


def _interval(found: Mean | None) -> str:
    if found is None or found.low is None:
        return ""
    return f"{number(found.low)} to {number(found.high)}"


def _times(one: Summary, name: str) -> str:
    ratio = one.ratios.get(name)
    return "" if ratio is None or one.method == OURS else f"× {number(ratio, 2)}"


def _failures(chosen: Sequence[Summary]) -> list[tuple[str, str, int, str]]:
    """Return what failed, how often and why."""
    return [
        (one.method, f"{one.epsilon:g}", times, reason)
        for one in chosen
        for reason, times in Counter(one.failed).items()
    ]
