"""Policy checks as the loop and a person ask for them: with the lab's rules, and with what was tried before."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from daemon import arenas
from daemon.checker import Checker
from daemon.lab import Lab
from daemon.model import UserError
from daemon.payload import payload
from daemon.tried import tried_on
from policies import config
from policies.interface import Submission, Tried, Verdict

MAX_FILE_BYTES = 4 * 1024 * 1024  # far above what any rule allows; a rule says the rest


def policy_text(lab: Lab | None) -> str:
    """The lab's policy.yaml; the shipped one where there is no lab."""
    content = lab.read("policy.yaml") if lab else payload("policy.yaml")
    return content.decode("utf-8", errors="replace")


def check_file(lab: Lab | None, file: Path) -> Verdict:
    """What the policies say of a file, against the lab's champion; outside a lab it stands for itself.

    Raises:
        UserError: the file cannot be read, or policy.yaml is wrong.
        OurFault: the checker could not be started.
    """
    try:
        with file.open("rb") as opened:
            patch = opened.read(MAX_FILE_BYTES)
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from error
    base, tried = _base(lab)
    with Checker(policy_text(lab)) as checker:
        return checker.check(Submission(patch=patch, base=base, tried=tried))


def _base(lab: Lab | None) -> tuple[bytes, dict[str, Tried]]:
    if lab is None:
        return b"", {}
    with lab.ledger() as ledger:
        champion = arenas.champion(ledger)
        if champion is None or champion.commit is None:
            return lab.read("train.py"), {}
        tried = tried_on(champion.commit, ledger.summaries(arena=champion.arena))
    return lab.workspace.read(champion.commit), tried


def explain(lab: Lab | None) -> list[tuple[str, str, Mapping[str, object]]]:
    """Name, purpose and settings of each active rule.

    Raises:
        UserError: policy.yaml is wrong.
    """
    try:
        return config.describe(config.load(policy_text(lab)))
    except config.PolicyError as error:
        raise UserError(str(error)) from error
