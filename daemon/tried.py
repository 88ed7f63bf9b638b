"""What earlier experiments tell about the next one."""

from __future__ import annotations

from collections.abc import Iterable

from daemon.model import Decision, Phase, Summary
from policies.interface import Tried


def tried_on(base_commit: str, rows: Iterable[Summary]) -> dict[str, Tried]:
    """The programs that were run and decided against this base, by fingerprint, with their first outcome."""
    found: dict[str, Tried] = {}
    for row in rows:
        withheld = row.phase is Phase.QUARANTINED
        ran = withheld or (row.decision is not None and row.decision is not Decision.REFUSED)
        if ran and row.fingerprint and row.base_commit == base_commit:
            outcome = "withheld" if withheld else str(row.decision)
            found.setdefault(row.fingerprint, Tried(experiment=row.number, outcome=outcome))
    return found


def free_startup_seconds(rows: Iterable[Summary], margin_seconds: float) -> float:
    """What start-up costs nothing: the slowest baseline of this arena, plus the margin."""
    baselines = (row.startup_seconds / max(1, row.trials) for row in rows if row.champion is None)
    return max(baselines, default=0.0) + margin_seconds
