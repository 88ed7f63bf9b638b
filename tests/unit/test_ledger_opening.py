"""Opening a ledger: durable, and one clear sentence for a file that is not ours."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from test_ledger import ledger, path, start

from daemon.ledger import Ledger, LedgerError
from daemon.model import OurFault

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
