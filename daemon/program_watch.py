"""Watches ``program.md`` while the lab runs: whoever edits it, by whatever editor, steers the next proposal.

The kernel's notices only say "look again": the folder is watched rather than the file, for editors replace files, and
what was read is what counts. A look every few seconds stands behind them for what sends no notices: a network file
system, a symlink whose target changed elsewhere, a full table of watches.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from daemon.model import UserError
from daemon.program import Program, read

QUIET_SECONDS = 0.5  # after the last notice; an editor's save is several
LONGEST_SECONDS = 5.0  # after the first one, however busy the folder is
POLL_SECONDS = 10.0
POLL_WITHOUT_NOTICES_SECONDS = 2.0
log = logging.getLogger("autoresearchd")


class Debounce:
    """When to look after a burst of notices. Told the time by its caller."""

    def __init__(self, quiet_seconds: float = QUIET_SECONDS, longest_seconds: float = LONGEST_SECONDS) -> None:
        self._quiet = quiet_seconds
        self._longest = longest_seconds
        self._first: float | None = None
        self._last = 0.0

    def notice(self, now: float) -> None:
        """Something happened."""
        self._first = now if self._first is None else self._first
        self._last = now

    def due_in(self, now: float) -> float | None:
        """Seconds until it is time to look, 0 when it is; None while nothing has happened."""
        if self._first is None:
            return None
        return max(0.0, min(self._last + self._quiet, self._first + self._longest) - now)

    def done(self) -> None:
        """It was looked at."""
        self._first = None


class ProgramWatch:
    """The present brief, kept up to date by a thread. Use it as a context manager.

    ``on_change`` is told of each new version, and of the present one when it is back after a refusal; ``on_refused`` is
    told why a version is not taken, once. Both are called by the watching thread and must not raise.
    """

    def __init__(
        self,
        path: Path,
        on_change: Callable[[Program], None],
        on_refused: Callable[[str], None] = lambda _: None,
        *,
        debounce: Debounce | None = None,
        poll_seconds: float = POLL_SECONDS,
        observer: Callable[[], Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read the first version.

        Raises:
            UserError: there is none that can be used.
        """
        self._path = path.absolute()
        self._on_change, self._on_refused = on_change, on_refused
        self._debounce = debounce or Debounce()
        self._poll_seconds = poll_seconds
        self._make_observer = observer or _observer
        self._clock = clock
        self._observer: Any = None
        self._watched: dict[Path, Any] = {}
        self._changed = threading.Condition()
        self._stopping = False
        self._refusal = ""
        self._seen = _signature(self._path)
        self._current = read(self._path)
        self._thread = threading.Thread(target=self._run, name="program.md", daemon=True)

    def current(self) -> Program:
        """The last good version. Any thread may ask."""
        with self._changed:
            return self._current

    def __enter__(self) -> ProgramWatch:
        self._start_observer()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join()
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()

    def look(self) -> None:
        """Read the file now, and tell what has become of it."""
        self._seen = _signature(self._path)
        try:
            found = read(self._path)
        except UserError as error:
            self._refuse(str(error))
            return
        with self._changed:
            news = found.sha256 != self._current.sha256 or self._refusal != ""
            self._current = found if found.sha256 != self._current.sha256 else self._current
            self._refusal = ""
            current = self._current
        if news:
            self._tell(self._on_change, current)

    def _refuse(self, why: str) -> None:
        with self._changed:
            known, self._refusal = self._refusal == why, why
        if not known:
            self._tell(self._on_refused, why)

    def _tell(self, listener: Callable[[Any], None], news: Program | str) -> None:
        try:
            listener(news)
        except Exception:  # whoever listens, the watch goes on
            log.exception("somebody failed who was told of %s", self._path.name)

    def _run(self) -> None:
        while self._wait():
            self._watch_folders()
            self.look()

    def _wait(self) -> bool:
        """Sleep until it is time to look; False when it is time to stop."""
        with self._changed:
            polled = self._clock()
            while not self._stopping:
                now = self._clock()
                due_in = self._debounce.due_in(now)
                if due_in == 0:
                    self._debounce.done()
                    return True
                if due_in is None and now >= polled + self._poll_seconds:
                    polled = now
                    if _signature(self._path) != self._seen:
                        self._debounce.notice(now)  # perhaps it is being written: let it settle
                    continue
                self._changed.wait(polled + self._poll_seconds - now if due_in is None else due_in)
            return False

    def _notice(self) -> None:
        with self._changed:
            self._debounce.notice(self._clock())
            self._changed.notify_all()

    def _start_observer(self) -> None:
        try:
            observer = self._make_observer()
            observer.start()
        except (OSError, ImportError) as error:
            self._without_notices(error)
            return
        self._observer = observer
        self._watch_folders()

    def _without_notices(self, error: Exception) -> None:
        log.warning("no notices of changes to %s (%s): it is looked at every few seconds", self._path.name, error)
        if (observer := self._observer) is not None:
            self._observer = None
            observer.stop()
        self._poll_seconds = min(self._poll_seconds, POLL_WITHOUT_NOTICES_SECONDS)

    def _watch_folders(self) -> None:
        """Watch the folder of the file and, where it is a symlink, that of what it stands for by now."""
        if self._observer is None:
            return
        wanted = {self._path.parent, _resolved(self._path).parent}
        for folder in wanted - self._watched.keys():
            try:
                self._watched[folder] = self._observer.schedule(_Handler(self._notice), str(folder))
            except OSError as error:
                if not self._watched:
                    self._without_notices(error)
                    return
        for folder in self._watched.keys() - wanted:
            with suppress(KeyError, OSError):  # the folder may be gone, and its watch with it
                self._observer.unschedule(self._watched.pop(folder))


def _observer() -> Any:
    from watchdog.observers import Observer  # loaded only where something is watched

    return Observer()


def _signature(path: Path) -> tuple[int, ...] | None:
    """Differs when the file, or what a symlink of its name stands for, was changed; None while there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # a loop of symlinks
        return path


class _Handler:
    """What watchdog calls. Reading the file makes notices of its own, which say nothing."""

    _OUR_OWN = frozenset({"opened", "closed_no_write"})

    def __init__(self, notice: Callable[[], None]) -> None:
        self._notice = notice

    def dispatch(self, event: Any) -> None:
        if event.event_type not in self._OUR_OWN:
            self._notice()
