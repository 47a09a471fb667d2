"""The page of a comparison: its tables, and each figure against epsilon, a line a method."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from synthvae._text import counted
from synthvae.comparison.results import OURS, Comparison, Meaning, Reference, Summary
from synthvae.report import drawing, phrases
from synthvae.report.page import environment

LINES = 6  # that are distinguishable; further methods are in the table
SHIFT = 1.025  # between the methods' marks at one epsilon, as a factor
DECIMALS = {"seconds": 1, "cpu_seconds": 1, "fit_seconds": 1, "megabytes": 0, "spent": 3}
RULE_DECIMALS = {"refused": 2, "repaired": 2}  # where the schema has rules


@dataclass(frozen=True)
class Part:
    """Everything at one size of the table."""

    title: str
    key: str
    reference: Reference
    methods: tuple[Summary, ...]
    variants: tuple[Summary, ...]
    pictures: tuple[drawing.Drawing, ...]
    failures: tuple[tuple[Summary, str, int], ...]  # reasons, and how many runs have each
    notes: tuple[tuple[Summary, str, int], ...]


def render(result: Comparison) -> str:
    """Return the page of a comparison as HTML that loads nothing."""
    has_rules = any(name in one.costs for one in result.summaries for name in RULE_DECIMALS)
    return (
        environment("synthvae.comparison", "synthvae.report")
        .get_template("comparison.html")
        .render(
            result=result,
            parts=[_part(result, place) for place in range(len(result.references))],
            directions={m.key: phrases.direction(m.direction, m.goal) for m in result.meanings},
            ours=OURS,
            decimals=DECIMALS | (RULE_DECIMALS if has_rules else {}),
            fits=sum(s.runs + len(s.failed) for s in result.summaries),
        )
    )


def _part(result: Comparison, place: int) -> Part:
    reference = result.references[place]
    chosen = [one for one in result.summaries if one.size == reference.size]
    methods = tuple(one for one in chosen if one.method not in result.variants)
    variants = tuple(one for one in chosen if one.method in result.variants)
    key = f"size-{place + 1}"
    pictures = [_drawing(result, reference, methods, "Methods", key)]
    if variants:
        named = (OURS, *result.variants)
        with_ours = tuple(one for one in chosen if one.method in named)
        pictures.append(_drawing(result, reference, with_ours, "Variants", f"{key}-variants"))
    size = reference.size
    return Part(
        title="The table as it is" if size is None else counted(size, "training patient"),
        key=key,
        reference=reference,
        methods=methods,
        variants=variants,
        pictures=tuple(pictures),
        failures=tuple(
            (one, reason, runs) for one in chosen for reason, runs in Counter(one.failed).items()
        ),
        notes=tuple(
            (one, note, runs) for one in chosen for note, runs in Counter(one.notes).items()
        ),
    )


def _drawing(
    result: Comparison, reference: Reference, chosen: Sequence[Summary], what: str, key: str
) -> drawing.Drawing:
    """Draw every figure of some methods, which are called `what`, at one size."""
    methods = list(dict.fromkeys(one.method for one in chosen))
    shown, more = methods[:LINES], len(methods) - LINES
    size = reference.size
    with drawing.house_style():
        panels = [
            _panel(meaning, chosen, shown, reference.figures.get(meaning.key), f"{key}-{place}")
            for place, meaning in enumerate(result.meanings)
            if any(meaning.key in one.figures for one in chosen)
        ]
    return drawing.Drawing(
        key=key,
        title=f"{what} against epsilon"
        + ("" if size is None else f", {phrases.count(size)} patients"),
        panels=tuple(panels),
        table=_table(result.meanings, chosen),
        caption="Bars are 95 % t-intervals over runs. "
        "The broken grey line is what real rows reach in the place of synthetic ones."
        + (f" {more} further methods are in the table." if more > 0 else ""),
        legend=tuple(
            (f"line line-{place + 1}", phrases.plain(name)) for place, name in enumerate(shown)
        ),
    )


def _panel(
    meaning: Meaning,
    chosen: Sequence[Summary],
    methods: Sequence[str],
    reference: float | None,
    key: str,
) -> Markup:
    plot = drawing.axes(300, 220, (48, 40, 12, 26))
    texts = []
    if reference is not None:
        plot.axhline(reference, color=drawing.COLOUR["muted"], linewidth=1.1, linestyle=(0, (4, 3)))
    for place, name in enumerate(methods):
        means = {
            one.epsilon: one.figures[meaning.key]
            for one in sorted(chosen, key=lambda one: one.epsilon)
            if one.method == name and meaning.key in one.figures
        }
        if not means:
            continue
        colour = drawing.COLOUR[f"line-{place + 1}"]
        shift = SHIFT ** (place - (len(methods) - 1) / 2)
        plot.plot(
            [epsilon * shift for epsilon in means],
            [mean.value for mean in means.values()],
            color=colour,
            linestyle=drawing.DASHES[place],
            linewidth=1.6,
            marker="o",
            markersize=4,
        )
        for epsilon, mean in means.items():
            if mean.low is not None and mean.high is not None:
                x = epsilon * shift
                plot.plot([x, x], [mean.low, mean.high], color=colour, linewidth=1.1, alpha=0.75)
        values = (
            f"{phrases.number(mean.value)} at {phrases.epsilon(epsilon)}"
            for epsilon, mean in means.items()
        )
        texts.append(f"{phrases.plain(name)} {', '.join(values)}")
    _dress(plot, meaning, sorted({one.epsilon for one in chosen}))
    real = "" if reference is None else f" Real rows: {phrases.number(reference)}."
    return drawing.to_svg(
        plot, key, f"{phrases.plain(meaning.title)} by epsilon: {'; '.join(texts)}.{real}"
    )


def _dress(plot: Axes, meaning: Meaning, epsilons: Sequence[float]) -> None:
    plot.set_title(
        f"{phrases.plain(meaning.title)}: {phrases.direction(meaning.direction, meaning.goal)}",
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


def _table(meanings: Sequence[Meaning], chosen: Sequence[Summary]) -> drawing.Table:
    rows = []
    for one in chosen:
        means = [one.figures.get(meaning.key) for meaning in meanings]
        values = (phrases.number(mean.value if mean else None) for mean in means)
        rows.append(
            (phrases.plain(one.method), phrases.epsilon(one.epsilon), str(one.runs), *values)
        )
    head = ("Method", "Epsilon", "Runs", *(phrases.plain(meaning.title) for meaning in meanings))
    return drawing.Table(head, tuple(rows))
