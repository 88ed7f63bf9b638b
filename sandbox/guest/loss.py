"""From logits to nats: the one place where a number becomes a score.

The row maximum is subtracted before anything else. Added afterwards, `x - (max + log(sum))` rounds to 0, a
perfect score, for logits around 1e30: a float32 there has no room for log(sum).
"""

import torch
from torch import Tensor

from .errors import Invalid

# Logits upcast at one time, in elements: 256 MiB of float32.
CHUNK_ELEMENTS = 2**26

# Normalised probabilities of a row must sum to one within this much (float32 sums of 10^5 terms err by 1e-5).
NORMALISATION_TOLERANCE = 1e-3


def check_logits(logits: object, shape: tuple[int, int, int]) -> Tensor:
    """Raises: Invalid: not one plain floating-point tensor of `shape`."""
    if not isinstance(logits, Tensor) or logits.layout is not torch.strided:
        raise Invalid("the model gives no plain tensor of logits")
    if not logits.dtype.is_floating_point:
        raise Invalid(f"the logits are {logits.dtype}, not floating point")
    if tuple(logits.shape) != shape:
        raise Invalid(f"the logits have shape {tuple(logits.shape)}, not {shape}")
    return logits


def _row_nats(logits: Tensor, targets: Tensor) -> Tensor:
    """Nats of each target for (rows, T, V) logits, in float32 or float64."""
    wide = torch.float64 if logits.dtype is torch.float64 else torch.float32
    shifted = logits.to(wide) - logits.amax(-1, keepdim=True).to(wide)
    log_total = shifted.exp().sum(-1).log()
    nats = log_total - shifted.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    # Belt: what was used as log-probabilities must sum to one. NaN fails the comparison too.
    ones = shifted.sub_(log_total.unsqueeze(-1)).exp_().sum(-1)
    if not bool(((ones - 1).abs() <= NORMALISATION_TOLERANCE).all()):
        raise Invalid("the logits of a position are no distribution: NaN, infinite, or not summing to one")
    return nats


def token_nats(logits: Tensor, targets: Tensor) -> Tensor:
    """Return -log p(target) in nats, (B, T), float32 (float64 for float64 logits), on the logits' device.

    Args:
        logits: (B, T, V), floating point.
        targets: (B, T) int64, 0 <= target < V.

    Raises:
        Invalid: a loss is not finite or is negative beyond rounding, or a row is not normalised.
    """
    rows = max(1, CHUNK_ELEMENTS // (logits.size(1) * logits.size(2)))
    parts = [_row_nats(x, y) for x, y in zip(logits.split(rows), targets.split(rows), strict=True)]
    nats = torch.cat(parts)
    if not bool(torch.isfinite(nats).all()):
        raise Invalid("the loss of a token is not finite: logits are NaN or infinite, or a token has probability 0")
    if not bool((nats >= -NORMALISATION_TOLERANCE).all()):
        raise Invalid("a token has a probability above one")
    return nats
