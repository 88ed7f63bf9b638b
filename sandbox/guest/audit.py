"""The blind audit: does a prediction depend on what it must not see?

Each cut takes one row, keeps its tokens up to a secret position, replaces the rest by the tail of another row
and seats it among strangers. The log-probability of the true next token must not move. A graph is a pure
function, so it cannot know that it is being probed; a child process that has not seen the scoring pass runs it.
"""

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# More passes than this over few rows say little that the mean does not say already.
MAX_PASSES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """What rounding may explain.

    nats: a move beyond it counts. Honest float32 graphs moved by exactly 0 in our trials (same shapes, same
        kernels); experts that are chosen by mask see other batch sizes and differ in the last digits, about 1e-6.
        bfloat16 has 8 bits of mantissa: a logit of 15 is off by up to 0.06 when a sum is taken in another order.
    share: of all cuts (and of all positions before them) may move: a near tie between experts can flip.
    mean_nats: of the signed moves; this bounds what a cheat can gain, since the gain of looking is this mean.
    """

    nats: float
    share: float
    mean_nats: float


FLOAT32 = Tolerance(nats=1e-3, share=0.002, mean_nats=5e-4)
HALF = Tolerance(nats=0.05, share=0.01, mean_nats=5e-3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cuts:
    """Where the audit cuts: one entry a cut; `donor` gives the row whose tail replaces the true one."""

    row: NDArray[np.int32]
    position: NDArray[np.int32]
    donor: NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What the comparison of the two passes says; nats are audit minus score, positive where looking had helped."""

    rows: int
    cuts: int
    moved: int
    prefix_share: float
    max_abs_nats: float
    mean_abs_nats: float
    mean_signed_nats: float


def fresh_seed() -> int:
    """128 bits from the kernel; drawn in the audit's child, after the graph is fixed."""
    return int.from_bytes(os.urandom(16), "little")


def draw(rows: NDArray[np.uint16], wanted: int, seed: int) -> Cuts:
    """Draw `wanted` cuts: every row once before any row twice, in random order, so neighbours are strangers.

    Args:
        rows: (N, T + 1) tokens; positions are cut in [0, T - 2], the last one sees no later token.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    count, length = rows.shape[0], rows.shape[1] - 1
    passes = min(MAX_PASSES, -(-wanted // count))
    order = np.concatenate([generator.permutation(count) for _ in range(passes)])[:wanted]
    position = generator.integers(0, length - 1, size=len(order))
    donor = _donors(rows, order, position, generator)
    return Cuts(row=order.astype(np.int32), position=position.astype(np.int32), donor=donor.astype(np.int32))


def _donors(rows, order, position, generator: np.random.Generator) -> NDArray[np.int64]:  # type: ignore[no-untyped-def]
    """Pick for each cut a row with another token right after the cut (in a few rounds; -1 where none is found)."""
    count = rows.shape[0]
    donor = np.full(len(order), -1, dtype=np.int64)
    for _ in range(8):
        open_cuts = np.flatnonzero(donor < 0)
        tried = generator.integers(0, count, size=len(open_cuts))
        after = position[open_cuts] + 1
        good = rows[tried, after] != rows[order[open_cuts], after]
        donor[open_cuts[good]] = tried[good]
    return donor


def spoiled_inputs(rows: NDArray[np.uint16], cuts: Cuts, vocab_size: int) -> NDArray[np.int64]:
    """Return the inputs (cuts, T) of the audit: the row up to its cut, then the donor's tail.

    A cut without a donor (all rows alike there) gets its own tail with every token shifted by one.
    """
    length = rows.shape[1] - 1
    own = rows[cuts.row, :length].astype(np.int64)
    foreign = rows[np.maximum(cuts.donor, 0), :length].astype(np.int64)
    foreign = np.where(cuts.donor[:, None] < 0, (own + 1) % vocab_size, foreign)
    keep = np.arange(length)[None, :] <= cuts.position[:, None]
    return np.where(keep, own, foreign)


def compare(cuts: Cuts, audited: NDArray[np.float32], scored: NDArray[np.float32], counted: NDArray[np.bool_],
            tolerance: Tolerance) -> Findings:  # fmt: skip
    """Compare the audit's nats (cuts, T) with the scoring pass's (N, T), both against the true targets.

    counted: (N, T), whether a target has bytes and so enters the score; the signed mean is over these, because
    it corrects the score.
    """
    every = np.arange(len(cuts.row))
    scored_rows = scored[cuts.row].astype(np.float64)
    delta = audited.astype(np.float64) - scored_rows
    at_cut = delta[every, cuts.position]
    before = np.arange(delta.shape[1])[None, :] < cuts.position[:, None]
    gains = at_cut[counted[cuts.row, cuts.position]]
    return Findings(
        rows=len(np.unique(cuts.row)),
        cuts=len(cuts.row),
        moved=int((np.abs(at_cut) > tolerance.nats).sum()),
        prefix_share=float((np.abs(delta[before]) > tolerance.nats).mean()) if before.any() else 0.0,
        max_abs_nats=float(np.abs(np.where(before, delta, at_cut[:, None])).max()),
        mean_abs_nats=float(np.abs(at_cut).mean()),
        mean_signed_nats=float(gains.mean()) if len(gains) else 0.0,
    )


def verdict(found: Findings, tolerance: Tolerance) -> str | None:
    """Return why the model is rejected, or None."""
    allowed = allowed_moves(found.cuts, tolerance)
    if found.moved > allowed:
        return (
            f"the prediction looks ahead or at other rows: it moved at {found.moved} of {found.cuts} secret cuts "
            f"when only later tokens and neighbours changed (by up to {found.max_abs_nats:.3g} nats)"
        )
    if found.prefix_share > tolerance.share:
        return (
            "predictions depend on other rows or on tokens far ahead: "
            f"{100 * found.prefix_share:.2g} % moved before the cuts"
        )
    if abs(found.mean_signed_nats) > tolerance.mean_nats:
        return (
            f"the prediction looks ahead: it lost {found.mean_signed_nats:.3g} nats a token on average when later "
            "tokens changed"
        )
    return None


def allowed_moves(cuts: int, tolerance: Tolerance) -> int:
    """Number of cuts that may move by chance."""
    return int(tolerance.share * cuts)


def power(cuts: int, tolerance: Tolerance, fraction: float = 0.01) -> str:
    """Say how likely a cheat on `fraction` of the positions is to pass: a binomial tail."""
    allowed, term, total = allowed_moves(cuts, tolerance), (1 - fraction) ** cuts, 0.0
    for hits in range(allowed + 1):
        total += term
        term *= (cuts - hits) / (hits + 1) * fraction / (1 - fraction)
    return f"a cheat on {100 * fraction:g} % of positions escapes {cuts} cuts with probability {total:.2g}"
