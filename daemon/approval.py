"""A person's word on a candidate that was too good to be kept without one."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from daemon.files import private_folder, write_atomically
from daemon.inbox import Inbox
from daemon.ledger import Ledger
from daemon.model import MAX_HYPOTHESIS_CHARACTERS, Phase, UserError
from daemon.text import clean

FOLDER = "approved"
SUBMITTER = "approved"
_SHA256 = re.compile(r"[0-9a-f]{64}")


def approve(state: Path, ledger: Ledger, inbox: Inbox, number: int, who: str) -> str:
    """Note that ``who`` has looked at experiment ``number``, and queue its patch against the present champion.

    It is tested once more, on fresh seeds; it may then be kept however good it is. Returns the ticket.

    Raises:
        UserError: that experiment is not withheld.
    """
    experiment = ledger.get(number)
    if experiment.phase is not Phase.QUARANTINED or experiment.proposal is None:
        raise UserError(
            f"experiment {number} is {experiment.phase.value}, not withheld; `autoresearch status` lists them all"
        )
    patch = experiment.proposal.patch
    write_atomically(private_folder(state / FOLDER) / patch.sha256, f"{clean(who, 100)}\n".encode(), mode=0o600)
    words = clean(experiment.hypothesis, MAX_HYPOTHESIS_CHARACTERS - 60)
    return inbox.put(patch.train_py, f"#{number}, approved by {clean(who, 40)}: {words}", submitter=SUBMITTER)


def approved(state: Path) -> Callable[[str], bool]:
    """Says of a patch, by its sha256, whether a person has approved it."""
    return lambda sha256: bool(_SHA256.fullmatch(sha256)) and (state / FOLDER / sha256).is_file()
