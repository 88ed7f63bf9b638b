"""Watch one run from start to end: release the data when it asks, kill it when its time is up.

Shared by every real sandbox. What actually happens (output, end) arrives in a mailbox from the threads that
watch the container; here is only the order of things.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from sandbox.clock import VOID_AFTER_SECONDS, Clock, Expiry
from sandbox.interface import Cancelled, RunStatus, SandboxUnavailable

CANCEL_POLL_SECONDS = 0.2
# Killing a container of 2,048 processes was seen to take 33 s; one that outlasts this has hung the engine.
DEAD_WITHIN_SECONDS = 60.0


class Happening(StrEnum):
    """What the watching threads report."""

    READY = "ready"
    LOG_LIMIT = "log-limit"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Event:
    """One happening and the monotonic second it was seen at."""

    what: Happening
    at: float


Mailbox = queue.SimpleQueue[Event]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How the watch ended. ``killed_for`` is None when the run ended by itself within its time."""

    ended_at: float
    killed_for: RunStatus | None = None
    reason: str = ""
    overrun_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """The means of one run: its clock, its mailbox, and what may be done to it."""

    clock: Clock
    mailbox: Mailbox
    release: Callable[[float], None]
    kill: Callable[[], None]
    cancel: Callable[[], bool]
    now: Callable[[], float] = time.monotonic

    def until_ended(self) -> Ending:
        """Serve the run until it has ended.

        Raises:
            Cancelled: ``cancel`` answered true; the run is dead.
            SandboxUnavailable: the run would not die, or was seen alive too long after its deadline.
        """
        while True:
            event = self._next(min(self.clock.deadline - self.now(), CANCEL_POLL_SECONDS))
            if event is None or event.what is Happening.READY:
                if event is not None:
                    self._release(event.at)
                if self.clock.expired(self.now()):
                    return self._expire()
                if self.cancel():
                    self._kill_and_wait()
                    raise Cancelled("the run was abandoned")
            elif event.what is Happening.ENDED:
                return self._ended(event.at)
            else:
                return self._stop_for_output()

    def _next(self, seconds: float) -> Event | None:
        try:
            return self.mailbox.get(timeout=max(0.0, seconds))
        except queue.Empty:
            return None

    def _release(self, seen_at: float) -> None:
        if self.clock.released_at is not None:
            return
        if seen_at > self.clock.deadline:
            return
        # The budget runs from the moment before the first file is linked, never from the marker: what the
        # host's own linking costs is the host's, to within the milliseconds it takes.
        granted = self.clock.release(self.now())
        if granted > 0:
            self.release(granted)

    def _ended(self, at: float) -> Ending:
        expiry = self.clock.expired(at)
        if expiry is None:
            return Ending(ended_at=at)
        overrun = at - self.clock.deadline
        self._void_if_late(overrun)
        return Ending(
            ended_at=at,
            killed_for=RunStatus.TIMEOUT,
            reason=f"ended {overrun:.2f} s after its deadline",
            overrun_seconds=overrun,
        )

    def _expire(self) -> Ending:
        expiry = self.clock.expired(self.now())
        late = self.now() - self.clock.deadline
        ended_at = self._kill_and_wait()
        self._void_if_late(late)
        return Ending(
            ended_at=ended_at,
            killed_for=RunStatus.TIMEOUT,
            reason=self._timeout_reason(expiry),
            overrun_seconds=ended_at - self.clock.deadline,
        )

    def _timeout_reason(self, expiry: Expiry | None) -> str:
        rules = self.clock.rules
        if expiry is Expiry.STARTUP:
            return (
                f"killed after {rules.startup_seconds:g} s of start-up without asking for the training data; "
                "call prepare.make_dataloader(...) and take a batch from it"
            )
        charged = f" ({self.clock.charged_seconds:.1f} s of slow start-up were charged)"
        return (
            f"killed at its deadline: {rules.train_seconds:g} s of training"
            f"{charged if self.clock.charged_seconds else ''}; stop when prepare.time_left() reaches 0"
        )

    def _stop_for_output(self) -> Ending:
        ended_at = self._kill_and_wait()
        return Ending(
            ended_at=ended_at,
            killed_for=RunStatus.OUTPUT_LIMIT,
            reason="killed: it printed more than the log limit allows",
        )

    def _kill_and_wait(self) -> float:
        self.kill()
        give_up_at = self.now() + DEAD_WITHIN_SECONDS
        while (left := give_up_at - self.now()) > 0:
            event = self._next(left)
            if event is not None and event.what is Happening.ENDED:
                return event.at
        raise SandboxUnavailable(
            f"a killed run was still alive after {DEAD_WITHIN_SECONDS:g} s; "
            "the engine is stuck: restart it (systemctl restart docker)"
        )

    @staticmethod
    def _void_if_late(overrun: float) -> None:
        if overrun > VOID_AFTER_SECONDS:
            raise SandboxUnavailable(
                f"the host was stalled and noticed the deadline {overrun:.1f} s late, so the run is void; "
                "is the machine overloaded or was it suspended?"
            )
