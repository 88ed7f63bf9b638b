"""The notebook, written in a process of its own that is gone afterwards: for ten thousand experiments it takes a second
and 20 MiB, which the page would otherwise keep.

python -m daemon.web.written LEDGER STATE
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from daemon.ledger.looking import Looking
from daemon.text import clean

PATIENCE_SECONDS = 120.0
FIRST_SECONDS = 1.5  # how long a visitor waits when there is nothing older to show
MAX_CHARACTERS = 60_000
_COMMAND = (sys.executable, "-I", "-m", "daemon.web.written")
EMPTY = "The notebook is empty: no experiment has been decided yet."
log = logging.getLogger("autoresearchd")


class Notebook:
    """The newest text there is. Used from the event loop alone."""

    def __init__(
        self, ledger: Path, state: Path, command: Sequence[str] = (sys.executable, "-I", "-m", __name__)
    ) -> None:
        self._command = (*command, str(ledger), str(state))
        self._kept: tuple[int, str] | None = None
        self._writing: asyncio.Task[None] | None = None

    async def text(self, moved: int) -> tuple[str | None, bool]:
        """The text, None while there is none, and whether a newer one is being written; ``moved`` is the ledger's."""
        if not moved:
            return EMPTY, False
        fresh = self._kept is not None and self._kept[0] >= moved
        if not fresh and (self._writing is None or self._writing.done()):
            self._writing = asyncio.create_task(self._write(moved))
        if self._kept is None and self._writing is not None:
            await asyncio.wait({self._writing}, timeout=FIRST_SECONDS)
        behind = self._writing is not None and not self._writing.done()
        return (self._kept[1] if self._kept else None), behind

    async def _write(self, moved: int) -> None:
        process = await asyncio.create_subprocess_exec(
            *self._command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, env=dict(os.environ)
        )
        answer = b""
        try:
            answer, _ = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
            self._kept = moved, clean(str(json.loads(answer)), MAX_CHARACTERS, lines=True)
        except (TimeoutError, ValueError):
            log.warning("the notebook could not be written")
        finally:
            with suppress(ProcessLookupError):
                process.kill()


def write(path: Path, state: Path) -> str:
    """The notebook of the newest arena. What patches touched is told as far as somebody has worked it out."""
    from daemon import notebook
    from daemon.memory import TouchedMemory

    with Looking(path) as ledger:
        latest = ledger.latest()
        rows = ledger.summaries(arena=latest.arena) if latest else []
        memory = TouchedMemory(state / "touched.json")
        known = notebook.Known(
            rows=rows,
            touched={row.number: names for row in rows if (names := memory.known(row))},
            causes={number: _cause(ledger, number) for number in notebook.shown_crashes(rows)},
        )
    return notebook.build(known)


def _cause(ledger: Looking, number: int) -> str:
    """The last line of a crashed experiment's log, where a traceback says what it was."""
    trials = ledger.get(number).trials
    log_tail = clean(trials[-1].log_tail, 600, lines=True, tail=True) if trials else ""
    return next((line.strip() for line in reversed(log_tail.split("\n")) if line.strip()), "")


if __name__ == "__main__":
    print(json.dumps(write(Path(sys.argv[1]), Path(sys.argv[2]))))
