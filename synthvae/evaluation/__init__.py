"""Scores for anybody's synthetic table: validity, fidelity, utility and attacks on privacy.

    data frames -> `tables` -> `codes` -> one module per question -> `values`

A module has the records of its metrics (`metric`) beside their computation; `catalogue` lists them for
whoever meets a score by its key, as `levels` does, which judges it.
The metric libraries are imported when `evaluate` is called, not when this package is.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from synthvae.evaluation.values import (
    Associations,
    Attack,
    Evaluation,
    Interval,
    Margin,
    PairDistance,
    Score,
    TableFacts,
)

if TYPE_CHECKING:
    import pandas as pd

    from synthvae.attacks import Retrain
    from synthvae.evaluation.asked import Asked
    from synthvae.schema import Schema

__all__ = [
    "Associations",
    "Attack",
    "Evaluation",
    "Interval",
    "Margin",
    "PairDistance",
    "Score",
    "TableFacts",
    "evaluate",
]


def evaluate(
    train: "pd.DataFrame",
    holdout: "pd.DataFrame",
    synthetic: "pd.DataFrame",
    schema: "Schema",
    *,
    seed: int = 0,
    progress: Callable[[str, float], None] | None = None,
    asked: "Asked | None" = None,
    retrain: "Retrain | None" = None,
    draws: "Sequence[pd.DataFrame]" = (),
) -> Evaluation:
    """Score a synthetic table against the real rows it was made from and real rows held out.

    Parameters
    ----------
    train : DataFrame
        Real rows that the generator saw.
    holdout : DataFrame
        Real rows of other patients, which it did not see.
    synthetic : DataFrame
        The table to score, made by whatever generator. Cells that break the schema count as
        invalid and then as missing; columns that the schema does not model are left out.
    schema : Schema
        The public facts about all three tables.
    seed : int
        Draws samples, resamples and shuffles: the same input and seed give the same bytes.
    progress : callable, optional
        Called with what is being done and the share that is done, 0 to 1.
    asked : Asked, optional
        What is wanted beyond what every table gets: rules, analyses, limits, the depth of the attacks.
    retrain : callable, optional
        Trains the same kind of generator on the rows given, with the seed given, and returns
        synthetic rows; attacks of depth `deep` train shadow models with it.
    draws : sequence of DataFrame, optional
        Further tables from the same generator: what is cheap to compute is computed of them, too,
        and shows the spread of sampling.

    Returns
    -------
    Evaluation
        Scores with intervals and references, margins, associations and attacks. They are computed
        from real rows and not covered by any guarantee: they stay with the custodian.

    Raises
    ------
    ConfigError
        A rule, an analysis or a limit does not fit the schema.
    DataError
        `train` or `holdout` does not fit the schema.
    EvaluationError
        A table is empty, or `synthetic` lacks columns of the schema.

    Examples
    --------
    >>> import pandas as pd
    >>> from synthvae.schema import Schema
    >>> schema = Schema.from_dict({"name": "demo", "fields": [
    ...     {"name": "smoker", "type": "boolean"},
    ...     {"name": "age", "type": "integer", "constraints": {"minimum": 0, "maximum": 110}}]})
    >>> table = pd.DataFrame({"smoker": ["true", "false"] * 10, "age": range(20, 40)})
    >>> evaluate(table, table, table, schema).score("tvd2").value
    0.0
    """
    from synthvae.evaluation.scoring import score_tables

    return score_tables(
        train,
        holdout,
        synthetic,
        schema,
        seed=seed,
        progress=progress,
        asked=asked,
        retrain=retrain,
        draws=draws,
    )
