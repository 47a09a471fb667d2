"""Where private training stands between two steps: what a stop may keep, and how to go on from it.

Every array here is made from the noisy gradients of the steps so far and from what was paid for
before them. Gradients, sums of a batch, losses and the patients that were drawn are not among them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from torch import nn

    from synthvae.model.training import WeightAverage

MODEL, AVERAGE, FIRST, SECOND = "model", "average", "first", "second"
ADAM = {FIRST: "exp_avg", SECOND: "exp_avg_sq"}  # Kingma and Ba 2015, m and v
FIXED = "earlier."  # couplings, which training leaves alone
Floats32 = NDArray[np.float32]


@dataclass(frozen=True)
class TrainingState:
    """The noisy iterate after some steps.

    Attributes
    ----------
    step
        Steps done, from 1.
    arrays
        By name: `model/` weights, `average/` sums of the weights' moving average, `first/` and
        `second/` Adam's moments; float32.

    Guarantee
    ---------
    A function of `step` releases of the Poisson-subsampled Gaussian mechanism: the composition of
    DP-SGD covers every iterate, not the last one alone (Abadi et al. 2016, section 3), so whoever
    sees this sees nothing that is not accounted for.
    """

    step: int
    arrays: dict[str, Floats32]

    @classmethod
    def after(
        cls, step: int, model: "nn.Module", adam: "torch.optim.Optimizer", average: "WeightAverage"
    ) -> "TrainingState":
        """Return where training stands after a step, as copies."""
        arrays = {}
        for (name, weight), total in zip(model.named_parameters(), average.sums, strict=True):
            arrays[f"{MODEL}/{name}"] = weight.detach().numpy().copy()
            arrays[f"{AVERAGE}/{name}"] = total.numpy().copy()
            for part, key in ADAM.items():
                if weight.requires_grad:
                    arrays[f"{part}/{name}"] = adam.state[weight][key].numpy().copy()
        return cls(step, arrays)

    def restore(
        self, model: "nn.Module", adam: "torch.optim.Optimizer", average: "WeightAverage"
    ) -> None:
        """Put a new model, optimiser and average where training stood."""
        import torch

        def tensor(name: str) -> torch.Tensor:
            return torch.from_numpy(self.arrays[name].copy())

        with torch.no_grad():
            for name, weight in model.named_parameters():
                weight.copy_(tensor(f"{MODEL}/{name}"))
                if weight.requires_grad:
                    moments = {key: tensor(f"{part}/{name}") for part, key in ADAM.items()}
                    adam.state[weight] = {"step": torch.tensor(float(self.step)), **moments}
        names = [name for name, _ in model.named_parameters()]
        average.restore([tensor(f"{AVERAGE}/{name}") for name in names], self.step)


def state_shapes(weights: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Return the shape of every array of a state, by name, for a model's weights."""
    found = {
        f"{part}/{name}": shape for part in (MODEL, AVERAGE) for name, shape in weights.items()
    }
    for part in ADAM:
        found |= {f"{part}/{n}": s for n, s in weights.items() if not n.startswith(FIXED)}
    return found


class Keeper(Protocol):
    """Whoever keeps where training stands, so that it can go on after a stop."""

    @property
    def training(self) -> TrainingState | None:
        """Where an earlier process left it; None for a start from the beginning."""

    def after_step(self, step: int, state: Callable[[], TrainingState]) -> None:
        """Called after every step; `state` copies the arrays, which is only worth it now and then."""
