"""Remembers what each patch touched, so that it is worked out once. Its file may be thrown away."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from threading import Lock

from daemon.files import write_atomically
from daemon.ledger import Ledger
from daemon.model import Decision, OurFault, Summary
from daemon.touched import touched

_VERSION = 1
MAX_BYTES = 32 * 1024 * 1024
SAVED_SHARE = 100  # the file is written anew when one in so many of its patches is not in it yet


class TouchedMemory:
    """The names that an experiment's patch changed, by the patch and its base. Thread-safe."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = Lock()
        self._names: dict[str, tuple[str, ...]] | None = None
        self._told: dict[int, tuple[Summary, tuple[str, ...]]] = {}
        self._unsaved = 0

    def of(self, rows: Sequence[Summary], ledger: Ledger) -> Mapping[int, Sequence[str]]:
        """What each experiment touched that ran, by number; the base is read from the ledger too."""
        with self._lock:
            # The ledger hands out the same line again as long as nothing has changed in it.
            new = [row for row in rows if (told := self._told.get(row.number)) is None or told[0] is not row]
            names = self._loaded()
            missing = [row for row in new if _ran(row) and _key(row) not in names]
            if missing:
                names |= _work_out(missing, ledger)
                self._unsaved += len(missing)
            if self._unsaved * SAVED_SHARE > len(names):
                self._save(names)
                self._unsaved = 0
            self._told |= {row.number: (row, names.get(_key(row), ())) for row in new}
            return {row.number: touches for row in rows if (touches := self._told[row.number][1])}

    def known(self, row: Summary) -> Sequence[str]:
        """What is known already of one experiment."""
        with self._lock:
            return self._loaded().get(_key(row), ())

    def _loaded(self) -> dict[str, tuple[str, ...]]:
        if self._names is None:
            self._names = _read(self._path) if self._path else {}
        return self._names

    def _save(self, names: Mapping[str, Sequence[str]]) -> None:
        if self._path is None:
            return
        try:
            content = json.dumps({"version": _VERSION, "touched": names}, separators=(",", ":"))
            write_atomically(self._path, content.encode(), mode=0o600)
        except OSError:
            self._path = None  # a cache that cannot be written is done without


def _read(path: Path) -> dict[str, tuple[str, ...]]:
    """What a file holds; nothing where it is missing, too large or of another form."""
    try:
        if path.stat().st_size > MAX_BYTES:
            return {}
        content = json.loads(path.read_bytes())
        if content["version"] != _VERSION:
            return {}
        return {str(key): tuple(str(name) for name in names) for key, names in content["touched"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _ran(row: Summary) -> bool:
    """Only what the policies let pass is looked at: their own process has parsed it before, and lived."""
    return row.champion is not None and row.decision is not None and row.decision is not Decision.REFUSED


def _key(row: Summary) -> str:
    return f"{row.base_commit} {row.patch_sha256}"


def _work_out(rows: Iterable[Summary], ledger: Ledger) -> dict[str, tuple[str, ...]]:
    bases: dict[int, bytes] = {}
    found = {}
    for row in rows:
        if row.champion is not None and row.champion not in bases:
            bases[row.champion] = _program(ledger, row.champion)
        found[_key(row)] = touched(bases.get(row.champion or 0, b""), _program(ledger, row.number))
    return found


def _program(ledger: Ledger, number: int) -> bytes:
    proposal = ledger.get(number).proposal
    if proposal is None:
        raise OurFault(f"experiment {number} was decided without a proposal")
    return proposal.patch.train_py
