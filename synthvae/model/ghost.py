"""Per-patient gradient norms without per-patient gradients, and clipping that survives overflow.

Ghost clipping (Li et al. 2022, "Large Language Models Can Be Strong Differentially Private Learners",
section 4) through Opacus, with a norm sampler for the masked layer. Opacus is imported here and
where the optimiser is built, nowhere else.
"""

import torch
from opacus.grad_sample import GradSampleModuleFastGradientClipping
from opacus.grad_sample.utils import register_norm_sampler
from torch import Tensor, nn

from synthvae.model.vae import MaskedLinear


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
    return {layer.weight: squared.clamp(min=0).sqrt()}


class GhostClippedModule(GradSampleModuleFastGradientClipping):
    """Opacus's ghost clipping, where a patient whose gradient overflows counts as nothing.

    Opacus scales by C / (norm + 1e-6); a norm that is not finite would make the whole batch not
    finite. Here its coefficient is zero, and `overflowed` says whose it was, so that the caller can
    leave these patients out. Whether a patient overflows depends on that patient alone.
    """

    def get_clipping_coef(self) -> Tensor:
        """Return each patient's factor, shape (patients,): at most 1, and 0 where not finite."""
        norms = self.get_norm_sample()
        self.overflowed = ~torch.isfinite(norms)
        factors = (self.max_grad_norm / (norms + 1e-6)).clamp(max=1.0)
        return torch.where(self.overflowed, torch.zeros_like(factors), factors)
