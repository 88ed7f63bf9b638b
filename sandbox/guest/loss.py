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
    picked = shifted.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    total = shifted.exp_().sum(-1)
    log_total = total.log()
    _check_normalised(total, log_total, logits.size(-1))
    return log_total - picked


def _check_normalised(total: Tensor, log_total: Tensor, vocab_size: int) -> None:
    """Check at every position that the nats used belong to a distribution.

    The largest of the V terms is exp(0), so the sum lies in [1, V], and the probabilities
    exp(shifted) * exp(-log_total) sum to one. The sum is taken before the factor, not after: a second pass over all
    logits costs a tenth of the scoring speed on two cores and can find nothing more. NaN fails every comparison.
    """
    slack = 1 + NORMALISATION_TOLERANCE
    in_range = (total >= 1 / slack) & (total <= vocab_size * slack)
    normalised = (total * (-log_total).exp() - 1).abs() <= NORMALISATION_TOLERANCE
    if not bool((in_range & normalised).all()):
        raise Invalid("the logits of a position are no distribution: NaN, infinite, or not summing to one")


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
