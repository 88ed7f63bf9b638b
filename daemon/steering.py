"""What people have asked of a running loop: flags that signals and the control socket set and that the loop reads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum

POLL_SECONDS = 0.2
STOPPED = "stopped by the operator"
SKIPPED = "skipped by the operator"


class When(StrEnum):
    """When to stop: at once, abandoning what runs, or when the present experiment is decided."""

    NOW = "now"
    EXPERIMENT = "experiment"


class Steering:
    """Safe to use from any thread and from a signal handler: a method sets or reads a flag, and none takes a lock.

    ``beat`` is called whenever the loop asks, which it does several times a second whatever it is doing: it feeds a
    watchdog by progress and not by a thread that would go on when the loop hangs.
    """

    def __init__(self, beat: Callable[[], None] = lambda: None) -> None:
        self._beat = beat
        self._stop: When | None = None
        self._paused = False
        self._skip: int | None = None
        self._reload = False
        self._trying: int | None = None

    # What is asked.

    def stop(self, when: When) -> None:
        """Stop; asked a second time, the sooner of the two counts."""
        self._stop = When.NOW if When.NOW in (when, self._stop) else when

    def pause(self) -> None:
        """Begin no other experiment."""
        self._paused = True

    def resume(self) -> None:
        self._paused = False

    def skip(self) -> int | None:
        """Abandon the experiment that is being tried; returns its number, or None when there is none."""
        self._skip = trying = self._trying
        return trying

    def reload(self) -> None:
        """Look at the settings anew."""
        self._reload = True

    # What is read.

    @property
    def paused(self) -> bool:
        return self._paused

    @property
    def stopping(self) -> When | None:
        return self._stop

    @property
    def number(self) -> int | None:
        """The experiment that is being tried."""
        return self._trying

    def stops_now(self) -> bool:
        self._beat()
        return self._stop is When.NOW

    def stops(self) -> bool:
        """Whether another experiment may not begin."""
        self._beat()
        return self._stop is not None

    def leaves(self) -> bool:
        """Whether a loop without an end must end: to stop, or to begin anew with other settings."""
        return self.stops() or self._reload

    def abandons(self) -> str | None:
        """Why the experiment that is being tried is to be abandoned."""
        if self.stops_now():
            return STOPPED
        return SKIPPED if self._trying is not None and self._skip == self._trying else None

    def take_reload(self) -> bool:
        """Whether the settings are to be looked at, said once."""
        asked, self._reload = self._reload, False
        return asked

    @contextmanager
    def trying(self, number: int) -> Iterator[None]:
        """An experiment is being tried, and may be skipped."""
        self._trying = number
        try:
            yield
        finally:
            self._trying = None

    def wait(self, seconds: float) -> bool:
        """Sleep, but wake when told to stop or to reload; returns whether to stop."""
        until = time.monotonic() + seconds
        while not self.leaves() and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, POLL_SECONDS))
        return self.stops()
