"""Folders of the host that a container is to see: real folders all the way, no link among them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from sandbox.proxy.refusal import Refused, shown


def check(sources: Iterable[str]) -> None:
    """Walk to each folder without following a link.

    The engine resolves links when it mounts, so a link in a folder that the daemon writes would show any file of the
    host. Between this look and the mount lies a moment; what it is worth stands in docs/boundary.md.

    Raises:
        Refused: a part of a path is a link, no folder, or not to be seen from here.
    """
    for source in sources:
        if os.path.normpath(source) != source:
            raise Refused(f"the path {shown(source, 80)} is not a plain one")
        try:
            _walk(source)
        except OSError as error:
            reason = error.strerror or "it cannot be opened"
            raise Refused(
                f"{shown(source, 80)} is no folder that can be mounted ({reason}; links are not followed)"
            ) from error


def _walk(source: str) -> None:
    at = os.open("/", os.O_PATH | os.O_DIRECTORY)
    try:
        for part in Path(source).parts[1:]:
            below = os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY, dir_fd=at)
            os.close(at)
            at = below
        if not stat.S_ISDIR(os.fstat(at).st_mode):
            raise NotADirectoryError(0, "not a folder", source)
    finally:
        os.close(at)
