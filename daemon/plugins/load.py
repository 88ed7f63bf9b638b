"""Finds plug-ins by name, and lets each work in a thread of its own behind a queue that cannot grow."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from daemon.files import private_folder
from daemon.model import UserError
from daemon.observe import Event, LogSeen, Observer
from daemon.plugins.interface import GROUP, Place
from daemon.text import clean

SHIPPED = {"tensorboard": EntryPoint("tensorboard", "daemon.plugins.tensorboard:build", GROUP)}
MAX_WAITING = 1000  # events
LEAVE_SECONDS = 5.0  # what a plug-in may take to finish at the end of a run
log = logging.getLogger("autoresearchd")


@contextmanager
def plugged(
    names: Sequence[str], options: Mapping[str, Mapping[str, object]], lab: Path, state: Path
) -> Iterator[Sequence[Observer]]:
    """The observers of these names while inside. Nothing of a plug-in is imported unless it is named.

    Raises:
        UserError: no plug-in of such a name is installed.
    """
    found = [find(name) for name in dict.fromkeys(names)]
    with ExitStack() as stack:
        yield [stack.enter_context(_working(point, options.get(point.name, {}), lab, state)) for point in found]


def find(name: str) -> EntryPoint:
    """The plug-in of this name, not yet loaded.

    Raises:
        UserError: there is none.
    """
    known = {point.name: point for point in entry_points(group=GROUP)} | SHIPPED
    if name not in known:
        words = ", ".join(sorted(clean(other, 60) for other in known))
        raise UserError(f"lab.toml: observers.on names {clean(name, 60)!r}; installed are {words}")
    return known[name]


@contextmanager
def _working(point: EntryPoint, options: Mapping[str, object], lab: Path, state: Path) -> Iterator[Observer]:
    def build() -> Observer:
        folder = private_folder(state / "observers" / point.name)
        made: Observer = point.load()(Place(lab=lab, folder=folder, options=options))
        return made

    apart = Apart(point.name, build)
    try:
        yield apart
    finally:
        apart.close()


class Apart:
    """An observer in a thread of its own: it may be slow, fail or hang, and the loop goes on."""

    def __init__(self, name: str, build: Callable[[], Observer]) -> None:
        self._name = name
        self._events: queue.Queue[Event | None] = queue.Queue(MAX_WAITING)
        self._dropped = 0
        self._thread = threading.Thread(target=self._work, args=(build,), daemon=True, name=f"observer {name}")
        self._thread.start()

    def notify(self, event: Event) -> None:
        """Hand it over; where the plug-in is too far behind it misses this one. Logs are too large to wait."""
        if isinstance(event, LogSeen):
            return
        try:
            self._events.put_nowait(event)
        except queue.Full:
            self._dropped += 1
            if self._dropped == 1:
                log.warning("the observer %s does not keep up, and misses events", self._name)

    def close(self) -> None:
        """Let it finish what waits, but not for long."""
        try:
            self._events.put(None, timeout=LEAVE_SECONDS)
        except queue.Full:
            return
        self._thread.join(LEAVE_SECONDS)

    def _work(self, build: Callable[[], Observer]) -> None:
        try:
            observer = build()
        except Exception:  # somebody else's code: whatever is wrong with it, the run goes on without
            log.exception("the observer %s cannot be loaded; the run goes on without it", self._name)
            self._swallow()
            return
        while (event := self._events.get()) is not None:
            try:
                observer.notify(event)
            except Exception:  # likewise, and the next event may go well
                log.exception("the observer %s failed on %s", self._name, type(event).__name__)
        if close := getattr(observer, "close", None):
            try:
                close()
            except Exception:  # likewise
                log.exception("the observer %s failed at its end", self._name)

    def _swallow(self) -> None:
        while self._events.get() is not None:
            pass
