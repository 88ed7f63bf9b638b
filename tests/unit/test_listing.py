"""Remembered lines are what the file says, whoever wrote it and whatever became of it."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from values import ALLOWED, ARENA, BASE, DISCARD, PROPOSAL, TRIAL

from daemon.ledger import Committed, Ledger, Listing, TrialStarted
from daemon.model import Experiment, Lesson
from daemon.recall import History, Remembered


def finished(ledger: Ledger, *, arena: str = "docker") -> Experiment:
    experiment = ledger.open(arena=replace(ARENA, sandbox=arena), base_commit=BASE, champion=None, program="brief")
    for value in (PROPOSAL, ALLOWED, TrialStarted(seed=1), TRIAL, DISCARD, Committed(commit="c" * 40)):
        experiment = ledger.add(experiment, value)  # type: ignore[arg-type]
    return ledger.close(experiment)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def asked(ledger: Ledger) -> list[str]:
    statements: list[str] = []
    ledger._db.set_trace_callback(statements.append)
    ledger.summaries()
    ledger._db.set_trace_callback(None)
    return statements


def test_what_has_not_changed_is_not_read_again(path: Path) -> None:
    with Ledger(path) as ledger, Ledger(path) as fresh:
        for _ in range(4):
            finished(ledger)
        first = ledger.summaries()
        assert [statement for statement in asked(ledger) if "experiments" in statement] == []
        finished(ledger)
        assert "WHERE number IN" in asked(ledger)[-1]
        again = ledger.summaries()
        assert all(one is other for one, other in zip(first, again[:4], strict=True))
        assert again == fresh.summaries()
        assert ledger.summaries(arena="nobody's") == []


def test_every_state_of_an_experiment_shows_at_once_by_whichever_connection(path: Path) -> None:
    listing = Listing()
    with Ledger(path, listing=listing) as ledger, Ledger(path, listing=listing) as reader, Ledger(path) as plain:
        experiment = ledger.open(arena=ARENA, base_commit=BASE, champion=None, program="brief")
        for value in (PROPOSAL, ALLOWED, TrialStarted(seed=1), TRIAL, DISCARD, Committed(commit="c" * 40)):
            experiment = ledger.add(experiment, value)  # type: ignore[arg-type]
            with Ledger(path) as new:
                assert ledger.summaries() == reader.summaries() == plain.summaries() == new.summaries()
        ledger.close(experiment)
        reader.add(reader.get(0), Lesson(text="a lesson that came late"))
        assert ledger.summaries()[0].lesson == "a lesson that came late"


def test_a_backup_that_was_put_in_its_place(path: Path, tmp_path: Path) -> None:
    listing = Listing()
    with Ledger(path, listing=listing) as ledger:
        finished(ledger)
        ledger._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copy(path, tmp_path / "backup.sqlite")
        finished(ledger)
        assert len(ledger.summaries()) == 2
    shutil.copy(tmp_path / "backup.sqlite", path)
    with Ledger(path, listing=listing) as ledger:
        assert len(ledger.summaries()) == 1, "an older state shows as it is"
        finished(ledger, arena="another")
        finished(ledger, arena="another")
        with Ledger(path) as fresh:
            assert ledger.summaries() == fresh.summaries(), "and so does another history that is as long or longer"


def test_inside_an_older_snapshot_the_older_lines_show(path: Path) -> None:
    listing = Listing()
    with Ledger(path, listing=listing) as ledger, Ledger(path, listing=listing) as reader:
        finished(ledger)
        reader._db.execute("BEGIN")
        assert len(reader.summaries()) == 1
        finished(ledger)
        assert len(ledger.summaries()) == 2
        assert len(reader.summaries()) == 1
        reader._db.execute("ROLLBACK")
        assert len(reader.summaries()) == 2


def test_many_threads_share_it(path: Path) -> None:
    listing, wrong = Listing(), []
    with Ledger(path, listing=listing) as ledger:
        finished(ledger)

        def look() -> None:
            with Ledger(path, listing=listing) as own:
                for _ in range(50):
                    rows = own.summaries()
                    if [row.number for row in rows] != list(range(len(rows))):
                        wrong.append(rows)

        threads = [threading.Thread(target=look) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(10):
            finished(ledger)
        for thread in threads:
            thread.join(30)
        assert wrong == []
        assert len(ledger.summaries()) == 11


def test_a_history_reads_what_is_looked_at_and_that_once(path: Path) -> None:
    with Ledger(path) as ledger:
        for _ in range(3):
            finished(ledger)
        read: list[int] = []

        def get(number: int) -> Experiment:
            read.append(number)
            return ledger.get(number)

        remembered = Remembered(get)
        history = History(ledger.summaries(), remembered)
        assert (len(history), read) == (3, [])
        assert history[-1] == ledger.get(2)
        assert history == [ledger.get(number) for number in range(3)]
        assert [one.number for one in history[1:]] == [1, 2]
        assert sorted(read) == [0, 1, 2]
        ledger.add(ledger.get(1), Lesson(text="late"))
        assert [one.lesson for one in History(ledger.summaries(), remembered)] == ["", "late", ""]
        assert sorted(read) == [0, 1, 1, 2]


def test_a_line_that_was_doctored_is_not_found_by_this_but_by_verify(path: Path) -> None:
    """Why no hash of the lines is kept: remembering is not checking."""
    with Ledger(path) as ledger:
        finished(ledger)
        before = ledger.summaries()
        db = sqlite3.connect(path)
        db.execute("UPDATE experiments SET val_bpb = 0.5")
        db.commit()
        assert ledger.summaries() == before
        with pytest.raises(Exception, match="listed otherwise"):
            ledger.verify()
