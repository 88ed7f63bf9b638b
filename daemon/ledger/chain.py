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


def check(rows: Iterable[Row]) -> set[str]:
    """Follow the chain through rows of (seq, experiment, kind, payload, at, previous hash, hash); return all hashes.

    Raises:
        LedgerBroken: names the first row that is missing, doctored, or out of order.
    """
    previous, hashes = GENESIS, {GENESIS}
    for expected, (seq, experiment, kind, payload, at, before, own) in enumerate(rows, start=1):
        if seq != expected:
            raise LedgerBroken(expected, "the row is missing")
        if before != previous:
            raise LedgerBroken(seq, "it does not continue the row before it")
        if own != link(previous, seq, experiment, kind, payload, at):
            raise LedgerBroken(seq, "its content is not what was hashed")
        hashes.add(previous := own)
    return hashes
