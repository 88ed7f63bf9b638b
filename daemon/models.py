"""Sealed models that are kept: the bytes that the referee judged, by experiment, with their hashes beside them.

They are hostile data. Nothing here looks into them; the referee alone parses them, in a container.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from daemon.arenas import LONG
from daemon.files import private_folder, write_atomically
from daemon.model import Decision, Summary, TrialResult, TrialStatus, UserError
from daemon.trial import Executor, Listener
from sandbox.interface import MiB, SandboxSpec
from sandbox.rundir import RunDir

log = logging.getLogger(__name__)
GRAPH, WEIGHTS = "model.json", "model.safetensors"
RECORD = "record.json"
MAX_RECORD_BYTES = 4096
_PIECE_BYTES = 4 * MiB
_SHA256 = r"^[0-9a-f]{64}$"
_RUN = re.compile(r"(?P<number>[0-9]{5,9})-[0-9]{1,4}")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    number: int = Field(ge=0)
    run_id: str = Field(pattern=r"^[a-z0-9-]{1,64}$")
    seed: int
    val_bpb: float = Field(allow_inf_nan=False)
    train_py_sha256: str = Field(pattern=_SHA256)
    sealed_sha256: str = Field(pattern=_SHA256)
    graph_sha256: str = Field(pattern=_SHA256)
    weights_sha256: str = Field(pattern=_SHA256)
    size_bytes: int = Field(ge=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One kept model. ``sealed_sha256`` is what the ledger has of the trial that it comes from."""

    folder: Path
    number: int
    run_id: str
    seed: int
    val_bpb: float
    train_py_sha256: str
    sealed_sha256: str
    graph_sha256: str
    weights_sha256: str
    size_bytes: int


class NotKept(Exception):  # noqa: N818 - a state of affairs
    """The files are not what the referee said; the message says how."""


def sealed_sha256(graph_sha256: str, weights_sha256: str) -> str:
    """The identity of the pair, as the referee takes it."""
    return hashlib.sha256(bytes.fromhex(graph_sha256) + bytes.fromhex(weights_sha256)).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """The folder of kept models: one folder for each experiment, called by its number."""

    folder: Path

    def get(self, number: int) -> Kept:
        """The kept model of an experiment.

        Raises:
            UserError: none is kept, or its record cannot be read.
        """
        where = self.folder / str(number)
        try:
            text = _read(where / RECORD, MAX_RECORD_BYTES)
            return Kept(folder=where, **_Record.model_validate_json(text).model_dump())
        except FileNotFoundError:
            raise UserError(
                f"no sealed model of experiment {number} is kept; [retention] models says how many"
            ) from None
        except (OSError, ValidationError) as error:
            raise UserError(f"{where / RECORD} cannot be used; `rm -r {where}` removes what is kept there") from error

    def numbers(self) -> list[int]:
        """The experiments of which a model is kept, in order."""
        if not self.folder.is_dir() or self.folder.is_symlink():
            return []
        return sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdecimal())

    def drop(self, number: int) -> None:
        """Remove the model of an experiment; fine when there is none.

        Raises:
            OSError: it cannot be removed.
        """
        where = self.folder / str(number)
        if where.is_symlink():
            where.unlink()
        elif where.exists():
            shutil.rmtree(where)

    def take(self, source: Path, number: int, spec: SandboxSpec, result: TrialResult) -> None:
        """Copy what the referee put into ``source``, hashed on the way; nothing changes when one is kept already.

        Raises:
            NotKept: it is not what the referee judged, or too large.
            OSError: it cannot be read or written.
        """
        if (self.folder / str(number)).exists() or result.score is None or not (source / GRAPH).exists():
            return
        private_folder(self.folder)
        taking = self.folder / f".{number}.taking"
        shutil.rmtree(taking, ignore_errors=True)
        taking.mkdir()
        try:
            self._take(source, taking, number, spec, result)
            taking.rename(self.folder / str(number))
        except BaseException:  # half a model helps nobody; the error goes on
            shutil.rmtree(taking, ignore_errors=True)
            raise

    def _take(self, source: Path, taking: Path, number: int, spec: SandboxSpec, result: TrialResult) -> None:
        assert result.score is not None  # noqa: S101 - asked before
        left, hashes, size = spec.limits.output_bytes, {}, 0
        for name in (WEIGHTS, GRAPH):
            hashes[name], count = copied(source / name, taking / name, left - size)
            size += count
        sealed = sealed_sha256(hashes[GRAPH], hashes[WEIGHTS])
        if sealed != result.score.audit.get("sealed_sha256"):
            raise NotKept("the sealed model that was kept is not the one that was scored")
        record = _Record(
            number=number,
            run_id=spec.run_id,
            seed=spec.seed,
            val_bpb=result.score.val_bpb,
            train_py_sha256=hashlib.sha256(spec.train_py).hexdigest(),
            sealed_sha256=sealed,
            graph_sha256=hashes[GRAPH],
            weights_sha256=hashes[WEIGHTS],
            size_bytes=size,
        )
        write_atomically(taking / RECORD, record.model_dump_json(indent=2).encode())

    def surplus(self, champions: Iterable[int], most: int) -> list[int]:
        """Whose models may go: of all but the last ``most`` of these experiments."""
        stay = sorted(champions)[-most:] if most else []
        return [number for number in self.numbers() if number not in stay]


def problem(kept: Kept, limit_bytes: int = 1 << 40) -> str | None:
    """What is wrong with the files of a kept model, if anything is."""
    for name, wanted in ((GRAPH, kept.graph_sha256), (WEIGHTS, kept.weights_sha256)):
        try:
            found, _ = copied(kept.folder / name, None, limit_bytes)
        except FileNotFoundError:
            return f"{name} is gone"
        except (OSError, NotKept) as error:
            return f"{name} cannot be read ({error})"
        if found != wanted:
            return f"{name} is not what was kept"
    if sealed_sha256(kept.graph_sha256, kept.weights_sha256) != kept.sealed_sha256:
        return "its record contradicts itself"
    return None


def copied(source: Path, target: Path | None, limit_bytes: int) -> tuple[str, int]:
    """Copy one plain file into a new one (None: into nowhere); returns its sha256 and size. Links are not followed.

    Raises:
        NotKept: it is no plain file, or larger than ``limit_bytes``.
        OSError: it cannot be read, or the target not written.
    """
    digest, size = hashlib.sha256(), 0
    with _opened(source) as reading, _created(target) as writing:
        while piece := reading.read(_PIECE_BYTES):
            size += len(piece)
            if size > limit_bytes:
                raise NotKept(f"{source.name} has more than the {limit_bytes} bytes that it may have")
            digest.update(piece)
            writing.write(piece)
        writing.flush()
        if target is not None:
            os.fchmod(writing.fileno(), 0o644)  # the referee's uid is not ours
            os.fsync(writing.fileno())
    return digest.hexdigest(), size


def _opened(source: Path) -> BinaryIO:
    descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotKept(f"{source.name} is no plain file")
    return os.fdopen(descriptor, "rb")


def _created(target: Path | None) -> BinaryIO:
    if target is None:
        return Path(os.devnull).open("wb")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(target, flags, 0o644), "wb")


def _read(path: Path, limit_bytes: int) -> bytes:
    with _opened(path) as file:
        return bytes(file.read(limit_bytes + 1))


class KeepingExecutor:
    """Asks the referee to keep what the loop's experiments seal and could be kept, and puts it among the models."""

    def __init__(self, inner: Executor, models: Models) -> None:
        self._inner = inner
        self._models = models

    def run(self, spec: SandboxSpec, listener: Listener) -> TrialResult:
        number = number_of(spec.run_id)
        if number is None:
            return self._inner.run(spec, listener)
        with suppress(OSError):
            self._models.drop(number)  # the last trial's stays: an earlier one may have been lucky, or void
        kept = RunDir(root=spec.runs_dir / spec.run_id).kept
        shutil.rmtree(kept, ignore_errors=True)
        try:
            result = self._inner.run(replace(spec, keep=True), listener)
            if result.status is TrialStatus.OK:
                self._take(kept, number, spec, result)
            return result
        finally:
            shutil.rmtree(kept, ignore_errors=True)

    def _take(self, kept: Path, number: int, spec: SandboxSpec, result: TrialResult) -> None:
        """A model that cannot be kept costs nobody an experiment."""
        try:
            self._models.take(kept, number, spec, result)
        except (NotKept, OSError) as error:
            log.warning("the sealed model of experiment %d is not kept: %s", number, error)


def number_of(run_id: str) -> int | None:
    """The experiment that a run of the loop belongs to; None for every other run."""
    found = _RUN.fullmatch(run_id)
    return int(found["number"]) if found else None


def worth_keeping(rows: Iterable[Summary]) -> list[int]:
    """The champions and the long runs of them, in order."""
    scored = (row for row in rows if row.val_bpb is not None)
    return [row.number for row in scored if row.decision is Decision.KEEP or row.proposer == LONG]


def of_lab(state: Path) -> Models:
    return Models(folder=state / "models")
