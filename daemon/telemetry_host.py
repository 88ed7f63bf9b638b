"""Looks at the cores of this machine through /proc and /sys; what is not readable there is None."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from daemon.telemetry import HostLook

MAX_FOLDERS = 20_000
MAX_DEPTH = 7
_BUSY = (0, 1, 2, 5, 6)  # user, nice, system, irq, softirq: guests are in user, and iowait is idle
_STEAL = 7


class HostScope:
    """One trial's cores. ``container`` gives the id of its train container, once there is one."""

    def __init__(self, cores: Sequence[int], container: Callable[[], str | None], root: Path = Path("/")) -> None:
        self._cores, self._container = tuple(cores), container
        self._proc, self._sys = root / "proc", root / "sys"
        self._ticks = os.sysconf("SC_CLK_TCK")
        self._id: str | None = None
        self._group: Path | None = None
        self._own = 0.0

    def look(self) -> HostLook | None:
        """The cores now; None where this is not Linux as we know it."""
        try:
            busy, steal = self._times()
        except (OSError, ValueError, IndexError):
            return None
        return HostLook(
            busy_seconds=busy,
            steal_seconds=steal,
            own_seconds=self._own_seconds(),
            throttles=self._throttles(),
            clock_mhz=self._clock(),
        )

    def processes(self) -> frozenset[int]:
        """The process numbers of the train container, as this machine counts them."""
        self._find()
        return frozenset() if self._group is None else frozenset(_pids(self._group))

    def _times(self) -> tuple[float, float]:
        wanted = {f"cpu{core}" for core in self._cores}
        rows = [line.split() for line in (self._proc / "stat").read_text(encoding="utf-8").splitlines()]
        ours = [[int(cell) for cell in row[1:]] for row in rows if row and row[0] in wanted]
        busy = sum(cells[column] for cells in ours for column in _BUSY)
        return busy / self._ticks, sum(cells[_STEAL] for cells in ours) / self._ticks

    def _own_seconds(self) -> float | None:
        """What the container used so far. The group goes with its last process: then it is what was seen last."""
        self._find()
        if self._group is None:
            return None
        if (used := _used_seconds(self._group)) is not None:
            self._own = max(self._own, used)
        return self._own

    def _find(self) -> None:
        """A container that was made and not started yet has a number and no group."""
        if self._group is not None or (container := self._id or self._container()) is None:
            return
        self._id, self._group = container, _group_of(self._sys / "fs" / "cgroup", container)

    def _throttles(self) -> int | None:
        return _total(self._cpu(core) / "thermal_throttle" / "core_throttle_count" for core in self._cores)

    def _clock(self) -> float | None:
        rates = [_number(self._cpu(core) / "cpufreq" / "scaling_cur_freq") for core in self._cores]
        known = [rate for rate in rates if rate is not None]
        return statistics.fmean(known) / 1000 if known else None

    def _cpu(self, core: int) -> Path:
        return self._sys / "devices" / "system" / "cpu" / f"cpu{core}"


def _group_of(root: Path, container: str) -> Path | None:
    """The control group whose name has the container's id: in v2 the only tree, in v1 the one that counts time."""
    if not (root / "cgroup.controllers").exists():
        root = next((root / name for name in ("cpuacct", "cpu,cpuacct") if (root / name).is_dir()), root)
    for number, (folder, names, _) in enumerate(os.walk(root)):
        if number > MAX_FOLDERS:
            return None
        for name in names:
            if container in name:
                return Path(folder, name)
        if len(Path(folder).relative_to(root).parts) >= MAX_DEPTH:
            names.clear()
    return None


def _used_seconds(group: Path) -> float | None:
    if (nanoseconds := _number(group / "cpuacct.usage")) is not None:
        return nanoseconds / 1e9
    try:
        rows = dict(line.split() for line in (group / "cpu.stat").read_text(encoding="utf-8").splitlines())
        return int(rows["usage_usec"]) / 1e6
    except (OSError, ValueError, KeyError):
        return None


def _pids(group: Path) -> Iterator[int]:
    for file in (group / "cgroup.procs", *group.glob("*/cgroup.procs")):
        try:
            yield from (int(line) for line in file.read_text(encoding="utf-8").splitlines())
        except (OSError, ValueError):
            continue


def _total(files: Iterator[Path]) -> int | None:
    numbers = [number for file in files if (number := _number(file)) is not None]
    return int(sum(numbers)) if numbers else None


def _number(file: Path) -> float | None:
    try:
        return float(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
