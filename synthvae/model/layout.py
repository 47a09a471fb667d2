"""The shape of the model: how columns, tokens and features are laid out in its arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import block_diag

from synthvae._types import Floats, Ints
from synthvae.field import Field
from synthvae.marginals.column import ColumnMarginal, basis
from synthvae.settings import Settings

PADDED = -1e9  # log-mass of padding
COLUMNS_PER_GROUP = 12  # more share one product, fewer waste less of it


@dataclass(frozen=True)
class Layout:
    """How a record becomes features, and which features may explain which columns."""

    marginals: tuple[ColumnMarginal, ...]  # of each column, in the schema's order
    bases: tuple[Floats, ...]  # of each column, shape (tokens, functions)
    settings: Settings

    @classmethod
    def build(
        cls, marginals: Sequence[ColumnMarginal], fields: tuple[Field, ...], settings: Settings
    ) -> "Layout":
        """Return the layout for a table's marginals, with a basis for each."""
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
        later = self.owner[:, None] > degrees[None, :]
        return (~later.T).astype(float), later.astype(float)

    def tokens(self, codes: Ints) -> Ints:
        """Return tokens, shape (rows, columns), of codes of the same shape."""
        return np.stack([m.encode(codes[:, j]) for j, m in enumerate(self.marginals)], axis=1)

    def record_features(self, tokens: Ints) -> Floats:
        """Return features, shape (rows, features), of tokens, shape (rows, columns)."""
        return np.concatenate([part[tokens[:, j]] for j, part in enumerate(self.bases)], axis=1)

    @cached_property
    def classes(self) -> tuple[tuple[Floats, Floats], ...]:
        """Each column's distinct rows of the basis, and the log-mass of the tokens that share them.

        Of hundreds of categories most share a row: nothing but their total mass matters to the
        likelihood.
        """
        classes = []
        for marginal, part in zip(self.marginals, self.bases, strict=True):
            rows, of_token = np.unique(part, axis=0, return_inverse=True)
            mass = np.bincount(of_token.reshape(-1), marginal.mass, minlength=len(rows))
            classes.append((rows, np.log(mass)))
        return tuple(classes)

    @cached_property
    def groups(self) -> tuple["Group", ...]:
        """Columns of like size, a few at a time, for padded arithmetic."""
        sizes = np.array([len(mass) for _, mass in self.classes])
        exponents = np.ceil(np.log2(np.maximum(sizes, 4))).astype(int)
        groups = []
        for exponent in np.unique(exponents):
            alike = np.flatnonzero(exponents == exponent)
            for first in range(0, len(alike), COLUMNS_PER_GROUP):
                groups.append(self._group(alike[first : first + COLUMNS_PER_GROUP]))
        return tuple(groups)

    def _group(self, columns: Ints) -> "Group":
        members = [self.classes[j] for j in columns]
        width = max(len(mass) for _, mass in members)
        spread = block_diag(
            *(np.pad(rows.T, ((0, 0), (0, width - len(rows)))) for rows, _ in members)
        )
        masses = np.array(
            [np.pad(mass, (0, width - len(mass)), constant_values=PADDED) for _, mass in members]
        )
        return Group(np.concatenate([self.span(j) for j in columns]), spread, masses)


@dataclass(frozen=True)
class Group:
    """Some columns' classes of tokens, padded to one width."""

    features: Ints  # of these columns, shape (features,)
    spread: Floats  # logits from coefficients, shape (features, columns * width)
    masses: Floats  # log-masses, shape (columns, width)
