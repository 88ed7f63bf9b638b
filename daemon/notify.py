"""The service manager's socket: that we are ready, alive, stopping, and what we are at (sd_notify(3))."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping
from contextlib import suppress


class Notifier:
    """Speaks to the socket named by ``NOTIFY_SOCKET``; says nothing where there is none. Never fails."""

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        """Takes the variables out of the environment, so that no child speaks for us."""
        address = environment.pop("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        interval = environment.pop("WATCHDOG_USEC", "")
        ours = environment.pop("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._every = int(interval) / 4e6 if interval.isdecimal() and ours else None
        self._last = 0.0

    def say(self, **states: str) -> None:
        """Send states such as ``READY="1"``."""
        if self._address:
            text = "\n".join(f"{name}={value}" for name, value in states.items())
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as speaker:
                speaker.setblocking(False)
                speaker.sendto(text.encode(), self._address)

    def beat(self) -> None:
        """The loop has moved: feed the watchdog, four times in its interval at most."""
        now = time.monotonic()
        if self._every is not None and now - self._last >= self._every:
            self._last = now
            self.say(WATCHDOG="1")
