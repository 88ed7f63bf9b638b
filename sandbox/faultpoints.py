"""Named places where a test may end this process as a power cut would, to see what the next start makes of it.

A place is one call of :func:`reach`, and does nothing until :func:`arm` found ``AUTORESEARCH_FAULT=NAME`` or
``NAME:N`` in the environment: then the N-th arrival at NAME sends SIGKILL to the process. The daemon alone arms, once,
and takes the variable out of its environment. It stands in this package because both packages have such places.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass

VARIABLE = "AUTORESEARCH_FAULT"
KINDS = (
    "opened",
    "usage",
    "proposed",
    "checked",
    "trial-started",
    "trial-result",
    "trial-lent",
    "trial-voided",
    "quarantined",
    "holdout",
    "decided",
    "committed",
    "closed",
    "interrupted",
    "abandoned",
    "lesson",
)
# Of each ledger row: nothing of it written, written and not committed, committed and nothing done about it.
LEDGER = tuple(f"{kind}.{moment}" for kind in KINDS for moment in ("before", "within", "after"))
EFFECTS = (
    "git.objects",  # an experiment's commit is written, no ref leads to it
    "git.recorded",  # its ref is there, the ledger does not know
    "git.advanced",  # the branch stands on a keep that is not closed
    "inbox.written",  # a patch is queued, who handed it in has no answer
    "inbox.discarded",  # its ticket is on the ledger and its file is gone
    "file.temporary",  # a new file is written whole, and has not yet replaced the old one
    "file.replaced",
    "run.made",  # the folder of a trial
    "volume.created",
    "container.created",
    "container.attached",  # listened to, not started
    "container.started",
    "data.released",
    "container.killed",
    "gate.opened",
    "container.removed",
    "volume.removed",
    "run.removed",
    "start.locked",  # a start holds the lab's lock, and has done nothing
    "start.reaped",  # it has removed what the one before left, and told the ledger nothing
    "start.recovered",
)
POINTS = LEDGER + EFFECTS


@dataclass(slots=True)
class _Armed:
    name: str
    left: int

    def reached(self, name: str) -> None:
        if name == self.name:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


_armed: _Armed | None = None


def reach(name: str) -> None:
    """The process is at this place. Safe from any thread."""
    if _armed is not None:
        _armed.reached(name)


def arm(environment: MutableMapping[str, str] = os.environ, warn: Callable[[str], object] = lambda _: None) -> None:
    """Take the variable out of ``environment`` and heed it.

    Raises:
        ValueError: it names no place; the message lists them.
    """
    global _armed
    text = environment.pop(VARIABLE, "")
    _armed = None
    if not text:
        return
    name, _, count = text.partition(":")
    if name not in POINTS or not (count or "1").isdecimal() or int(count or "1") < 1:
        raise ValueError(f"{VARIABLE} is {text!r}; it must be a place, or one with a count behind a colon: {POINTS}")
    warn(f"{VARIABLE}={text}: this process will end itself there")
    _armed = _Armed(name=name, left=int(count or "1"))
