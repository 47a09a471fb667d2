"""The comparison as one offline page, in the report's style: the same values give the same bytes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from synthvae._text import counted
from synthvae.comparison.drawing import figure_of
from synthvae.comparison.values import OURS, Comparison, Mean, Summary
from synthvae.report.drawing import Drawing
from synthvae.report.page import environment
from synthvae.report.words import direction, exact, number


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
