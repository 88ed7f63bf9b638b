"""Server-sent events: the loop's state when it changes, and a nudge when the ledger has moved."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from pathlib import Path

from daemon.ledger import LedgerError
from daemon.ledger.looking import Looking
from daemon.live import Live
from daemon.web.words import PHASES

LOOK_SECONDS = 0.5
BEAT_SECONDS = 15.0  # a comment, so that a connection that broke is noticed
MAX_LISTENERS = 32


class Pulse:
    """Looks twice a second while somebody listens; all listeners share one look."""

    def __init__(
        self, ledger: Path, live: Callable[[], Live | None], ending: Callable[[], bool] = lambda: False
    ) -> None:
        self._path, self._live, self._ending = ledger, live, ending
        self._listeners = 0
        self._looked_at = -LOOK_SECONDS
        self._seen = ("", 0)

    @property
    def is_full(self) -> bool:
        return self._listeners >= MAX_LISTENERS

    async def events(self) -> AsyncIterator[bytes]:
        """What an EventSource reads, until the server ends."""
        self._listeners += 1
        try:
            told: tuple[str, int] | None = None
            beat = time.monotonic()
            yield b"retry: 3000\n\n"
            while not self._ending():
                state, moved = self._look()
                if told is None or told[0] != state:
                    yield f"event: live\ndata: {json.dumps(heard(self._live()))}\n\n".encode()
                if told is not None and told[1] != moved:
                    yield f"event: moved\ndata: {moved}\n\n".encode()
                told = state, moved
                if time.monotonic() - beat > BEAT_SECONDS:
                    beat = time.monotonic()
                    yield b": still here\n\n"
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            self._listeners -= 1

    def _look(self) -> tuple[str, int]:
        """Under a millisecond: a small file, and the number of the newest event."""
        now = time.monotonic()
        if now - self._looked_at >= LOOK_SECONDS / 2:
            self._looked_at = now
            self._seen = json.dumps(facts(self._live())), self._moved()
        return self._seen

    def _moved(self) -> int:
        try:
            with Looking(self._path) as ledger:
                return ledger.moved()
        except LedgerError:  # not there yet, or busy: the next look may see more
            return self._seen[1]


def facts(live: Live | None) -> dict[str, object]:
    """The state for the script: what :mod:`daemon.live` says, in words and without what changes with every beat."""
    if live is None:
        return {"running": False}
    values = {name: value for name, value in asdict(live).items() if name != "updated"}
    return {"running": True, **values, "words": PHASES.get(live.phase, live.phase)}


def heard(live: Live | None) -> dict[str, object]:
    """The same for a browser, whose clock may be wrong: with the seconds that the phase has used by now."""
    return {**facts(live), "used": round(max(0.0, time.time() - live.phase_since), 1) if live else 0.0}
