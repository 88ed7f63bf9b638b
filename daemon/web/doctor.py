"""What the doctor says of this machine, asked in a process of its own and remembered: it takes seconds."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from daemon.text import clean

REMEMBERED_SECONDS = 600.0
PATIENCE_SECONDS = 90.0
MAX_BYTES = 256 * 1024
LEVELS = ("ok", "warning", "failure")
NOT_OURS = frozenset({"api key"})  # this process was given none, so it cannot say
_COMMAND = ("-I", "-c", "from daemon.cli import main; main()", "doctor", "--json", "--lab")
log = logging.getLogger("autoresearchd")


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One thing the doctor looked at; ``text`` is cleaned."""

    name: str
    level: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What it said at the Unix second ``at``; nothing at all when it could not be asked."""

    looks: Sequence[Look]
    at: float


class Doctor:
    """Asked at most every ten minutes, and never waited for: who looks sees what was said last."""

    def __init__(self, lab: str, command: Sequence[str] = (sys.executable, *_COMMAND)) -> None:
        self._command = (*command, lab)
        self._told: Told | None = None
        self._asking: asyncio.Task[None] | None = None

    def told(self) -> Told | None:
        """What is known; None while it is asked for the first time. Called from the event loop's thread."""
        old = self._told is None or time.time() - self._told.at > REMEMBERED_SECONDS
        if old and (self._asking is None or self._asking.done()):
            self._asking = asyncio.get_running_loop().create_task(self._ask())
        return self._told

    async def _ask(self) -> None:
        answer = b""
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=dict(os.environ),
        )
        try:
            answer, _ = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
        except TimeoutError:
            log.warning("the doctor did not answer within %g s", PATIENCE_SECONDS)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
        self._told = Told(looks=read(answer), at=time.time())


def read(answer: bytes) -> list[Look]:
    """The looks in what ``autoresearch doctor --json`` printed; none where it is not that."""
    try:
        checks = json.loads(answer[:MAX_BYTES])["checks"]
        return [
            Look(name=clean(str(c["name"]), 60), level=_level(c["level"]), text=clean(str(c["detail"]), 600))
            for c in checks
            if c["name"] not in NOT_OURS
        ]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []


def _level(level: object) -> str:
    return next((known for known in LEVELS if known == level), "failure")
