"""Quality rises with the budget and with the number of patients, on data whose truth is known."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from synthvae import Schema, Synthesizer
from synthvae.settings import settings_for

LEVELS = (2, 3, 4, 2, 5, 3, 2, 4)
FITS = 3


def truth(rows: int, seed: int) -> pd.DataFrame:
    """Return a fresh sample of eight columns, tied by a hidden factor and by chains."""
    generator = np.random.default_rng(seed)
    factor = generator.normal(size=rows)
    columns: dict[str, np.ndarray] = {}
    before = np.zeros(rows)
    for j, levels in enumerate(LEVELS):
        score = 0.8 * factor * (j % 2) + 0.9 * before + generator.normal(size=rows)
        cuts = np.linspace(-1.2, 1.4, levels + 1)[1:-1] if levels > 2 else np.array([0.5])
        code = np.searchsorted(cuts, score)
        before = (code - code.mean()) / code.std()
        columns[f"x{j}"] = np.array(list("abcde"))[code]
    return pd.DataFrame(columns)


def schema_for(patients: int) -> Schema:
    fields = [
        {"name": f"x{j}", "constraints": {"enum": list("abcde"[:levels])}}
        for j, levels in enumerate(LEVELS)
    ]
    return Schema.from_dict({"name": "known", "patients": patients, "fields": fields})


def distance(first: pd.DataFrame, second: pd.DataFrame) -> float:
    """Return the mean total variation between tables of two columns."""
    found = []
    for a, b in combinations(first.columns, 2):
        shares = [frame[[a, b]].value_counts(normalize=True) for frame in (first, second)]
        found.append(0.5 * shares[0].sub(shares[1], fill_value=0.0).abs().sum())
    return float(np.mean(found))


def error(patients: int, epsilon: float, fresh: pd.DataFrame, fits: int = FITS) -> float:
    """Return the distance of synthetic tables from the truth, averaged over fits."""
    found = []
    for seed in range(fits):
        synthesizer = Synthesizer(schema_for(patients), epsilon, test_seed=seed)
        synthesizer.fit(truth(patients, 100 + seed))
        found.append(distance(synthesizer.sample(10_000, seed=seed), fresh))
    return float(np.mean(found))


@pytest.fixture(scope="module")
def fresh() -> pd.DataFrame:
    return truth(200_000, 1)


@pytest.fixture(scope="module")
def independent(fresh: pd.DataFrame) -> float:
    """How far the product of the true margins is from the truth: a fit without dependence."""
    generator = np.random.default_rng(0)
    shuffled = fresh.apply(lambda column: generator.permutation(column.to_numpy()))
    return distance(shuffled, fresh)


@pytest.mark.slow
def test_quality_rises_with_epsilon(fresh: pd.DataFrame, independent: float) -> None:
    little, much = error(1500, 0.3, fresh), error(1500, 3.0, fresh)
    assert much < 0.6 * little
    assert little < independent  # even then it is better than to know the margins exactly
    # The patients are a sample themselves, with as much error as that: the budget adds little.
    own = np.mean([distance(truth(1500, 100 + seed), fresh) for seed in range(FITS)])
    assert much < 2 * own


@pytest.mark.slow
def test_quality_rises_with_the_number_of_patients(fresh: pd.DataFrame, independent: float) -> None:
    few, many = error(500, 1.0, fresh), error(5000, 1.0, fresh)
    assert many < 0.4 * few
    assert many < 0.2 * independent


@pytest.mark.slow
def test_a_quick_fit_finds_most_of_the_dependence(fresh: pd.DataFrame, independent: float) -> None:
    # Nearly all of it comes from the pair moments, so few steps of training will do.
    schema = schema_for(5000)
    plan = settings_for(schema, 3.0).model_copy(update={"steps": 20})
    synthesizer = Synthesizer(schema, 3.0, settings=plan, test_seed=0).fit(truth(5000, 100))
    assert distance(synthesizer.sample(10_000, seed=0), fresh) < 0.2 * independent
