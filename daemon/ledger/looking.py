"""A ledger as those see it who only look, beside the process that writes: opened read-only, asked by the screenful."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from daemon.ledger.ledger import Ledger, utc_now
from daemon.ledger.projection import COLUMNS, summary_of
from daemon.ledger.schema import APPLICATION_ID, BUSY_SECONDS, LedgerError
from daemon.model import Decision, Summary

Sort = Literal["number", "score", "gain", "seconds"]
_LINE = ", ".join(f'e."{name}"' for name in COLUMNS)
_GAIN = "champ.val_bpb - e.val_bpb"
_FROM = "FROM experiments AS e LEFT JOIN experiments AS champ ON champ.number = e.champion AND champ.arena = e.arena"
_ORDER = {"number": "e.number", "score": "e.val_bpb", "gain": _GAIN, "seconds": "e.total_seconds"}
_WORDS = "instr(lower(e.hypothesis || char(10) || e.lesson || char(10) || e.reason), ?) > 0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which experiments, in which order: ``words`` is looked for in hypothesis, lesson and reason, without case."""

    decision: Decision | None = None
    proposer: str | None = None
    words: str = ""
    sort: Sort = "number"
    ascending: bool = False
    limit: int = 50
    offset: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A line with what it gained on its champion: bits per byte, more is better."""

    row: Summary
    gain: float | None


class Point(NamedTuple):
    """An experiment in a picture; a tuple, for it is made by the ten thousand."""

    number: int
    decision: Decision
    val_bpb: float | None


class Looking(Ledger):
    """The same ledger, for reading: every attempt to write through it fails."""

    def __init__(self, path: Path) -> None:
        """Open what is there.

        Raises:
            LedgerError: there is no ledger, it is no ledger, or it cannot be read.
        """
        self._path, self._now = path, utc_now
        with self._translated():
            self._db = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS, isolation_level=None
            )
            self._db.execute("PRAGMA query_only = ON")
            self._db.execute("PRAGMA cache_size = -1024")  # KiB
            if self._one("PRAGMA application_id")[0] != APPLICATION_ID:
                self._db.close()
                raise LedgerError(f"{path} is another program's database, not a ledger")

    def __enter__(self) -> Looking:
        return self

    def moved(self) -> int:
        """Grows with every event: while it stays, nothing here has changed."""
        return int(self._one("SELECT coalesce(max(seq), 0) FROM events")[0])

    def page(self, wanted: Wanted) -> tuple[list[Listed], int]:
        """The lines of one page, and how many there are in all."""
        # Only numbers are sorted, and only the lines of one page are read.
        numbers = self._wanted(wanted)
        chosen = numbers[wanted.offset : wanted.offset + wanted.limit]
        where = "WHERE e.number IN (SELECT value FROM json_each(?))"
        rows = self._all(f"SELECT {_GAIN}, {_LINE} {_FROM} {where}", (json.dumps(chosen),))
        found = {row[1]: Listed(row=summary_of(row[1:]), gain=row[0]) for row in rows}
        return [found[number] for number in chosen if number in found], len(numbers)

    def _wanted(self, wanted: Wanted) -> list[int]:
        conditions = {
            "e.decision = ?": wanted.decision.value if wanted.decision else None,
            "e.proposer = ?": wanted.proposer,
            _WORDS: wanted.words.lower() or None,
        }
        asked = {condition: value for condition, value in conditions.items() if value is not None}
        key, way = _ORDER[wanted.sort], "ASC" if wanted.ascending else "DESC"
        source = _FROM if wanted.sort == "gain" else "FROM experiments AS e"
        order = f"e.number {way}" if wanted.sort == "number" else f"{key} IS NULL, {key} {way}, e.number {way}"
        where = f"WHERE {' AND '.join(asked)}" if asked else ""
        rows = self._all(f"SELECT e.number {source} {where} ORDER BY {order}", tuple(asked.values()))
        return [number for (number,) in rows]

    def points(self, arena: str) -> list[Point]:
        """Every decided experiment of an arena, in order."""
        sql = "SELECT number, decision, val_bpb FROM experiments NOT INDEXED WHERE arena = ? AND decision IS NOT NULL"
        rows = self._all(f"{sql} ORDER BY number", (arena,))
        known = {decision.value: decision for decision in Decision}
        return [Point(number, known[decision], bpb) for number, decision, bpb in rows]

    def hypotheses(self, numbers: Sequence[int]) -> dict[int, str]:
        """What was supposed, by number, for those of ``numbers`` that there are."""
        sql = "SELECT number, hypothesis FROM experiments WHERE number IN (SELECT value FROM json_each(?))"
        return dict(self._all(sql, (json.dumps(list(numbers)),)))

    def tally(self, arena: str | None = None) -> dict[Decision, int]:
        """How many ended how, in one arena or in all."""
        where = "decision IS NOT NULL AND (?1 IS NULL OR arena = ?1)"
        found = dict(self._all(f"SELECT decision, count(*) FROM experiments WHERE {where} GROUP BY 1", (arena,)))  # noqa: S608 - fixed texts
        return {decision: found[decision] for decision in Decision if decision in found}

    def arenas(self) -> list[tuple[str, int]]:
        """Fingerprints with how many experiments ran there, the newest first."""
        return list(self._all("SELECT arena, count(*) FROM experiments GROUP BY arena ORDER BY max(number) DESC", ()))

    def proposers(self) -> list[str]:
        """Who has proposed, by name."""
        sql = "SELECT DISTINCT proposer FROM experiments WHERE proposer <> '' ORDER BY proposer LIMIT 100"
        return [name for (name,) in self._all(sql, ())]

    def story(self, number: int) -> list[tuple[str, str]]:
        """The kinds of an experiment's events with their times."""
        return list(self._all("SELECT kind, at FROM events WHERE experiment = ? ORDER BY seq", (number,)))

    def briefs(self, since: int) -> list[tuple[int, str]]:
        """The hash of program.md of every experiment from number ``since`` on, where one is known."""
        sql = (
            "SELECT number, (SELECT json_extract(payload, '$.program_sha256') FROM events "
            "WHERE experiment = number ORDER BY seq LIMIT 1) FROM experiments WHERE number >= ? ORDER BY number"
        )
        return [(number, sha256) for number, sha256 in self._all(sql, (since,)) if sha256]

    def keeps(self, since: int) -> list[tuple[int, float]]:
        """What each keep from number ``since`` on gained on its champion: bits per byte, more is better."""
        sql = f"SELECT e.number, {_GAIN} {_FROM} WHERE e.decision = ? AND e.number >= ? AND {_GAIN} IS NOT NULL"
        return list(self._all(f"{sql} ORDER BY e.number", (Decision.KEEP.value, since)))

    def brief(self, sha256: str) -> str | None:
        """A text of program.md by its hash; None where it was not kept."""
        rows = self._all("SELECT content FROM blobs WHERE sha256 = ?", (sha256,))
        return bytes(rows[0][0]).decode("utf-8", errors="replace") if rows else None
