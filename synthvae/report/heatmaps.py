"""Heat maps of how strongly columns go together, in real and in synthetic data."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from synthvae._text import counted
from synthvae.evaluation.results import Associations, Components, PairTable
from synthvae.report.drawing import (
    BLUE,
    COLOUR,
    ORANGE,
    Drawing,
    Table,
    axes,
    heat_map,
    house_style,
    largest,
    to_svg,
)
from synthvae.report.phrases import bin_label, fit, number, plain, share, shorten

_NAMED_CELLS = 24  # a heat map of more columns has no room for their names
_LISTED_PAIRS = 200
_LISTED = 30
_LABEL = 10.5

Shares = npt.NDArray[np.float64]


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


def pair_maps(found: Sequence[PairTable]) -> tuple[Drawing, ...]:
    """Draw the joint distribution of each pair of columns, real beside synthetic."""
    return tuple(_pair(table, f"pair-{place + 1}") for place, table in enumerate(found))


def component_maps(found: Components | None) -> Drawing | None:
    """Draw where rows lie on the first two principal components, one panel a table."""
    if found is None:
        return None
    named = {
        "Real (train)": np.array(found.train),
        "Real (holdout)": np.array(found.holdout),
        "Synthetic": np.array(found.synthetic),
    }
    top = largest(np.concatenate([*named.values()], axis=None))
    with house_style():
        panels = tuple(
            _cloud(shares, top, found, title, f"components-{place + 1}")
            for place, (title, shares) in enumerate(named.items())
        )
    train, holdout, synthetic = named.values()
    kept = f"{share(found.explained[0])} and {share(found.explained[1])}"
    return Drawing(
        key="components",
        title="Rows on the first two principal components",
        panels=panels,
        table=_cloud_table(found, train, holdout, synthetic),
        caption=(
            f"The components are train's and hold {kept} of its variance. Distance from train: "
            f"synthetic {number(_distance(train, synthetic))}, holdout "
            f"{number(_distance(train, holdout))}; distances shrink as tables grow."
        ),
        legend=_legend(top),
    )


def _legend(top: float) -> tuple[tuple[str, str], ...]:
    return (("ramp strength", f"0 … {share(top)} of rows in a cell, by square root"),)


def _distance(one: Shares, other: Shares) -> float:
    return float(np.abs(one - other).sum() / 2)


def _pair(table: PairTable, key: str) -> Drawing:
    train, synthetic = np.array(table.train), np.array(table.synthetic)
    top = largest(np.r_[train, synthetic].ravel())
    first, second = (shorten(name, 60) for name in table.columns)
    with house_style():
        panels = tuple(
            _crossed(shares, top, table, title, f"{key}-{title.split()[0].lower()}")
            for title, shares in (("Real (train)", train), ("Synthetic", synthetic))
        )
    return Drawing(
        key=key,
        title=f"{first} (down) with {second} (across)",
        panels=panels,
        table=_pair_table(table, train, synthetic),
        caption=f"Distance of these cells: {number(table.distance)}.",
        legend=_legend(top),
    )


def _crossed(shares: Shares, top: float, table: PairTable, title: str, key: str) -> Markup:
    """Draw one table of a pair, its levels named."""
    rows, columns = shares.shape
    down, across = (
        [fit(bin_label(label).replace(" to ", "–"), 84, _LABEL) for label in labels]
        for labels in (table.row_labels, table.column_labels)
    )
    left, bottom = (14 + 0.62 * _LABEL * max(map(len, names)) for names in (down, across))
    plot = axes(330, 22 * rows + 26 + bottom, (left, bottom, 6, 26))
    heat_map(plot, _root(shares, top), title, aspect="auto")
    plot.set_xticks(range(columns), across, rotation=90, fontsize=_LABEL)
    plot.set_yticks(range(rows), down, fontsize=_LABEL)
    plot.vlines(np.arange(columns + 1) - 0.5, -0.5, rows - 0.5, color=COLOUR["surface"], lw=1)
    plot.hlines(np.arange(rows + 1) - 0.5, -0.5, columns - 0.5, color=COLOUR["surface"], lw=1)
    at = np.unravel_index(np.nan_to_num(shares).argmax(), shares.shape)
    first, second = map(plain, table.columns)
    alt = (
        f"{title}: share of rows by {first} and {second}. The fullest cell has "
        f"{share(float(shares[at]))}, {first} {plain(table.row_labels[at[0]])} with "
        f"{second} {plain(table.column_labels[at[1]])}."
    )
    return to_svg(plot, key, alt)


def _cloud(shares: Shares, top: float, found: Components, title: str, key: str) -> Markup:
    """Draw one table's cloud; the first component goes across."""
    plot = axes(308, 300, (52, 40, 14, 26))
    heat_map(plot, _root(shares.T, top), title, aspect="auto", origin="lower")
    for edges, ticks in zip(found.edges, (plot.set_xticks, plot.set_yticks), strict=True):
        ends = (0, len(edges) // 2, len(edges) - 1)
        ticks([end - 0.5 for end in ends], [number(edges[end], 1) for end in ends])
    plot.set_xlabel(f"first component, {share(found.explained[0], 0)}", fontsize=_LABEL)
    plot.set_ylabel(f"second component, {share(found.explained[1], 0)}", fontsize=_LABEL)
    held = np.sort(np.nan_to_num(shares).ravel())[::-1].cumsum()
    half = int(np.searchsorted(held, held[-1] / 2)) + 1
    alt = (
        f"{title}: share of rows by cell of the first two principal components. Half of the rows "
        f"lie in {counted(half, 'cell')} of {shares.size}."
    )
    return to_svg(plot, key, alt)


def _root(shares: Shares, top: float) -> Shares:
    """Return strengths that grow with the root of the share, so that few rows show."""
    return np.asarray(np.sqrt(np.nan_to_num(shares / top).clip(0, 1)))


def _largest(change: Shares) -> list[tuple[int, int]]:
    gap = np.nan_to_num(np.abs(change))
    order = np.argsort(-gap, axis=None, kind="stable")[:_LISTED]
    return [(int(cell) // change.shape[1], int(cell) % change.shape[1]) for cell in order]


def _note(cells: int) -> str:
    return "" if cells <= _LISTED else f"The {_LISTED} largest changes of {cells} cells."


def _pair_table(table: PairTable, train: Shares, synthetic: Shares) -> Table:
    rows = tuple(
        (
            shorten(table.row_labels[i], 60),
            shorten(table.column_labels[j], 60),
            number(100 * train[i, j], 1),
            number(100 * synthetic[i, j], 1),
        )
        for i, j in _largest(synthetic - train)
    )
    first, second = (shorten(name, 60) for name in table.columns)
    return Table((first, second, "Real, %", "Synthetic, %"), rows, _note(train.size), words=2)


def _cloud_table(found: Components, train: Shares, holdout: Shares, synthetic: Shares) -> Table:
    def between(component: int, cell: int) -> str:
        edges = found.edges[component]
        return f"{number(edges[cell], 2)} to {number(edges[cell + 1], 2)}"

    rows = tuple(
        (
            between(0, i),
            between(1, j),
            *(number(100 * shares[i, j], 2) for shares in (train, holdout, synthetic)),
        )
        for i, j in _largest(synthetic - train)
    )
    head = ("First component", "Second", "Train, %", "Holdout, %", "Synthetic, %")
    return Table(head, rows, _note(train.size), words=2)
