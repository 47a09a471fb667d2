"""Heat maps of how strongly columns go together, in real and in synthetic data."""

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from synthvae.evaluation.values import Associations
from synthvae.report.drawing import (
    BLUE,
    COLOUR,
    ORANGE,
    Drawing,
    Table,
    axes,
    heat_map,
    house_style,
    to_svg,
)
from synthvae.report.words import fit, number, plain

_NAMED_CELLS = 24  # a heat map of more columns has no room for their names
_LISTED_PAIRS = 200


def association_maps(found: Associations) -> Drawing:
    """Draw the strength of association of all pairs: in real, in synthetic data, and the change."""
    train, synthetic = np.array(found.train), np.array(found.synthetic)
    change = synthetic - train
    pairs = _ranked_pairs(found.columns, change)
    size = len(found.columns)
    shown = np.abs(change[np.isfinite(change)])
    limit = max(0.05, float(shown.max())) if shown.size else 0.05
    alt = f"Association ({plain(found.measure)}) of each pair of {size} columns"
    worst = "No pair of columns."
    if pairs:
        first, second = pairs[0]
        worst = (
            f"The largest change is {number(change[first, second], 2)}, between "
            f"{plain(found.columns[first])} and {plain(found.columns[second])}."
        )
    names = [plain(name) for name in found.columns]
    with house_style():
        panels = (
            _map(train, names, None, "Real (train)", "heat-train", f"{alt}, real."),
            _map(synthetic, names, None, "Synthetic", "heat-synthetic", f"{alt}, synthetic."),
            _map(
                change, names, limit, "Synthetic − real", "heat-change", f"{alt}: change. {worst}"
            ),
        )
    note = ""
    if len(pairs) > _LISTED_PAIRS:
        note = f"The {_LISTED_PAIRS} largest changes of {len(pairs):,} pairs."
    rows = tuple(
        (
            names[i],
            names[j],
            number(train[i, j], 2),
            number(synthetic[i, j], 2),
            number(change[i, j], 2),
        )
        for i, j in pairs[:_LISTED_PAIRS]
    )
    head = ("Column", "with", "Real", "Synthetic", "Change")
    order = "Columns stand in the schema's order." if size > _NAMED_CELLS else ""
    return Drawing(
        key="associations",
        title="How strongly columns go together",
        panels=panels,
        table=Table(head, rows, note, words=2),
        caption=f"Measure: {plain(found.measure)}. {worst} {order}".strip(),
        legend=(
            ("ramp strength", "0 none … 1 complete"),
            ("ramp change", f"−{number(limit, 2)} weaker … +{number(limit, 2)} stronger"),
        ),
    )


def _ranked_pairs(
    columns: tuple[str, ...], change: npt.NDArray[np.float64]
) -> list[tuple[int, int]]:
    size = len(columns)
    pairs = [(i, j) for i in range(size) for j in range(i + 1, size)]
    gap = np.nan_to_num(np.abs(change), nan=-1.0)
    return sorted(pairs, key=lambda pair: (-gap[pair], pair))


def _map(
    values: npt.NDArray[np.float64],
    names: list[str],
    limit: float | None,
    title: str,
    key: str,
    alt: str,
) -> Markup:
    """Draw one matrix: strengths, or with a limit changes, which are stronger or weaker."""
    size = len(names)
    named = size <= _NAMED_CELLS
    margin = (92, 92, 8, 26) if named else (10, 10, 10, 26)
    plot = axes(360, 360 + margin[1] - margin[0] + 18, margin)
    strength = np.nan_to_num(np.abs(values) / (limit or 1.0)).clip(0, 1)
    colour = np.where((values > 0)[..., None], BLUE, ORANGE) if limit else BLUE
    heat_map(plot, strength, title, colour, levels=255 if named else 31, aspect="equal")
    if named:
        text = 11.5 if size <= 16 else 8.5
        labels = [fit(name, 84, text) for name in names]
        plot.set_xticks(range(size), labels, rotation=90, fontsize=text)
        plot.set_yticks(range(size), labels, fontsize=text)
        edges = np.arange(size + 1) - 0.5
        for draw in (plot.hlines, plot.vlines):
            draw(edges, -0.5, size - 0.5, color=COLOUR["surface"], linewidth=1.5)
    else:
        plot.set_xticks([])
        plot.set_yticks([])
    return to_svg(plot, key, alt)
