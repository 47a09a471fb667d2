"""Heat maps of how strongly columns go together, in real and in synthetic data."""

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from synthvae.evaluation.values import Associations
from synthvae.report.drawing import COLOUR, Drawing, Table, axes, house_style, to_svg
from synthvae.report.words import fit, number, plain

_NAMED_CELLS = 24  # a heat map of more columns has no room for their names
_LISTED_PAIRS = 200
_STRENGTH = (46, 134, 193)
_STRONGER, _WEAKER = (46, 134, 193), (214, 104, 20)


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
            _map(train, names, None, title="Real (train)", key="heat-train", alt=f"{alt}, real."),
            _map(
                synthetic,
                names,
                None,
                title="Synthetic",
                key="heat-synthetic",
                alt=f"{alt}, synthetic.",
            ),
            _map(
                change,
                names,
                limit,
                title="Synthetic − real",
                key="heat-change",
                alt=f"{alt}: change. {worst}",
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
    *,
    title: str,
    key: str,
    alt: str,
) -> Markup:
    """Draw one matrix in one colour whose opacity is the strength, so that it suits any page."""
    size = len(names)
    named = size <= _NAMED_CELLS
    margin = (92, 92, 8, 26) if named else (10, 10, 10, 26)
    plot = axes(360, 360 + margin[1] - margin[0] + 18, margin)
    plot.imshow(_tint(values, limit), interpolation="none", aspect="equal")
    plot.set_title(title, fontsize=12, color=COLOUR["ink"], loc="left", pad=8)
    plot.tick_params(length=0, pad=4)
    plot.spines[:].set_visible(True)
    plot.spines[:].set_color(COLOUR["rule"])
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


def _tint(values: npt.NDArray[np.float64], limit: float | None) -> npt.NDArray[np.uint8]:
    size = np.nan_to_num(np.abs(values) / (limit or 1.0)).clip(0, 1)
    image = np.empty((*values.shape, 4), dtype=np.uint8)
    image[..., :3] = _STRENGTH
    if limit:
        image[..., :3] = np.where((values > 0)[..., None], _STRONGER, _WEAKER)
    levels = 255 if len(values) <= _NAMED_CELLS else 31  # fewer levels, smaller pages
    image[..., 3] = np.round(np.round(levels * size) * (255 / levels))
    return image
