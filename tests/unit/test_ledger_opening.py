"""Opening a ledger: durable, and one clear sentence for a file that is not ours."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from test_ledger import ledger, path, start
from values import PROPOSAL

from daemon.ledger import Ledger, LedgerError
from daemon.model import OurFault
from policies.interface import Verdict

__all__ = ["ledger", "path"]  # fixtures


def test_is_durable(ledger: Ledger) -> None:
    values = [ledger._one(f"PRAGMA {name}")[0] for name in ("journal_mode", "synchronous", "foreign_keys")]
    assert values == ["wal", 2, 1]


def test_not_a_database(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"hello" * 1000)
    with pytest.raises(LedgerError, match="x cannot be used: file is not a database"):
        Ledger(tmp_path / "x")


def test_another_programs_database(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "x").execute("CREATE TABLE theirs (a)").connection.commit()
    with pytest.raises(LedgerError, match="another program"):
        Ledger(tmp_path / "x")


def test_a_newer_one(path: Path, ledger: Ledger) -> None:
    sqlite3.connect(path).execute("PRAGMA user_version = 99")
    with pytest.raises(LedgerError, match="newer autoresearchd"):
        Ledger(path)


def test_a_locked_one_is_our_fault(path: Path, ledger: Ledger) -> None:
    sqlite3.connect(path, isolation_level=None).execute("BEGIN IMMEDIATE")
    ledger._db.execute("PRAGMA busy_timeout = 1")
    with pytest.raises(OurFault, match="locked"):
        start(ledger)


def test_no_folder_to_be_had(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match="cannot be used"):
        Ledger(tmp_path / "file" / "ledger.sqlite")


def test_a_ledger_of_the_first_version_is_migrated(path: Path) -> None:
    with Ledger(path) as new:
        experiment = new.add(start(new), PROPOSAL)
        experiment = new.add(experiment, Verdict(rules=("syntax",), findings=(), fingerprint="f" * 64))
        expected = new.summaries()
    _make_first_version(path)
    with Ledger(path) as migrated:
        assert migrated.summaries() == expected
        assert (expected[0].patch_sha256, expected[0].fingerprint) == (PROPOSAL.patch.sha256, "f" * 64)
        migrated.verify()


def _make_first_version(path: Path) -> None:
    """Take back what later versions added."""
    with sqlite3.connect(path) as db:
        db.execute("DROP INDEX events_of_the_holdout")
        second = ("base_commit", "patch_sha256", "fingerprint", "ticket", "lesson", "tokens", "usd")
        for column in (*second, "rivals", "gain_bpb", "replicate_seconds"):
            db.execute(f"ALTER TABLE experiments DROP COLUMN {column}")
        db.execute("PRAGMA user_version = 1")
