"""Being a well-behaved process: one per lab, and signals that only set a flag."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from daemon.files import private_folder
from daemon.model import UserError
from daemon.steering import Steering, When

POLL_SECONDS = 0.1
Handler = Callable[[int, FrameType | None], object]


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


def at_work(state_dir: Path) -> bool:
    """Whether a process that holds the lab's lock seems to live. It is only looked for: the lock is not touched."""
    try:
        owner = json.loads((state_dir / "lock").read_bytes()[:4096])
        same_host = owner["host"] == socket.gethostname()
        return not same_host or Path("/proc", str(int(owner["pid"]))).exists()
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _owner(descriptor: int) -> str:
    try:
        owner = json.loads(os.pread(descriptor, 4096, 0))
        return f"`autoresearch {owner['what']}` (process {owner['pid']} on {owner['host']}, since {owner['since']})"
    except (ValueError, KeyError, TypeError):
        return "another process"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


class StopFlag:
    """Set by SIGINT and SIGTERM. A second SIGINT is answered as Python always does, by KeyboardInterrupt.

    A plain flag, which is looked at: an Event takes a lock, and a handler may run while its own thread holds that lock.
    """

    def __init__(self) -> None:
        self._set = False

    def __call__(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True

    def wait(self, seconds: float) -> bool:
        """Sleep, but wake when told to stop; returns whether to stop."""
        until = time.monotonic() + seconds
        while not self._set and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, POLL_SECONDS))
        return self._set

    @contextmanager
    def listening(self) -> Iterator[StopFlag]:
        """Answer the signals while inside; the former handlers come back afterwards."""
        with handling({signal.SIGINT: self._on_signal, signal.SIGTERM: self._on_signal}):
            yield self

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._set and number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self._set = True


@contextmanager
def stopped_by_signals(steering: Steering, when: When = When.NOW, *, reloads: bool = False) -> Iterator[None]:
    """SIGINT and SIGTERM stop the loop as ``when`` says, a second one at once.

    SIGHUP makes it look at its settings where it ``reloads``; elsewhere the terminal is gone, and it stops. A SIGINT
    after that is answered as Python does, by KeyboardInterrupt.
    """

    def on_stop(number: int, _frame: FrameType | None) -> None:
        if steering.stopping is When.NOW and number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        steering.stop(When.NOW if steering.stopping else when)

    def on_hangup(number: int, frame: FrameType | None) -> None:
        if reloads:
            steering.reload()
        else:
            on_stop(number, frame)

    with handling({signal.SIGINT: on_stop, signal.SIGTERM: on_stop, signal.SIGHUP: on_hangup}):
        yield


@contextmanager
def handling(handlers: Mapping[signal.Signals, Handler]) -> Iterator[None]:
    """Answer signals by these handlers while inside; the former ones come back afterwards."""
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
