"""Being a well-behaved process: one per lab, and signals that only set a flag."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from daemon.files import private_folder
from daemon.model import UserError


@contextmanager
def lab_lock(state_dir: Path, purpose: str) -> Iterator[None]:
    """Hold the lab's lock: who runs trials here, alone. The kernel drops it when the process dies.

    Raises:
        UserError: another process holds it; the message says which.
    """
    path = private_folder(state_dir) / "lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"this lab is in use by {_owner(descriptor)}; stop that first, or wait for it") from None
        owner = {"pid": os.getpid(), "host": socket.gethostname(), "what": purpose, "since": _now()}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(owner).encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _owner(descriptor: int) -> str:
    try:
        owner = json.loads(os.pread(descriptor, 4096, 0))
        return f"`autoresearch {owner['what']}` (process {owner['pid']} on {owner['host']}, since {owner['since']})"
    except (ValueError, KeyError, TypeError):
        return "another process"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


class StopFlag:
    """Set by SIGINT and SIGTERM. A second SIGINT is answered as Python always does, by KeyboardInterrupt."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def __call__(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        self._event.set()

    def wait(self, seconds: float) -> bool:
        """Sleep, but wake at once when told to stop; returns whether to stop."""
        return self._event.wait(seconds)

    @contextmanager
    def listening(self) -> Iterator[StopFlag]:
        """Answer the signals while inside; the former handlers come back afterwards."""
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._event.is_set() and number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self._event.set()
