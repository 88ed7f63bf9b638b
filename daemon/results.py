"""``results.tsv``: the five columns that people's scripts know, written anew from the ledger."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from daemon.files import write_atomically
from daemon.model import Decision, Summary
from daemon.text import clean

HEADER = "commit\tval_bpb\tmemory_gb\tstatus\tdescription"
MAX_DESCRIPTION_CHARACTERS = 300
MAX_MEMORY_MB = 1e7  # a claim of more is none
_STATUS = {Decision.KEEP: "keep", Decision.DISCARD: "discard"}
_FORMULA = re.compile(r"[=+\-@＝＋－＠]")


def write(path: Path, summaries: Iterable[Summary]) -> None:
    """Replace ``path`` by one line for each decided experiment, in order.

    Raises:
        OSError: it cannot be written; the old file stays.
    """
    lines = [HEADER, *(_line(summary) for summary in summaries if summary.decision is not None)]
    write_atomically(path, ("\n".join(lines) + "\n").encode())


def _line(summary: Summary) -> str:
    status = _STATUS.get(summary.decision, "crash") if summary.decision else ""
    scored = summary.val_bpb is not None and status != "crash"
    cells = (
        (summary.commit or "0000000")[:7],
        f"{summary.val_bpb if scored else 0.0:.6f}",
        f"{_memory_gb(summary.peak_vram_mb):.1f}",
        status,
        text_cell(clean(summary.hypothesis, MAX_DESCRIPTION_CHARACTERS)),
    )
    return "\t".join(cells)


def text_cell(text: str) -> str:
    """One cell; an apostrophe goes before a sign that would make it a formula in a spreadsheet."""
    return f"'{text}" if _FORMULA.match(text) else text


def _memory_gb(megabytes: float | None) -> float:
    """What the log claimed, which may be anything."""
    return megabytes / 1024 if megabytes is not None and 0 <= megabytes <= MAX_MEMORY_MB else 0.0
