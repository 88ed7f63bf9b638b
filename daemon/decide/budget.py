"""How much of the night replicates may take."""

from __future__ import annotations

import math


def affordable_pairs(
    *, replicate_seconds: float, all_seconds: float, pair_seconds: float, share: float, head_start_pairs: int
) -> int:
    """How many more pairs may be run so that replicates take at most ``share`` of all the seconds spent, theirs too.

    The night starts with ``head_start_pairs`` to its credit, or the first good idea could never be tested.

    Raises:
        ValueError: there is no such share, or a pair takes no time.
    """
    if not (0 <= share < 1 and pair_seconds > 0 and head_start_pairs >= 0):
        raise ValueError(f"no budget with a share of {share} and pairs of {pair_seconds} s")
    credit = share * all_seconds + head_start_pairs * pair_seconds * (1 - share) - replicate_seconds
    return max(0, math.floor(credit / (pair_seconds * (1 - share)) + 1e-9))
