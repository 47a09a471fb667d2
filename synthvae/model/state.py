"""What a fit leaves behind: noisy marginals and averaged weights, as values and as named arrays.

Named arrays may come from anywhere, so what is read of them is checked against schema and settings,
and sampling can trust it; `KeyError` and `ValueError` name the array that is missing or does not fit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from synthvae._types import Floats, Ints
from synthvae.field import Field
from synthvae.marginals.column import ColumnMarginal
from synthvae.marginals.interactions import LARGEST, NONE
from synthvae.model.layout import Layout
from synthvae.schema import Schema
from synthvae.settings import Settings

if TYPE_CHECKING:
    from torch import nn

LARGEST_NUMBER = 1e6  # of any array; fitted ones are hundreds at most
ROUNDING = 1e-6
PRODUCTS = "products"
MARGINAL_ARRAYS = ("starts", "cell_mass", "cell_bin", "mass")
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class FittedState:
    """What a fit leaves behind: noisy marginals and weights, no real row.

    Attributes
    ----------
    offsets
        For each column, what calibration adds to its tokens' logits.
    row_shares
        Share of patients with 1, 2, ... rows; None where each row is one patient.
    patients
        The declared or noisily counted number of patients.
    """

    layout: Layout
    weights: dict[str, Floats]
    offsets: list[Floats]
    row_shares: Floats | None
    patients: int

    @property
    def marginals(self) -> tuple[ColumnMarginal, ...]:
        """Those of the columns."""
        return self.layout.marginals

    def arrays(self) -> Arrays:
        """Return the arrays of the state, by name."""
        return {
            **{f"weights/{name}": weight for name, weight in self.weights.items()},
            PRODUCTS: self.layout.products,
            **count_arrays(self.layout.marginals, self.row_shares),
            **{f"columns/{j}/offset": offset for j, offset in enumerate(self.offsets)},
        }

    @classmethod
    def from_arrays(
        cls, arrays: Arrays, schema: Schema, settings: Settings, patients: int
    ) -> "FittedState":
        """Return a state from its arrays, which fit schema and settings."""
        check_numbers(arrays)
        marginals = read_marginals(arrays, schema.drawn)
        offsets = [arrays[f"columns/{j}/offset"] for j in range(len(marginals))]
        for field, marginal, offset in zip(schema.drawn, marginals, offsets, strict=True):
            if offset.shape != marginal.mass.shape:
                raise ValueError(f"the anchor of column '{field.name}' does not fit the schema")
        layout = Layout.build(marginals, schema.drawn, settings, schema.rule_set)
        layout = replace(layout, products=_read_products(arrays[PRODUCTS], layout))
        weights = {
            name.removeprefix("weights/"): array
            for name, array in arrays.items()
            if name.startswith("weights/")
        }
        shapes = {(name, weight.shape) for name, weight in weights.items()}
        wrong = shapes ^ set(weight_shapes(layout).items())
        if wrong:
            raise ValueError(f"its weights do not fit its settings: {min(wrong)[0]}")
        return cls(layout, weights, offsets, read_row_shares(arrays, schema), patients)


def check_numbers(arrays: Arrays) -> None:
    """Raise `ValueError` for a number that no fit leaves behind."""
    for name, array in arrays.items():
        if array.dtype == np.float64 and array.size and np.abs(array).max() > LARGEST_NUMBER:
            raise ValueError(f"{name} holds a number beyond {LARGEST_NUMBER:,.0f}")


def _read_products(products: NDArray[Any], layout: Layout) -> Ints:
    """Return the products of two or three features, each of different columns, the latest first."""
    shape = (len(products), LARGEST - 1)
    if products.dtype != np.int64 or products.shape != shape:
        raise ValueError("its products do not fit the schema")
    if len(products) > layout.settings.interactions:
        raise ValueError("it has more products than its settings allow")
    if len(products) != len(np.unique(products, axis=0)):
        raise ValueError("it has a product twice")
    if len(products) and not (products.min() >= NONE and products.max() < layout.features):
        raise ValueError("its products name features that are not there")
    owners = np.where(products == NONE, NONE, layout.owner[products])
    falls = np.diff(owners, axis=1) < 0
    if (owners[:, 1] == NONE).any():
        raise ValueError("it has a product of one feature")
    if not (falls | ((owners[:, 1:] == NONE) & (np.arange(1, LARGEST - 1) > 1))).all():
        raise ValueError("its products are not of different columns")
    return products


def count_arrays(marginals: Sequence[ColumnMarginal], row_shares: Floats | None) -> Arrays:
    """Return the arrays of what follows from a fit's counts, by name."""
    arrays: Arrays = {
        f"columns/{j}/{name}": getattr(marginal, name)
        for j, marginal in enumerate(marginals)
        for name in MARGINAL_ARRAYS
    }
    return arrays if row_shares is None else arrays | {"row_shares": row_shares}


def read_marginals(arrays: Arrays, fields: Sequence[Field]) -> list[ColumnMarginal]:
    """Return the marginals of some columns, in order."""
    marginals = []
    for j, field in enumerate(fields):
        starts, cell_mass, cell_bin, mass = (
            arrays[f"columns/{j}/{name}"] for name in MARGINAL_ARRAYS
        )
        size, specials = ColumnMarginal.cells_of(field), len(field.specials)
        marginal = ColumnMarginal(starts, cell_mass, cell_bin, mass, size, specials, field.nullable)
        if not _fits(marginal):
            raise ValueError(f"the anchor of column '{field.name}' does not fit the schema")
        marginals.append(marginal)
    return marginals


def _fits(marginal: ColumnMarginal) -> bool:
    """Whether shapes and orders are right, and masses are masses."""
    cells = len(marginal.starts) if marginal.starts.ndim == 1 else 0
    if not cells or marginal.cell_mass.shape != (cells,) or marginal.cell_bin.shape != (cells,):
        return False
    steps = np.diff(marginal.cell_bin)
    return bool(
        marginal.starts[0] == 0
        and (marginal.cell_sizes > 0).all()
        and marginal.cell_bin[0] == 0
        and ((steps == 0) | (steps == 1)).all()
        and marginal.mass.shape == (marginal.bins + marginal.specials + marginal.nullable,)
        and 0 < marginal.mass.min() <= marginal.mass.max() <= 1 + ROUNDING
        and abs(marginal.mass.sum() - 1.0) < ROUNDING
        and 0 <= marginal.cell_mass.min() <= marginal.cell_mass.max() <= 1 + ROUNDING
    )


def read_row_shares(arrays: Arrays, schema: Schema) -> Floats | None:
    """Return the shares of patients with 1, 2, ... rows; None where each row is one patient."""
    shares = arrays.get("row_shares")
    if (shares is None) != (schema.patientKey is None):
        raise ValueError("row_shares goes with patientKey")
    if shares is not None and (
        shares.shape != (schema.rows_per_patient,)
        or not 0 <= shares.min() <= shares.max() <= 1 + ROUNDING
        or abs(shares.sum() - 1.0) > 1e-9
    ):
        raise ValueError("row_shares are no shares of patients")
    return shares


def weight_shapes(layout: Layout) -> dict[str, tuple[int, ...]]:
    """Return the shape of each weight of a model, by name."""
    settings, size = layout.settings, layout.features
    hidden, latent, mixture = settings.hidden, settings.latent, settings.mixture
    shapes: dict[str, tuple[int, ...]] = {
        "encoder.weight": (hidden, size),
        "encoder.bias": (hidden,),
        "posterior.weight": (2 * latent, hidden),
        "posterior.bias": (2 * latent,),
        "decoder.weight": (hidden, latent),
        "decoder.bias": (hidden,),
        "loadings.weight": (size, hidden),
        "earlier.weight": (size, size),
        "earlier.bias": (size,),
        "products.weight": (size, len(layout.products)),
    }
    if mixture:
        shapes |= {"mixture_in.weight": (mixture, size), "mixture_out.weight": (size, mixture)}
    return shapes


class WeightAverage:
    """An exponential moving average of a model's weights, unbiased for its start."""

    def __init__(self, model: "nn.Module", decay: float) -> None:
        self._model, self._decay, self._mass = model, decay, 0.0
        self._sums = [weight.detach().clone().zero_() for weight in model.parameters()]

    def update(self) -> None:
        """Take in the model's present weights."""
        self._mass = self._decay * self._mass + 1 - self._decay
        for total, weight in zip(self._sums, self._model.parameters(), strict=True):
            total.lerp_(weight.detach(), 1 - self._decay)

    def weights(self) -> dict[str, Floats]:
        """Return the averaged weights as float64 arrays, masked weights where they exist only."""
        masks = {
            f"{name}.weight": layer.mask.double()
            for name, layer in self._model.named_modules()
            if hasattr(layer, "mask")
        }
        names = [name for name, _ in self._model.named_parameters()]
        return {
            name: (total.double() * masks.get(name, 1.0) / self._mass).numpy()
            for name, total in zip(names, self._sums, strict=True)
        }
