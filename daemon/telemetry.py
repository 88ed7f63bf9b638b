"""What else this machine was doing during a trial, and whether that makes its score unlike others. Judging is pure."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

GAP_LOOKS = 30  # so many looks missed in a row: the process that looks was stopped, and with it the clock of the trial


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuLook:
    """One GPU at one moment. ``strangers`` are programs on it that are not the trial's; ``lost`` is why it is gone."""

    strangers: tuple[str, ...] = ()
    throttled: tuple[str, ...] = ()
    clock_mhz: float | None = None
    used_bytes: int = 0
    uncorrected_errors: int = 0
    lost: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLook:
    """The cores that train at one moment; seconds count up. None is what this machine does not tell.

    ``own_seconds`` is what the train container used of them; the referee's work is not in it.
    """

    busy_seconds: float
    steal_seconds: float
    own_seconds: float | None = None
    throttles: int | None = None
    clock_mhz: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look at three clocks, the GPU and the cores. ``awake`` stands still while the machine sleeps."""

    boot: float
    awake: float
    wall: float
    phase: str = ""  # of the trial: "starting", "training" or "scoring"
    gpu: GpuLook | None = None
    host: HostLook | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Norms:
    """What is usual here. A clock is None until trials have shown it; the shares are of time or of looks."""

    cores: int = 1
    every_seconds: float = 1.0
    gpu_clock_mhz: float | None = None
    core_clock_mhz: float | None = None
    min_clock_ratio: float = 0.85
    max_foreign_share: float = 0.25
    max_steal_share: float = 0.1
    max_throttled_share: float = 0.2
    max_jump_seconds: float = 2.0


class Telescope(Protocol):
    """Looks at this machine while a trial runs."""

    def look(self) -> Look:
        """Never raises: a GPU that cannot be reached is ``lost``."""
        ...

    def close(self) -> None: ...


@dataclass(slots=True, kw_only=True)
class Scripted:
    """Shows what it is given, then the last again."""

    looks: list[Look] = field(default_factory=list)
    shown: int = 0

    def look(self) -> Look:
        self.shown += 1
        return self.looks[min(self.shown, len(self.looks)) - 1]

    def close(self) -> None:
        """Nothing to close."""


def busy(gpu: GpuLook, max_used_bytes: int) -> str | None:
    """Why a trial should not begin on this GPU yet; None when it is free. Nothing of ours runs on it."""
    if gpu.strangers:
        return f"another program is on the GPU ({', '.join(gpu.strangers[:3])})"
    if gpu.used_bytes > max_used_bytes:
        return f"{gpu.used_bytes >> 20} MiB of the GPU are in use by a program that cannot be seen from here"
    if gpu.throttled:
        return f"the GPU slows itself down ({', '.join(gpu.throttled)})"
    return None


def look_at_clocks(*, gpu: GpuLook | None, host: HostLook | None) -> Look:
    """A look, taken now."""
    boot = time.clock_gettime(time.CLOCK_BOOTTIME)
    return Look(boot=boot, awake=time.monotonic(), wall=time.time(), gpu=gpu, host=host)


def comparable(looks: Sequence[Look], norms: Norms) -> str | None:
    """Why a trial during which this was seen cannot be compared with others; None when it can."""
    return next(_complaints(looks, norms), None)


def _complaints(looks: Sequence[Look], norms: Norms) -> Iterator[str]:
    if len(looks) < 2:
        return
    yield from _clock_complaints(looks, norms)
    yield from _gpu_complaints([look.gpu for look in looks if look.gpu is not None], norms)
    hosts = [(look.awake, look.host) for look in looks if look.host is not None and look.phase != "scoring"]
    if len(hosts) > 1:
        (began, first), (ended, last) = hosts[0], hosts[-1]
        yield from _host_complaints(first, last, (ended - began) * norms.cores, norms)
        yield from _foreign(hosts, norms)
        yield from _clock_rate("the cores", [host.clock_mhz for _, host in hosts], norms.core_clock_mhz, norms)


def _clock_complaints(looks: Sequence[Look], norms: Norms) -> Iterator[str]:
    for before, after in itertools.pairwise(looks):
        awake, passed = after.awake - before.awake, after.boot - before.boot
        if passed - awake > norms.max_jump_seconds:
            yield f"the machine slept for {passed - awake:.0f} s"
        if abs(jump := after.wall - before.wall - passed) > norms.max_jump_seconds:
            yield f"the machine's clock was set by {jump:+.0f} s"
        if awake > norms.every_seconds * GAP_LOOKS:
            yield f"nobody watched this machine for {awake:.0f} s: the daemon itself was stopped"


def _gpu_complaints(looks: Sequence[GpuLook], norms: Norms) -> Iterator[str]:
    if not looks:
        return
    if lost := next((look.lost for look in looks if look.lost), ""):
        yield f"the GPU was lost: {lost}"
    beside = [look for look in looks if look.strangers]
    if len(beside) > norms.max_foreign_share * len(looks):
        yield f"another program was on the GPU ({', '.join(beside[-1].strangers[:3])})"
    slowed = [look for look in looks if look.throttled]
    if len(slowed) > norms.max_throttled_share * len(looks):
        share = 100 * len(slowed) / len(looks)
        yield f"the GPU slowed itself down in {share:.0f} % of the looks ({', '.join(slowed[-1].throttled)})"
    if (errors := looks[-1].uncorrected_errors - looks[0].uncorrected_errors) > 0:
        yield f"the GPU's memory had {errors} errors that it could not correct"
    yield from _clock_rate("the GPU", [look.clock_mhz for look in looks], norms.gpu_clock_mhz, norms)


def _host_complaints(first: HostLook, last: HostLook, seconds: float, norms: Norms) -> Iterator[str]:
    if seconds <= 0:
        return
    if (stolen := (last.steal_seconds - first.steal_seconds) / seconds) > norms.max_steal_share:
        yield f"the hypervisor gave {100 * stolen:.0f} % of the cores' time to others"
    if (last.throttles or 0) > (first.throttles or 0):
        yield f"the cores slowed themselves down for heat, {(last.throttles or 0) - (first.throttles or 0)} times"


def _foreign(hosts: Sequence[tuple[float, HostLook]], norms: Norms) -> Iterator[str]:
    """Over the time in which it is known what the trial itself used."""
    known = [(at, host.busy_seconds - host.own_seconds) for at, host in hosts if host.own_seconds is not None]
    seconds = (known[-1][0] - known[0][0]) * norms.cores if known else 0.0
    if seconds > 0 and (share := (known[-1][1] - known[0][1]) / seconds) > norms.max_foreign_share:
        yield f"other programs used {100 * share:.0f} % of the trial's cores"


def _clock_rate(what: str, rates: Sequence[float | None], norm: float | None, norms: Norms) -> Iterator[str]:
    rate = median_rate(rates)
    if rate is not None and norm and rate < norms.min_clock_ratio * norm:
        yield f"{what} ran at {rate:.0f} MHz, where {norm:.0f} MHz are usual"


def median_rate(rates: Sequence[float | None]) -> float | None:
    """The middle one of those that are known."""
    known = [rate for rate in rates if rate is not None]
    return statistics.median(known) if known else None
