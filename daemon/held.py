"""What a lab held on disk when it was last measured: walking ten thousand files takes a second, reading this none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from daemon.files import write_atomically

DISK = "disk.json"
MAX_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Bytes by kind, and when that was (ISO 8601, UTC)."""

    at: str
    bytes: Mapping[str, int]


def write(state: Path, held: Mapping[str, int]) -> None:
    """Keep it for :func:`last`.

    Raises:
        OSError: it cannot be written.
    """
    told = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "bytes": dict(held)}
    write_atomically(state / DISK, json.dumps(told).encode())


def last(state: Path) -> Held | None:
    """What was written last; None where there is nothing that can be read."""
    try:
        with (state / DISK).open("rb") as file:
            told = json.loads(file.read(MAX_BYTES))
        at = datetime.fromisoformat(str(told["at"])).isoformat(timespec="seconds")
        return Held(at=at, bytes={str(kind): int(size) for kind, size in told["bytes"].items()})
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
