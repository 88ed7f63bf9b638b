"""What a training says of itself while it runs: read from its bounded log, in bounded time, believed by nobody."""

from __future__ import annotations

import logging
import math
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from daemon.observe import Claimed, LogSeen, Observers

EVERY_SECONDS = 1.0
LEAVE_SECONDS = 1.0  # how long a listener that hangs may keep a trial that is over
LOOKED_AT = 8192  # characters from the end of the log
MAX_LINE, MAX_PARTS = 200, 8
MAX_STEP, MAX_LOSS_NATS, MAX_TOKENS_PER_SECOND = 10**9, 1e3, 1e9
# Every repetition is bounded and none overlaps with what follows it, so a match takes time in proportion to the line.
_STEP = re.compile(r"step ([0-9]{1,10})(?: \( {0,3}[0-9]{1,3}\.[0-9]%\))?")
_LOSS = re.compile(r"loss ([0-9]{1,6}(?:\.[0-9]{1,8})?)")
_SPEED = re.compile(r"([0-9][0-9,]{0,14}) tok/s")
log = logging.getLogger("autoresearchd")


class HasLog(Protocol):
    """Part of :class:`sandbox.interface.Session`."""

    def log_so_far(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One progress line. ``loss`` is in nats a token."""

    step: int
    loss: float
    tokens_per_second: float


def claim(text: str) -> Claim | None:
    """What the last progress line at the end of a log says; None where there is none in the form of train.py.

    ``step 00012 ( 3.1%) | loss 5.1234 | 12,345 tok/s``, further parts allowed. A line with a number that cannot be is
    no progress line.
    """
    for line in reversed(text[-LOOKED_AT:].split("\n")):
        if line.startswith("step ") and len(line) <= MAX_LINE and (found := _of_line(line)):
            return found
    return None


def _of_line(line: str) -> Claim | None:
    parts = [part.strip(" ") for part in line.split("|", MAX_PARTS)]
    step = _STEP.fullmatch(parts[0])
    losses = [found for part in parts[1:] if (found := _LOSS.fullmatch(part))]
    speeds = [found for part in parts[1:] if (found := _SPEED.fullmatch(part))]
    if step is None or len(losses) != 1 or len(speeds) != 1:
        return None
    return _within(int(step[1]), float(losses[0][1]), float(speeds[0][1].replace(",", "")))


def _within(step: int, loss: float, speed: float) -> Claim | None:
    possible = step <= MAX_STEP and loss <= MAX_LOSS_NATS and speed <= MAX_TOKENS_PER_SECOND
    finite = math.isfinite(loss) and math.isfinite(speed)
    return Claim(step=step, loss=loss, tokens_per_second=speed) if possible and finite else None


def told(observers: Observers, number: int, text: str) -> None:
    """Tell everybody of a log that has grown, and of its progress line."""
    observers.notify(LogSeen(number=number, log=text))
    if found := claim(text):
        observers.notify(
            Claimed(number=number, step=found.step, loss=found.loss, tokens_per_second=found.tokens_per_second)
        )


@contextmanager
def following(session: HasLog, on_log: Callable[[str], None] | None) -> Iterator[None]:
    """Tell ``on_log`` of the log whenever it has changed, at most once a second, while inside.

    By a thread of its own: neither a listener that is slow nor a log that is large delays the watch on the deadline, or
    the draining of the log.
    """
    if on_log is None:
        yield
        return
    over = threading.Event()
    follower = threading.Thread(target=_follow, args=(session, on_log, over), daemon=True, name="follower")
    follower.start()
    try:
        yield
    finally:
        over.set()
        follower.join(LEAVE_SECONDS)


def _follow(session: HasLog, on_log: Callable[[str], None], over: threading.Event) -> None:
    before = ""
    while not over.is_set():
        try:
            if (text := session.log_so_far()) != before:
                before = text
                on_log(text)
        except Exception:  # to look on is decoration: whatever is wrong with it, the trial goes on
            log.exception("the log of a trial could not be followed")
            return
        over.wait(EVERY_SECONDS)
