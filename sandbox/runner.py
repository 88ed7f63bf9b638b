"""What a session needs of the thing that runs one program, be it a container or a plain process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What the operating side says of a run."""

    running: bool
    exit_code: int
    oom_killed: bool


class Runner(Protocol):
    """One program, created and not yet started."""

    drained: threading.Event
    """Set when all output has been handed over."""

    def start(self, on_output: Callable[[bytes, bool], None], on_end: Callable[[float], None]) -> float:
        """Start it and watch it; returns the monotonic second of the start.

        ``on_output(chunk, is_stderr)`` is called until the stream ends, ``on_end(second)`` once, when the
        program ended or nobody can say any more.
        """
        ...

    def kill(self) -> None:
        """SIGKILL to everything in it. One that has ended by itself is left as it is."""
        ...

    def state(self) -> State: ...
