"""Private-PGM: the graphical model that fits noisy marginals best, through `mbi`.

R. McKenna, D. Sheldon and G. Miklau 2019, "Graphical-model based estimation and inference for
differential privacy", ICML. The estimator is mbi's mirror descent (Algorithm 1 there); what is
asked of the fitted model afterwards is answered in `synthvae.baselines.junction`.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthvae._types import Floats, Ints
from synthvae.baselines.base import TokenTable
from synthvae.baselines.junction import Clique, JunctionTree, calibrated, tree_cells
from synthvae.errors import ConfigError
from synthvae.marginals.column import draw_within

CELL_BYTES = 8
RARE = 3.0  # standard deviations of a count, below which a token is merged with others
INSTALL = "pip install 'synthvae[pgm]'"


@dataclass(frozen=True)
class Measurement:
    """Noisy counts of a set of columns, shape by the ascending columns, and their noise in rows."""

    columns: Clique
    counts: Floats
    sigma: float


def merge_rare(mass: Floats, least: float) -> Ints:
    """Return the group of each token, shape (tokens,): its own, or the last one for all rare ones.

    Examples
    --------
    >>> merge_rare(np.array([0.5, 0.01, 0.47, 0.02]), 0.1).tolist()
    [0, 2, 1, 2]
    """
    rare = mass < least
    if rare.sum() < 2:
        return np.arange(len(mass))
    groups = np.cumsum(~rare) - 1
    groups[rare] = int((~rare).sum())
    return np.asarray(groups)


def _split_groups(drawn: Ints, group: Ints, mass: Floats, generator: np.random.Generator) -> Ints:
    """Return a token of each drawn group, by mass."""
    order = np.argsort(group, kind="stable")
    uniforms = generator.random(len(drawn))
    places, _ = draw_within(drawn, np.cumsum(mass[order]), group[order], uniforms)
    return np.asarray(order[places])


def load_mbi() -> Any:
    """Return mbi, with JAX in double precision, or raise `ConfigError` with the way to get it."""
    try:
        import jax

        # Counts of a hundred thousand rows would stall in single precision, as mbi itself warns.
        jax.config.update("jax_enable_x64", True)
        with warnings.catch_warnings():
            # Deprecations inside JAX are not ours to mend.
            warnings.simplefilter("ignore")
            import mbi
    except ImportError as cause:
        raise ConfigError(
            "Graphical models (mst, aim, aim-3way) need Private-PGM, which is not installed "
            f"({cause.name} is missing): {INSTALL}."
        ) from None
    return mbi


class GraphicalModel:
    """Measurements so far, and the graphical model fitted to them.

    Tokens whose noisy count is below three times its noise become one, as in MST (McKenna et al. 2021,
    section 4.2): a table of 200 codes would otherwise be noise in most of its cells. When records are
    drawn, they come apart again by their own masses.

    The table's marginals, and the noisy number of rows, are the first measurements: nothing is paid for
    columns again.
    """

    def __init__(self, table: TokenTable, rows: Measurement) -> None:
        self._mbi = load_mbi()
        self._token_masses = tuple(marginal.mass for marginal in table.marginals)
        self._sigmas = table.sigmas
        self.measurements: list[Measurement] = [rows]
        self._groups = tuple(
            merge_rare(mass, RARE * sigma / self.total)
            for mass, sigma in zip(self._token_masses, table.sigmas, strict=True)
        )
        self._masses = tuple(
            np.asarray(np.bincount(group, mass), np.float64)
            for group, mass in zip(self._groups, self._token_masses, strict=True)
        )
        self.levels = tuple(map(len, self._masses))
        self.domain = self._mbi.Domain(range(len(self.levels)), self.levels)
        self._model: Any = None
        self.tree = JunctionTree(
            cliques=tuple((j,) for j in range(len(self.levels))),
            marginals=self._masses,
            edges=(),
            columns=len(self.levels),
        )

    @property
    def total(self) -> float:
        """The number of rows, estimated from the noisy counts of all measurements."""
        weights = [1 / (m.sigma**2 * m.counts.size) for m in self.measurements]
        sums = [m.counts.sum() for m in self.measurements]
        return max(1.0, float(np.average(sums, weights=weights)))

    def grouped(self, tokens: Ints) -> Ints:
        """Return tokens with rare ones merged, shape (rows, columns)."""
        return np.stack([group[tokens[:, j]] for j, group in enumerate(self._groups)], axis=1)

    def sample(self, rows: int, generator: np.random.Generator) -> Ints:
        """Draw tokens of records, shape (rows, columns)."""
        drawn = self.tree.sample(rows, generator)
        for j, (group, mass) in enumerate(zip(self._groups, self._token_masses, strict=True)):
            drawn[:, j] = _split_groups(drawn[:, j], group, mass, generator)
        return drawn

    @property
    def cliques(self) -> list[Clique]:
        """The cliques that were measured."""
        return [m.columns for m in self.measurements if m.columns]

    def megabytes(self, more: Clique) -> float:
        """Return what the junction tree would take with one more clique in it."""
        return tree_cells(self.levels, [*self.cliques, more]) * CELL_BYTES / 2**20

    def measure(self, measurement: Measurement) -> None:
        """Take in one more measurement; `fit` makes it count.

        Two of the same columns become one, averaged by precision: the fit is the same, and the
        estimator need not be compiled anew.
        """
        for place, known in enumerate(self.measurements):
            if known.columns == measurement.columns:
                weights = known.sigma**-2, measurement.sigma**-2
                counts = weights[0] * known.counts + weights[1] * measurement.counts
                average = Measurement(known.columns, counts / sum(weights), sum(weights) ** -0.5)
                self.measurements[place] = average
                return
        self.measurements.append(measurement)

    def fit(self, steps: int) -> None:
        """Fit the model to everything that was measured, from where it stood before."""
        total = self.total
        linear = self._mbi.LinearMeasurement
        given = [
            linear(mass * total, (j,), sigma)
            for j, (mass, sigma) in enumerate(zip(self._masses, self._sigmas, strict=True))
        ]
        given += [
            linear(m.counts.ravel(), m.columns, m.sigma) for m in self.measurements if m.columns
        ]
        self._model = self._mbi.estimation.MirrorDescent().estimate(
            self.domain, given, known_total=total, iters=steps, warm_start=self._model
        )
        tree, _ = self._mbi.junction_tree.make_junction_tree(
            self.domain, [tuple(c) for c in self._model.cliques]
        )
        cliques = [tuple(sorted(int(c) for c in clique)) for clique in tree.nodes]
        place = {clique: i for i, clique in enumerate(tree.nodes)}
        # In numpy: in JAX each new shape of the tree would be compiled first.
        edges = [(place[a], place[b]) for a, b in tree.edges]
        potentials = [
            (tuple(int(c) for c in clique), np.asarray(table.values, np.float64))
            for clique, table in self._model.potentials.tables.items()
        ]
        self.tree = calibrated(cliques, edges, potentials, self.levels)
