"""What is dear to work out and seldom changes: remembered until it does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from daemon.ledger.looking import Looking, Point
from daemon.text import clean
from daemon.web import chart
from daemon.web.chart import Chart

MAX_FILE_BYTES = 1024 * 1024


class Pictures:
    """The chart of one arena, drawn anew when another experiment has been decided."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: tuple[object, tuple[Chart, Sequence[Point]]] | None = None

    def of(self, ledger: Looking, arena: str) -> tuple[Chart, Sequence[Point]]:
        with self._lock:
            key = arena, ledger.tally(arena)
            if self._kept is None or self._kept[0] != key:
                points = ledger.points(arena)
                named = chart.told(points, chart.staircase(points))
                words = ledger.hypotheses([point.number for point in named])
                self._kept = key, (chart.draw(points, words), points)
            return self._kept[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A stretch of experiments under one text of program.md. ``gain`` is what its keeps won, in bits per byte."""

    sha256: str
    first: int
    last: int
    keeps: int
    gain: float

    @property
    def experiments(self) -> int:
        return self.last - self.first + 1


class Briefs:
    """The versions of program.md, oldest first; each look reads what is new alone."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._runs: list[tuple[str, int, int]] = []

    def versions(self, ledger: Looking) -> list[Version]:
        with self._lock:
            since = self._runs[-1][2] + 1 if self._runs else 0
            for number, sha256 in ledger.briefs(since):
                if self._runs and self._runs[-1][0] == sha256:
                    self._runs[-1] = (sha256, self._runs[-1][1], number)
                else:
                    self._runs.append((sha256, number, number))
            runs = list(self._runs)
        return _with_gains(runs, ledger.keeps(0))


def _with_gains(runs: Sequence[tuple[str, int, int]], keeps: Sequence[tuple[int, float]]) -> list[Version]:
    found, at = [], 0
    for sha256, first, last in runs:
        gains = []
        while at < len(keeps) and keeps[at][0] <= last:
            gains.append(keeps[at][1])
            at += 1
        found.append(Version(sha256=sha256, first=first, last=last, keeps=len(gains), gain=sum(gains)))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfCheck:
    """What the sandbox's own examination found when it was last made here."""

    runtime: str
    kernel: str
    standings: dict[str, int]


def self_check(state: Path) -> SelfCheck | None:
    """The kept report; None where there is none that can be read."""
    try:
        with (state / "selfcheck.json").open("rb") as file:
            report = json.loads(json.loads(file.read(MAX_FILE_BYTES))["report"])
        standings: dict[str, int] = {}
        for check in report["checks"]:
            standing = clean(str(check["standing"]), 40)
            standings[standing] = standings.get(standing, 0) + 1
        return SelfCheck(
            runtime=clean(str(report["runtime"]), 60), kernel=clean(str(report["kernel"]), 120), standings=standings
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def read_file(path: Path, limit: int) -> bytes | None:
    """The first bytes of a regular file; None where there is none."""
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return file.read(limit)
    except OSError:
        return None
