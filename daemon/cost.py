"""What the provider has cost, and when that is enough. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from daemon.arenas import LONG
from daemon.model import Decision, Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """The most that may be spent; None is no limit. A day is one of UTC."""

    max_usd: float | None = None
    max_usd_per_day: float | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What was spent: US dollars where the price is known, and tokens of every kind."""

    usd: float
    usd_today: float
    tokens: int
    usd_per_keep: float | None
    usd_per_gain: float | None  # for each hundredth of a bit per byte that the champion gained on the baseline


def spent(rows: Iterable[Summary], today: str) -> Spent:
    """Add up the rows of a lab; ``today`` is the UTC date as ``YYYY-MM-DD``."""
    every = list(rows)
    paid = [row for row in every if row.usd or row.tokens]
    usd = sum(row.usd for row in paid)
    kept = sum(row.decision is Decision.KEEP and row.champion is not None for row in every)
    gain = _gain(every)
    return Spent(
        usd=usd,
        usd_today=sum(row.usd for row in paid if row.opened_at.startswith(today)),
        tokens=sum(row.tokens for row in paid),
        usd_per_keep=usd / kept if kept else None,
        usd_per_gain=usd / (100 * gain) if gain > 0 else None,
    )


def _gain(rows: list[Summary]) -> float:
    """Bits per byte won in the newest arena, from its first keep to its last."""
    arena = next((row.arena for row in reversed(rows) if row.proposer != LONG), "")
    scores = [
        row.val_bpb for row in rows if row.arena == arena and row.decision is Decision.KEEP and row.val_bpb is not None
    ]
    return scores[0] - scores[-1] if scores else 0.0


def reached(account: Spent, caps: Caps) -> str | None:
    """The sentence that says which cap is reached; None while there is money left."""
    if caps.max_usd is not None and account.usd >= caps.max_usd:
        return f"the provider has cost {account.usd:.2f} USD of cost.max_usd = {caps.max_usd:g}"
    if caps.max_tokens is not None and account.tokens >= caps.max_tokens:
        return f"the provider has counted {account.tokens:,} tokens of cost.max_tokens = {caps.max_tokens:,}"
    if caps.max_usd_per_day is not None and account.usd_today >= caps.max_usd_per_day:
        return (
            f"today (UTC) the provider has cost {account.usd_today:.2f} USD of "
            f"cost.max_usd_per_day = {caps.max_usd_per_day:g}"
        )
    return None
