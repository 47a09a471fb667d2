"""The anchored VAE in torch.

Encoder q(z|x) = N(mu(f), diag sigma^2(f)); prior N(0, I); decoder coefficients
c = A f + a + g(z) + h(f), where A and h are masked so that column j sees earlier columns only, and

    p(x_j | x_<j, z) = softmax(log p_j + Phi_j c_j)

With c = 0 the model is the product of its marginals.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from synthvae.model.layout import Layout

LOG_VAR_LIMIT = 6.0
Groups = list[tuple[Tensor, Tensor, Tensor, slice | None]]


class MaskedLinear(nn.Module):
    """A linear map without bias of which only the weights under a 0/1 mask exist.

    Shape: (..., inputs) to (..., outputs). The mask is a plain attribute: Opacus refuses buffers
    in a trainable layer.
    """

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros_like(mask))
        self.mask = mask
        self.is_whole = bool((mask == 1).all())

    def forward(self, inputs: Tensor) -> Tensor:
        return F.linear(inputs, self.weight * self.mask)


class Couplings(nn.Module):
    """The linear map from earlier columns' features to coefficients, and their intercepts.

    It is fitted to the pair moments, which tell it better than gradients do, and not trained.
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = nn.Parameter(bias, requires_grad=False)

    def forward(self, inputs: Tensor) -> Tensor:
        return F.linear(inputs, self.weight, self.bias)


class Products(nn.Module):
    """The linear map from products of earlier columns' features to coefficients, not trained either.

    `factors`, shape (products, factors), are the features of each product; below 0 is none.
    """

    def __init__(self, factors: NDArray[np.int64], weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.factors = torch.from_numpy(factors)

    def forward(self, inputs: Tensor) -> Tensor:
        whole = F.pad(inputs, (0, 1), value=1.0)
        product = whole[..., self.factors[:, 0]]
        for place in range(1, self.factors.shape[1]):
            product = product * whole[..., self.factors[:, place]]
        return F.linear(product, self.weight)


class Affine(nn.Linear):
    """A linear map with bias: a class of its own has its own norm sampler."""


class LogNormaliser(torch.autograd.Function):
    """Sum over columns of the log of the softmax's normaliser.

    Shape: coefficients (..., features), and the logs of what rules leave of the classes of columns
    that they name (..., shares), to (...,). The gradient is each column's mean basis under
    its softmax; computing it together with the value takes the exponentials once.
    """

    @staticmethod
    def forward(ctx: Any, c: Tensor, groups: Groups, log_shares: Tensor | None = None) -> Tensor:
        # Records last: sums over a column's few classes then run along whole cache lines, which
        # measured 2.5 times as fast as classes last.
        flat = c.reshape(-1, c.shape[-1]).T.contiguous()
        records = flat.shape[1]
        total = flat.new_zeros(records)
        slope = torch.empty_like(flat)
        left = None if log_shares is None else log_shares.reshape(records, -1).T
        for own, spread, masses, place in groups:
            logits = torch.mm(spread.T, flat[own]).view(*masses.shape, records)
            logits += masses.unsqueeze(-1)
            if place is not None and left is not None:
                logits += left[place].reshape(*masses.shape, records)
            top = logits.amax(1, keepdim=True)
            mass = logits.sub_(top).exp_()
            norm = mass.sum(1, keepdim=True)
            total += (norm.log() + top).sum((0, 1))
            slope[own] = torch.mm(spread, mass.div_(norm).flatten(0, 1))
        ctx.save_for_backward(slope.T.contiguous().view_as(c))
        return total.view(c.shape[:-1])

    @staticmethod
    def backward(ctx: Any, *outgoing: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return outgoing[0].unsqueeze(-1) * slope, None, None


class AnchoredVAE(nn.Module):
    """Encoder, latent and decoder over record features; `forward` gives each patient's loss.

    Shape: features (patients, features), or (patients, rows, features) with `present` (patients,
    rows), and latent noise (patients, latent) to losses (patients,). A patient's rows share one
    latent, and are independent given it and the columns before. `log_shares`, (patients, shares) or
    (patients, rows, shares), are what rules leave of each record's classes (`Layout.log_shares`).
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        size, settings = layout.features, layout.settings
        self.encoder = Affine(size, settings.hidden)
        self.posterior = Affine(settings.hidden, 2 * settings.latent)
        self.decoder = Affine(settings.latent, settings.hidden)
        self.loadings = MaskedLinear(torch.ones(size, settings.hidden))
        self.earlier = Couplings(torch.zeros(size, size), torch.zeros(size))
        self.products = Products(layout.products, torch.zeros(size, len(layout.products)))
        self.mixture_in: MaskedLinear | None = None
        self.mixture_out: MaskedLinear | None = None
        if settings.mixture:
            first, second = layout.mixture_masks
            self.mixture_in = MaskedLinear(torch.tensor(first, dtype=torch.float32))
            self.mixture_out = MaskedLinear(torch.tensor(second, dtype=torch.float32))
        self.groups: Groups = [
            (
                torch.from_numpy(group.features),
                torch.tensor(group.spread, dtype=torch.float32),
                torch.tensor(group.masses, dtype=torch.float32),
                group.share_columns,
            )
            for group in layout.groups
        ]

    @torch.no_grad()
    def initialise(self, normal: Callable[[int], NDArray[np.float64]]) -> None:
        """Draw first weights; the loadings are zero, so the model starts at its couplings.

        Random ones, however small, would disturb what the couplings tell, and training would spend its
        steps on undoing them.
        """
        for name, weight in self.named_parameters():
            if not weight.requires_grad:
                continue
            if name.endswith("bias") or name in ("loadings.weight", "mixture_out.weight"):
                nn.init.zeros_(weight)
            else:
                scale = 0.1 if name.startswith("posterior") else 1.0
                drawn = torch.from_numpy(normal(weight.numel())).view_as(weight)
                weight.copy_(drawn * (scale / weight.shape[1] ** 0.5))

    def encode(self, features: Tensor, present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the mean and log-variance of q(z|x), each of shape (patients, latent).

        With several rows a patient, the hidden units are averaged over those that are present.
        """
        hidden = torch.tanh(self.encoder(features))
        if present is not None:
            share = present / present.sum(-1, keepdim=True).clamp(min=1.0)
            hidden = (hidden * share.unsqueeze(-1)).sum(-2)
        mu, log_var = self.posterior(hidden).chunk(2, dim=-1)
        return mu, LOG_VAR_LIMIT * torch.tanh(log_var / LOG_VAR_LIMIT)

    def coefficients(self, features: Tensor, z: Tensor) -> Tensor:
        """Return the decoder's coefficients c, shape (..., features)."""
        start = self.loadings(torch.tanh(self.decoder(z)))
        if features.dim() > start.dim():  # the rows of a patient share the latent
            start = start.unsqueeze(-2)
        c: Tensor = start + self.earlier(features)
        if len(self.products.factors):
            c = c + self.products(features)
        if self.mixture_in is not None and self.mixture_out is not None:
            c = c + self.mixture_out(torch.tanh(self.mixture_in(features)))
        return c

    def reconstruction(
        self, features: Tensor, z: Tensor, log_shares: Tensor | None = None
    ) -> Tensor:
        """Return -log p(x|z) of each row up to a constant, shape (...,), summed over columns."""
        c = self.coefficients(features, z)
        # The logit of the token that occurred is f . c; the constant is its log-mass.
        normaliser: Tensor = LogNormaliser.apply(c, self.groups, log_shares)
        return normaliser - (c * features).sum(-1)

    def forward(
        self,
        features: Tensor,
        noise: Tensor,
        kl_weight: float,
        present: Tensor | None = None,
        log_shares: Tensor | None = None,
    ) -> Tensor:
        """Return the negative ELBO of each patient, up to a constant, shape (patients,)."""
        mu, log_var = self.encode(features, present)
        z = mu + torch.exp(0.5 * log_var) * noise
        kl = 0.5 * (mu.square() + log_var.exp() - 1.0 - log_var).sum(-1)
        rows = self.reconstruction(features, z, log_shares)
        rows = rows if present is None else (rows * present).sum(-1)
        return rows + kl_weight * kl
