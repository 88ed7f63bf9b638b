"""``results.tsv``: the five columns that people's scripts know, written anew from the ledger."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from daemon.arenas import LONG
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
    lines = [HEADER, *(_line(summary) for summary in summaries if _is_told(summary))]
    write_atomically(path, ("\n".join(lines) + "\n").encode())


class ResultsFile:
    """The same file kept up with the ledger: a line is put behind the others where nothing else has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._told: dict[int, Summary] = {}
        self._lines: dict[int, str] = {}
        self._written: tuple[int, int] | None = None

    def update(self, summaries: Iterable[Summary]) -> None:
        """Bring the file in line with the ledger's rows, in order.

        Raises:
            OSError: it cannot be written.
        """
        rows = [row for row in summaries if _is_told(row)]
        new = [row for row in rows if row is not self._told.get(row.number)]
        appends = len(rows) - len(new) == len(self._told) and rows[len(self._told) :] == new
        self._told |= {row.number: row for row in new}
        self._lines |= {row.number: _line(row) for row in new}
        if appends and self._written is not None and self._written == _facts(self._path):
            with self._path.open("ab") as file:
                file.write("".join(f"{self._lines[row.number]}\n" for row in new).encode())
        else:
            self._told = {row.number: row for row in rows}
            text = "\n".join([HEADER, *(self._lines[row.number] for row in rows)])
            write_atomically(self._path, f"{text}\n".encode())
        self._written = _facts(self._path)


def _is_told(row: Summary) -> bool:
    """Is it decided, and not a long run, whose score would stand among others that it cannot be compared with?"""
    return row.decision is not None and row.proposer != LONG


def _facts(path: Path) -> tuple[int, int] | None:
    """Tells whether somebody else has written the file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


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
