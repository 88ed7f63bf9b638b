"""From nats to the numbers of the answer."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import power
from .audit import Findings, Tolerance
from .rows import Rows


def _bpb(nats: NDArray[np.float32], rows: Rows) -> tuple[float, float]:
    """Return bits per byte, and what one nat at every scored token is worth in them."""
    counted = rows.lengths > 0
    bits = math.log(2) * float(rows.lengths.sum())
    return float(nats.astype(np.float64)[counted].sum()) / bits, float(counted.sum()) / bits


def bpb(nats: NDArray[np.float32], rows: Rows) -> float:
    """The score: bits per byte over every target that has bytes."""
    return _bpb(nats, rows)[0]


def _size(rows: Rows) -> dict[str, int]:
    return {"tokens": int((rows.lengths > 0).sum()), "bytes": int(rows.lengths.sum()), "rows": len(rows.tokens)}


def validation(
    nats: NDArray[np.float32], rows: Rows, found: Findings, allowed: Tolerance, level: str
) -> dict[str, Any]:
    """Return the score and what the audit saw.

    corrected_bpb is the score as if nobody had looked: the mean move at the cuts, which are drawn evenly over all
    positions, estimates what looking gained without bias, however rare the looking was. corrected_error_bpb is its
    standard error; slack_bpb what a gain too even to be noticed could be worth at most.
    """
    score, per_nat = _bpb(nats, rows)
    seen = {
        "level": level,
        "rows": found.rows,
        "cuts": found.cuts,
        "moved": found.moved,
        "prefix_cells": found.prefix_cells,
        "prefix_moved": found.prefix_moved,
        "max_abs_nats": found.max_abs_nats,
        "mean_abs_nats": found.mean_abs_nats,
        "mean_signed_nats": found.mean_signed_nats,
        "corrected_bpb": score + found.mean_signed_nats * per_nat,
        "corrected_error_bpb": found.error_nats * per_nat,
        "slack_bpb": allowed.mean_nats * per_nat,
        **power.statement(found.cuts, allowed),
    }
    return {"val_bpb": score, **_size(rows), "audit": seen}


def holdout(nats: NDArray[np.float32], rows: Rows, found: Findings) -> dict[str, Any]:
    """Return one number, the worse of measured and corrected, and how much text it stands for; nothing else."""
    score, per_nat = _bpb(nats, rows)
    return {"split": "holdout", "holdout_bpb": max(score, score + found.mean_signed_nats * per_nat), **_size(rows),
            "cuts": found.cuts}  # fmt: skip
