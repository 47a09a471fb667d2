"""The shape of the model: how columns, tokens and features are laid out in its arrays."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from synthvae._types import Floats, Ints
from synthvae.field import Field
from synthvae.marginals.column import ColumnMarginal, basis
from synthvae.settings import Settings

PADDED = -1e9  # log-mass of padding
COLUMNS_PER_GROUP = 12  # more share one product, fewer waste less of it


@dataclass(frozen=True)
class Layout:
    """How a record becomes features, and which features may explain which columns.

    Attributes
    ----------
    marginals
        One marginal a column, in the schema's order.
    bases
        One basis a column, each of shape (tokens, functions).
    settings
        The public settings of the fit.
    """

    marginals: tuple[ColumnMarginal, ...]
    bases: tuple[Floats, ...]
    settings: Settings

    @classmethod
    def build(
        cls, marginals: list[ColumnMarginal], fields: tuple[Field, ...], settings: Settings
    ) -> "Layout":
        """Return the layout for a table's marginals."""
        bases = tuple(
            basis(marginal, field.is_lattice, settings.rank)
            for marginal, field in zip(marginals, fields, strict=True)
        )
        return cls(tuple(marginals), bases, settings)

    @property
    def columns(self) -> int:
        """Number of columns."""
        return len(self.marginals)

    @cached_property
    def ends(self) -> Ints:
        """First feature of each column, and the number of features at the end."""
        return np.cumsum([0, *(part.shape[1] for part in self.bases)])

    @property
    def features(self) -> int:
        """Number of features of a record."""
        return int(self.ends[-1])

    @cached_property
    def owner(self) -> Ints:
        """Column of each feature."""
        return np.repeat(np.arange(self.columns), np.diff(self.ends))

    @cached_property
    def order(self) -> Ints:
        """Place of each feature in its column's basis, from 1."""
        return np.concatenate([np.arange(1, part.shape[1] + 1) for part in self.bases])

    def span(self, column: int) -> Ints:
        """Return the features of a column."""
        return np.arange(self.ends[column], self.ends[column + 1])

    @cached_property
    def mixture_masks(self) -> tuple[Floats, Floats]:
        """Masks of the network over earlier columns (Germain et al. 2015, MADE, section 4).

        A hidden unit of degree k sees columns up to k and serves columns after k.
        """
        width = self.settings.mixture
        degrees = np.arange(width) * max(self.columns - 1, 1) // max(width, 1)
        first = (self.owner[None, :] <= degrees[:, None]).astype(float)
        second = (self.owner[:, None] > degrees[None, :]).astype(float)
        return first, second

    def tokens(self, codes: Ints) -> Ints:
        """Return tokens, shape (rows, columns), of codes of the same shape."""
        parts = [marginal.encode(codes[:, j]) for j, marginal in enumerate(self.marginals)]
        return np.stack(parts, axis=1)

    def record_features(self, tokens: Ints) -> Floats:
        """Return features, shape (rows, features), of tokens, shape (rows, columns)."""
        return np.concatenate([part[tokens[:, j]] for j, part in enumerate(self.bases)], axis=1)

    @cached_property
    def classes(self) -> tuple[tuple[Floats, Floats], ...]:
        """Each column's distinct rows of the basis, and the log-mass of the tokens that share them.

        Of hundreds of categories most share a row: nothing but their total mass matters to the
        likelihood.
        """
        found = []
        for marginal, part in zip(self.marginals, self.bases, strict=True):
            rows, of_token = np.unique(part, axis=0, return_inverse=True)
            mass = np.bincount(of_token.reshape(-1), marginal.mass, minlength=len(rows))
            found.append((rows, np.log(mass)))
        return tuple(found)

    @cached_property
    def groups(self) -> tuple["Group", ...]:
        """Columns of like size together, a few at a time, for padded arithmetic."""
        sizes = np.array([len(mass) for _, mass in self.classes])
        classes = np.ceil(np.log2(np.maximum(sizes, 4))).astype(int)
        found = []
        for size_class in np.unique(classes):
            alike = np.flatnonzero(classes == size_class)
            for first in range(0, len(alike), COLUMNS_PER_GROUP):
                found.append(self._group(alike[first : first + COLUMNS_PER_GROUP], sizes))
        return tuple(found)

    def _group(self, columns: Ints, sizes: Ints) -> "Group":
        width = int(sizes[columns].max())
        own = np.concatenate([np.arange(self.ends[j], self.ends[j + 1]) for j in columns])
        spread = np.zeros((len(own), len(columns) * width))
        masses = np.full((len(columns), width), PADDED)
        row = 0
        for i, j in enumerate(columns):
            rows, mass = self.classes[j]
            classes, functions = rows.shape
            spread[row : row + functions, i * width : i * width + classes] = rows.T
            masses[i, :classes] = mass
            row += functions
        return Group(own, spread, masses)


@dataclass(frozen=True)
class Group:
    """Some columns' bases and log-masses, padded to one width.

    Attributes
    ----------
    features
        Their features, shape (features,).
    spread
        Shape (features, columns * width): gives the logits of all their classes of tokens from
        coefficients.
    masses
        Log-masses, shape (columns, width), padded with a large negative number.
    """

    features: Ints
    spread: Floats
    masses: Floats
