"""What the loop is at, in a small file for whoever watches from another process.

``.autoresearch/live.json`` is one JSON object: number, phase, phase_since (Unix seconds), phase_seconds (how long the
phase may take, 0 when that is open), hypothesis, paused, waiting (why the loop waits, else ""), claimed (step, loss and
tokens_per_second, as the training log says; null where nobody reads it), updated (Unix seconds). It is written when
something changes, at most once a second, and every few seconds to show that its writer lives; it goes with the run.
"""

from __future__ import annotations

import json
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from daemon.model import MAX_HYPOTHESIS_CHARACTERS
from daemon.observe import (
    Claimed,
    Event,
    ExperimentClosed,
    FaultSeen,
    Paused,
    PhaseEntered,
    ProposalAwaited,
    SlotAwaited,
)
from daemon.text import clean

FILE = "live.json"
EVERY_SECONDS = 1.0
BEAT_SECONDS = 5.0
STALE_SECONDS = 30.0
MAX_BYTES = 16_384
log = logging.getLogger("autoresearchd")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a training log said last of itself. Shown to people; nothing is decided by it."""

    step: int
    loss: float
    tokens_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """The present state. ``number`` is None between two experiments."""

    phase: str
    phase_since: float
    phase_seconds: float = 0.0
    number: int | None = None
    hypothesis: str = ""
    paused: bool = False
    waiting: str = ""
    claimed: Claim | None = None
    updated: float = 0.0


class LiveFile:
    """An observer that keeps the file. ``paused`` is asked each second, by a thread of this object."""

    def __init__(
        self,
        path: Path,
        *,
        paused: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path, self._paused, self._clock = path, paused, clock
        self._now = Live(phase="starting", phase_since=clock())
        self._written: Live | None = None
        self._stop = threading.Event()

    @contextmanager
    def keeping(self) -> Iterator[LiveFile]:
        """Keep the file while inside; it is removed afterwards."""
        thread = threading.Thread(target=self._run, name="live", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()
            with suppress(OSError):
                self._path.unlink()

    def notify(self, event: Event) -> None:
        """Any thread may tell: one whole value is swapped."""
        at = self._clock()
        match event:
            case PhaseEntered():
                self._now = Live(
                    phase=event.phase,
                    phase_since=at,
                    phase_seconds=event.seconds,
                    number=event.number,
                    hypothesis=clean(event.hypothesis, MAX_HYPOTHESIS_CHARACTERS),
                )
            case Claimed() if self._now.phase == "training" and self._now.number == event.number:
                claim = Claim(step=event.step, loss=event.loss, tokens_per_second=event.tokens_per_second)
                self._now = replace(self._now, claimed=claim)
            case SlotAwaited():
                self._now = Live(phase="queued", phase_since=at, number=event.number, waiting=clean(event.reason, 300))
            case ExperimentClosed():
                self._now = Live(phase="between", phase_since=at)
            case ProposalAwaited():
                self._now = Live(phase="proposing", phase_since=at)
            case Paused():
                self._now = Live(phase="waiting", phase_since=at, waiting=clean(event.reason, 300))
            case FaultSeen():
                seconds = event.retry_seconds or 0.0
                self._now = Live(
                    phase="outage", phase_since=at, phase_seconds=seconds, waiting=clean(event.message, 300)
                )
            case _:
                pass

    def look(self) -> None:
        """Write what is new, or a sign of life."""
        at, before = self._clock(), self._written
        now = replace(self._now, paused=self._paused(), updated=at)
        if before is None or replace(before, updated=at) != now or at >= before.updated + BEAT_SECONDS:
            _replace(self._path, json.dumps(asdict(now), allow_nan=False))
            self._written = now

    def _run(self) -> None:
        while True:
            try:
                self.look()
            except Exception:  # decoration: whatever is wrong with it, the loop goes on
                log.debug("the live file could not be written", exc_info=True)
            if self._stop.wait(EVERY_SECONDS):
                return


def read(path: Path, now: float) -> Live | None:
    """What a file says at the Unix second ``now``; None where it is missing, stale, or not of this form."""
    try:
        with path.open("rb") as file:
            values = json.loads(file.read(MAX_BYTES))
        found = _live(values)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return found if abs(now - found.updated) <= STALE_SECONDS else None


def _live(values: Any) -> Live:
    claimed = values["claimed"]
    return Live(
        phase=clean(str(values["phase"]), 30),
        phase_since=_number(values["phase_since"]),
        phase_seconds=max(0.0, _number(values["phase_seconds"])),
        number=None if values["number"] is None else int(values["number"]),
        hypothesis=clean(str(values["hypothesis"]), MAX_HYPOTHESIS_CHARACTERS),
        paused=values["paused"] is True,
        waiting=clean(str(values["waiting"]), 300),
        claimed=None if claimed is None else _claim_of(claimed),
        updated=_number(values["updated"]),
    )


def _claim_of(values: Any) -> Claim:
    return Claim(
        step=int(_number(values["step"])),
        loss=_number(values["loss"]),
        tokens_per_second=_number(values["tokens_per_second"]),
    )


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number) or abs(number) > 1e15:
        raise ValueError("no number of ours")
    return number


def _replace(path: Path, text: str) -> None:
    """Whole or not at all, but not flushed to disk: after a power cut nobody wants it."""
    new = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    new.write_text(text, encoding="utf-8")
    new.chmod(0o600)
    new.replace(path)
