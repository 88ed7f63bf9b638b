"""Patches that people and other agents hand in: one file each in a folder, taken in the order they came.

A ticket is the file's name. It is written whole or not at all, goes onto the ledger with the experiment that tries it,
and its file is removed afterwards; a kill in between is noticed by the ticket on the ledger.
"""

from __future__ import annotations

import os
import re
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from daemon.files import private_folder, write_atomically
from daemon.model import MAX_HYPOTHESIS_CHARACTERS, UserError
from daemon.text import clean
from sandbox.faultpoints import reach
from sandbox.interface import MAX_TRAIN_PY_BYTES

MAX_WAITING = 1000
_TICKET = re.compile(r"\d{20}-[0-9a-f]{8}")


class _Slip(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    hypothesis: str
    train_py: str  # base64
    submitter: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """A whole train.py that somebody wants tried."""

    ticket: str
    hypothesis: str
    train_py: bytes
    submitter: str


class Inbox:
    """The queue of one lab. Many may put in; the process that holds the lab's lock takes out."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, train_py: bytes, hypothesis: str, submitter: str = "submit") -> str:
        """Queue a patch; returns its ticket.

        Raises:
            UserError: it is too large, says nothing, or too many wait already.
        """
        if not train_py or len(train_py) > MAX_TRAIN_PY_BYTES:
            raise UserError(f"the file has {len(train_py)} bytes; the sandbox takes 1 to {MAX_TRAIN_PY_BYTES}")
        text = clean(hypothesis, MAX_HYPOTHESIS_CHARACTERS)
        if not text:
            raise UserError("a hypothesis is needed: one sentence on what the change should do")
        private_folder(self._folder)
        if self.count() >= MAX_WAITING:
            raise UserError(f"{MAX_WAITING} patches are waiting already; wait for some to be tried")
        ticket = f"{time.time_ns():020d}-{os.urandom(4).hex()}"
        slip = _Slip(hypothesis=text, train_py=b64encode(train_py).decode(), submitter=submitter)
        write_atomically(self._folder / f"{ticket}.json", slip.model_dump_json().encode(), mode=0o600)
        reach("inbox.written")
        return ticket

    def count(self) -> int:
        """How many wait."""
        return sum(1 for _ in self._tickets())

    def waiting(self) -> Iterator[Submitted]:
        """What waits, oldest first. A file that is no slip is set aside with the ending ``.bad``."""
        for ticket in sorted(self._tickets()):
            path = self._folder / f"{ticket}.json"
            try:
                slip = _Slip.model_validate_json(path.read_bytes())
                train_py = b64decode(slip.train_py, validate=True)
            except FileNotFoundError:
                continue
            except (ValidationError, ValueError):
                path.rename(path.with_suffix(".bad"))
                continue
            yield Submitted(
                ticket=ticket, hypothesis=slip.hypothesis, train_py=train_py, submitter=clean(slip.submitter, 40)
            )

    def discard(self, ticket: str) -> None:
        """Forget a ticket that is on the ledger."""
        if _TICKET.fullmatch(ticket):
            (self._folder / f"{ticket}.json").unlink(missing_ok=True)
            reach("inbox.discarded")

    def _tickets(self) -> Iterator[str]:
        if self._folder.is_dir():
            yield from (p.stem for p in self._folder.iterdir() if p.suffix == ".json" and _TICKET.fullmatch(p.stem))
