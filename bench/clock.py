"""The clock's precision: when the data is seen after its release, and when a train.py that never stops is dead.

    .venv/bin/python bench/clock.py [--runs 20] [--seconds 2]

Host and container read the same monotonic clock, so the candidate's own heartbeat is compared with the host's
times: two independent accounts of the same seconds. Run it alone.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace

from common import a_lab, machine, spread

from daemon.lab import Lab
from daemon.trial import TrialPlan
from sandbox.docker_engine import Engine
from sandbox.interface import RunStatus

NEVER_STOPS = b"""
import signal, time
import prepare
signal.signal(signal.SIGTERM, signal.SIG_IGN)
next(prepare.make_dataloader(prepare.Tokenizer.from_directory(), 2, 64, "train"))
print("SEEN", time.monotonic(), flush=True)
while True:
    print("ALIVE", time.monotonic(), flush=True)
    time.sleep(0.005)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Seconds of one run: release to first batch, deadline to the last heartbeat, deadline to seen dead."""

    seen_after: float
    last_heartbeat: float
    dead_after: float


def measure(lab: Lab, run: int, seconds: float) -> Sample:
    plan = TrialPlan(train_py=NEVER_STOPS, run_id=f"clock-{run}", seed=1, free_startup_seconds=None)
    spec = lab.spec(plan)
    spec = replace(spec, times=replace(spec.times, train_seconds=seconds))
    released: list[float] = []
    with lab.wall.sandbox.session(spec) as session:
        result = session.train(on_release=lambda _granted: released.append(time.monotonic()), cancel=lambda: False)
    if result.status is not RunStatus.TIMEOUT or result.overrun_seconds is None:
        raise SystemExit(f"expected a timeout, got {result.status}: {result.reason}\n{result.log}")
    lines = [line.split() for line in result.log.splitlines() if line.startswith(("SEEN", "ALIVE"))]
    beats = [float(line[1]) for line in lines if len(line) == 2]
    first = next((float(line[1]) for line in lines if line[0] == "SEEN"), None)
    if first is None:
        raise SystemExit("the log kept no SEEN line; shorten --seconds")
    return Sample(
        seen_after=first - released[0],
        last_heartbeat=max(beats) - released[0] - seconds,
        dead_after=result.overrun_seconds,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=2.0)
    arguments = parser.parse_args()
    print(machine())
    with a_lab() as lab:
        samples = [measure(lab, run, arguments.seconds) for run in range(arguments.runs)]
        left = Engine().ours(lab.id)
    within = sum(1 for s in samples if max(s.dead_after, s.last_heartbeat) <= 0.5)
    print(f"first batch after the release: {spread([s.seen_after for s in samples], ' s')}")
    print(f"last heartbeat after the deadline: {spread([s.last_heartbeat for s in samples], ' s')}")
    print(f"seen dead after the deadline: {spread([s.dead_after for s in samples], ' s')}")
    print(f"dead within 0.5 s: {within} of {len(samples)}")
    print(f"left behind: {len(left[0])} containers, {len(left[1])} volumes")


if __name__ == "__main__":
    main()
