"""What a fit of visits leaves behind, as values and as named arrays, which are checked as in `state`."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from synthvae._types import Floats, Ints
from synthvae.marginals.column import ColumnMarginal
from synthvae.marginals.visit_counts import LARGEST_MOVE, counted_columns
from synthvae.model.histories import PARTS, HistorySampler, Ways, visit_layout
from synthvae.model.layout import Layout
from synthvae.model.state import Arrays, check_numbers, count_arrays, read_marginals
from synthvae.schema import Schema
from synthvae.settings import Settings
from synthvae.timeline import Timeline

SHARED = ("decoder.weight", "decoder.bias")  # weights that are the same in all parts
WEIGHTS = ("earlier.weight", "earlier.bias", "loadings.weight", *SHARED)


@dataclass(frozen=True)
class HistoryState:
    """What a fit of visits leaves behind: noisy marginals and weights, no real row.

    `patients` is the declared or noisily counted number of patients.
    """

    sampler: HistorySampler
    patients: int

    @property
    def layout(self) -> Layout:
        """How a visit with the one before it becomes features."""
        return self.sampler.layout

    @property
    def offsets(self) -> list[Floats]:
        """For each column, what calibration adds to its tokens' logits."""
        return [*self.sampler.offsets]

    @property
    def row_shares(self) -> Floats:
        """Share of patients with 1, 2, ... rows; one without visits has a row, too."""
        marginal = self.layout.marginals[self.sampler.timeline.visits]
        points = np.repeat(marginal.cell_mass / marginal.cell_sizes, marginal.cell_sizes)
        if not self.sampler.timeline.least_visits:
            points = np.append(points[0] + points[1], points[2:])
        return np.asarray(points / points.sum())

    @property
    def marginals(self) -> tuple[ColumnMarginal, ...]:
        """Those of the columns that are counted."""
        return tuple(self.layout.marginals[j] for j in counted_columns(self.sampler.timeline))

    def arrays(self) -> Arrays:
        """Return the arrays of the state, by name."""
        sampler, ways = self.sampler, self.sampler.ways
        weights = {
            f"{part}/{name}": sampler.weights[part][name] for part in PARTS for name in WEIGHTS
        }
        offsets = {f"offsets/{j}": sampler.offsets[j] for j in sampler.timeline.own}
        held = {"moves": ways.moves, "tendency": ways.tendency, "same": ways.same}
        return {**weights, **offsets, **held, **count_arrays(self.marginals, None)}

    @classmethod
    def from_arrays(
        cls, arrays: Arrays, schema: Schema, settings: Settings, patients: int
    ) -> "HistoryState":
        """Return a state from its arrays, which fit schema and settings."""
        check_numbers(arrays)
        timeline = Timeline(schema)
        layout = visit_layout(timeline, read_visit_marginals(arrays, timeline), settings)
        offsets = [np.zeros(marginal.tokens) for marginal in layout.marginals]
        for j in timeline.own:
            offset = arrays[f"offsets/{j}"]
            if offset.shape != offsets[j].shape:
                raise ValueError(f"the anchor of column '{timeline.columns[j].name}' does not fit")
            offsets[j] = offset
        shapes = _shapes(layout)
        weights = {part: {name: arrays[f"{part}/{name}"] for name in WEIGHTS} for part in PARTS}
        for part, held in weights.items():
            wrong = [name for name in WEIGHTS if held[name].shape != shapes[name]]
            if wrong:
                raise ValueError(f"its weights do not fit its settings: {part}/{wrong[0]}")
            held["products.weight"] = np.zeros((layout.features, 0))
        ways = _read_ways(arrays, layout.columns)
        sampler = HistorySampler(timeline, layout, weights, tuple(offsets), ways)
        return cls(sampler, patients)


def read_visit_marginals(arrays: Arrays, timeline: Timeline) -> Mapping[int, ColumnMarginal]:
    """Return the marginals of the columns that are counted, by place."""
    columns = counted_columns(timeline)
    fields = tuple(timeline.columns[j] for j in columns)
    return dict(zip(columns, read_marginals(arrays, fields), strict=True))


def read_moves(arrays: Arrays, columns: int) -> Ints:
    """Return by how many steps each column moves on from visit to visit."""
    moves = arrays["moves"]
    is_whole = moves.dtype == np.int64 and moves.shape == (columns,)
    if not is_whole or (moves < -LARGEST_MOVE).any() or (moves > LARGEST_MOVE).any():
        raise ValueError("moves are no steps of its columns")
    return moves


def _read_ways(arrays: Arrays, columns: int) -> Ways:
    tendency, same = arrays["tendency"], arrays["same"]
    if not tendency.shape == same.shape == (columns,) or not 0 <= same.min() <= same.max() <= 1:
        raise ValueError("tendency and same do not fit its columns")
    return Ways(read_moves(arrays, columns), tendency, same)


def _shapes(layout: Layout) -> dict[str, tuple[int, ...]]:
    size, hidden, latent = layout.features, layout.settings.hidden, layout.settings.latent
    shapes = ((size, size), (size,), (size, hidden), (hidden, latent), (hidden,))
    return dict(zip(WEIGHTS, shapes, strict=True))
