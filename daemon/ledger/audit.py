"""Does a ledger hold together? The chain, then what hangs on it, in memory that does not grow with it."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator

from daemon.ledger import chain
from daemon.ledger.projection import COLUMNS, summarise, summary_of
from daemon.ledger.schema import LedgerBroken
from daemon.model import Experiment

_EVENTS = "SELECT seq, experiment, kind, payload, at, previous_hash, hash FROM events ORDER BY seq"
_ROWS = f"""SELECT {", ".join(f'"{name}"' for name in COLUMNS)} FROM experiments ORDER BY number"""  # noqa: S608
_ONE_SIDED = """
SELECT min(number) FROM (
    SELECT number FROM experiments WHERE number NOT IN (SELECT experiment FROM events)
    UNION ALL
    SELECT experiment FROM events WHERE experiment NOT IN (SELECT number FROM experiments)
)
"""


def check_tables(db: sqlite3.Connection, known_heads: Iterable[str]) -> int:
    """The file, the chain, the arenas, and that each experiment is both written and listed; returns the events.

    Raises:
        LedgerBroken: names the first broken row.
    """
    problem = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if problem != "ok":
        raise LedgerBroken(0, f"SQLite finds the file damaged ({problem})")
    length = chain.check(db.execute(_EVENTS), known_heads)
    _check_arenas(db)
    number = db.execute(_ONE_SIDED).fetchone()[0]
    if number is not None:
        raise LedgerBroken(0, f"experiment {number} is not both listed and written")
    return length


def _check_arenas(db: sqlite3.Connection) -> None:
    for fingerprint, content in db.execute("SELECT fingerprint, content FROM arenas"):
        if hashlib.sha256(content.encode()).hexdigest()[:16] != fingerprint:
            raise LedgerBroken(0, f"arena {fingerprint} is not what its name says")


def experiments(db: sqlite3.Connection, replayed: Callable[[int], Experiment]) -> Iterator[Experiment]:
    """Each experiment, found to be what its line says, with its patch and its program.md.

    Raises:
        LedgerBroken: names the first that is not.
    """
    texts_are_kept = False
    for row in db.execute(_ROWS):
        listed = summary_of(row)
        experiment = replayed(listed.number)
        if summarise(experiment) != listed:
            raise LedgerBroken(0, f"experiment {listed.number} is listed otherwise than its events say")
        kept = _program_is_kept(db, experiment)
        # The first version kept no text of program.md; it took no fingerprint of a patch either.
        texts_are_kept = texts_are_kept or kept or bool(listed.fingerprint)
        if texts_are_kept and not kept and experiment.program_sha256:
            raise LedgerBroken(0, f"the text of program.md of experiment {listed.number} is missing")
        yield experiment


def _program_is_kept(db: sqlite3.Connection, experiment: Experiment) -> bool:
    row = db.execute("SELECT content FROM blobs WHERE sha256 = ?", (experiment.program_sha256 or "",)).fetchone()
    if row is None:
        return False
    if hashlib.sha256(row[0]).hexdigest() != experiment.program_sha256:
        raise LedgerBroken(0, f"the text of program.md of experiment {experiment.number} is not what its name says")
    return True
