"""Heat maps of shares of rows: the worst pairs of columns, and the principal components."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from synthvae._text import counted
from synthvae.evaluation.values import Components, PairTable
from synthvae.report.drawing import (
    COLOUR,
    Drawing,
    Table,
    axes,
    heat_map,
    house_style,
    largest,
    to_svg,
)
from synthvae.report.words import bin_label, fit, number, plain, share, shorten

_LISTED = 30
_LABEL = 10.5

Shares = npt.NDArray[np.float64]


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
