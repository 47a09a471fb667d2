"""What a model of visits is to have: its moments, as released, and as they were before the bound.

The products that are measured are a public rule of the columns and their bases: of static columns; of a
visit's columns with each other, with static ones, its place and its time; of a visit with the one
before, each column with itself in full and with others in their smoothest functions; whether a column
keeps to its way; and of visits further apart.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from synthvae._types import Bools, Floats, Ints
from synthvae.marginals.moments import PairMoments
from synthvae.marginals.visit_moments import BlockMoments, VisitQuery
from synthvae.model.histories import Histories, moved_codes, way_tokens
from synthvae.model.layout import Layout
from synthvae.model.unbounding import LEAST_CURVATURE
from synthvae.timeline import Timeline

UNMEASURED = 1e3  # noise of moments that are not measured
STATIC_ORDER = 4  # functions of a static column that are measured with a visit's columns
CROSS_ORDER = 3  # of a column, with another one of the next visit
FAR_ORDER = 2  # of a column, with one of a visit further apart
RATIO_LIMITS = 0.5, 2.0  # of what the bound took from shares


def visit_query(timeline: Timeline, layout: Layout) -> VisitQuery:
    """Return what is measured of visits: a public rule of the columns and their bases."""
    settings, most = layout.settings, timeline.schema.rows_per_patient
    order = np.concatenate((layout.order, np.ones(2 * len(timeline.own) + 1, np.int64)))
    pairs, bound = query_pairs(timeline, layout), settings.pair_bound
    return VisitQuery.build(pairs, order, settings.taper, most, bound)


def query_pairs(timeline: Timeline, layout: Layout) -> dict[str, tuple[Ints, Ints]]:
    """Return the left and right features of the products to measure, by block: a public rule.

    After the features of `layout` come those of `history_features`.
    """
    owner, order = layout.owner, layout.order
    static = np.flatnonzero(owner < timeline.static)
    drawn = np.flatnonzero(owner >= timeline.own.start)
    gap = np.flatnonzero(owner == timeline.gap)
    known = np.flatnonzero(np.isin(owner, (timeline.place, timeline.left, timeline.time)))
    before = np.flatnonzero(np.isin(owner, timeline.before))
    earlier = owner[:, None] < owner[None, :]
    beside = np.concatenate((static[order[static] <= STATIC_ORDER], known))
    own = np.concatenate((gap, drawn))
    same = owner[:, None] + timeline.shift == owner[None, :]
    smooth = (order[:, None] <= CROSS_ORDER) & (order[None, :] <= CROSS_ORDER)
    few = drawn[order[drawn] <= FAR_ORDER]
    stays = layout.features + np.arange(2 * len(timeline.own))
    return {
        "static": _crossed(static, static, earlier),
        "visit": _joined(_crossed(beside, own), _crossed(own, drawn, earlier)),
        "step": _joined(_crossed(before, drawn, same | smooth), _crossed(before, gap, smooth)),
        "stay": (stays, np.full(len(stays), layout.features + len(stays))),
        "far": _crossed(few, few, np.triu(np.ones(earlier.shape, bool))),
    }


def _crossed(left: Ints, right: Ints, wanted: Bools | None = None) -> tuple[Ints, Ints]:
    first, second = (grid.ravel() for grid in np.meshgrid(left, right, indexing="ij"))
    if wanted is None:
        return first, second
    kept = wanted[first, second]
    return first[kept], second[kept]


def _joined(*parts: tuple[Ints, Ints]) -> tuple[Ints, Ints]:
    left, right = (np.concatenate(side) for side in zip(*parts, strict=True))
    return left, right


def history_features(
    timeline: Timeline, layout: Layout, histories: Histories, moves: Ints
) -> Floats:
    """Return features of visits with the visits before, zero where there is none.

    Then, of each own column, whether it keeps its token, moved on by `moves` from the visit before, and
    whether its value; and a one, if there is a visit at all. Shape (visits, features + 2 own columns
    + 1).
    """
    tokens, codes = histories.tokens, histories.codes
    later, visited = codes[:, timeline.place] > 0, codes[:, timeline.place] >= 0
    features = np.zeros((len(tokens), layout.features))
    unknown = {timeline.time_before, *timeline.before, timeline.gap}
    for j in range(layout.columns):
        there = later if j in unknown else visited | (j < timeline.static)
        features[np.ix_(there, layout.span(j))] = layout.bases[j][tokens[there, j]]
    kept = np.zeros((len(tokens), 2 * len(timeline.own)))
    for number, (j, before) in enumerate(zip(timeline.own, timeline.before, strict=True)):
        moved = moved_codes(layout, j, codes[:, before], int(moves[j]))
        way = way_tokens(layout, j, moved)
        kept[:, number] = later & (tokens[:, j] == way)
        kept[:, len(timeline.own) + number] = later & (codes[:, j] == moved) & (way >= 0)
    return np.concatenate((features, kept, visited[:, None]), axis=1)


@dataclass(frozen=True)
class Goals:
    """What a model of visits is to have, with the noise of it.

    Attributes
    ----------
    moments
        Of static columns, within a visit, and with the visit before it.
    far, far_noise
        Of visits further apart, shape (features, features); zero where not measured.
    stay, stay_noise
        Shares of visits that keep the token of the visit before, of each own column, then its value.
    """

    moments: PairMoments
    far: Floats
    far_noise: Floats
    stay: Floats
    stay_noise: Floats

    @classmethod
    def of(cls, query: VisitQuery, found: Mapping[str, BlockMoments], features: int) -> "Goals":
        """Return the goals from what was released, of so many features of a layout."""
        shape = (features, features)
        values, noise = np.zeros(shape), np.full(shape, UNMEASURED)
        far, far_noise = np.zeros(shape), np.zeros(shape)
        stay = found.get("stay", BlockMoments(np.zeros(0), np.zeros(0)))
        for name, block in query.blocks.items():
            if name == "stay":
                continue
            into, error = (far, far_noise) if name == "far" else (values, noise)
            for a, b in ((block.left, block.right), (block.right, block.left)):
                into[a, b], error[a, b] = found[name].values, found[name].noise
        return cls(PairMoments(values, noise), far, far_noise, stay.values, stay.noise)

    def before_bound(
        self,
        timeline: Timeline,
        layout: Layout,
        query: VisitQuery,
        histories: Histories,
        features: Floats,
    ) -> "Goals":
        """Return the goals as they were before the query's bound, as a model's patients tell.

        Two columns at a time, as in `unbounding`; of visits further apart, what the bound took from the
        model's is given back.
        """
        whole, bounded = query.means(features, histories.rows)
        weight = query.shares(features, histories.rows)[histories.whose]
        place = histories.codes[:, timeline.place]
        parts = {"static": place <= 0, "visit": place >= 0, "step": place > 0}
        seen = {
            name: _Seen.of(layout, histories.tokens[part], weight[part])
            for name, part in parts.items()
        }
        values, noise = self.moments.values.copy(), self.moments.noise
        for j in range(layout.columns):
            for i in range(j):
                known = noise[np.ix_(layout.span(j), layout.span(i))] < UNMEASURED
                if not known.any():
                    continue
                rows, columns = known.any(axis=1), known.any(axis=0)
                follows = i in timeline.before or timeline.gap in (i, j)
                kind = "step" if follows else "static" if j < timeline.static else "visit"
                bases = layout.classes[j][0][:, rows], layout.classes[i][0][:, columns]
                own, other = layout.span(j)[rows], layout.span(i)[columns]
                guess = seen[kind].before_bound((j, i), bases, values[np.ix_(own, other)])
                values[np.ix_(own, other)], values[np.ix_(other, own)] = guess, guess.T
        return replace(
            self,
            moments=PairMoments(values, noise),
            far=self._far_before_bound(query, whole, bounded),
            stay=self._stay_before_bound(whole, bounded),
        )

    def _far_before_bound(
        self, query: VisitQuery, whole: Mapping[str, Floats], bounded: Mapping[str, Floats]
    ) -> Floats:
        far = self.far.copy()
        if "far" in whole:
            block, taken = query.blocks["far"], whole["far"] - bounded["far"]
            far[block.left, block.right] += taken
            far[block.right, block.left] = far[block.left, block.right]
        return far

    def _stay_before_bound(
        self, whole: Mapping[str, Floats], bounded: Mapping[str, Floats]
    ) -> Floats:
        if "stay" not in whole:
            return self.stay
        ratio = np.clip(whole["stay"] / np.maximum(bounded["stay"], 1e-9), *RATIO_LIMITS)
        stay: Floats = whole["stay"] + (self.stay - bounded["stay"]) * ratio
        return np.clip(stay, 0.0, 1.0)


@dataclass(frozen=True)
class _Seen:
    """Drawn visits: the classes of their columns, and the share that the bound leaves of each."""

    classes: Ints  # shape (visits, columns)
    left: Floats  # shape (visits,)

    @classmethod
    def of(cls, layout: Layout, tokens: Ints, left: Floats) -> "_Seen":
        """Return visits by the classes of their tokens; of columns without, by any."""
        classes = [
            of_token[np.clip(tokens[:, j], 0, len(of_token) - 1)]
            for j, of_token in enumerate(layout.token_classes)
        ]
        return cls(np.stack(classes, axis=1), left)

    def before_bound(
        self, columns: tuple[int, int], bases: tuple[Floats, Floats], measured: Floats
    ) -> Floats:
        """Return the moments of two columns before the bound."""
        first, second = bases
        shape = len(first) * len(second)
        products = np.einsum("ac,bd->abcd", first, second).reshape(shape, -1)
        cells = self.classes[:, columns[0]] * len(second) + self.classes[:, columns[1]]
        mass = np.bincount(cells, minlength=shape) / max(len(cells), 1)
        left = np.bincount(cells, self.left, minlength=shape) / max(self.left.sum(), 1e-9)
        curvature = (products.T * left) @ products
        curvature[np.diag_indices_from(curvature)] += LEAST_CURVATURE
        inverse = np.linalg.solve(curvature, (products.T * mass) @ products).T
        guess = mass @ products + (measured.ravel() - left @ products) @ inverse.T
        return np.asarray(guess.reshape(measured.shape))
