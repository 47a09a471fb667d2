"""Differentially private synthetic health records, with the evidence to release them."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from synthvae.schema import Schema
    from synthvae.scoring import evaluate
    from synthvae.synthesizer import Synthesizer

__version__ = "0.2.0"
__all__ = ["Schema", "Synthesizer", "__version__", "evaluate"]

_HOMES = {
    "Schema": "synthvae.schema",
    "Synthesizer": "synthvae.synthesizer",
    "evaluate": "synthvae.scoring",
}


def __getattr__(name: str) -> object:
    # Looked up late, so that `import synthvae` takes no time.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'synthvae' has no attribute {name!r}")
