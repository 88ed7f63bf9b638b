"""The lines of all experiments, remembered: what has changed since they were last asked for is read, and no more."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any, TypeAlias

from daemon.ledger import chain
from daemon.ledger.projection import COLUMNS, summary_of
from daemon.model import Summary

Query: TypeAlias = Callable[[str, tuple[object, ...]], list[Any]]
_COLUMNS = ", ".join(f'"{name}"' for name in COLUMNS)
_ALL = f"SELECT {_COLUMNS} FROM experiments ORDER BY number"  # noqa: S608
_SINCE = f"""SELECT {_COLUMNS} FROM experiments
WHERE number IN (SELECT experiment FROM events WHERE seq > ?) ORDER BY number"""  # noqa: S608
_HEAD = "SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1"
_HASH = "SELECT hash FROM events WHERE seq = ?"


class Listing:
    """May be shared by connections to one file, and asked by any thread.

    A line changes with an event of its experiment alone. Whether the events that were seen are still those of the file
    is asked each time, by the hash of the last of them: it vouches for all before it.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._seq, self._hash = 0, chain.GENESIS
        self._lines: dict[int, Summary] = {}

    def lines(self, query: Query) -> list[Summary]:
        """Every experiment's line by number, as this connection sees the file."""
        with self._lock:
            # The head first: what is added meanwhile is read with the lines, and once more the next time.
            head = query(_HEAD, ())
            seq, own = head[0] if head else (0, chain.GENESIS)
            if seq < self._seq:
                return [summary_of(row) for row in query(_ALL, ())]  # an older state, of which nothing is remembered
            if self._seq and query(_HASH, (self._seq,)) != [(self._hash,)]:
                self._seq, self._lines = 0, {}
            if seq > self._seq:
                for row in query(_SINCE, (self._seq,)) if self._seq else query(_ALL, ()):
                    line = summary_of(row)
                    self._lines[line.number] = line
            self._seq, self._hash = seq, own
            return list(self._lines.values())
