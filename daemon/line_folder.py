"""A folder that users share who need not trust each other: opened, locked and looked into without following a name."""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from daemon.model import OurFault, UserError

LOCK_SECONDS = 10.0
STALE_SECONDS = 60.0
MADE_SECONDS = 0.5
POLL_SECONDS = 0.02
MAKE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


def open_shared(path: Path) -> int:
    """A descriptor of the folder, which is made where it is missing.

    Raises:
        UserError: it is no folder for everybody, or this user may not use it.
    """
    with suppress(FileExistsError, FileNotFoundError, PermissionError):
        path.mkdir(mode=0o700)
        path.chmod(0o1777)  # nobody may remove another's place
    try:
        folder = _descriptor(path)
    except PermissionError:
        raise UserError(f"you may not use {path}, where labs wait for this machine: {_group_of(path)}") from None
    except OSError as error:
        raise UserError(f"{path}, where labs wait for this machine, cannot be opened: {error.strerror}") from error
    mode = os.fstat(folder).st_mode
    if mode & 0o022 and not mode & stat.S_ISVTX:
        os.close(folder)
        raise UserError(f"{path}: others may remove a lab's place there; `chmod +t {path}`")
    if not os.access(path, os.W_OK | os.X_OK):
        os.close(folder)
        raise UserError(f"you may not use {path}, where labs wait for this machine: {_group_of(path)}")
    return folder


def _descriptor(path: Path) -> int:
    until = time.monotonic() + MADE_SECONDS
    while True:
        try:
            return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except PermissionError:  # perhaps another process has made it a moment ago, and will open it to all
            if time.monotonic() > until:
                raise
            time.sleep(POLL_SECONDS)


def _group_of(path: Path) -> str:
    try:
        return f"join the group {path.group()}, or name another folder in [slot] of lab.toml"
    except (KeyError, OSError):
        return "ask its owner, or name another folder in [slot] of lab.toml"


@contextmanager
def alone(folder: int, path: Path) -> Iterator[None]:
    """Hold the folder's own lock: numbers are given one after the other, and seen in that order."""
    until = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > until:
                raise OurFault(f"somebody has held the lock of {path} for {LOCK_SECONDS:g} s; `fuser {path}`") from None
            time.sleep(POLL_SECONDS)
    try:
        yield
    finally:
        fcntl.flock(folder, fcntl.LOCK_UN)


def is_stale(folder: int, name: str) -> bool:
    """A place of ours that was never finished: its process died while it made it."""
    try:
        facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    return facts.st_uid == os.geteuid() and facts.st_mtime < time.time() - STALE_SECONDS


def is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


@contextmanager
def looking(folder: int, name: str, max_bytes: int) -> Iterator[int | None]:
    """A descriptor of a plain file of this name; None for a link, a pipe, one that is too large, or has gone."""
    try:
        descriptor = os.open(name, _LOOK, dir_fd=folder)
    except OSError:
        yield None
        return
    try:
        facts = os.fstat(descriptor)
        yield descriptor if stat.S_ISREG(facts.st_mode) and facts.st_size <= max_bytes else None
    finally:
        os.close(descriptor)
