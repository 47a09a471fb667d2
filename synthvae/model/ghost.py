"""Per-patient gradient norms without per-patient gradients, and clipping that survives overflow.

Ghost clipping (Li et al. 2022, "Large Language Models Can Be Strong Differentially Private Learners",
section 4) through Opacus, with a norm sampler for the masked layer. Opacus is imported here and
where the optimiser is built, nowhere else.
"""

from typing import cast

import torch
from opacus.grad_sample import GradSampleModuleFastGradientClipping
from opacus.grad_sample.utils import register_norm_sampler
from torch import Tensor, nn

from synthvae.model.vae import Affine, MaskedLinear


def rounding_slack(inputs: Tensor, backprops: Tensor) -> Tensor:
    """Return what rounding may take from a squared norm over several rows, shape (patients,).

    Rows that cancel leave little of large terms, and their rounding errors could hide what is left:
    with this on top, rounding can only clip more. For one row there is no cancellation.
    """
    terms = (backprops.norm(dim=-1) * inputs.norm(dim=-1)).sum(-1).square()
    width = inputs.shape[-1] + backprops.shape[-1] + backprops.shape[1]
    slack: Tensor = terms * (width * torch.finfo(inputs.dtype).eps)
    return slack


@register_norm_sampler(MaskedLinear)
def masked_linear_norms(
    layer: MaskedLinear, activations: list[Tensor], backprops: Tensor
) -> dict[nn.Parameter, Tensor]:
    """Return each patient's gradient norm of a masked layer, shape (patients,).

    With backprops g and activations a of one row, the squared norm is sum_ij M_ij g_i^2 a_j^2; over
    a patient's rows s, t it is sum_st sum_ij M_ij g_si g_ti a_sj a_tj: one matrix product either way.
    """
    inputs = activations[0].to(backprops.dtype)
    if backprops.dim() == 2:
        squared = ((backprops.square() @ layer.mask) * inputs.square()).sum(-1)
        return {layer.weight: squared.clamp(min=0).sqrt()}
    rows = backprops.shape[1]
    squared = backprops.new_zeros(len(backprops))
    for s in range(rows):
        for t in range(s, rows):
            both = (backprops[:, s] * backprops[:, t]) @ layer.mask
            part = (both * inputs[:, s] * inputs[:, t]).sum(-1)
            squared = squared + (part if s == t else 2 * part)
    squared = squared.clamp(min=0) + rounding_slack(inputs, backprops)
    return {layer.weight: squared.sqrt()}


@register_norm_sampler(Affine)
def affine_norms(
    layer: Affine, activations: list[Tensor], backprops: Tensor
) -> dict[nn.Parameter, Tensor]:
    """Return each patient's gradient norms of a linear layer, each of shape (patients,).

    The weight's norm is |g| |a| for one row, and the root of sum_st (g_s . g_t)(a_s . a_t) over a
    patient's rows; the bias's is |g|. Opacus's own sampler takes the products of g twice.
    """
    inputs = activations[0].to(backprops.dtype)
    if backprops.dim() == 2:
        squares = backprops.square().sum(-1)
        weight, bias = squares * inputs.square().sum(-1), squares
    else:
        products = torch.bmm(backprops, backprops.transpose(1, 2))
        weight = (products * torch.bmm(inputs, inputs.transpose(1, 2))).sum((1, 2))
        bias = products.sum((1, 2)).clamp(min=0)
        weight = weight.clamp(min=0) + rounding_slack(inputs, backprops)
        bias = bias + rounding_slack(torch.ones_like(inputs[..., :1]), backprops)
    norms = (weight.sqrt(), bias.sqrt())
    return {cast(nn.Parameter, layer.weight): norms[0], layer.bias: norms[1]}


class GhostClippedModule(GradSampleModuleFastGradientClipping):
    """Opacus's ghost clipping with one pass backward instead of two.

    Opacus finds every patient's norm in a first pass backward, then scales the losses and passes
    backward again. All layers here are linear, so what the first pass leaves (activations a and
    gradients g of each layer's output) gives the clipped sum at once, as (factor * g)^T a
    (Bu et al. 2023, "Differentially Private Optimization on Large Model at Small Cost", section 3).

    A patient whose gradient overflows counts as nothing: a norm that is not finite would otherwise
    make the whole sum not finite. Whether it does depends on that patient's rows alone.
    """

    def __init__(self, module: nn.Module, clip_norm: float) -> None:
        super().__init__(module, loss_reduction="sum", max_grad_norm=clip_norm)
        self._passed: list[tuple[nn.Module, Tensor, Tensor]] = []

    def capture_backprops_hook(
        self,
        module: nn.Module,
        forward_input: Tensor,
        forward_output: Tensor,
        loss_reduction: str,
        batch_first: bool,
    ) -> None:
        """Keep what the pass leaves at this layer, and let Opacus find the norms."""
        if self.hooks_enabled:
            activations = cast(list[list[Tensor]], module.activations)
            self._passed.append((module, activations[-1][0], forward_output[0].detach()))
        super().capture_backprops_hook(
            module, forward_input, forward_output, loss_reduction, batch_first
        )

    def get_clipping_coef(self) -> Tensor:
        """Return each patient's factor, shape (patients,): at most 1, and 0 where not finite."""
        squares = [weight._norm_sample.square() for weight in self.trainable_parameters]
        norms = torch.stack(squares).sum(0).sqrt()
        factors = (self.max_grad_norm / (norms + 1e-6)).clamp(max=1.0)
        return torch.where(torch.isfinite(norms), factors, torch.zeros_like(factors))

    def sum_clipped(self) -> None:
        """Leave the sum of the patients' clipped gradients in each weight's `grad`.

        Call after `losses.sum().backward()`, once.
        """
        factors = self.get_clipping_coef()
        lost = bool((factors == 0).any())
        for layer, inputs, backprops in self._passed:
            scale = factors.view(-1, *(1 for _ in backprops.shape[1:]))
            scaled = backprops * scale
            if lost:  # 0 times infinity is not 0
                scaled = torch.where(scale == 0, torch.zeros_like(scaled), scaled)
                inputs = torch.where(scale == 0, torch.zeros_like(inputs), inputs)  # noqa: PLW2901
            flat = scaled.flatten(end_dim=-2)
            grad = flat.T @ inputs.flatten(end_dim=-2)
            layer.weight.grad = grad * layer.mask if isinstance(layer, MaskedLinear) else grad
            if isinstance(layer, Affine):
                layer.bias.grad = flat.sum(0)
        self._passed.clear()
