"""A long night in minutes: hundreds of short experiments while a seeded schedule kills, stops, starves and cuts off.

``python bench/soak.py [--experiments 500] [--sandbox scripted|docker] [--seed 1]``: the daemon is the real one, in a
process of its own. Reported are experiments lost, decided twice and left over, and its memory and descriptors over
time. With ``scripted`` the trials are, and everything else is real; the lab then lies on a small file system of its
own, where mounting is allowed, so that the disk really fills.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests" / "crash")]

from crash_points import Where, a_place, points  # noqa: E402
from night_lab import Night, check, decided  # noqa: E402

DISK_MIB = 96
SAMPLE_SECONDS = 1.0
PAGE = os.sysconf("SC_PAGE_SIZE")
BEFORE_A_FAULT_SECONDS = (2.0, 12.0)


@dataclass(frozen=True)
class Sample:
    """One look at the daemon: seconds since it started, its resident memory, its open descriptors."""

    age_seconds: float
    rss_mib: float
    descriptors: int


@dataclass
class Soak:
    """One night: the lab, the schedule, and what was seen."""

    where: Where
    random: random.Random
    disk: Path | None
    faults: Counter[str] = field(default_factory=Counter)
    samples: list[list[Sample]] = field(default_factory=list)

    def run(self, experiments: int, quiet: int) -> None:
        """``experiments`` with faults; the last ``quiet`` of them in one undisturbed start, for memory's sake."""
        until = time.monotonic() + 20 * experiments
        while decided(self.where.lab) < experiments - quiet and time.monotonic() < until:
            self._one_start(experiments - quiet)
        self._undisturbed(experiments)

    def _one_start(self, enough: int) -> None:
        fault = self.random.choice(("kill", "point", "point", "stopped", "disk", "term", "suspended"))
        if fault == "disk" and self.disk is None:
            fault = "kill"
        name = ""
        if fault == "point":
            place = [p for p in points("docker" if self.where.engine else "scripted") if not p.startswith("abandoned")]
            name = f"{self.random.choice(place)}:{self.random.randint(1, 6)}"
        night = self._night(name)
        self.samples.append([])
        try:
            self._watch(night, self.random.uniform(*BEFORE_A_FAULT_SECONDS), enough)
            self.faults[fault] += 1
            getattr(self, f"_{fault}")(night)
        finally:
            night.kill()

    def _night(self, fault: str = "") -> Night:
        trouble = {"NIGHT_TROUBLE": f"{self.random.random()}:2", "NIGHT_SMALL_DISK": "1"}
        return Night(self.where.lab, {**self.where.environment, **trouble, "NIGHT_SLEEP": "0.02"}, fault)

    def _undisturbed(self, experiments: int) -> None:
        night = self._night()
        self.samples.append([])
        try:
            self._watch(night, 20 * experiments, experiments)
            night.stop()
        finally:
            night.kill()

    def _watch(self, night: Night, seconds: float, enough: int) -> None:
        """Sample it until ``seconds`` have passed, it has ended, or enough is decided."""
        began = time.monotonic()
        while time.monotonic() - began < seconds and night.process.poll() is None:
            if decided(self.where.lab) >= enough:
                return
            with suppress(OSError, IndexError):
                self.samples[-1].append(_sample(night.process.pid, time.monotonic() - began))
            time.sleep(SAMPLE_SECONDS)

    # What befalls it; each leaves it dead or well.

    def _kill(self, night: Night) -> None:
        night.kill()

    def _point(self, night: Night) -> None:
        with suppress(subprocess.TimeoutExpired):
            night.process.wait(5)

    def _term(self, night: Night) -> None:
        while night.process.poll() is None and not night.ask("status"):
            time.sleep(0.1)  # not yet listening: it would die of the signal
        if night.process.poll() is None:
            night.stop()

    def _stopped(self, night: Night) -> None:
        """Suspended past every deadline, and killed as it is."""
        night.process.send_signal(signal.SIGSTOP)
        time.sleep(3)
        night.kill()

    def _suspended(self, night: Night) -> None:
        """Suspended past every deadline, and woken."""
        if night.process.poll() is None:
            night.process.send_signal(signal.SIGSTOP)
            time.sleep(3)
            night.process.send_signal(signal.SIGCONT)
            self._goes_on(night)

    def _disk(self, night: Night) -> None:
        """Every byte of the file system is taken for a while."""
        assert self.disk is not None
        ballast = self.disk / "ballast"
        with suppress(OSError), ballast.open("wb") as file:
            while True:
                file.write(bytes(1 << 20))
                file.flush()
        with suppress(OSError), ballast.open("ab") as file:
            while True:
                file.write(bytes(512))
                file.flush()
        time.sleep(3)
        ballast.unlink()
        self._goes_on(night)

    def _goes_on(self, night: Night) -> None:
        before = decided(self.where.lab)
        night.until(lambda: decided(self.where.lab) > before, "experiment after it was mended")


def _sample(process: int, age_seconds: float) -> Sample:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return Sample(age_seconds, pages * PAGE / 2**20, len(list(Path(f"/proc/{process}/fd").iterdir())))


@contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """A file system that can be filled without harm; None where mounting is not allowed."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    try:
        yield folder if mounted.returncode == 0 else None
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", "--lazy", str(folder)], check=False)


def report(soak: Soak, seconds: float) -> None:
    """Print what the night came to.

    Raises:
        AssertionError: something was lost, done twice or left behind.
    """
    tally = check(soak.where.lab, soak.where.engine)
    calm = soak.samples[-1]
    print(f"{tally.closed} experiments decided ({tally.kept} kept) of {tally.experiments} opened, in {seconds:.0f} s")
    print(f"lost 0, doubled 0, orphans 0; {tally.interrupted} interrupted, {tally.given_up} given up after three times")
    print(f"starts {len(soak.samples)}; faults {dict(sorted(soak.faults.items()))}; 2 % of other calls failed")
    for part in (1, 2, 3, 4):
        at = calm[max(0, len(calm) * part // 4 - 1)]
        print(f"  after {at.age_seconds:6.0f} s: {at.rss_mib:6.1f} MiB resident, {at.descriptors} descriptors")
    warm, last = calm[len(calm) // 4], calm[-1]
    print(f"memory since the first quarter of the last start: {100 * (last.rss_mib / warm.rss_mib - 1):+.1f} %")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=500)
    parser.add_argument("--quiet", type=int, default=150, help="the last ones, in one undisturbed start")
    parser.add_argument("--sandbox", choices=("scripted", "docker"), default="scripted")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="autoresearch-soak-") as name:
        folder = Path(name) / "disk"
        folder.mkdir()
        scripted = options.sandbox == "scripted"
        with small_disk(folder) as disk, a_place(folder, options.sandbox) as where:
            soak = Soak(where, random.Random(options.seed), disk if scripted else None)
            soak.run(options.experiments, options.quiet)
            report(soak, time.monotonic() - began)
    return 0


if __name__ == "__main__":
    sys.exit(main())
