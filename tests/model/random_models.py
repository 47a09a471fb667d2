"""Models with random weights in every place, for tests of the arithmetic."""

import numpy as np
import torch

from synthvae.model.layout import Layout
from synthvae.model.vae import AnchoredVAE


def random_model(layout: Layout, scale: float = 0.1, seed: int = 0) -> AnchoredVAE:
    """Return a model whose weights, couplings too, are far from where training starts."""
    generator = torch.Generator().manual_seed(seed)
    model = AnchoredVAE(layout)
    model.initialise(lambda count: torch.randn(count, generator=generator).double().numpy())
    with torch.no_grad():
        model.posterior.weight.mul_(10)  # training starts it small
        for weight in model.parameters():
            weight.add_(scale * torch.randn(weight.shape, generator=generator))
        # Couplings are fitted to earlier columns only; the mask is no part of the model.
        model.earlier.weight.mul_(torch.tensor(earlier_only(layout), dtype=torch.float32))
        follows = layout.owner[:, None] >= product_ends(layout)[None, :]
        model.products.weight.mul_(torch.tensor(follows, dtype=torch.float32))
    return model


def weights_of(model: AnchoredVAE) -> dict[str, np.ndarray]:
    """Return weights as a fit keeps them: float64, masked weights zero outside their mask."""
    found = {k: v.detach().double().numpy() for k, v in model.named_parameters()}
    for name in ("mixture_in", "mixture_out"):
        layer = getattr(model, name)
        if layer is not None:
            found[f"{name}.weight"] = found[f"{name}.weight"] * layer.mask.numpy()
    return found


def earlier_only(layout: Layout) -> np.ndarray:
    """Return where feature i of an earlier column may explain coefficient o: (features, features)."""
    return layout.owner[:, None] > layout.owner[None, :]


def product_ends(layout: Layout) -> np.ndarray:
    """Return the first column that may follow each product, shape (products,)."""
    return layout.owner[layout.products.max(axis=1, initial=0)] + 1
