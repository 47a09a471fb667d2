"""The shape of the model: how columns, tokens and features are laid out in its arrays."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from synthvae.anchors import ColumnAnchor, basis
from synthvae.schema import Field
from synthvae.settings import Settings

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
PADDED = -1e9  # log-mass of a padding token


@dataclass(frozen=True)
class Layout:
    """How a record becomes features, and which features may explain which columns.

    Attributes
    ----------
    anchors
        One anchor a column, in the schema's order.
    bases
        One basis a column, each of shape (tokens, functions).
    settings
        The public settings of the fit.
    """

    anchors: tuple[ColumnAnchor, ...]
    bases: tuple[Floats, ...]
    settings: Settings

    @classmethod
    def build(
        cls, anchors: list[ColumnAnchor], fields: tuple[Field, ...], settings: Settings
    ) -> "Layout":
        """Return the layout for a table's anchors."""
        bases = tuple(
            basis(anchor, field.is_lattice, settings.rank)
            for anchor, field in zip(anchors, fields, strict=True)
        )
        return cls(tuple(anchors), bases, settings)

    @property
    def columns(self) -> int:
        """Number of columns."""
        return len(self.anchors)

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

    def parents(self, column: int) -> range:
        """Return the earlier columns that explain a column directly: the nearest ones."""
        return range(max(0, column - self.settings.parents), column)

    @cached_property
    def mask(self) -> Floats:
        """Where feature i of an earlier column explains coefficient o: shape (features, features)."""
        lag = self.owner[:, None] - self.owner[None, :]
        return ((lag > 0) & (lag <= self.settings.parents)).astype(float)

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
        parts = [anchor.encode(codes[:, j]) for j, anchor in enumerate(self.anchors)]
        return np.stack(parts, axis=1)

    def record_features(self, tokens: Ints) -> Floats:
        """Return features, shape (rows, features), of tokens, shape (rows, columns)."""
        return np.concatenate([part[tokens[:, j]] for j, part in enumerate(self.bases)], axis=1)

    @cached_property
    def groups(self) -> tuple[tuple[Ints, Floats, Floats], ...]:
        """Columns of like size together, for padded arithmetic.

        Each group holds its columns, a matrix of shape (features, columns * width) that gives all
        their tokens' logits from coefficients, and their log-masses, padded with a large negative.
        """
        sizes = np.array([anchor.tokens for anchor in self.anchors])
        classes = np.ceil(np.log2(np.maximum(sizes, 4))).astype(int)
        found = []
        for size_class in np.unique(classes):
            columns = np.flatnonzero(classes == size_class)
            width = int(sizes[columns].max())
            spread = np.zeros((self.features, len(columns) * width))
            masses = np.full((len(columns), width), PADDED)
            for i, j in enumerate(columns):
                rows = slice(self.ends[j], self.ends[j + 1])
                spread[rows, i * width : i * width + sizes[j]] = self.bases[j].T
                masses[i, : sizes[j]] = np.log(self.anchors[j].mass)
            found.append((columns, spread, masses))
        return tuple(found)
