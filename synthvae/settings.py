"""The public rule: every size, rate and schedule of a fit, from declared public numbers alone.

The rule sees the declared number of patients, epsilon and the schema; never the data.
"""

import math
from typing import Annotated, Self

from pydantic import Field, model_validator

from synthvae._frozen import FrozenSettings
from synthvae.schema import Schema

LEAST_SIGNAL = 1000  # patients times epsilon, below which hardly more than margins can be learned
VISIT_PARENTS = 24  # most columns that one of a visit is coupled to, or as many as the schema has
LEAST_TRAINING = 1e-3  # of the budget, for noise that can be accounted for
TRAINING_SHARE = 0.03  # of the budget, where nothing is known for training to learn
INTERACTION_SHARE = 0.1  # of the budget, for moments of three and four columns
PRODUCTS_OF_SIGNAL = 0.0067  # their square root, that can be afforded per patient and epsilon
MOST_PRODUCTS = 6000
FEW_COLUMNS = 6  # up to which records are balanced more finely, since that is quick
# Of few columns and one row a patient, moments tell nearly everything: margins, which are few, need less
# to be known as well, wiggly functions count for more, and training must not blur what moments tell.
FEW_SHARES = 0.2, 0.55, 0.22  # of the budget, for margins, pairs, and three and four columns
FEW_TAPER, FEW_RATE = 0.25, 2e-4
VISIT_LATENT = 8  # dimensions of what a patient keeps for good from visit to visit
ASSUMED_PATIENTS = 5000  # sizes the model where no number of patients is declared
MOST_CATEGORY_FUNCTIONS = 24  # of a category, without privacy
MOST_FEATURES = 320  # of a record, that leave couplings without privacy quick


class Settings(FrozenSettings):
    """Sizes of the model, the split of the budget, and the schedule of training."""

    # Bins of a number that aim at equal mass, besides its special and missing values.
    bins: Annotated[int, Field(ge=2, le=200)]
    rank: Annotated[int, Field(ge=1, le=50)]  # most basis functions of a column
    category_rank: Annotated[int, Field(ge=0, le=50)] = 0  # and of a category, where that is more
    taper: Annotated[float, Field(ge=0, le=4)]  # of their weights in the moments: order ** -taper
    # Largest part of one patient in the pair moments, relative to that of a patient of most rows that
    # are all typical and alike.
    pair_bound: Annotated[float, Field(ge=0.05, le=10)]
    parents: Annotated[int, Field(ge=0)]  # most earlier columns that a column is coupled to
    latent: Annotated[int, Field(ge=2, le=256)]  # dimension
    hidden: Annotated[int, Field(ge=1, le=4096)]  # units of encoder and decoder
    mixture: Annotated[int, Field(ge=0, le=4096)]  # units of the masked network; 0 leaves it out
    # Shares of the budget (in squared mu of Gaussian differential privacy) that buy the marginals and
    # the pair moments; the rest is for training.
    anchor_share: Annotated[float, Field(gt=0, lt=1)]
    pair_share: Annotated[float, Field(gt=0, lt=1)]
    interaction_share: Annotated[float, Field(ge=0, lt=1)]  # and of three and four columns
    interaction_rank: Annotated[int, Field(ge=1, le=50)]  # functions of a column in their products
    interactions: Annotated[int, Field(ge=0, le=20_000)]  # most products that are measured
    steps: Annotated[int, Field(ge=1, le=100_000)]
    sampling_rate: Annotated[float, Field(gt=0, le=1)]  # of patients in a step
    clip_norm: Annotated[float, Field(ge=1e-6, le=1e6)]  # largest L2 norm of a patient's gradient
    learning_rate: Annotated[float, Field(gt=0, le=1)]
    averaging: Annotated[float, Field(ge=0, lt=1)]  # decay of the average of weights
    kl_weight: Annotated[float, Field(ge=0)]  # of the Kullback-Leibler term (beta)
    kl_warmup: Annotated[float, Field(ge=0, le=1)]  # share of steps over which it rises
    calibration_rounds: Annotated[int, Field(ge=0, le=50)]
    # Steps, about, in which a column is drawn when records are sampled, each balanced against what the
    # earlier ones left short; 0 draws rows independently.
    balance_steps: Annotated[int, Field(ge=0, le=100_000)]

    def rank_of(self, *, ordered: bool) -> int:
        """Return the most basis functions of a number or date, which are `ordered`, or of a category."""
        return self.rank if ordered else max(self.rank, self.category_rank)

    @model_validator(mode="after")
    def _leaves_something_for_training(self) -> Self:
        if self.anchor_share + self.pair_share + self.interaction_share > 1 - LEAST_TRAINING:
            raise ValueError(
                f"anchor_share {self.anchor_share:g}, pair_share {self.pair_share:g} and "
                f"interaction_share {self.interaction_share:g} leave nothing of the budget for "
                "training: together they must be below 1"
            )
        if self.interaction_share and not self.interactions:
            raise ValueError(
                f"interaction_share is {self.interaction_share:g}, and interactions is 0: nothing would "
                "be bought; set both to 0, or neither"
            )
        return self


def settings_for(schema: Schema, epsilon: float | None) -> Settings:
    """Return the settings for a schema and a privacy budget, by the public rule.

    The rule follows the signal that the budget leaves: the declared number of patients times
    epsilon. More of it affords finer bins, a richer basis and a larger latent, and leaves a larger
    share to dependence.
    """
    settings = _of_rows(schema, epsilon)
    return settings if schema.orderBy is None else _of_visits(settings)


def _of_rows(schema: Schema, epsilon: float | None) -> Settings:
    patients = schema.patients or ASSUMED_PATIENTS
    columns = len(schema.drawn)
    rows = schema.rows_per_patient
    if epsilon is None:
        return _without_privacy(schema, patients * rows, columns)
    signal = math.log10(max(patients * epsilon, 1) / 7000)
    wide = max(0.0, math.log10(columns / 16))
    # The cost of the couplings grows with the square of the features: about 240 of them stay quick.
    # Functions beyond eight pay where few columns share much signal; among more, they bring noise.
    finer = max(0.0, signal - 5 * max(0.0, math.log10(columns / 11)))
    rank = min(round(min(8.0, 6 + 2 * signal - 4 * wide) + 14 * finer), 240 // columns)
    rank = min(24, max(1, rank))
    anchor_share, pair_share = min(0.55, max(0.35, 0.5 - 0.1 * signal)), 0.4
    if patients * epsilon < LEAST_SIGNAL:
        anchor_share, pair_share = 0.8, 0.15
    # What patients of several rows keep to themselves is left to the latent; else moments tell it.
    training_share = TRAINING_SHARE if rows == 1 else 1 - anchor_share - pair_share
    products = affordable_products(patients, epsilon)
    interaction_rank = rank_of_interactions(schema, rank, products)
    interaction_share = INTERACTION_SHARE if interaction_rank else 0.0
    scale = (1 - training_share - interaction_share) / (anchor_share + pair_share)
    anchor_share, pair_share = scale * anchor_share, scale * pair_share
    few = columns <= FEW_COLUMNS and rows == 1 and interaction_rank > 0 and signal > 0
    if few:
        anchor_share, pair_share, interaction_share = FEW_SHARES
    return Settings(
        bins=round(min(32, max(8, 20 + 8 * signal))),
        rank=rank,
        taper=FEW_TAPER if few else 0.5,
        pair_bound=max(0.05, min(2.0, max(0.7, 0.7 + 0.4 * signal)) / math.sqrt(rows)),
        parents=max(columns - 1, 1) if columns <= 40 else 24,
        latent=2 if signal < 0.4 else 4,
        hidden=4 if signal < 0.4 else 16,
        mixture=0,
        anchor_share=anchor_share,
        pair_share=pair_share,
        interaction_share=interaction_share,
        interaction_rank=max(interaction_rank, 1),
        interactions=products,
        steps=200,
        sampling_rate=min(1.0, min(patients / 3, 4096) / patients),
        clip_norm=3.0 * math.sqrt(rows),
        learning_rate=FEW_RATE if few else 0.02,
        averaging=0.98,
        kl_weight=1.0,
        kl_warmup=0.25,
        calibration_rounds=4,
        balance_steps=1600 if columns <= FEW_COLUMNS else 400,
    )


def _of_visits(settings: Settings) -> Settings:
    """Return the settings of visits in time: their moments tell what elsewhere training would.

    A patient's latent is found in the moments of visits far apart.
    """
    shares = {"anchor_share": 0.45, "pair_share": 0.545, "interaction_share": 0.0}
    latent = {"latent": VISIT_LATENT, "hidden": VISIT_LATENT, "mixture": 0, "category_rank": 0}
    # Of a visit and the one before it there are more columns than the schema has.
    parents = max(settings.parents, VISIT_PARENTS)
    update = {**shares, **latent, "interactions": 0, "parents": parents}
    return settings.model_copy(update=update)


def affordable_products(patients: int, epsilon: float) -> int:
    """Return how many products of three and four columns the budget affords, about.

    The noise of each grows with the square root of their number: up to there it stays near 0.05.
    """
    return round(min(MOST_PRODUCTS, (PRODUCTS_OF_SIGNAL * patients * epsilon) ** 2))


def rank_of_interactions(schema: Schema, rank: int, products: int) -> int:
    """Return how many functions of a column enter products of three; 0 where none are measured."""
    # It needs numpy, which a command that only explains itself does without.
    from synthvae.marginals.interactions import affordable_rank
    from synthvae.precedence import declared_uses

    return affordable_rank(_functions(schema, rank, rank), products, declared_uses(schema))


def _functions(schema: Schema, rank: int, category_rank: int) -> list[int]:
    """Return how many functions each column has at most, by the ranks of numbers and of categories."""
    functions = []
    for field in schema.drawn:
        values = field.lattice_size if field.is_lattice else len(field.categories)
        most = rank if field.is_lattice else category_rank
        functions.append(max(1, min(most, values - 1 + field.nullable + len(field.specials))))
    return functions


def _rank_of_categories(schema: Schema, rank: int) -> int:
    """Return the largest rank of categories, beside one of numbers, that leaves couplings quick."""
    ranks = range(MOST_CATEGORY_FUNCTIONS, rank, -1)
    return next((r for r in ranks if sum(_functions(schema, rank, r)) <= MOST_FEATURES), rank)


def _without_privacy(schema: Schema, rows: int, columns: int) -> Settings:
    interaction_rank = rank_of_interactions(schema, min(8, max(1, 320 // columns)), MOST_PRODUCTS)
    batch = min(max(rows / 20, 64), 1024)
    width = round(min(128, max(16, rows / 250)))  # more would learn the rows by heart
    rank = max(min(24, 240 // columns), min(8, max(1, 320 // columns)))
    return Settings(
        bins=32,
        rank=rank,
        # Tokens beyond the rank are one to the couplings: what follows from a rare one of them is lost.
        # Of a number, more functions would fit the rows by heart.
        category_rank=_rank_of_categories(schema, rank),
        taper=0.0,
        pair_bound=1.0,
        parents=max(columns - 1, 1) if columns <= 60 else 24,
        latent=4 if rows < 20_000 else 8,
        hidden=min(width, 64),
        mixture=width,
        anchor_share=0.4,
        pair_share=0.4,
        interaction_share=0.1 if interaction_rank else 0.0,
        interaction_rank=max(interaction_rank, 1),
        interactions=MOST_PRODUCTS,
        steps=2000,
        sampling_rate=min(1.0, batch / rows),
        clip_norm=1.0,
        learning_rate=0.002,
        averaging=0.99,
        kl_weight=1.0,
        kl_warmup=0.1,
        calibration_rounds=4,
        balance_steps=400,
    )
