"""The line in front of a machine: who wants its GPU, cores or memory leaves a file in a folder and waits its turn.

Labs of different users meet here, with no process between them. A place in the line is a file that its owner keeps
locked, so the kernel gives it up when the process dies, however it dies. Places are numbered under the folder's own
lock; one may go when nobody before it wants any of the same things, so each is let in after a finite wait, and two that
want different things do not wait for each other. What a member of the folder can do to the others stands in
docs/decisions/0014-places-in-a-line.md.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from daemon.line_folder import alone, is_locked, is_stale, looking, open_shared
from daemon.model import OurFault
from daemon.text import clean

MAX_PLACE_BYTES = 64 * 1024
MAX_FILES = 10_000
_NAME = re.compile(r"(\d{20})-[0-9a-f]{16}\.place")
Device = Annotated[str, Field(max_length=200)]


class Claim(BaseModel):
    """What one trial keeps from others. ``lingers_seconds``: how long its containers could outlive this process."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: Literal[1] = 1
    lab: Annotated[str, Field(max_length=64)]
    name: Annotated[str, Field(max_length=100)]
    devices: Annotated[tuple[Device, ...], Field(max_length=256)] = ()
    cores: Annotated[tuple[int, ...], Field(max_length=4096)] = ()
    memory_bytes: Annotated[int, Field(ge=0)] = 0
    engine: Annotated[str, Field(max_length=100)] = ""
    lingers_seconds: Annotated[float, Field(ge=0, le=30 * 86400)] = 0.0
    boot: Annotated[str, Field(max_length=64)] = ""
    taken_at: float | None = None  # CLOCK_BOOTTIME, once the wait is over


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A place as others see it."""

    file: str
    claim: Claim
    uid: int
    alive: bool

    @property
    def owner(self) -> str:
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return f"uid {self.uid}"

    def over(self, now: float) -> bool:
        """Whether even the containers of a holder that died are surely gone."""
        return self.claim.taken_at is None or now > self.claim.taken_at + self.claim.lingers_seconds


def boottime() -> float:
    """Seconds since the start of the machine, suspend included; the same in every process."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


class Line:
    """One folder. ``total_bytes`` is the memory there is to share; ``orphaned`` is asked whether a holder that died
    has left a container that still runs."""

    def __init__(self, folder: Path, total_bytes: int, orphaned: Callable[[Claim], bool] = lambda _claim: True) -> None:
        self._folder, self._total_bytes, self._orphaned = folder, total_bytes, orphaned
        self._boot = boot_id()

    def check(self) -> None:
        """See that this user may stand here.

        Raises:
            UserError: the folder cannot be used by this user.
        """
        os.close(open_shared(self._folder))

    def enter(self, claim: Claim) -> Place:
        """Take a place at the end. What died of the same lab is cleared away: its containers must have been reaped.

        Raises:
            UserError: the folder cannot be used by this user.
            OurFault: its lock cannot be had, or the disk is full.
        """
        claim = claim.model_copy(update={"boot": self._boot, "taken_at": None})
        folder = open_shared(self._folder)
        try:
            return self._join(folder, claim)
        except OSError as error:
            os.close(folder)
            raise OurFault(f"no place in {self._folder} can be taken: {error.strerror}") from error
        except BaseException:  # nothing of it may be left behind; the error goes on
            os.close(folder)
            raise

    def _join(self, folder: int, claim: Claim) -> Place:
        secret = os.urandom(8).hex()
        new = f".{secret}.new"
        descriptor = os.open(
            new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=folder
        )
        try:
            os.fchmod(descriptor, 0o644)  # others must see who is before them, whatever our umask
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # before the name that others look for
            _write(descriptor, claim)
            with alone(folder, self._folder):
                self._sweep(folder, claim)
                name = f"{time.clock_gettime_ns(time.CLOCK_BOOTTIME):020d}-{secret}.place"
                os.rename(new, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:  # nothing of it may be left behind; the error goes on
            with suppress(OSError):
                os.unlink(new, dir_fd=folder)
            os.close(descriptor)
            raise
        return Place(self, folder, descriptor, name, claim)

    def _sweep(self, folder: int, claim: Claim) -> None:
        """Remove what nobody waits for any more and we may remove: the line must not grow by crashes."""
        for seen in self.places(folder):
            same_lab = seen.claim.lab == claim.lab and seen.uid == os.geteuid()
            if not seen.alive and (same_lab or self._gone(seen)):
                with suppress(OSError):  # in a sticky folder only its owner may
                    os.unlink(seen.file, dir_fd=folder)
        for name in os.listdir(folder):
            if name.endswith(".new") and is_stale(folder, name):
                with suppress(OSError):
                    os.unlink(name, dir_fd=folder)

    def before(self, place: Place) -> list[Seen]:
        """Those who must be let in, and leave, first."""
        blocking: list[Seen] = []
        used = 0
        for seen in self.places(place.folder):
            if seen.file >= place.name:
                break
            if not seen.alive and (self._gone(seen) or not self._orphaned(seen.claim)):
                continue
            used += seen.claim.memory_bytes
            if shared(seen.claim, place.claim) or used + place.claim.memory_bytes > self._total_bytes:
                blocking.append(seen)
        return blocking

    def _gone(self, seen: Seen) -> bool:
        return seen.claim.boot != self._boot or seen.over(boottime())

    def places(self, folder: int) -> Iterator[Seen]:
        """In their order."""
        names = os.listdir(folder)
        if len(names) > MAX_FILES:
            raise OurFault(f"{self._folder} holds {len(names)} files; somebody fills it")
        for name in sorted(name for name in names if _NAME.fullmatch(name)):
            if (seen := _look(folder, name)) is not None:
                yield seen


class Place:
    """One's own place. Left in the end by :meth:`leave`, or by :meth:`strand` where a container may still run."""

    def __init__(self, line: Line, folder: int, descriptor: int, name: str, claim: Claim) -> None:
        self.folder, self.name, self.claim = folder, name, claim
        self._line, self._descriptor = line, descriptor

    def before(self) -> list[Seen]:
        """Those who come first; nobody when it is our turn.

        Raises:
            OurFault: somebody removed our place; another one must be taken.
        """
        try:
            there = os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
            if os.path.samestat(there, os.fstat(self._descriptor)):
                return self._line.before(self)
        except OSError:
            pass
        raise OurFault("somebody removed this lab's place from the line for this machine")

    def take(self) -> None:
        """Say that the wait is over, before anything is started: from now on a crash may leave a container behind."""
        self.claim = self.claim.model_copy(update={"taken_at": boottime()})
        try:
            _write(self._descriptor, self.claim)
        except OSError as error:
            raise OurFault(f"the place in the line cannot be written: {error.strerror}") from error

    def leave(self) -> None:
        with suppress(OSError):
            os.unlink(self.name, dir_fd=self.folder)
        self.strand()

    def strand(self) -> None:
        """Give up the lock alone: others still go by what the place says of containers that may be left."""
        os.close(self._descriptor)
        os.close(self.folder)


def shared(one: Claim, other: Claim) -> list[str]:
    """What both want, in words."""
    devices = sorted(set(one.devices) & set(other.devices))
    cores = sorted(set(one.cores) & set(other.cores))
    text = f"core{'s' if len(cores) > 1 else ''} {ranges(cores)}"
    return [*(clean(device, 80) for device in devices), *([text] if cores else [])]


def ranges(cores: list[int]) -> str:
    """``0-3,7``."""
    runs: list[list[int]] = []
    for core in cores:
        if runs and core == runs[-1][-1] + 1:
            runs[-1].append(core)
        else:
            runs.append([core])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def _write(descriptor: int, claim: Claim) -> None:
    """In one piece and of one length: a reader meets the old text or the new one, or looks again."""
    content = claim.model_dump_json().encode()
    if len(content) > MAX_PLACE_BYTES:
        raise OurFault(f"a claim has {MAX_PLACE_BYTES} bytes at most")
    os.pwrite(descriptor, content.ljust(max(os.fstat(descriptor).st_size, len(content) + 64)), 0)


def _look(folder: int, name: str) -> Seen | None:
    """The place of this name; None for what is none."""
    with looking(folder, name, MAX_PLACE_BYTES) as descriptor:
        if descriptor is None or (claim := _read(descriptor)) is None:
            return None
        return Seen(file=name, claim=claim, uid=os.fstat(descriptor).st_uid, alive=is_locked(descriptor))


def _read(descriptor: int) -> Claim | None:
    for _ in range(3):  # once more where we met it half written
        try:
            return Claim.model_validate_json(os.pread(descriptor, MAX_PLACE_BYTES, 0))
        except ValidationError:
            time.sleep(0.001)
    return None
