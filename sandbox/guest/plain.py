"""Normalisations that PyTorch exports as native halves, written out in plain operations while a graph is captured.

The halves (`_native_batch_norm_legit_no_training`, `_weight_norm`) trust sizes that the referee would have to check;
plain arithmetic needs no trust, and is the same function of a model in eval mode.
"""

from typing import Any

import torch
from torch import Tensor


def _batch_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, variance: Tensor, _momentum: float, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """By stored statistics. The second and third result are of no use to anybody and empty in PyTorch, too."""
    shape = [1, -1] + [1] * (x.dim() - 2)
    y = (x - mean.view(shape)) * torch.rsqrt(variance.view(shape) + eps)
    y = y if weight is None else y * weight.view(shape)
    y = y if bias is None else y + bias.view(shape)
    return y.to(x.dtype), mean.new_zeros(0), mean.new_zeros(0)


def _weight_norm(direction: Tensor, length: Tensor, dim: int = 0) -> Tensor:
    """`dim` -1 is PyTorch's word for one length of the whole tensor, not for the last dimension."""
    others = [d for d in range(direction.dim()) if d != dim]
    return direction * (length / torch.linalg.vector_norm(direction, 2, others, True))


def table() -> dict[Any, Any]:
    """What `ExportedProgram.run_decompositions` takes."""
    aten = torch.ops.aten
    return {
        aten._native_batch_norm_legit_no_training.default: _batch_norm,
        aten._weight_norm.default: _weight_norm,
    }
