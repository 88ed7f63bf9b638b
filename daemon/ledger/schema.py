"""The ledger's tables, by version, and how they are opened.

A released statement is never edited: a change is a new version at the end.
"""

from __future__ import annotations

import sqlite3
from itertools import chain
from pathlib import Path
from typing import Final

from daemon.model import OurFault

BUSY_SECONDS: Final = 10.0
APPLICATION_ID: Final = 0x61727364  # "arsd": tells our files from other programs' databases

# An experiment in another phase is one that a killed process left.
UNFINISHED: Final = "phase NOT IN ('closed', 'interrupted', 'abandoned', 'quarantined')"

_EVENTS = """
CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    experiment INTEGER NOT NULL,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL,
    at TEXT NOT NULL,
    previous_hash TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE
) STRICT
"""

_BLOBS = "CREATE TABLE blobs (sha256 TEXT PRIMARY KEY, content BLOB NOT NULL) STRICT"
_ARENAS = "CREATE TABLE arenas (fingerprint TEXT PRIMARY KEY, content TEXT NOT NULL) STRICT"

# A projection of events, for listing without reading payloads; `verify` compares it with them.
_EXPERIMENTS = """
CREATE TABLE experiments (
    number INTEGER PRIMARY KEY,
    arena TEXT NOT NULL REFERENCES arenas (fingerprint),
    phase TEXT NOT NULL,
    opened_at TEXT NOT NULL,
    closed_at TEXT,
    champion INTEGER,
    hypothesis TEXT NOT NULL,
    proposer TEXT NOT NULL,
    decision TEXT,
    reason TEXT NOT NULL,
    status TEXT,
    val_bpb REAL,
    "commit" TEXT,
    trials INTEGER NOT NULL,
    peak_vram_mb REAL,
    startup_seconds REAL NOT NULL,
    train_wall_seconds REAL NOT NULL,
    score_seconds REAL NOT NULL,
    total_seconds REAL NOT NULL
) STRICT
"""

# INSERT OR REPLACE fires no DELETE trigger unless recursive_triggers is on, hence the guard on inserts.
_GAPLESS = """
CREATE TRIGGER events_gapless BEFORE INSERT ON events
WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM events)
BEGIN SELECT RAISE(ABORT, 'events are appended one by one'); END
"""


def _append_only(table: str) -> tuple[str, str]:
    return (
        f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END",
        f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END",
    )


def _projected(column: str, kind: str) -> tuple[str, str]:
    """A new column of the projection, filled from the payload of the experiment's event of that kind."""
    payload = f"SELECT json_extract(payload, '$.{column}') FROM events WHERE experiment = number AND kind = '{kind}'"  # noqa: S608
    return (
        f"ALTER TABLE experiments ADD COLUMN {column} TEXT NOT NULL DEFAULT ''",
        f"UPDATE experiments SET {column} = coalesce(({payload}), '')",  # noqa: S608
    )


VERSIONS: Final = (
    (
        _EVENTS,
        "CREATE INDEX events_by_experiment ON events (experiment, seq)",
        _BLOBS,
        _ARENAS,
        _EXPERIMENTS,
        "CREATE INDEX experiments_by_decision ON experiments (arena, decision, number)",
        "CREATE INDEX experiments_unfinished ON experiments (number) WHERE phase NOT IN ('closed', 'interrupted')",
        _GAPLESS,
        *_append_only("events"),
        *_append_only("blobs"),
        *_append_only("arenas"),
    ),
    (
        *_projected("base_commit", "opened"),
        *_projected("patch_sha256", "proposed"),
        *_projected("fingerprint", "checked"),
        "ALTER TABLE experiments ADD COLUMN ticket TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE experiments ADD COLUMN lesson TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE experiments ADD COLUMN tokens INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE experiments ADD COLUMN usd REAL NOT NULL DEFAULT 0.0",
    ),
    (
        "DROP INDEX experiments_unfinished",
        "CREATE INDEX experiments_unfinished ON experiments (number) "
        "WHERE phase NOT IN ('closed', 'interrupted', 'abandoned')",
    ),
    (
        "ALTER TABLE experiments ADD COLUMN rivals INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE experiments ADD COLUMN gain_bpb REAL",
        # Nothing was replicated before, but a baseline's trials, which do not count.
        "ALTER TABLE experiments ADD COLUMN replicate_seconds REAL NOT NULL DEFAULT 0.0",
        "DROP INDEX experiments_unfinished",
        "CREATE INDEX experiments_unfinished ON experiments (number) "
        "WHERE phase NOT IN ('closed', 'interrupted', 'abandoned', 'quarantined')",
        "CREATE INDEX events_of_the_holdout ON events (seq) WHERE kind = 'holdout'",
    ),
)


class LedgerError(OurFault):
    """The ledger cannot be read or written."""


class LedgerBroken(LedgerError):  # noqa: N818 - a state of the file, not an operation that failed
    """The ledger does not hold together. ``row`` is the first event to doubt; 0 when it is a row of another table."""

    def __init__(self, row: int, what: str) -> None:
        super().__init__(f"the ledger is broken at event {row}: {what}" if row else f"the ledger is broken: {what}")
        self.row = row


def connect(path: Path, *, one_thread: bool = True) -> sqlite3.Connection:
    """Open the ledger, made or migrated where needed, such that a finished transaction survives a power cut.

    Raises:
        LedgerError: the file is not a ledger, or of a newer version.
        sqlite3.Error: it is damaged, locked, or cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=one_thread)
    try:
        _check_ours(db, path)
        # Asked before it is set: setting it takes a lock, even when nothing changes.
        if db.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            db.execute("PRAGMA journal_mode = WAL")
        for pragma in ("synchronous = FULL", "foreign_keys = ON", "recursive_triggers = ON"):
            db.execute(f"PRAGMA {pragma}")
        if _version(db) < len(VERSIONS):
            _migrate(db)
    except BaseException:  # a half-opened connection would hold the file; the error goes on
        db.close()
        raise
    return db


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _check_ours(db: sqlite3.Connection, path: Path) -> None:
    application = db.execute("PRAGMA application_id").fetchone()[0]
    empty = not db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if application != APPLICATION_ID and not empty:
        raise LedgerError(f"{path} is another program's database, not a ledger")
    if _version(db) > len(VERSIONS):
        raise LedgerError(
            f"{path} was written by a newer autoresearchd (schema {_version(db)}, this one knows {len(VERSIONS)})"
        )


def _migrate(db: sqlite3.Connection) -> None:
    """Run the versions that the file lacks, all or none; two processes may come here at once."""
    db.execute("BEGIN IMMEDIATE")
    try:
        for statement in chain.from_iterable(VERSIONS[_version(db) :]):
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {len(VERSIONS)}")
        db.execute("COMMIT")
    except BaseException:  # a half-made schema may not stay; the error goes on
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
