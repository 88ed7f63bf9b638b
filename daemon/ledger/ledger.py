"""The ledger: an append-only, hash-chained list of events, and what is derived from it.

The ``events`` table is the truth. Each row's hash covers its own content and the hash of the row before
it, so a doctored, deleted or inserted row shows; a tail cut off shows against a hash kept elsewhere
(every experiment's commit carries one). ``experiments`` is a projection for fast listing, written in the
same transaction. The bytes of patches lie in ``blobs`` under their sha256.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from daemon.ledger import audit, chain, holdout, records, totals
from daemon.ledger.holdout import Look
from daemon.ledger.listing import Listing
from daemon.ledger.projection import COLUMNS, row_of, summarise
from daemon.ledger.schema import UNFINISHED, LedgerBroken, LedgerError, connect
from daemon.ledger.totals import Totals
from daemon.model import Arena, Decision, Experiment, Phase, Proposal, Summary, UserError
from daemon.phases import Closed, IllegalTransition, Value, advance
from sandbox.faultpoints import reach

_COLUMNS = ", ".join(f'"{name}"' for name in COLUMNS)


def utc_now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


class Ledger:
    """One lab's memory. One process writes; others may read meanwhile. Use it as a context manager.

    Every method may raise LedgerError: the file is locked, full, damaged or not ours.
    """

    def __init__(
        self,
        path: Path,
        *,
        now: Callable[[], str] = utc_now,
        one_thread: bool = True,
        listing: Listing | None = None,
    ) -> None:
        """Open it. With ``one_thread`` false the caller sees to it that one thread at a time uses this connection.

        Connections to the same file may share a ``listing``.
        """
        self._path = path
        self._listing = listing or Listing()
        self._now = now
        with self._translated():
            self._db = connect(path, one_thread=one_thread)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    def open(self, *, arena: Arena, base_commit: str, champion: int | None, program: str) -> Experiment:
        """Append a new experiment with the next number, durably, with the text of program.md it runs under."""
        at, brief = self._now(), program.encode()
        program_sha256 = hashlib.sha256(brief).hexdigest()
        with self._transaction():
            self._db.execute("INSERT INTO blobs VALUES (?, ?) ON CONFLICT DO NOTHING", (program_sha256, brief))
            content, fingerprint = records.arena(arena), arena.fingerprint
            self._db.execute("INSERT INTO arenas VALUES (?, ?) ON CONFLICT DO NOTHING", (fingerprint, content))
            experiment = Experiment(
                number=self.count(),
                arena=fingerprint,
                base_commit=base_commit,
                champion=champion,
                program_sha256=program_sha256,
                phase=Phase.OPENED,
                opened_at=at,
            )
            self._append(experiment.number, "opened", records.canonical(records.opened(experiment)), at)
            self._project(experiment)
        reach("opened.after")
        return experiment

    def add(self, experiment: Experiment, value: Value) -> Experiment:
        """Append ``value`` to ``experiment`` in one durable transaction and return what it is now.

        Raises:
            IllegalTransition: ``value`` may not follow, or ``experiment`` is not the newest state.
        """
        return self._advance(experiment, value)

    def close(self, experiment: Experiment) -> Experiment:
        """Append the end of a decided experiment.

        Raises:
            IllegalTransition: it is not decided, or kept and not committed.
        """
        return self._advance(experiment, Closed())

    def get(self, number: int) -> Experiment:
        """The experiment, replayed from its events.

        Raises:
            UserError: there is none with this number.
        """
        with self._translated():
            rows = self._db.execute(
                "SELECT seq, kind, payload, at FROM events WHERE experiment = ? ORDER BY seq", (number,)
            ).fetchall()
            if not rows:
                raise UserError(f"there is no experiment {number}; the lab has {self.count()}, counted from 0")
            return self._replay(number, rows)

    def latest(self) -> Experiment | None:
        count = self.count()
        return self.get(count - 1) if count else None

    def count(self) -> int:
        return int(self._one("SELECT coalesce(max(number) + 1, 0) FROM experiments")[0])

    def experiments(self, since: int = 0, arena: str | None = None) -> Iterator[Experiment]:
        """Every experiment from number ``since`` on, in full: for listing take :meth:`summaries`."""
        where = "number >= ? AND (? IS NULL OR arena = ?)"
        for number in self._numbers(where, (since, arena, arena)):
            yield self.get(number)

    def summaries(self, arena: str | None = None) -> list[Summary]:
        """One line for every experiment, read from the projection alone."""
        return [line for line in self._listing.lines(self._all) if arena is None or line.arena == arena]

    def totals(self) -> Totals:
        """What the lab has counted since it was made."""
        with self._translated():
            return totals.read(self._db)

    def champion(self, arena_fingerprint: str) -> Experiment | None:
        """The last experiment kept in this arena, or None."""
        where = "arena = ? AND decision = ?"
        numbers = self._numbers(where, (arena_fingerprint, Decision.KEEP.value), "number DESC LIMIT 1")
        return self.get(numbers[0]) if numbers else None

    def unfinished(self) -> list[Experiment]:
        """Experiments that did not come to an end: what a killed process left."""
        return [self.get(number) for number in self._numbers(UNFINISHED, ())]

    def voided(self, since: int = 0) -> int:
        """How many trials of experiments from number ``since`` on did not count."""
        rows = self._all("SELECT count(*) FROM events WHERE kind = 'trial-voided' AND experiment >= ?", (since,))
        return int(rows[0][0])

    def looks(self) -> list[Look]:
        """Every look at the holdout, oldest first: for people, never for who proposes."""
        with self._translated():
            return holdout.read(self._db)

    def program(self, number: int) -> str:
        """The text of program.md that an experiment ran under.

        Raises:
            UserError: there is no such experiment, or it is from before the texts were kept.
        """
        sha256 = self.get(number).program_sha256 or ""
        rows = self._all("SELECT content FROM blobs WHERE sha256 = ?", (sha256,))
        if not rows:
            raise UserError(f"the text of program.md was not kept with experiment {number}")
        return bytes(rows[0][0]).decode()

    def has_ticket(self, ticket: str) -> bool:
        """Was the patch of this ticket proposed already?"""
        return self.ticket(ticket) is not None

    def ticket(self, ticket: str) -> int | None:
        """The number of the newest experiment that tries the patch of a ticket."""
        numbers = self._numbers("ticket = ?", (ticket,), "number DESC LIMIT 1") if ticket else []
        return numbers[0] if numbers else None

    def arena(self, fingerprint: str) -> Arena:
        """Raises UserError if no experiment ran in it."""
        row = self._all("SELECT content FROM arenas WHERE fingerprint = ?", (fingerprint,))
        if not row:
            raise UserError(f"no experiment ran in an arena {fingerprint}")
        return records.read_arena(row[0][0])

    def events(self) -> int:
        """How many events there are."""
        return int(self._one("SELECT count(*) FROM events")[0])

    def head_hash(self) -> str:
        """The hash of the newest event: it vouches for all before it."""
        rows = self._all("SELECT hash FROM events ORDER BY seq DESC LIMIT 1", ())
        return str(rows[0][0]) if rows else chain.GENESIS

    def decision_hash(self, number: int) -> str:
        """The hash of an experiment's decision: the same whenever it is asked for, unlike the head.

        Raises:
            UserError: the experiment is not decided.
        """
        rows = self._all("SELECT hash FROM events WHERE experiment = ? AND kind = 'decided'", (number,))
        if not rows:
            raise UserError(f"experiment {number} is not decided")
        return str(rows[0][0])

    def verify(self, known_heads: Iterable[str] = ()) -> None:
        """Check the chain, the experiments, the arenas and the blobs; ``known_heads`` must be in the chain.

        Raises:
            LedgerBroken: names the first broken row.
        """
        for _ in self.audit(known_heads):
            pass

    def audit(self, known_heads: Iterable[str] = ()) -> Iterator[Experiment]:
        """The same check, experiment by experiment: the chain first, then each one as soon as it was found sound.

        Raises:
            LedgerBroken: names the first broken row.
        """
        with self._translated():
            self._db.execute("BEGIN")  # one snapshot for all that is read: a run may go on meanwhile
            try:
                audit.check_tables(self._db, known_heads)
                yield from audit.experiments(self._db, self.get)
            finally:
                self._db.execute("ROLLBACK")

    def _advance(self, experiment: Experiment, value: Value | Closed) -> Experiment:
        kind, payload = records.encode(value)
        text, at = records.canonical(payload), self._now()
        with self._transaction():
            stored = self.get(experiment.number)
            if _state(stored) != _state(experiment):
                raise IllegalTransition(f"experiment {stored.number} has moved on to {stored.phase.value}")
            if isinstance(value, Proposal):
                patch = value.patch
                row = (patch.sha256, patch.train_py)
                self._db.execute("INSERT INTO blobs VALUES (?, ?) ON CONFLICT DO NOTHING", row)
            after = advance(stored, records.decode(kind, json.loads(text), self._blob), at)
            self._append(stored.number, kind, text, at)
            self._project(after)
        reach(f"{kind}.after")
        return after

    def _append(self, experiment: int, kind: str, payload: str, at: str) -> None:
        reach(f"{kind}.before")
        seq = int(self._one("SELECT coalesce(max(seq), 0) + 1 FROM events")[0])
        previous = self.head_hash()
        own = chain.link(previous, seq, experiment, kind, payload, at)
        self._db.execute(
            "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", (seq, experiment, kind, payload, at, previous, own)
        )
        reach(f"{kind}.within")

    def _project(self, experiment: Experiment) -> None:
        row = row_of(summarise(experiment))
        marks = ", ".join("?" * len(row))
        self._db.execute(f"INSERT OR REPLACE INTO experiments ({_COLUMNS}) VALUES ({marks})", row)  # noqa: S608

    def _replay(self, number: int, rows: list[tuple[int, str, str, str]]) -> Experiment:
        experiment: Experiment | None = None
        for seq, kind, payload, at in rows:
            try:
                content = json.loads(payload)
                if experiment is None:
                    experiment = records.read_opened(number, content, at)
                else:
                    experiment = advance(experiment, records.decode(kind, content, self._blob), at)
            except (KeyError, TypeError, ValueError, IllegalTransition) as error:
                raise LedgerBroken(seq, f"it cannot be read ({type(error).__name__}: {error})") from error
        assert experiment is not None  # noqa: S101 - rows is not empty
        return experiment

    def _blob(self, sha256: str) -> bytes:
        rows = self._all("SELECT content FROM blobs WHERE sha256 = ?", (sha256,))
        if not rows:
            raise ValueError(f"the patch {sha256[:12]}… is missing")
        content = bytes(rows[0][0])
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ValueError(f"the patch {sha256[:12]}… is not what its name says")
        return content

    def _numbers(self, where: str, values: tuple[object, ...], order: str = "number") -> list[int]:
        sql = f"SELECT number FROM experiments WHERE {where} ORDER BY {order}"  # noqa: S608 - fixed texts
        return [row[0] for row in self._all(sql, values)]

    def _all(self, sql: str, values: tuple[object, ...]) -> list[Any]:
        with self._translated():
            rows: list[Any] = self._db.execute(sql, values).fetchall()
            return rows

    def _one(self, sql: str) -> Any:
        return self._all(sql, ())[0]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._translated():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:  # nothing of a failed transaction may stay; the error goes on
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            if type(error) is sqlite3.DatabaseError:  # not one of its kinds: the file itself is no database any more
                raise LedgerBroken(0, f"{self._path} cannot be used: {error}") from error
            raise LedgerError(f"the ledger {self._path} cannot be used: {error}") from error


def _state(experiment: Experiment) -> tuple[object, ...]:
    """Tells an experiment from its older values, whose phases may be the same."""
    lengths = map(len, (experiment.trials, experiment.rivals, experiment.events, experiment.usages))
    return experiment.phase, *lengths, experiment.commit, experiment.lesson == ""
