"""Other private synthesizers to compare with, all from the same tokens under the same budget.

    frame -> `base.tokenise` (bounded rows, marginals) -> tokens of a method -> `Baseline.sample`

Of visits in time, a row of tokens is a patient (`side_by_side`), and rows become visits again.

Everything is released through `synthvae.privacy.mechanisms`, whose log is a method's account.
Private-PGM (`mst`, `aim`, `aim-3way`) needs the extra `pgm`; a method's libraries are imported when
it is made.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from synthvae.errors import ConfigError

if TYPE_CHECKING:
    from synthvae.baselines.base import Baseline
    from synthvae.schema import Schema

_HOMES = {
    "independent": ("marginal_methods", "Independent"),
    "mst": ("marginal_methods", "MST"),
    "aim": ("marginal_methods", "AIM"),
    "aim-3way": ("marginal_methods", "ThreeWayAIM"),
    "plain-vae": ("plain_vae", "PlainVAE"),
}
NAMES = tuple(_HOMES)
NEEDS_PGM = ("mst", "aim", "aim-3way")

__all__ = ["NAMES", "NEEDS_PGM", "installed", "make"]


def installed() -> tuple[str, ...]:
    """Return the baselines whose libraries are installed."""
    has_pgm = find_spec("mbi") is not None and find_spec("jax") is not None
    return tuple(name for name in NAMES if has_pgm or name not in NEEDS_PGM)


def make(
    name: str,
    schema: "Schema",
    epsilon: float,
    delta: float | None = None,
    *,
    test_seed: int | None = None,
) -> "Baseline":
    """Return an unfitted baseline by its name; `ConfigError` for an unknown one."""
    if name not in _HOMES:
        raise ConfigError(f"There is no baseline {name!r}; the baselines are {', '.join(NAMES)}.")
    module, kind = _HOMES[name]
    method: type[Baseline] = getattr(import_module(f"synthvae.baselines.{module}"), kind)
    return method(schema, epsilon, delta, test_seed=test_seed)
