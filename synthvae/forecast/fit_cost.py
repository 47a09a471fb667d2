"""How long a fit takes and how large it is: a rough model of cost, from public sizes.

Seconds are those of one core of a server of 2023, fitted to fits of 2 to 21 columns; they may be half or
twice as many on another machine.
"""

from collections.abc import Sequence

from synthvae._frozen import Frozen
from synthvae.marginals.interactions import CELLS_PER_CHUNK
from synthvae.plan import Plan

ROUGHLY = 2.0  # between the forecast and the truth, either way
START_SECONDS = 4.0  # of importing and small parts
COUPLING_SECONDS = 0.12, 0.002  # a feature of a record, and a pair of features
PRODUCT_SECONDS = 0.0018, 2e-8  # a product of features, and one of a row
TRAINING_SECONDS = 2e-7  # a step, a row of its batch and a feature
CALIBRATION_SECONDS = 0.02  # a feature and a round
PROCESS_BYTES = 480e6  # libraries
FEATURE_BYTES = 1.5e6  # of simulated populations
CELL_BYTES = 20, 60  # of real rows: a feature, and a column
PRODUCT_BYTES = 40  # a product of a row, of the rows that are looked at together
MODEL_BYTES = 6000, 40  # settings and schema; a category, or one of a number's cells
CELLS_OF_NUMBER = 60


class FitCost(Frozen):
    """Seconds of a fit, from the least to the most; bytes of memory, and of the model on disk."""

    seconds: tuple[float, float]
    memory: float
    disk: float


def fit_cost(plan: Plan, ranks: Sequence[int], products: int) -> FitCost:
    """Return the cost of a fit.

    Parameters
    ----------
    ranks
        Number of features of each modelled column.
    products
        Number of products of features that are measured.
    """
    settings, features = plan.settings, sum(ranks)
    patients = plan.training.expected_batch / settings.sampling_rate if plan.training else 0.0
    rows = patients * plan.schema.rows_per_patient
    batch = settings.sampling_rate * rows
    linear, squared = COUPLING_SECONDS
    of_product, of_row = PRODUCT_SECONDS
    seconds = (
        START_SECONDS
        + linear * features
        + squared * features**2
        + products * (of_product + of_row * rows)
        + TRAINING_SECONDS * settings.steps * batch * features
        + CALIBRATION_SECONDS * settings.calibration_rounds * features
    )
    of_feature, of_column = CELL_BYTES
    columns = len(plan.schema.drawn)
    base, of_cell = MODEL_BYTES
    cells = sum(
        CELLS_OF_NUMBER if field.is_lattice else len(field.categories)
        for field in plan.schema.drawn
    )
    return FitCost(
        seconds=(seconds / ROUGHLY, seconds * ROUGHLY),
        memory=PROCESS_BYTES
        + FEATURE_BYTES * features
        + rows * (of_feature * features + of_column * columns)
        + PRODUCT_BYTES * min(rows * products, CELLS_PER_CHUNK),
        disk=base + of_cell * cells + 8 * features * (features + 2 * settings.hidden),
    )
