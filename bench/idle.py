"""What a daemon costs that has nothing to do, and how soon after its start a container trains.

``python bench/idle.py [--starts 5] [--seconds 60]`` on a quiet machine. The lab is one as it ships, with its default
proposer; it is asked to pause before its first experiment for the idle part. The image is the tiny one of the crash
tests, on a lab whose sandbox was checked before: what is measured is ours.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests" / "crash")]

from crash_points import Where, a_place  # noqa: E402
from night_lab import Night, decided  # noqa: E402

BLOCK = """\
# --- hyperparameters (cpu profile)
DEPTH = 2  # int 1..6; nothing
ROPE_BASE = 10000.0  # log 100..100000; nothing
# --- end of hyperparameters (cpu profile)
"""
TICKS = os.sysconf("SC_CLK_TCK")


def family(process: int) -> list[int]:
    """A process and all below it."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [process, *(one for child in children for one in family(int(child)))]


def cpu_seconds(process: int) -> float:
    """What a process and all below it have used."""
    total = 0
    for one in family(process):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def rss_mib(process: int) -> float:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def start_seconds(where: Where) -> tuple[float, float, float]:
    """From the command to the first container's making, to the release of the data, and the CPU used until then."""
    began = time.time()
    night = Night(where.lab, where.environment)
    try:
        night.until(lambda: '"phase": "scoring"' in night.said(), "training")
        used = cpu_seconds(night.process.pid)
        events = [json.loads(line) for line in night.said().splitlines() if line.startswith("{")]
        at = {event["phase"]: datetime.fromisoformat(event["at"]).timestamp() for event in reversed(events)}
        return at["starting"] - began, at["training"] - began, used
    finally:
        night.stop()


def idle(where: Where, seconds: float) -> tuple[float, list[float]]:
    """Percent of a core over ``seconds`` of being paused, and the memory of the daemon and of each child, in MiB."""
    night = Night(where.lab, where.environment)
    try:
        before = decided(where.lab)
        night.until(lambda: decided(where.lab) > before, "experiment")
        night.ask("pause")
        night.until(lambda: (night.ask("status") or {}).get("state") == "waiting", "pause")
        time.sleep(2)
        began, used = time.monotonic(), cpu_seconds(night.process.pid)
        time.sleep(seconds)
        percent = 100 * (cpu_seconds(night.process.pid) - used) / (time.monotonic() - began)
        return percent, [rss_mib(one) for one in family(night.process.pid)]
    finally:
        night.stop()


def _with_the_default_proposer(lab: Path) -> None:
    settings, train_py = lab / "lab.toml", lab / "train.py"
    settings.write_text(settings.read_text().replace('name = "night"', 'name = "optuna"'))
    train_py.write_text(BLOCK + train_py.read_text())
    words = ("-c", "user.name=A", "-c", "user.email=a@b", "commit", "-qam", "the default proposer")
    subprocess.run(["git", "-C", str(lab), *words], check=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="autoresearch-idle-") as name, a_place(Path(name), "docker") as where:
        _with_the_default_proposer(where.lab.directory)
        start_seconds(where)  # checks the sandbox, once
        starts = [start_seconds(where) for _ in range(options.starts)]
        whats = ("start to the making of a container", "start to training", "CPU of our processes until then")
        for what, seconds in zip(whats, zip(*starts, strict=True), strict=True):
            print(f"{what}: median {statistics.median(seconds):.2f} s, longest {max(seconds):.2f} s")
        percent, memory = idle(where, options.seconds)
        print(f"idle for {options.seconds:.0f} s: {percent:.2f} % of a core; memory in MiB, daemon first: {memory}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
