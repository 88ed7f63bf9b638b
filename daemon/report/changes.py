"""A diff in short."""

from __future__ import annotations

from daemon.report.values import Change
from daemon.text import clean

MAX_LINES, MAX_LINE = 40, 200
MAX_DIFF = 400_000  # characters that are looked at


def change_of(diff: str) -> Change:
    """The changed lines of a unified diff of one file, counted and the first of them shown."""
    _, _, body = clean(diff, MAX_DIFF, lines=True).partition("\n@@")
    changed = [line for line in body.split("\n") if line[:1] in ("+", "-")]
    shown = [clean(line, MAX_LINE) for line in changed[:MAX_LINES]]
    return Change(
        added=sum(line.startswith("+") for line in changed),
        removed=sum(line.startswith("-") for line in changed),
        lines=shown,
        left_out=len(changed) - len(shown),
    )
