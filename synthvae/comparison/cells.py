"""What a comparison runs: its methods, and every cell in order."""

from dataclasses import dataclass
from dataclasses import field as default

from synthvae.baselines import NEEDS_PGM, installed
from synthvae.comparison.values import OURS, Cell
from synthvae.config import Compare, RunConfig
from synthvae.errors import ConfigError
from synthvae.pipeline import override_settings
from synthvae.plan import check_reviewed
from synthvae.privacy.budget import checked_delta
from synthvae.schema import Schema


@dataclass(frozen=True)
class Contestant:
    """A method by its name on the page; the VAE and its variants have settings replaced."""

    name: str
    method: str
    settings: dict[str, float] = default(default_factory=dict)


def contestants(config: RunConfig) -> tuple[Contestant, ...]:
    """Return the methods and variants that a config asks for.

    Raises
    ------
    ConfigError
        A method is asked for by name whose libraries are not installed.
    """
    asked: Compare = config.compare
    there = (OURS, *installed())
    for name in asked.methods or ():
        if name not in there:
            raise ConfigError(
                f"compare, methods names {name!r}, which needs Private-PGM: pip install "
                f"'synthvae[pgm]', or leave {' and '.join(NEEDS_PGM)} out."
            )
    base = dict(config.settings)
    found = [Contestant(n, n, base if n == OURS else {}) for n in asked.methods or there]
    found += [Contestant(v.name, OURS, base | v.settings) for v in asked.variants]
    return tuple(found)


def budgets(config: RunConfig) -> tuple[float, ...]:
    """Return the epsilons to compare at; `ConfigError` where there is none."""
    if config.compare.epsilons is not None:
        return config.compare.epsilons
    if config.epsilon is None:
        raise ConfigError(
            "epsilon is none, and compare names no epsilons: methods are compared at a budget; give "
            "compare, epsilons."
        )
    return (config.epsilon,)


def cells_of(config: RunConfig, found: tuple[Contestant, ...]) -> tuple[Cell, ...]:
    """Return every cell: a first run of everything comes before anybody's second."""
    return tuple(
        Cell(method=one.name, epsilon=epsilon, size=size, run=run)
        for run in range(config.compare.runs)
        for size in config.compare.sizes or (None,)
        for epsilon in budgets(config)
        for one in found
    )


def check(config: RunConfig, schema: Schema, found: tuple[Contestant, ...]) -> None:
    """Raise for a budget or a setting that no cell could be run with, before anything is run."""
    check_reviewed(schema)
    for epsilon in budgets(config):
        for patients in config.compare.sizes or (schema.patients,):
            checked_delta(epsilon, config.delta, patients)
        for one in found:
            if one.method == OURS:
                override_settings(schema, epsilon, one.settings)
