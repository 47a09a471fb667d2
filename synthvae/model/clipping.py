"""Per-patient gradient norms without per-patient gradients, and clipping that survives overflow.

Ghost clipping (Li et al. 2022, "Large Language Models Can Be Strong Differentially Private Learners",
section 4) through Opacus, with norm samplers of our own.
"""

import math
import warnings
from typing import Any, cast

import torch
from opacus.grad_sample import GradSampleModuleFastGradientClipping
from opacus.grad_sample.utils import register_norm_sampler
from torch import Tensor, nn

from synthvae.model.vae import Affine, MaskedLinear

ACTIVATION_STEP = 2.0**-12
GRADIENT_STEP = 2.0**-16  # of the largest power of two in the clip norm
MARGIN = 0.999  # keeps what rounding adds inside the bound
Parts = list[tuple[nn.Module, Tensor, Tensor]]  # layers, their activations, their gradients


def rounding_slack(inputs: Tensor, backprops: Tensor) -> Tensor:
    """Return what rounding may take from a squared norm over several rows, shape (patients,).

    Rounding errors of large terms could hide what rows that cancel leave: with this on top, rounding can
    only clip more. For one row there is no cancellation.
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
    if layer.is_whole:
        return {layer.weight: product_norms(inputs, backprops)}
    mask = layer.mask.to(backprops.dtype)
    if backprops.dim() == 2:
        squared = ((backprops.square() @ mask) * inputs.square()).sum(-1)
        return {layer.weight: squared.clamp(min=0).sqrt()}
    rows = backprops.shape[1]
    squared = backprops.new_zeros(len(backprops))
    for s in range(rows):
        for t in range(s, rows):
            both = (backprops[:, s] * backprops[:, t]) @ mask
            part = (both * inputs[:, s] * inputs[:, t]).sum(-1)
            squared = squared + (part if s == t else 2 * part)
    squared = squared.clamp(min=0) + rounding_slack(inputs, backprops)
    return {layer.weight: squared.sqrt()}


@register_norm_sampler(Affine)
def affine_norms(
    layer: Affine, activations: list[Tensor], backprops: Tensor
) -> dict[nn.Parameter, Tensor]:
    """Return each patient's gradient norms of a linear layer, each of shape (patients,).

    The bias's gradient is the sum of g over a patient's rows.
    """
    inputs = activations[0].to(backprops.dtype)
    ones = torch.ones_like(inputs[..., :1])
    return {
        cast(nn.Parameter, layer.weight): product_norms(inputs, backprops),
        layer.bias: product_norms(ones, backprops),
    }


def product_norms(inputs: Tensor, backprops: Tensor) -> Tensor:
    """Return the norm of each patient's sum of products g a^T over their rows, shape (patients,).

    It is |g| |a| for one row, and the root of sum_st (g_s . g_t)(a_s . a_t) for several.
    """
    if backprops.dim() == 2:
        return (backprops.square().sum(-1) * inputs.square().sum(-1)).sqrt()
    products = torch.bmm(backprops, backprops.transpose(1, 2))
    squared = (products * torch.bmm(inputs, inputs.transpose(1, 2))).sum((1, 2))
    return (squared.clamp(min=0) + rounding_slack(inputs, backprops)).sqrt()


class GhostClippedModule(GradSampleModuleFastGradientClipping):
    """Opacus's ghost clipping with one pass backward instead of two, and sums that are exact.

    Opacus passes backward once for the norms and once more for scaled losses. All layers here are
    linear, so what the first pass leaves (activations a and gradients g of each layer's output)
    gives the clipped sum at once, as (factor * g)^T a (Bu et al. 2023, "Differentially Private
    Optimization on Large Model at Small Cost", section 3).

    Scaled gradients and activations are rounded towards zero to a fixed lattice first, so that their
    products are whole numbers of lattice steps, and sums are the same in any order and grouping while
    they stay below 2^53 steps (16 million patients of one row each, at the clip norm). No rounding of
    sums then stands between the bound and the noise: in single precision one patient more moved the
    sum over four million by more than the clip norm.

    A patient whose gradient overflows counts as nothing: a norm that is not finite would otherwise
    make the whole sum not finite. Whether it does depends on that patient's rows alone.
    """

    def __init__(self, module: nn.Module, clip_norm: float) -> None:
        super().__init__(module, loss_reduction="sum", max_grad_norm=clip_norm)
        self._passed: Parts = []
        for weight in self.trainable_parameters:
            weight.summed_grad = None
        # A power of two, so that a sum of multiples of it is exact in floating point.
        self._step = GRADIENT_STEP * 2.0 ** math.floor(math.log2(clip_norm))

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

    def add_clipped(self, losses: Tensor) -> float:
        """Add the patients' clipped gradients to each weight's `summed_grad`; return their loss.

        Each of the `losses`, shape (patients,), is a function of one patient's rows and draws.

        Guarantee
        ---------
        A patient's part of the sums, which are in double precision, has an L2 norm of at most the
        clip norm over all weights together.
        """
        with warnings.catch_warnings():
            # The features are data and need no gradient, which is what torch points out here.
            warnings.filterwarnings("ignore", message="Full backward hook is firing")
            losses.sum().backward()
        for weight in self.trainable_parameters:
            weight.grad = None
        self._add_up(self._clipped_parts())
        return float(losses.detach().nan_to_num(0.0, 0.0, 0.0).sum())

    def _add_up(self, parts: Parts) -> None:
        """Add the patients' gradients, which are exact whole numbers, to the sums."""
        for layer, inputs, scaled in parts:
            flat = scaled.flatten(end_dim=-2)
            grad = (flat.T @ inputs.flatten(end_dim=-2)).mul_(self._step * ACTIVATION_STEP)
            self._add(layer.weight, grad * layer.mask if isinstance(layer, MaskedLinear) else grad)
            if isinstance(layer, Affine):
                self._add(layer.bias, flat.sum(0).mul_(self._step))

    @staticmethod
    def _add(weight: Any, part: Tensor) -> None:
        weight.summed_grad = part if weight.summed_grad is None else weight.summed_grad.add_(part)

    def _clipped_parts(self) -> Parts:
        """Return each layer's activations and scaled gradients as whole numbers of lattice steps."""
        factors = self.get_clipping_coef().double() * (MARGIN / self._step)
        lost = bool((factors == 0).any())
        parts = []
        for layer, inputs, backprops in self._passed:
            scale = factors.view(-1, *(1 for _ in backprops.shape[1:]))
            steps, scaled = inputs.double() / ACTIVATION_STEP, backprops * scale
            if lost:  # 0 times infinity is not 0
                steps, scaled = (torch.where(scale == 0, 0.0, part) for part in (steps, scaled))
            parts.append((layer, steps.trunc_(), scaled.trunc_()))
        self._passed.clear()
        if all(scaled.dim() == 2 for *_, scaled in parts):
            return parts  # of one row, rounding towards zero can only shorten the products
        # Rows that partly cancel may cancel less when they are rounded: a patient whose part got longer
        # than the bound is left out.
        squares = [
            norm.square()
            for layer, inputs, scaled in parts
            for norm in self.NORM_SAMPLERS[type(layer)](
                layer, [inputs * ACTIVATION_STEP], scaled
            ).values()
        ]
        fits = torch.stack(squares).sum(0) <= (1 - 1e-9) * (self.max_grad_norm / self._step) ** 2
        for _, _, scaled in parts:
            scaled.mul_(fits.view(-1, *(1 for _ in scaled.shape[1:])))
        return parts
