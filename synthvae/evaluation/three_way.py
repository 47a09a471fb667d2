"""Triples of columns beyond their pairs: how much of what no pair shows is in the synthetic rows.

A triple's table of shares is compared with the table that has the same three pairs and no interaction of
three: what is left is its three-way dependence. It counts where train's rows tell it from chance.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import comb

import numpy as np
from scipy import stats

from synthvae._text import counted
from synthvae._types import Bools, Floats, Ints
from synthvae.evaluation import intervals
from synthvae.evaluation.metric import Limits, Metric
from synthvae.evaluation.results import (
    Interval,
    LevelAssociation,
    Score,
    ThreeWay,
    TripleDependence,
)
from synthvae.evaluation.tables import Binning, Table, Tables, at_most, binnings, tokenise
from synthvae.precedence import declared_uses, outcomes_of, precedence
from synthvae.purposes import AnalysisRequest
from synthvae.schema import Schema

LEVELS = 4  # of a column: its most frequent tokens, and one for all others
BINS = 3
MOST_COLUMNS = 60
MOST_TRIPLES = 3000
MOST_ROWS = 20_000
MOST_FOLLOWED = 300  # triples that stand out and are looked for in the other tables
PICTURED = 6
ERROR = 0.01  # how often some triple stands out where there is no dependence of three
LEAST_EXPECTED = 2.0  # rows; the statistic of emptier cells is no chi-squared
STEPS, CLOSE = 100, 1e-6  # of the fit to three pairs

THREE_WAY = Metric(
    "three_way",
    "Three-way dependence that survives",
    "Of what train's triples of columns show beyond their pairs, such as a drug that helps those with a "
    "marker and harms the others, the share that synthetic rows show, too: 1 is all of it, 0 none, "
    "below 0 it is turned round. Triples count where train's rows tell it from chance.",
    "higher",
    family="interactions",
    topic="fidelity",
    goal=1.0,
    threshold=Limits(0.75, 0.4, "a quarter of it may be lost, and 0.6 of it is too much"),
    disclosure="left out",
    withheld_as="whether any triple stands out depends on the rows",
    headline=True,
    share_of="train's",
)
METRICS = (THREE_WAY,)


@dataclass(frozen=True)
class _Coarse:
    """Columns in at most `LEVELS` levels: their names, what each level is called, how it is found."""

    names: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    cuts: tuple[Binning, ...]
    places: tuple[Ints, ...]  # by column, the level of each token
    outcomes: frozenset[int]  # columns that are declared to be explained

    def __call__(self, table: Table) -> Ints:
        """Return the levels of a table's rows, shape (columns, rows)."""
        tokens = tokenise(table, self.cuts)
        return np.stack([of[column] for of, column in zip(self.places, tokens, strict=True)])


@dataclass(frozen=True)
class _Dependence:
    """What triples of train show beyond their pairs, of `LEVELS`³ cells each, by triple.

    `departure` from the fit to the pairs, and the `weights` 1 / expected of cells that are not too
    empty, shape (triples, a, b, c, 1); `strength`, the weighted square of the departure less what noise
    adds, and `p_values`, shape (triples,).
    """

    departure: Floats
    weights: Floats
    strength: Floats
    p_values: Floats

    def take(self, chosen: Ints) -> "_Dependence":
        """Return some of the triples."""
        return _Dependence(*(part[chosen] for part in vars(self).values()))


def compare_three_way(
    tables: Tables, requests: Sequence[AnalysisRequest], generator: np.random.Generator
) -> tuple[ThreeWay, list[Score]]:
    """Return how much of train's three-way dependence the synthetic rows have, and its worst losses.

    P is a triple's table of shares, E that of its pairs without an interaction of three, and
    D = P - E. Train's X² = rows · Σ D² / E tests D (Pearson), Holm's correction counting all triples
    that are looked at. The score is Σ D' D / E over Σ D² / E less what noise adds, its degrees of
    freedom over the rows, both summed over the triples that stand out; D' is the synthetic rows'. It is
    linear in D', so that the noise of D' makes it no larger. There is no score where nothing stands out.

    Of patients with several rows, one row each counts, drawn at random: rows of one patient are not
    independent. `requests` are the analyses, whose interactions come first where not all triples are
    looked at.

    References
    ----------
    Bartlett 1935, Supplement to the Journal of the Royal Statistical Society 2: no interaction of
    three; Deming & Stephan 1940, Annals of Mathematical Statistics 11: the fit to given pairs; Bishop,
    Fienberg & Holland 1975, Discrete Multivariate Analysis, chapter 3; Holm 1979, Scandinavian Journal
    of Statistics 6.
    """
    coarse = _coarse(tables.train, tables.schema)
    triples, possible = _triples(tables, requests, generator)
    if not len(triples):
        return _nothing(0, possible, "fewer than three columns"), []
    rows = {
        name: _one_row_a_patient(getattr(tables, name), generator)
        for name in ("train", "synthetic", "holdout", "independent")
    }
    levels = {name: coarse(table) for name, table in rows.items()}
    real = _dependence(_counts(levels["train"], triples))
    chosen = _standing_out(real)
    if not len(chosen):
        return _nothing(len(triples), possible, _described(rows)), []
    compared, triples, real = len(triples), triples[chosen], real.take(chosen)
    groups = intervals.jackknife_groups(rows["synthetic"].patients, generator)
    shared = {
        name: _shared(real, _counts(levels[name], triples, groups if name == "synthetic" else None))
        for name in ("synthetic", "holdout", "independent")
    }
    found = ThreeWay(
        compared=compared,
        possible=possible,
        standing_out=len(chosen),
        declared_share=_share_of(
            _of_interactions(triples, requests, tables.schema), shared["synthetic"], real
        ),
        worst=_worst(real, shared, triples, levels, coarse, requests),
        detail=_described(rows),
    )
    kept = {name: each.sum(axis=0) / real.strength.sum() for name, each in shared.items()}
    return found, [_score(found, kept)]


def _of_interactions(triples: Ints, requests: Sequence[AnalysisRequest], schema: Schema) -> Bools:
    """Tell of each triple whether a declared interaction is in it, shape (triples,).

    It has two of its predictors or more, and nothing else than them and what they explain.
    """
    names = [field.name for field in schema.modelled]
    found = np.zeros(len(triples), bool)
    for request in requests:
        outcomes = [names.index(name) for name in outcomes_of(request, schema)]
        for interaction in request.interactions:
            predictors = [names.index(name) for name in interaction]
            inside = np.isin(triples, [*predictors, *outcomes]).all(axis=1)
            found |= inside & (np.isin(triples, predictors).sum(axis=1) > 1)
    return found


def _share_of(chosen: Bools, shared: Floats, real: _Dependence) -> float | None:
    """Return the share of the dependence of some triples that is shared, None without any."""
    if not chosen.any():
        return None
    return intervals.rounded(shared[chosen, 0].sum() / real.strength[chosen].sum())


def _worst(
    real: _Dependence,
    shared: Mapping[str, Floats],
    triples: Ints,
    levels: Mapping[str, Ints],
    coarse: _Coarse,
    requests: Sequence[AnalysisRequest],
) -> tuple[TripleDependence, ...]:
    """Return the triples of which most is lost, by how much is."""
    lost, worst = real.strength - shared["synthetic"][:, 0], []
    for i in np.argsort(-lost, kind="stable")[:PICTURED]:
        columns = first, second, last = _ordered(triples[i], requests, levels["train"], coarse)
        worst.append(
            TripleDependence(
                columns=(coarse.names[first], coarse.names[second], coarse.names[last]),
                strength=intervals.rounded(real.strength[i] ** 0.5),
                p_value=float(f"{real.p_values[i]:.2g}"),
                share=intervals.rounded(shared["synthetic"][i, 0] / real.strength[i]),
                holdout_share=intervals.rounded(shared["holdout"][i, 0] / real.strength[i]),
                levels=tuple(_within_levels(columns, levels, coarse)),
            )
        )
    return tuple(worst)


def _nothing(compared: int, possible: int, detail: str) -> ThreeWay:
    return ThreeWay(compared=compared, possible=possible, standing_out=0, detail=detail)


def _described(rows: Mapping[str, Table]) -> str:
    return (
        f"From {counted(len(rows['train']), 'row')} of train, a row a patient; each column in at most "
        f"{LEVELS} levels, numbers cut at train's thirds."
    )


def _score(found: ThreeWay, kept: Mapping[str, Floats]) -> Score:
    lost, stand = found.worst[0], "stands" if found.standing_out == 1 else "stand"
    return THREE_WAY.answer(
        float(kept["synthetic"][0]),
        intervals.jackknife(kept["synthetic"], "synthetic rows", (-np.inf, np.inf)),
        {name: float(kept[name][0]) for name in ("holdout", "independent")} | {"ideal": 1.0},
        f"{counted(found.standing_out, 'triple')} of {found.compared:,} that were looked at {stand} out "
        f"in train. Furthest off: {' × '.join(lost.columns)}, with a share of {lost.share:.2f}. "
        f"{found.detail}",
    )


def _coarse(train: Table, schema: Schema) -> _Coarse:
    """Cut each column into its most frequent tokens in train, and one level for all others."""
    cuts = binnings(train, schema, BINS)
    labels, places = [], []
    for cut, tokens in zip(cuts, tokenise(train, cuts), strict=True):
        counts = np.bincount(tokens, minlength=cut.levels)
        frequent = np.argsort(-counts, kind="stable")
        kept = [int(token) for token in frequent if counts[token]]
        if len(kept) > LEVELS or len(kept) < cut.levels:
            kept = kept[: LEVELS - 1]
        kept.sort()
        place = np.full(cut.levels, len(kept))
        place[kept] = np.arange(len(kept))
        places.append(place)
        rest = [token for token in np.flatnonzero(counts) if token not in kept]
        last = cut.labels[rest[0]] if len(rest) == 1 else "(others)"
        labels.append((*(cut.labels[token] for token in kept), last))
    names = tuple(cut.field.name for cut in cuts)
    return _Coarse(names, tuple(labels), cuts, tuple(places), declared_uses(schema).outcomes)


def _triples(
    tables: Tables, requests: Sequence[AnalysisRequest], generator: np.random.Generator
) -> tuple[Ints, int]:
    """Return the triples to look at, shape (triples, 3), and how many there are.

    Where there are too many, those come first that the schema and the analyses declare to matter, by
    the rule for what a fit affords; of equal ones, random ones.
    """
    schema = tables.schema
    names = [field.name for field in schema.modelled]
    columns, possible = np.arange(len(names)), comb(len(names), 3)
    uses = declared_uses(schema)
    asked = (
        frozenset(map(names.index, {outcome, *interaction}))
        for request in requests
        for interaction in request.interactions
        for outcome in outcomes_of(request, schema)
    )
    uses = replace(uses, interactions=tuple(dict.fromkeys((*uses.interactions, *asked))))
    if len(names) > MOST_COLUMNS:
        singles = precedence(columns[:, None], uses)
        random = generator.permutation(len(names))
        columns = np.sort(random[np.argsort(singles[random], kind="stable")][:MOST_COLUMNS])
    sets = np.array(list(combinations(columns.tolist(), 3)), np.int64).reshape(-1, 3)
    if len(sets) > MOST_TRIPLES:
        random = generator.permutation(len(sets))
        first = random[np.argsort(precedence(sets, uses)[random], kind="stable")]
        sets = sets[np.sort(first[:MOST_TRIPLES])]
    return sets, possible


def _one_row_a_patient(table: Table, generator: np.random.Generator) -> Table:
    order = generator.permutation(len(table))
    first = np.unique(table.patients[order], return_index=True)[1]
    return at_most(table.take(np.sort(order[first])), MOST_ROWS, generator)


def _counts(levels: Ints, triples: Ints, groups: Ints | None = None) -> Floats:
    """Return the tables of triples, shape (triples, a, b, c, sets): of all rows, then without groups."""
    shape, count = (LEVELS, LEVELS, LEVELS), 1 if groups is None else int(groups.max()) + 1
    small = levels.astype(np.int64)
    place = np.zeros(levels.shape[1], np.int64) if groups is None else groups
    counts = np.empty((len(triples), LEVELS**3 * count))
    for i, (a, b, c) in enumerate(triples):
        cells = ((small[a] * LEVELS + small[b]) * LEVELS + small[c]) * count + place
        counts[i] = np.bincount(cells, minlength=counts.shape[1])
    parts = counts.reshape(len(triples), *shape, count)
    whole = parts.sum(axis=-1, keepdims=True)
    return whole if groups is None else np.concatenate([whole, whole - parts], axis=-1)


def _dependence(counts: Floats) -> _Dependence:
    rows = counts.sum(axis=(1, 2, 3, 4))
    departure, expected = _beyond_pairs(counts)
    size = expected * rows[:, None, None, None, None]
    used = size > 0
    trusted = size >= LEAST_EXPECTED
    weights = np.divide(1.0, expected, out=np.zeros_like(expected), where=trusted)
    squares = (weights * departure**2).sum(axis=(1, 2, 3, 4))
    freedom = _freedom(counts[..., 0], used[..., 0])
    cells, kept = (part.sum(axis=(1, 2, 3, 4)) for part in (used, trusted))
    noise = np.maximum(freedom, 0) * kept / np.maximum(cells, 1)
    # Cells that are too empty are left out of the statistic but not of its freedom: a cautious test.
    p_values = np.where(freedom > 0, stats.chi2.sf(squares * rows, np.maximum(freedom, 1)), 1.0)
    return _Dependence(departure, weights, squares - noise / rows, p_values)


def _freedom(counts: Floats, used: Bools) -> Floats:
    """Return the degrees of freedom of the interaction of three, less those of empty pairs."""
    pairs = sum((counts.sum(axis=axis) > 0).sum(axis=(1, 2)) for axis in (1, 2, 3))
    singles = sum((counts.sum(axis=axes) > 0).sum(axis=1) for axes in ((1, 2), (1, 3), (2, 3)))
    return np.asarray(used.sum(axis=(1, 2, 3)) - (pairs - singles + 1), float)


def _beyond_pairs(counts: Floats) -> tuple[Floats, Floats]:
    """Return shares less the fit to their pairs, and that fit; tables have the axes 1, 2 and 3.

    Iterative proportional fitting, from equal shares.
    """
    shares = counts / np.maximum(counts.sum(axis=(1, 2, 3), keepdims=True), 1)
    pairs = [shares.sum(axis=axis, keepdims=True) for axis in (1, 2, 3)]
    fit = np.full_like(shares, 1 / LEVELS**3)
    for _ in range(STEPS):
        off = 0.0
        for axis, pair in zip((1, 2, 3), pairs, strict=True):
            have = fit.sum(axis=axis, keepdims=True)
            off = max(off, float(np.abs(have - pair).max()))
            fit *= np.divide(pair, have, out=np.zeros_like(have), where=have > 0)
        if off < CLOSE:
            break
    return shares - fit, fit


def _standing_out(real: _Dependence) -> Ints:
    """Return the triples whose dependence is told from chance (Holm), the strongest ones in order."""
    order = np.argsort(real.p_values, kind="stable")
    count = len(order)
    rejected = real.p_values[order] <= ERROR / (count - np.arange(count))
    first = count if rejected.all() else int(np.argmin(rejected))
    chosen = np.array([i for i in order[:first] if real.strength[i] > 0], np.int64)
    return np.sort(chosen[np.argsort(-real.strength[chosen], kind="stable")[:MOST_FOLLOWED]])


def _shared(real: _Dependence, counts: Floats) -> Floats:
    """Return how much of each triple's dependence other tables have, shape (triples, sets)."""
    departure, _ = _beyond_pairs(counts)
    return np.asarray((real.weights * real.departure * departure).sum(axis=(1, 2, 3)))


def _ordered(
    triple: Ints, requests: Sequence[AnalysisRequest], train: Ints, coarse: _Coarse
) -> tuple[int, int, int]:
    """Return a triple's columns with that last within whose levels the other two are shown.

    It is the last of a declared interaction; else, outcomes aside, the one of the fewest levels.
    """
    for request in requests:
        for interaction in request.interactions:
            places = [coarse.names.index(name) for name in interaction]
            if len(shown := [place for place in places if place in triple]) > 1:
                rest = [int(place) for place in triple if place not in shown[-1:]]
                rest.sort(key=lambda place: place not in shown)
                return rest[0], rest[1], shown[-1]
    used = {int(place): len(np.unique(train[place])) for place in triple}
    last = min(used, key=lambda place: (place in coarse.outcomes, used[place], -place))
    first, second = sorted((p for p in used if p != last), key=lambda p: (p in coarse.outcomes, p))
    return first, second, last


def _within_levels(
    columns: tuple[int, int, int], levels: Mapping[str, Ints], coarse: _Coarse
) -> Iterator[LevelAssociation]:
    """Yield how the first two columns go together within each level of the last.

    It is the correlation of scores of their levels: those by which train's dependence on the last column
    shows most, the leading singular vectors of its departure from the pairs.
    """
    triples = np.array([columns])
    counts = {name: _counts(levels[name], triples)[0, ..., 0] for name in ("train", "synthetic")}
    departure, expected = (
        part[0, ..., 0] for part in _beyond_pairs(counts["train"][None, ..., None])
    )
    root = np.sqrt(np.maximum(expected, 1e-12))
    standard = departure / root
    turn = np.linalg.svd(standard.reshape(-1, LEVELS))[2][0]
    left, _, right = np.linalg.svd(standard @ turn)
    shares = counts["train"] / counts["train"].sum()
    scores = [
        vector / np.sqrt(np.maximum(shares.sum(axis=axes), 1e-12))
        for vector, axes in ((left[:, 0], (1, 2)), (right[0], (0, 2)))
    ]
    scores = [score * (1 if score @ (np.arange(LEVELS) - 1.5) >= 0 else -1) for score in scores]
    for level in range(LEVELS):
        found = {name: _correlation(table[..., level], *scores) for name, table in counts.items()}
        real, synthetic = found["train"], found["synthetic"]
        if real is None:
            continue
        last = columns[2]
        yield LevelAssociation(
            level=f"{coarse.names[last]} = {coarse.labels[last][level]}",
            real=real[0],
            real_interval=real[1],
            synthetic=synthetic and synthetic[0],
            synthetic_interval=synthetic and synthetic[1],
        )


def _correlation(counts: Floats, first: Floats, second: Floats) -> tuple[float, Interval] | None:
    """Return the correlation of the scores of a table's rows and columns, None where one is constant."""
    total = counts.sum()
    if total <= 3:
        return None
    shares = counts / total
    x, y = (score - shares.sum(axis=axis) @ score for score, axis in ((first, 1), (second, 0)))
    spread = ((shares.sum(axis=1) @ x**2) * (shares.sum(axis=0) @ y**2)) ** 0.5
    if spread < 1e-12:
        return None
    value = float(np.clip(x @ shares @ y / spread, -1, 1))
    half = intervals.NORMAL / (total - 3) ** 0.5
    low, high = np.tanh(np.arctanh(np.clip(value, -0.999999, 0.999999)) + np.array([-half, half]))
    ends = min(low, value), max(high, value)
    return intervals.rounded(value), intervals.interval(*ends, "Fisher's z")
