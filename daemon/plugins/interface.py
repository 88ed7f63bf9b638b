"""The seam of observer plug-ins. What one may and may not do stands in docs/plugins.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from daemon.observe import Observer

GROUP = "autoresearchd.observers"  # of entry points


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a plug-in works: the lab, a folder of its own that is there, and its options from lab.toml."""

    lab: Path
    folder: Path
    options: Mapping[str, object]


class Build(Protocol):
    """What an entry point names. The observer's ``close()`` is called at the end of a run, where it has one."""

    def __call__(self, place: Place) -> Observer: ...
