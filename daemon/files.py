"""Files of our own: written so that a reader sees the old content or the new one, in folders that are ours alone."""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from sandbox.faultpoints import reach

TEMPORARY = re.compile(r"\.(?P<of>.+)\.[a-z0-9_]{8}\.tmp")  # called after the file that it is to become


def write_atomically(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Replace ``path`` by ``content``: temporary file beside it, flushed to disk, renamed.

    Raises:
        OSError: the directory cannot be written; ``path`` is as it was and nothing is left beside it.
    """
    with writing_atomically(path, mode=mode) as file:
        file.write(content)


@contextmanager
def writing_atomically(path: Path, *, mode: int = 0o644) -> Iterator[BinaryIO]:
    """The same piece by piece: ``path`` is replaced when the block ends without an error."""
    descriptor, name = _temporary(path)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
            reach("file.temporary")
        Path(name).replace(path)
        reach("file.replaced")
    except BaseException:  # the temporary file must go, whatever happened; the error goes on
        with suppress(OSError):
            Path(name).unlink()
        raise


def _temporary(path: Path) -> tuple[int, str]:
    """A new file beside ``path``, locked for as long as its writer lives."""
    while True:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor, name
        os.close(descriptor)  # cleared away before it was locked


def clear_temporary(path: Path) -> bool:
    """Remove a temporary file whose writer is dead, however young it is; says whether it did."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False  # gone, or nothing of ours
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except OSError:
        return False  # it is being written
    finally:
        os.close(descriptor)
    return True


def private_folder(path: Path) -> Path:
    """Make ``path`` where it is missing, and let nobody but its owner in; returns it.

    Raises:
        OSError: it cannot be made, or is somebody else's.
    """
    path.mkdir(parents=True, exist_ok=True)
    if path.stat().st_mode & 0o077:
        path.chmod(0o700)
    return path
