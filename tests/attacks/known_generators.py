"""A population, and generators of which it is known what an attack must find."""

import numpy as np
import pandas as pd

from synthvae.evaluation.tables import Tables, prepare
from synthvae.schema import Schema

NUMBERS, CATEGORIES = 7, 3
BOUNDS = {"minimum": 0, "maximum": 100}

PEOPLE = Schema.from_dict(
    {
        "name": "people",
        "patients": 1000,
        "target": "group 0",
        "fields": [
            *(
                {"name": f"lab {k}", "type": "number", "decimals": 1, "constraints": BOUNDS}
                for k in range(NUMBERS)
            ),
            *(
                {"name": f"group {k}", "constraints": {"enum": ["a", "b", "c", "d"]}}
                for k in range(CATEGORIES)
            ),
        ],
    }
)


def people(rows: int, seed: int) -> pd.DataFrame:
    """Return rows for `PEOPLE`, tied by one hidden factor."""
    g = np.random.default_rng(seed)
    factor = g.normal(size=rows)
    columns: dict[str, np.ndarray] = {}
    for k in range(NUMBERS):
        value = 0.6 * factor + g.normal(size=rows)
        columns[f"lab {k}"] = np.clip(np.round(50 + 10 * value, 1), 0, 100)
    for k in range(CATEGORIES):
        level = np.clip(np.round(1.5 + 0.5 * factor + g.normal(size=rows)), 0, 3).astype(int)
        columns[f"group {k}"] = np.array(list("abcd"), object)[level]
    return pd.DataFrame(columns)


def copies(train: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return the rows of train in another order."""
    return train.sample(frac=1, random_state=seed)


def some_copies(train: pd.DataFrame, seed: int, share: float = 0.05) -> pd.DataFrame:
    """Return fresh rows, and among them copies of such a share of train."""
    copied = train.sample(frac=share, random_state=seed)
    return pd.concat([people(len(train) - len(copied), 10_000 + seed), copied], ignore_index=True)


def noisy(train: pd.DataFrame, seed: int, size: float = 0.1) -> pd.DataFrame:
    """Return train with noise: in standard deviations of numbers, and half of it in flips."""
    g = np.random.default_rng(seed)
    made = train.copy()
    for name in made:
        if made[name].dtype.kind == "f":
            noise = g.normal(0, size * made[name].std(), len(made))
            made[name] = np.clip(np.round(made[name] + noise, 1), 0, 100)
        else:
            flipped = g.random(len(made)) < size / 2
            made.loc[flipped, name] = g.choice(list("abcd"), flipped.sum())
    return made


def independent(train: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return rows whose columns are those of a fresh sample, each in an order of its own."""
    g = np.random.default_rng(seed)
    sample = people(len(train), 20_000 + seed)
    return sample.apply(lambda column: g.permutation(column.to_numpy()))


def fresh(train: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return a new sample of the population, which train had no part in."""
    return people(len(train), 30_000 + seed)


GENERATORS = {
    "copies": copies,
    "5 % copies": some_copies,
    "small noise": noisy,
    "independent": independent,
    "fresh": fresh,
}


def tables_of(name: str, seed: int, rows: int = 1000, held: int = 1000) -> Tables:
    """Return train, holdout and what the generator of that name makes of train."""
    train, holdout = people(rows, 2 * seed), people(held, 2 * seed + 1)
    made = GENERATORS[name](train, seed)
    return prepare(train, holdout, made, PEOPLE, np.random.default_rng(seed))
