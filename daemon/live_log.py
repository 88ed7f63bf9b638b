"""The end of the log of what trains just now, in a file beside the ledger, for ``autoresearch log -f``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from daemon.files import private_folder
from daemon.lab import Lab
from daemon.lifecycle import at_work
from daemon.model import UserError
from daemon.observe import Event, LogSeen
from daemon.phases import FINAL
from daemon.text import clean
from daemon.trial import LOG_TAIL_CHARACTERS
from sandbox.log import KEPT_BYTES

POLL_SECONDS = 0.5
Stop = Callable[[float], bool]


class LiveLog:
    """An observer that keeps the file: the number in its first line, then 64 KiB of cleaned text at most."""

    def __init__(self, state: Path) -> None:
        self._path = path_in(state)

    def notify(self, event: Event) -> None:
        if isinstance(event, LogSeen):
            text = clean(event.log, KEPT_BYTES, lines=True, tail=True)
            private_folder(self._path.parent)
            beside = self._path.with_suffix(".tmp")  # not flushed to disk: what is lost with the machine is no loss
            beside.write_text(f"#{event.number}\n{text}", encoding="utf-8")
            beside.replace(self._path)


def path_in(state: Path) -> Path:
    return state / "run" / "live.log"


def live(state: Path) -> tuple[int, str] | None:
    """The number and the text of the file; None where there is none that can be read."""
    try:
        with path_in(state).open("rb") as file:
            first, _, rest = file.read(8 * KEPT_BYTES).decode("utf-8", errors="replace").partition("\n")
        return int(first.removeprefix("#")), clean(rest, KEPT_BYTES, lines=True, tail=True)
    except (OSError, ValueError):
        return None


def log_of(lab: Lab, number: int | None) -> tuple[int, str]:
    """The end of an experiment's log, cleaned: of the newest one that has a log, where none is named.

    Raises:
        UserError: it has none.
    """
    now = live(lab.state)
    with lab.ledger() as ledger:
        if number is None:
            latest = ledger.latest()
            number = now[0] if now and at_work(lab.state) else latest.number if latest else None
        if number is None:
            raise UserError("no experiments yet; start some with `autoresearch run --experiments 5`")
        experiment = ledger.get(number)
    if now is not None and now[0] == number and experiment.phase not in FINAL:
        return now
    tails = [clean(trial.log_tail, LOG_TAIL_CHARACTERS, lines=True, tail=True) for trial in experiment.trials]
    if not any(tails):
        raise UserError(f"experiment {number} has no log: it is {experiment.phase.value}, and printed nothing")
    return number, [tail for tail in tails if tail][-1]


def follow(lab: Lab, number: int | None, wait: Stop) -> Iterator[str]:
    """Pieces of a running experiment's log as they come, until it is decided or ``wait(seconds)`` says to stop.

    Without a number: whatever runs, one after the other, for as long as the lab is at work.

    Raises:
        UserError: the experiment that was named has no log, or none was named and nothing runs.
    """
    at: int | None = None
    shown = ""
    if number is not None and _is_over(lab, number):
        yield log_of(lab, number)[1] + "\n"
        return
    if not at_work(lab.state):
        raise UserError("nothing runs in this lab; `autoresearch log N` shows what an experiment printed")
    while True:
        now = live(lab.state)
        if now is not None and number in (None, now[0]):
            if at != now[0]:
                yield ("\n" if shown else "") + f"--- experiment {now[0]}\n"
                at, shown = now[0], ""
            if piece := _news(shown, now[1]):
                yield piece
            shown = now[1]
        if _is_over(lab, number) if number is not None else not at_work(lab.state):
            yield "\n"
            return
        if wait(POLL_SECONDS):
            return


def _is_over(lab: Lab, number: int) -> bool:
    with lab.ledger() as ledger:
        return ledger.get(number).phase in FINAL or not at_work(lab.state)


def _news(before: str, after: str) -> str:
    """What was added: whole lines again where the last one was written over, all of it where nothing fits."""
    if after == before:
        return ""
    if after.startswith(before):
        return after[len(before) :]
    kept, _, _ = before.rpartition("\n")
    if kept and after.startswith(kept + "\n"):
        return "\n" + after[len(kept) + 1 :]
    last = kept[-2000:]  # the beginning has been dropped: go on after what was shown last
    place = after.rfind(last) if last else -1
    return "\n" + (after[place + len(last) :].lstrip("\n") if place >= 0 else after)


def sleeping(stop: Callable[[], bool]) -> Stop:
    """Sleep in small steps, and say whether to stop."""

    def wait(seconds: float) -> bool:
        until = time.monotonic() + seconds
        while not stop() and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))
        return stop()

    return wait
