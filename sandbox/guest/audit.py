"""The blind audit: does a prediction depend on what it must not see?

Each cut takes one row, keeps its tokens up to a secret position, replaces the rest by the tail of another row
and seats it among strangers. The log-probability of the true next token must not move. A graph is a pure
function, so it cannot know that it is being probed; a child process that has not seen the scoring pass runs it.

For a cut to stay still although the score had looked, the audited pass would have to say the same without the
means. So nothing in the batch of a cut may hold its truth: no row sits in a batch twice, and the foreign tails come
from rows outside it.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# More passes than this over few rows say little that the mean does not say already.
MAX_PASSES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """What rounding may explain.

    nats: a move beyond it counts.
    share: of all cuts (and of all positions before them) may move.
    mean_nats: of the signed moves; this bounds what a cheat can gain, since the gain of looking is this mean.
    mean_abs_nats: of the moves' sizes: a softmax over the batch, a tenth of it, moved every position by 0.004 nats,
        each too little to count and of either sign.
    """

    nats: float
    share: float
    mean_nats: float
    mean_abs_nats: float


# A graph whose sizes are fixed runs the same kernels over the same shapes, whatever the tokens are: honest ones moved
# by exactly 0. There is nothing for a share to explain, and the mean needs to cover unordered sums of a GPU only.
FIXED = Tolerance(nats=1e-3, share=0.0, mean_nats=1e-4, mean_abs_nats=1e-4)
FIXED_HALF = Tolerance(nats=0.05, share=0.0, mean_nats=1e-3, mean_abs_nats=1e-3)
# Where sizes depend on the data (experts chosen by mask) a matrix product sees other shapes, sums in another order,
# and a near tie between experts may flip. float32 then differs by about 1e-6 nats; bfloat16 has 8 bits of mantissa:
# a logit of 15 is off by up to 0.06.
SIZED = Tolerance(nats=1e-3, share=0.002, mean_nats=5e-4, mean_abs_nats=2e-3)
SIZED_HALF = Tolerance(nats=0.05, share=0.01, mean_nats=5e-3, mean_abs_nats=0.03)


def tolerance(*, half: bool, sized: bool) -> Tolerance:
    """Choose by what the graph is: `half` has 16-bit floats, `sized` has sizes that depend on the data.

    A cheat may add either on purpose; what it gains by that is the mean's slack, which stands on the answer.
    """
    if sized:
        return SIZED_HALF if half else SIZED
    return FIXED_HALF if half else FIXED


@dataclass(frozen=True, slots=True, kw_only=True)
class Cuts:
    """Where the audit cuts: one entry a cut; `donor` gives the row whose tail replaces the true one (-1: none)."""

    row: NDArray[np.int32]
    position: NDArray[np.int32]
    donor: NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What the comparison of the two passes says; nats are audit minus score, positive where looking had helped.

    error_nats: standard error of the signed mean. prefix_cells, prefix_moved: positions before the cuts.
    """

    rows: int
    cuts: int
    moved: int
    prefix_cells: int
    prefix_moved: int
    max_abs_nats: float
    mean_abs_nats: float
    mean_signed_nats: float
    error_nats: float

    @property
    def prefix_share(self) -> float:
        """Share of the positions before the cuts that moved."""
        return self.prefix_moved / max(1, self.prefix_cells)


def fresh_seed() -> int:
    """128 bits from the kernel; drawn in the audit's child, after the graph is fixed."""
    return int.from_bytes(os.urandom(16), "little")


def groups(count: int, wanted: int, batch_size: int) -> Iterator[slice]:
    """Yield the cuts of one batch after another: distinct rows, and half of all rows stays outside to give tails."""
    size = max(1, min(batch_size, count // 2))
    for start in range(0, wanted, count):
        stop = min(start + count, wanted)
        yield from (slice(first, min(first + size, stop)) for first in range(start, stop, size))


def draw(rows: NDArray[np.uint16], wanted: int, batch_size: int, seed: int) -> Cuts:
    """Draw `wanted` cuts: every row once before any row twice, in random order, so neighbours are strangers.

    A row that comes again is cut elsewhere. The last position may be cut too: no later token can be replaced there,
    but the neighbours are others.

    Args:
        rows: (N, T + 1) tokens; positions are cut in [0, T - 1].
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    count, length = rows.shape[0], rows.shape[1] - 1
    passes = -(-min(wanted, MAX_PASSES * count) // count)
    order = np.concatenate([generator.permutation(count) for _ in range(passes)])[:wanted]
    places = generator.permuted(np.tile(np.arange(length, dtype=np.int32), (count, 1)), axis=1)
    position = places[order, (np.arange(len(order)) // count) % length]
    donor = np.full(len(order), -1, dtype=np.int32)
    for batch in groups(count, len(order), batch_size):
        donor[batch] = _donors(rows, order[batch], position[batch], generator)
    return Cuts(row=order.astype(np.int32), position=position, donor=donor)


def _donors(
    rows: NDArray[np.uint16], chosen: NDArray[np.int64], position: NDArray[np.int32], generator: np.random.Generator
) -> NDArray[np.int64]:
    """Pick for each cut of a batch a row outside it with another token right after the cut (-1 where none is found)."""
    donor = np.full(len(chosen), -1, dtype=np.int64)
    free = np.ones(len(rows), dtype=bool)
    free[chosen] = False
    outside = np.flatnonzero(free)
    for _ in range(8 if len(outside) else 0):
        waiting = np.flatnonzero(donor < 0)
        tried = generator.choice(outside, size=len(waiting))
        after = np.minimum(position[waiting] + 1, rows.shape[1] - 2)
        good = (rows[tried, after] != rows[chosen[waiting], after]) | (position[waiting] == rows.shape[1] - 2)
        donor[waiting[good]] = tried[good]
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
            allowed: Tolerance) -> Findings:  # fmt: skip
    """Compare the audit's nats (cuts, T) with the scoring pass's (N, T), both against the true targets.

    counted: (N, T), whether a target has bytes and so enters the score; the signed mean is over these, because
    it corrects the score.
    """
    every = np.arange(len(cuts.row))
    delta = audited.astype(np.float64) - scored[cuts.row].astype(np.float64)
    at_cut = delta[every, cuts.position]
    before = np.arange(delta.shape[1])[None, :] < cuts.position[:, None]
    gains = at_cut[counted[cuts.row, cuts.position]]
    return Findings(
        rows=int(np.count_nonzero(np.bincount(cuts.row))),
        cuts=len(cuts.row),
        moved=int((np.abs(at_cut) > allowed.nats).sum()),
        prefix_cells=int(before.sum()),
        prefix_moved=int((np.abs(delta[before]) > allowed.nats).sum()),
        max_abs_nats=float(np.abs(np.where(before, delta, at_cut[:, None])).max()),
        mean_abs_nats=float(np.abs(at_cut).mean()),
        mean_signed_nats=float(gains.mean()) if len(gains) else 0.0,
        error_nats=float(gains.std(ddof=1) / len(gains) ** 0.5) if len(gains) > 1 else 0.0,
    )


def verdict(found: Findings, allowed: Tolerance) -> str | None:
    """Return why the model is rejected, or None."""
    if found.moved > allowed_moves(found.cuts, allowed):
        return (
            f"the prediction looks ahead or at other rows: it moved at {found.moved} of {found.cuts} secret cuts "
            f"when only later tokens and neighbours changed (by up to {found.max_abs_nats:.3g} nats)"
        )
    if found.prefix_share > allowed.share:
        return (
            "predictions depend on other rows or on tokens far ahead: "
            f"{100 * found.prefix_share:.2g} % moved before the cuts"
        )
    if abs(found.mean_signed_nats) > allowed.mean_nats:
        return (
            f"the prediction looks ahead: it lost {found.mean_signed_nats:.3g} nats a token on average when later "
            "tokens changed"
        )
    if found.mean_abs_nats > allowed.mean_abs_nats:
        return (
            f"the prediction depends on later tokens or other rows: it moved by {found.mean_abs_nats:.3g} nats a token "
            "on average when only these changed"
        )
    return None


def allowed_moves(cuts: int, allowed: Tolerance) -> int:
    """Number of cuts that may move by chance."""
    return int(allowed.share * cuts)
