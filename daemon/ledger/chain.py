"""The hash chain over the events: each row's hash covers its content and the hash of the row before it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import TypeAlias

from daemon.ledger.schema import LedgerBroken

GENESIS = "0" * 64
Row: TypeAlias = tuple[int, int, str, str, str, str, str]


def link(previous: str, seq: int, experiment: int, kind: str, payload: str, at: str) -> str:
    """The hash of a row. Content is one JSON list, so that no two different rows read the same."""
    content = json.dumps([seq, experiment, kind, payload, at], separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(f"{previous}{content}".encode()).hexdigest()


def check(rows: Iterable[Row], known_heads: Iterable[str] = ()) -> int:
    """Follow the chain through rows of (seq, experiment, kind, payload, at, previous hash, hash); return their number.

    Raises:
        LedgerBroken: names the first row that is missing, doctored, or out of order, or the end of a chain that lacks
            one of the hashes that are kept elsewhere.
    """
    previous, length, unseen = GENESIS, 0, set(known_heads) - {GENESIS}
    for length, (seq, experiment, kind, payload, at, before, own) in enumerate(rows, start=1):
        if seq != length:
            raise LedgerBroken(length, "the row is missing")
        if before != previous:
            raise LedgerBroken(seq, "it does not continue the row before it")
        if own != link(previous, seq, experiment, kind, payload, at):
            raise LedgerBroken(seq, "its content is not what was hashed")
        unseen.discard(previous := own)
    if unseen:
        raise LedgerBroken(length + 1, f"hash {min(unseen)[:12]}…, kept elsewhere, is missing: events were cut off")
    return length
