"""Patches from people and other agents: handed in as a file, waited for by ticket. Nothing here runs anything."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

from daemon import control
from daemon.lab import Lab
from daemon.model import MAX_HYPOTHESIS_CHARACTERS, Phase, UserError
from daemon.text import clean
from sandbox.interface import MAX_TRAIN_PY_BYTES

POLL_SECONDS = 1.0


def submit(lab: Lab, file: Path, hypothesis: str, submitter: str = "submit") -> str:
    """Queue a file as a patch; returns its ticket.

    A running daemon is asked to take it: who may use its socket need not be able to write into the lab. Where none runs
    the patch waits in the lab's inbox.

    Raises:
        UserError: the file cannot be read or is too large, there is no hypothesis, or the daemon may not be asked.
    """
    try:
        with file.open("rb") as opened:
            train_py = opened.read(MAX_TRAIN_PY_BYTES + 1)
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from error
    if not train_py or len(train_py) > MAX_TRAIN_PY_BYTES:
        raise UserError(f"{file} has {len(train_py)} bytes or more; the sandbox takes 1 to {MAX_TRAIN_PY_BYTES}")
    request = {
        "verb": "submit",
        "train_py": b64encode(train_py).decode(),
        "hypothesis": clean(hypothesis, MAX_HYPOTHESIS_CHARACTERS),
    }
    try:
        return clean(str(control.ask(lab.control_socket, request)["ticket"]), 100)
    except control.NothingRuns:
        return lab.inbox.put(train_py, hypothesis, submitter)


def wait(lab: Lab, ticket: str, seconds: float, stop: Callable[[], bool] = lambda: False) -> int | None:
    """The number of the experiment that decided the patch of a ticket; None when time is up or ``stop`` says so.

    Raises:
        UserError: nobody handed in such a ticket.
    """
    deadline = time.monotonic() + seconds
    while True:
        waits = any(slip.ticket == ticket for slip in lab.inbox.waiting())  # it leaves only for the ledger
        with lab.ledger() as ledger:
            number = ledger.ticket(ticket)
            if number is not None and ledger.get(number).phase in (Phase.CLOSED, Phase.QUARANTINED):
                return number
        if number is None and not waits:
            raise UserError(f"no patch with the ticket {ticket} waits or was tried in this lab")
        if stop() or time.monotonic() >= deadline:
            return None
        time.sleep(min(POLL_SECONDS, max(0.0, deadline - time.monotonic())))
