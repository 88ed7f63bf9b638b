"""Files of our own: written so that a reader sees the old content or the new one, in folders that are ours alone."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


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
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:  # the temporary file must go, whatever happened; the error goes on
        with suppress(OSError):
            Path(name).unlink()
        raise


def private_folder(path: Path) -> Path:
    """Make ``path`` where it is missing, and let nobody but its owner in; returns it.

    Raises:
        OSError: it cannot be made, or is somebody else's.
    """
    path.mkdir(parents=True, exist_ok=True)
    if path.stat().st_mode & 0o077:
        path.chmod(0o700)
    return path
