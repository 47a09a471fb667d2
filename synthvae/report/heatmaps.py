"""Heat maps: associations of columns, tables of pairs, clouds of principal components."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from synthvae._text import counted
from synthvae.evaluation.results import Associations, Components, PairTable
from synthvae.report import drawing, phrases

_NAMED_COLUMNS = 24  # a heat map of more has no room for their names
_LISTED_PAIRS = 200
_LISTED_CELLS = 30
_LABEL = 10.5

_Matrix = npt.NDArray[np.float64]


def association_maps(associations: Associations) -> drawing.Drawing | None:
    """Draw the strength of association of all pairs: in real, in synthetic data, and the change."""
    if not associations.columns:
        return None
    names = [phrases.plain(name) for name in associations.columns]
    measure = phrases.plain(associations.measure)
    train, synthetic = np.array(associations.train), np.array(associations.synthetic)
    change = synthetic - train
    pairs = _ranked_pairs(change)
    limit = float(max(0.05, np.abs(change[np.isfinite(change)]).max(initial=0)))
    alt = f"Association ({measure}) of each pair of {len(names)} columns"
    worst = "No pair of columns."
    if pairs:
        i, j = pairs[0]
        largest = phrases.number(change[i, j], 2)
        worst = f"The largest change is {largest}, between {names[i]} and {names[j]}."
    with drawing.house_style():
        panels = [
            _square_map(train, names, "Real (train)", "heat-train", f"{alt}, real."),
            _square_map(synthetic, names, "Synthetic", "heat-synthetic", f"{alt}, synthetic."),
            _square_map(
                change, names, "Synthetic − real", "heat-change", f"{alt}: change. {worst}", limit
            ),
        ]
    note = ""
    if len(pairs) > _LISTED_PAIRS:
        note = f"The {_LISTED_PAIRS} largest changes of {len(pairs):,} pairs."
    rows = [
        (
            names[i],
            names[j],
            *(phrases.number(matrix[i, j], 2) for matrix in (train, synthetic, change)),
        )
        for i, j in pairs[:_LISTED_PAIRS]
    ]
    head = ("Column", "with", "Real", "Synthetic", "Change")
    order = " Columns stand in the schema's order." if len(names) > _NAMED_COLUMNS else ""
    return drawing.Drawing(
        key="associations",
        title="How strongly columns go together",
        panels=panels,
        table=drawing.Table(head, rows, note, text_columns=2),
        caption=f"Measure: {measure}. {worst}{order}",
        legend=[
            ("ramp strength", "0 none … 1 complete"),
            (
                "ramp change",
                f"−{phrases.number(limit, 2)} weaker … +{phrases.number(limit, 2)} stronger",
            ),
        ],
    )


def _ranked_pairs(change: _Matrix) -> list[tuple[int, int]]:
    """Return the pairs of columns, those of the largest change first."""
    gap = np.nan_to_num(np.abs(change), nan=-1.0)
    return sorted(combinations(range(len(change)), 2), key=lambda pair: -gap[pair])


def _square_map(
    values: _Matrix, names: list[str], title: str, key: str, alt: str, limit: float | None = None
) -> Markup:
    """Draw one matrix: strengths, or with a limit changes, which are stronger or weaker."""
    size = len(names)
    named = size <= _NAMED_COLUMNS
    margin = (92, 92, 8, 26) if named else (10, 10, 10, 26)
    plot = drawing.axes(360, 360 + margin[1] - margin[0] + 18, margin)
    strength = np.nan_to_num(np.abs(values) / (limit or 1.0)).clip(0, 1)
    colour = (
        np.where((values > 0)[..., None], drawing.BLUE, drawing.ORANGE) if limit else drawing.BLUE
    )
    drawing.heat_map(plot, strength, title, colour, levels=255 if named else 31, aspect="equal")
    text = 11.5 if size <= 16 else 8.5
    labels = [phrases.fit(name, 84, text) for name in names] if named else []
    plot.set_xticks(range(len(labels)), labels, rotation=90, fontsize=text)
    plot.set_yticks(range(len(labels)), labels, fontsize=text)
    if named:
        edges = np.arange(size + 1) - 0.5
        for draw in (plot.hlines, plot.vlines):
            draw(edges, -0.5, size - 0.5, color=drawing.COLOUR["surface"], linewidth=1.5)
    return drawing.to_svg(plot, key, alt)


def pair_maps(tables: Sequence[PairTable]) -> list[drawing.Drawing]:
    """Draw the joint distribution of each pair of columns, real beside synthetic."""
    return [_pair_map(table, f"pair-{place + 1}") for place, table in enumerate(tables)]


def _pair_map(table: PairTable, key: str) -> drawing.Drawing:
    train, synthetic = np.array(table.train), np.array(table.synthetic)
    top = drawing.largest(np.r_[train, synthetic].ravel())
    first, second = (phrases.shorten(name, 60) for name in table.columns)
    with drawing.house_style():
        panels = [
            _crossed(train, top, table, "Real (train)", f"{key}-real"),
            _crossed(synthetic, top, table, "Synthetic", f"{key}-synthetic"),
        ]
    rows = [
        (
            phrases.shorten(table.row_labels[i], 60),
            phrases.shorten(table.column_labels[j], 60),
            phrases.number(100 * train[i, j], 1),
            phrases.number(100 * synthetic[i, j], 1),
        )
        for i, j in _largest(synthetic - train)
    ]
    return drawing.Drawing(
        key=key,
        title=f"{first} (down) with {second} (across)",
        panels=panels,
        table=_cell_table((first, second, "Real, %", "Synthetic, %"), rows, train.size),
        caption=f"Distance of these cells: {phrases.number(table.distance)}.",
        legend=_legend(top),
    )


def _crossed(shares: _Matrix, top: float, table: PairTable, title: str, key: str) -> Markup:
    """Draw one table of a pair, its levels named."""
    rows, columns = shares.shape
    down, across = (
        [phrases.fit(phrases.bin_label(label).replace(" to ", "–"), 84, _LABEL) for label in labels]
        for labels in (table.row_labels, table.column_labels)
    )
    left, bottom = (14 + 0.62 * _LABEL * max(map(len, names)) for names in (down, across))
    plot = drawing.axes(330, 22 * rows + 26 + bottom, (left, bottom, 6, 26))
    drawing.heat_map(plot, _root(shares, top), title, aspect="auto")
    plot.set_xticks(range(columns), across, rotation=90, fontsize=_LABEL)
    plot.set_yticks(range(rows), down, fontsize=_LABEL)
    plot.vlines(
        np.arange(columns + 1) - 0.5, -0.5, rows - 0.5, color=drawing.COLOUR["surface"], lw=1
    )
    plot.hlines(
        np.arange(rows + 1) - 0.5, -0.5, columns - 0.5, color=drawing.COLOUR["surface"], lw=1
    )
    at = np.unravel_index(np.nan_to_num(shares).argmax(), shares.shape)
    first, second = map(phrases.plain, table.columns)
    alt = (
        f"{title}: share of rows by {first} and {second}. The fullest cell has "
        f"{phrases.share(float(shares[at]))}, {first} {phrases.plain(table.row_labels[at[0]])} with "
        f"{second} {phrases.plain(table.column_labels[at[1]])}."
    )
    return drawing.to_svg(plot, key, alt)


def component_maps(components: Components | None) -> drawing.Drawing | None:
    """Draw where rows lie on the first two principal components, one panel a table."""
    if components is None:
        return None
    tables = {
        "Real (train)": np.array(components.train),
        "Real (holdout)": np.array(components.holdout),
        "Synthetic": np.array(components.synthetic),
    }
    train, holdout, synthetic = tables.values()
    top = drawing.largest(np.concatenate([*tables.values()], axis=None))
    with drawing.house_style():
        panels = [
            _cloud(shares, top, components, title, f"components-{place + 1}")
            for place, (title, shares) in enumerate(tables.items())
        ]

    def edges(component: int, cell: int) -> str:
        ends = components.edges[component][cell : cell + 2]
        return " to ".join(phrases.number(end, 2) for end in ends)

    rows = [
        (
            edges(0, i),
            edges(1, j),
            *(phrases.number(100 * shares[i, j], 2) for shares in tables.values()),
        )
        for i, j in _largest(synthetic - train)
    ]
    head = ("First component", "Second", "Train, %", "Holdout, %", "Synthetic, %")
    first, second = map(phrases.share, components.explained)
    to_synthetic, to_holdout = (
        phrases.number(float(np.abs(train - other).sum() / 2)) for other in (synthetic, holdout)
    )
    return drawing.Drawing(
        key="components",
        title="Rows on the first two principal components",
        panels=panels,
        table=_cell_table(head, rows, train.size),
        caption=(
            f"The components are train's and hold {first} and {second} of its variance. Distance "
            f"from train: synthetic {to_synthetic}, holdout {to_holdout}; distances shrink as "
            "tables grow."
        ),
        legend=_legend(top),
    )


def _cloud(shares: _Matrix, top: float, components: Components, title: str, key: str) -> Markup:
    """Draw one table's cloud; the first component goes across."""
    plot = drawing.axes(308, 300, (52, 40, 14, 26))
    drawing.heat_map(plot, _root(shares.T, top), title, aspect="auto", origin="lower")
    for edges, ticks in zip(components.edges, (plot.set_xticks, plot.set_yticks), strict=True):
        ends = (0, len(edges) // 2, len(edges) - 1)
        ticks([end - 0.5 for end in ends], [phrases.number(edges[end], 1) for end in ends])
    plot.set_xlabel(
        f"first component, {phrases.share(components.explained[0], 0)}", fontsize=_LABEL
    )
    plot.set_ylabel(
        f"second component, {phrases.share(components.explained[1], 0)}", fontsize=_LABEL
    )
    held = np.sort(np.nan_to_num(shares).ravel())[::-1].cumsum()
    half = int(np.searchsorted(held, held[-1] / 2)) + 1
    alt = (
        f"{title}: share of rows by cell of the first two principal components. Half of the rows "
        f"lie in {counted(half, 'cell')} of {shares.size}."
    )
    return drawing.to_svg(plot, key, alt)


def _root(shares: _Matrix, top: float) -> _Matrix:
    """Return strengths that grow with the root of the share, so that few rows show."""
    return np.asarray(np.sqrt(np.nan_to_num(shares / top).clip(0, 1)))


def _legend(top: float) -> list[tuple[str, str]]:
    return [("ramp strength", f"0 … {phrases.share(top)} of rows in a cell, by square root")]


def _largest(change: _Matrix) -> list[tuple[int, int]]:
    """Return the cells to list, those of the largest change first."""
    order = np.argsort(-np.nan_to_num(np.abs(change)), axis=None, kind="stable")[:_LISTED_CELLS]
    return [(int(cell) // change.shape[1], int(cell) % change.shape[1]) for cell in order]


def _cell_table(
    head: tuple[str, ...], rows: Sequence[tuple[str, ...]], cells: int
) -> drawing.Table:
    note = f"The {_LISTED_CELLS} largest changes of {cells} cells." if cells > _LISTED_CELLS else ""
    return drawing.Table(head, rows, note, text_columns=2)
