"""Keeping a sealed model: the bytes that were judged, written to a directory of the host, once.

The files are hostile data in a trusted place: nobody parses them there but another referee. They are created, never
replaced, and never followed anywhere.
"""

import hashlib
import os
from pathlib import Path

from .errors import Fault
from .sealed import GRAPH_FILE, WEIGHTS_FILE, Files

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def keep(files: Files, directory: Path) -> dict[str, object]:
    """Write both files into `directory`, which exists and holds neither; return what to tell the host.

    The graph comes last: where it stands, the pair is whole. What was begun is taken away again when it fails.

    Raises:
        Fault: the directory cannot take them (full, not writable, taken already): nobody is judged by that.
    """
    written: list[str] = []
    try:
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise Fault(f"the directory for kept models cannot be opened: {error.strerror}") from None
    try:
        for name, data in ((WEIGHTS_FILE, files.weights), (GRAPH_FILE, files.graph)):
            _create(handle, name, data, written)
        os.fsync(handle)
    except OSError as error:
        for name in written:
            os.unlink(name, dir_fd=handle)
        raise Fault(f"the sealed model cannot be kept: {error.strerror}") from None
    finally:
        os.close(handle)
    return {
        "graph_sha256": hashlib.sha256(files.graph).hexdigest(),
        "weights_sha256": hashlib.sha256(files.weights).hexdigest(),
        "bytes": len(files.graph) + len(files.weights),
    }


def _create(directory: int, name: str, data: bytearray, written: list[str]) -> None:
    """Write one new file through to the disk, readable by the next referee, whose uid may be another."""
    descriptor = os.open(name, _FLAGS, 0o644, dir_fd=directory)
    written.append(name)
    try:
        os.fchmod(descriptor, 0o644)  # whatever the umask
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view[: 2**30]) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
