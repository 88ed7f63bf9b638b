"""The ledger: durable at each step, replayed the same, and telling when somebody doctored it."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from values import ALLOWED, ARENA, BASE, DISCARD, KEEP, PROPOSAL, TRIAL, anything, experiment, scored

from daemon.ledger import (
    GENESIS,
    MAX_LOG_TAIL,
    Committed,
    IllegalTransition,
    Interrupted,
    Ledger,
    LedgerBroken,
    TrialStarted,
    projection,
    records,
)
from daemon.model import Decision, Experiment, Outcome, Patch, Phase, Proposal, UserError
from daemon.phases import Closed, Value


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger(path) as opened:
        yield opened


def start(ledger: Ledger, arena: object = ARENA) -> Experiment:
    return ledger.open(arena=arena, base_commit=BASE, champion=None, program="the brief")  # type: ignore[arg-type]


def decided(ledger: Ledger, bpb: float, outcome: Outcome) -> Experiment:
    state = start(ledger)
    for value in (PROPOSAL, ALLOWED, TrialStarted(seed=1), scored(bpb), outcome):
        state = ledger.add(state, value)
    return state


def finished(ledger: Ledger, bpb: float, outcome: Outcome) -> Experiment:
    return ledger.close(ledger.add(decided(ledger, bpb, outcome), Committed(commit=BASE)))


def crash_image(path: Path, to: Path) -> Path:
    """What a kill leaves on disk: the files as they are now, without the shared memory index."""
    to.mkdir(exist_ok=True)
    for name in (path.name, f"{path.name}-wal"):
        shutil.copy(path.with_name(name), to / name)
    return to / path.name


@given(anything)
def test_every_value_comes_back_the_same(value: Value | Closed) -> None:
    kind, payload = records.encode(value)
    blob = value.patch.train_py if isinstance(value, Proposal) else b""
    assert records.decode(kind, json.loads(records.canonical(payload)), lambda _: blob) == value


def test_a_claim_of_nan_is_a_value_too() -> None:
    claim = replace(TRIAL, claimed_bpb=float("nan"), claimed={"peak_vram_mb": float("inf")})
    kind, payload = records.encode(claim)
    back = records.decode(kind, json.loads(records.canonical(payload)), lambda _: b"")
    assert repr(back) == repr(claim)
    assert projection.summarise(experiment(trials=(claim,))).peak_vram_mb is None


def test_a_life_from_opened_to_closed(ledger: Ledger) -> None:
    closed = finished(ledger, 1.5, KEEP)
    assert (closed.number, closed.phase, closed.val_bpb, closed.commit) == (0, Phase.CLOSED, 1.5, BASE)
    assert ledger.get(0) == closed == ledger.latest() == ledger.champion(ARENA.fingerprint)
    assert ledger.arena(ARENA.fingerprint) == ARENA
    assert ledger.count() == 1
    assert start(ledger).number == 1


@settings(max_examples=10, deadline=None)
@given(values=st.lists(anything, max_size=12))
def test_after_any_step_a_killed_ledger_holds_the_same(
    tmp_path_factory: pytest.TempPathFactory, values: list[Value]
) -> None:
    folder = tmp_path_factory.mktemp("lab")
    with Ledger(folder / "ledger.sqlite") as ledger:
        state = start(ledger)
        for step, value in enumerate([PROPOSAL, ALLOWED, TrialStarted(seed=1), TRIAL, *values]):
            with suppress(IllegalTransition):
                state = ledger.close(state) if isinstance(value, Closed) else ledger.add(state, value)
            with Ledger(crash_image(folder / "ledger.sqlite", folder / str(step))) as again:
                assert again.get(0) == state
                assert again.summaries() == ledger.summaries() == [projection.summarise(state)]
                again.verify([ledger.head_hash()])


def test_a_process_killed_right_after_a_transaction_lost_nothing(path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; sys.path[:0] = sys.argv[2:]\n"
        "from test_ledger import *\n"
        "ledger = Ledger(Path(sys.argv[1])); decided(ledger, 1.25, KEEP); os.kill(os.getpid(), signal.SIGKILL)"
    )
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
    killed = subprocess.run([sys.executable, "-c", code, str(path), *folders])
    assert killed.returncode == -signal.SIGKILL
    with Ledger(path) as ledger:
        assert [e.val_bpb for e in ledger.unfinished()] == [1.25]
        ledger.verify()


def test_an_old_value_is_not_taken(ledger: Ledger) -> None:
    opened = start(ledger)
    ledger.add(opened, PROPOSAL)
    with pytest.raises(IllegalTransition, match="moved on to proposed"):
        ledger.add(opened, PROPOSAL)
    assert ledger.get(0).phase is Phase.PROPOSED


def test_unfinished_are_neither_closed_nor_interrupted(ledger: Ledger) -> None:
    finished(ledger, 1.5, KEEP)
    ledger.add(start(ledger), Interrupted(reason="stopped"))
    pending = decided(ledger, 1.4, DISCARD)
    opened = start(ledger)
    assert ledger.unfinished() == [pending, opened]


def test_the_champion_is_the_last_kept_of_its_arena(ledger: Ledger) -> None:
    other = replace(ARENA, train_seconds=60.0)
    assert ledger.champion(ARENA.fingerprint) is None
    finished(ledger, 1.5, KEEP)
    second = finished(ledger, 1.4, KEEP)
    finished(ledger, 1.6, DISCARD)
    start(ledger, other)
    assert ledger.champion(ARENA.fingerprint) == second
    assert ledger.champion(other.fingerprint) is None
    assert [e.number for e in ledger.experiments(arena=other.fingerprint)] == [3]
    assert [e.number for e in ledger.experiments(since=2)] == [2, 3]
    assert [s.decision for s in ledger.summaries(ARENA.fingerprint)] == [Decision.KEEP, Decision.KEEP, Decision.DISCARD]


def test_a_log_is_kept_from_its_end(ledger: Ledger) -> None:
    state = start(ledger)
    for value in (PROPOSAL, ALLOWED, TrialStarted(seed=1)):
        state = ledger.add(state, value)
    state = ledger.add(state, replace(TRIAL, log_tail="x" * MAX_LOG_TAIL + "the end"))
    assert len(state.trials[0].log_tail) == MAX_LOG_TAIL
    assert state.trials[0].log_tail.endswith("the end")
    assert ledger.get(0) == state


def test_hostile_text_is_kept_as_it_is_and_listed_clean(ledger: Ledger) -> None:
    hostile = "a\x00b\x1b[2J\ud800\u202e'; DROP TABLE events; --\n" + "x" * 2000
    proposal = Proposal(hypothesis=hostile, patch=Patch(train_py=b"\xff\x00", base_commit=BASE), proposer="llm")
    ledger.add(start(ledger), proposal)
    assert ledger.get(0).proposal == proposal
    listed = ledger.summaries()[0].hypothesis
    assert listed.startswith(r"a\x00b\x1b[2J\ud800\u202e'; DROP")
    assert len(listed) == 500
    ledger.verify()


def test_what_is_not_there_is_the_users_mistake(ledger: Ledger) -> None:
    with pytest.raises(UserError, match="no experiment 7; the lab has 0"):
        ledger.get(7)
    with pytest.raises(UserError, match="no experiment ran"):
        ledger.arena("f" * 16)
    with pytest.raises(UserError, match="not decided"):
        ledger.decision_hash(start(ledger).number)


def test_two_read_while_one_writes(path: Path, ledger: Ledger) -> None:
    with Ledger(path) as one, Ledger(path) as two:
        state = start(ledger)
        writing = sqlite3.connect(path, isolation_level=None)
        writing.execute("BEGIN IMMEDIATE")
        assert one.get(0) == two.get(0) == state
        writing.execute("ROLLBACK")
        state = ledger.add(state, PROPOSAL)
        assert one.get(0) == two.get(0) == state


def test_ten_thousand_rows_are_listed_without_payloads(path: Path, ledger: Ledger) -> None:
    finished(ledger, 1.5, KEEP)
    raw = sqlite3.connect(path)
    columns = ", ".join(f'"{name}"' for name in projection.COLUMNS[1:])
    raw.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9999) "
        f"INSERT INTO experiments (number, {columns}) SELECT i, {columns} FROM n, experiments WHERE number = 0"
    )
    raw.commit()
    statements: list[str] = []
    ledger._db.set_trace_callback(statements.append)
    assert len(ledger.summaries()) == 10_000
    assert not [statement for statement in statements if "payload" in statement]
    assert len(statements) <= 3


class TestVerify:
    """Each doctoring is done with SQLite itself, triggers dropped, as somebody with the file could."""

    @pytest.fixture
    def raw(self, path: Path, ledger: Ledger) -> Iterator[sqlite3.Connection]:
        finished(ledger, 1.5, KEEP)
        finished(ledger, 1.4, KEEP)
        ledger.verify([ledger.head_hash(), ledger.decision_hash(0), GENESIS])
        db = sqlite3.connect(path, isolation_level=None)
        for table in ("events", "blobs", "arenas"):
            db.execute(f"DROP TRIGGER {table}_no_update")
            db.execute(f"DROP TRIGGER {table}_no_delete")
        yield db
        db.close()

    @pytest.mark.parametrize(
        ("doctoring", "row"),
        [
            ("UPDATE events SET payload = replace(payload, '1.5', '1.1') WHERE seq = 5", 5),
            ("UPDATE events SET at = '2020' WHERE seq = 3", 3),
            ("UPDATE events SET kind = 'closed' WHERE seq = 3", 3),
            ("UPDATE events SET hash = 'x' WHERE seq = 4", 4),
            ("UPDATE events SET previous_hash = 'x' WHERE seq = 4", 4),
            ("UPDATE events SET experiment = 1 WHERE seq = 4", 4),
            ("DELETE FROM events WHERE seq = 6", 6),
            ("DELETE FROM events WHERE seq = 1", 1),
            ("UPDATE experiments SET val_bpb = 1.1 WHERE number = 1", 0),
            ("DELETE FROM experiments WHERE number = 1", 0),
            ("UPDATE arenas SET content = replace(content, '300', '900')", 0),
            ("UPDATE blobs SET content = x'00'", 2),
            ("DELETE FROM blobs", 2),
        ],
    )
    def test_names_the_first_broken_row(
        self, ledger: Ledger, raw: sqlite3.Connection, doctoring: str, row: int
    ) -> None:
        raw.execute(doctoring)
        with pytest.raises(LedgerBroken) as broken:
            ledger.verify()
        assert broken.value.row == row

    def test_a_cut_tail_shows_against_a_hash_kept_elsewhere(self, ledger: Ledger, raw: sqlite3.Connection) -> None:
        kept = ledger.decision_hash(1)
        raw.execute("DELETE FROM events WHERE experiment = 1")
        raw.execute("DELETE FROM experiments WHERE number = 1")
        ledger.verify()
        with pytest.raises(LedgerBroken, match=r"event 9: .*cut off"):
            ledger.verify([kept])


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET payload = '{}'",
        "DELETE FROM events",
        "INSERT OR REPLACE INTO events VALUES (1, 0, 'closed', '{}', '', '', 'x')",
        "INSERT INTO events VALUES (9, 0, 'closed', '{}', '', '', 'x')",
        "UPDATE blobs SET content = x''",
        "DELETE FROM arenas",
    ],
)
def test_the_tables_are_append_only(path: Path, ledger: Ledger, statement: str) -> None:
    ledger.add(start(ledger), PROPOSAL)
    raw = sqlite3.connect(path)
    with pytest.raises(sqlite3.IntegrityError, match="append"):
        raw.execute(statement)
