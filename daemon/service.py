"""The daemon of one lab: a loop that runs until it is told to stop, and the doors through which it is told things."""

from __future__ import annotations

import logging
import sys
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from daemon import control
from daemon.assembly import assembled
from daemon.console import ConsoleObserver
from daemon.control import Answer, Request
from daemon.credentials import KeySource
from daemon.journal import JournalObserver
from daemon.lab import Lab
from daemon.lifecycle import lab_lock, stopped_by_signals
from daemon.model import MAX_HYPOTHESIS_CHARACTERS, OurFault, UserError
from daemon.notify import Notifier
from daemon.observe import Event, FaultSeen, Observer, Observers, Paused
from daemon.situation import Watcher
from daemon.steering import Steering, When
from daemon.text import clean
from daemon.web.child import shown
from sandbox import faultpoints
from sandbox.faultpoints import reach
from sandbox.interface import SandboxUnavailable

SUBMITTER = "control"
RETRY_SECONDS = 30.0


def run_daemon(directory: Path, console: Console, keys: KeySource) -> None:
    """Run the lab until told to stop.

    Raises:
        UserError: the lab is not ready, in use, or cannot go on without a person.
    """
    _arm()
    notifier = Notifier()
    lab = Lab(directory)
    steering, watcher = Steering(notifier.beat), Watcher()
    when = When(lab.settings.control.stop_after)
    with lab_lock(lab.state, "daemon"), stopped_by_signals(steering, when, reloads=True):
        reach("start.locked")
        with (
            control.serving(lab.control_socket, _answers(lab, steering, watcher), lab.settings.control.group),
            shown(lab, steering) as live,
        ):
            notifier.say(READY="1")
            if console.is_terminal:
                bars = ConsoleObserver(console)
                with bars.drawing():
                    _serve(lab, steering, keys, [watcher, live, bars])
            else:
                _serve(lab, steering, keys, [watcher, live, JournalObserver(sys.stdout)])
        notifier.say(STOPPING="1")


def _arm() -> None:
    try:
        faultpoints.arm(warn=logging.getLogger("autoresearchd").warning)
    except ValueError as error:
        raise UserError(str(error)) from error


def _serve(lab: Lab, steering: Steering, keys: KeySource, watching: list[Observer]) -> None:
    """The loop, put together anew after each reload and after an outage at the start.

    A mistake that is there at the start is raised, for somebody is looking then. One that comes up later is told, and
    waits for a person to mend it and to reload.
    """
    served, latest = False, [lab]
    while not steering.stops():
        try:
            with assembled(latest[-1], steering, keys, watching) as parts:
                served = True
                parts.loop.serve(parts.stop_after, lambda: _reloads(latest, watching))
        except (OurFault, SandboxUnavailable, OSError) as fault:  # OSError: a full disk, where nobody else told it
            _tell(watching, FaultSeen(message=str(fault), retry_seconds=RETRY_SECONDS))
            steering.wait(RETRY_SECONDS)
        except UserError as mistake:
            if not served:
                raise
            _tell(watching, Paused(reason=f"{mistake}; mend it, then `autoresearch reload`"))
            while not steering.leaves():
                steering.wait(RETRY_SECONDS)
        if steering.take_reload():  # asked for while there was no loop
            _reloads(latest, watching)


def _tell(watching: list[Observer], event: Event) -> None:
    Observers(watching).notify(event)


def _reloads(latest: list[Lab], watching: list[Observer]) -> bool:
    """Whether the settings as they are now can be used; the lab with them is put last."""
    try:
        again = Lab(latest[-1].directory)
        again.check_ready()
    except UserError as error:
        _tell(watching, FaultSeen(message=f"not reloaded, the former settings stay: {error}", retry_seconds=None))
        return False
    latest.append(again)
    return True


def _answers(lab: Lab, steering: Steering, watcher: Watcher) -> Callable[[Request], Answer]:
    def answer(request: Request) -> Answer:
        match request.verb:
            case "status":
                pass
            case "pause":
                steering.pause()
            case "resume":
                steering.resume()
            case "stop":
                steering.stop(When(request.when))
            case "reload":
                steering.reload()
            case "skip":
                if (number := steering.skip()) is None:
                    raise UserError("nothing is being tried just now, so there is nothing to skip")
                return {"skipped": number}
            case "submit":
                return {
                    "ticket": lab.inbox.put(
                        _bytes(request.train_py), clean(request.hypothesis, MAX_HYPOTHESIS_CHARACTERS), SUBMITTER
                    )
                }
        return {**watcher.facts(), "paused": steering.paused, "stopping": steering.stopping}

    return answer


def _take_in(lab: Lab, request: Request) -> str:
    """The same checks as for everybody's patches, and the daemon's own rights to write them down."""
    hypothesis = clean(request.hypothesis, MAX_HYPOTHESIS_CHARACTERS)
    return lab.inbox.put(_bytes(request.train_py), hypothesis, SUBMITTER)


def _bytes(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (NotBase64, ValueError):
        raise UserError("train_py is not base64") from None
