"""Kill the daemon at each named place, start it again, and see that nothing was lost, done twice or left behind.

``python tests/crash/crash_points.py [--sandbox docker|scripted] [--repeats 5] [--points a,b] [--seed 1]``
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parent)]

from night_lab import Night, Tally, check, decided, make_lab
from tiny_image import tiny_image

from daemon.lab import Lab
from daemon.model import OurFault
from sandbox.docker_engine import Engine
from sandbox.faultpoints import POINTS

# Reached by the engine's work alone, and those that only a start, a stop or a person brings about.
OF_THE_ENGINE = frozenset(
    point for point in POINTS if point.split(".")[0] in ("run", "volume", "container", "data", "gate")
)
AT_A_START = frozenset(point for point in POINTS if point.split(".")[0] in ("start", "interrupted"))
BY_A_PERSON = frozenset(point for point in POINTS if point.split(".")[0] in ("abandoned", "inbox"))
# What these nights do not bring about: a disturbed trial, a gain too good to be true, a kept model to look with.
ELSEWHERE = frozenset(point for point in POINTS if point.split(".")[0] in ("trial-voided", "quarantined", "holdout"))
LONG = "30"


@dataclass(frozen=True)
class Where:
    """A lab and what its daemon runs trials in."""

    lab: Lab
    engine: Engine | None

    @property
    def environment(self) -> Mapping[str, str]:
        return {} if self.engine else {"NIGHT_SANDBOX": "scripted"}


@contextmanager
def a_place(folder: Path, sandbox: str) -> Iterator[Where]:
    """A lab for crashes; whatever of it the engine still has goes when this ends."""
    if sandbox == "scripted":
        yield Where(make_lab(folder / "lab"), None)
        return
    engine = Engine()
    lab = make_lab(folder / "lab", image=tiny_image(engine), train_seconds=2.0)
    try:
        yield Where(lab, engine)
    finally:
        containers, volumes = engine.ours(lab.id)
        for name in containers:
            engine.remove(name)
        for name in volumes:
            engine.remove_volume(name)


def points(sandbox: str) -> list[str]:
    """The places that a daemon with this sandbox comes by."""
    reached = [point for point in POINTS if point not in ELSEWHERE]
    return [point for point in reached if sandbox == "docker" or point not in OF_THE_ENGINE]


def crash_at(where: Where, point: str, repeat: int) -> Tally:
    """Bring the daemon to ``point``, where it ends itself; start it again, let it decide something, stop it; look.

    The count varies, so that the place is met in the first experiment after a start, and in later ones.

    Raises:
        AssertionError: the place was not reached, or something does not hold afterwards.
    """
    lab, environment = where.lab, dict(where.environment)
    if point in AT_A_START:
        Night(lab, environment, "trial-started.after").killed()
        Night(lab, environment, point).killed()
    elif point in BY_A_PERSON:
        _by_a_person(where, point)
    elif point == "container.killed":
        Night(lab, {**environment, "NIGHT_SLEEP": LONG}, point).killed()
    else:
        Night(lab, environment, f"{point}:{1 + repeat % 3}").killed()
    return _recovers(where)


def _by_a_person(where: Where, point: str) -> None:
    lab, environment = where.lab, dict(where.environment)
    if point == "inbox.discarded":
        lab.inbox.put(_patch(lab), "handed in")
        Night(lab, environment, point).killed()
        return
    slow = {**environment, "NIGHT_SLEEP": LONG if not where.engine else "1.5"}
    night = Night(lab, slow, point)
    if point == "inbox.written":
        from base64 import b64encode

        night.until(lambda: night.ask("status") and decided(lab), "answer")
        with suppress(AssertionError):
            night.ask("submit", hypothesis="handed in", train_py=b64encode(_patch(lab)).decode())
    else:
        until = time.monotonic() + 60
        while night.process.poll() is None and time.monotonic() < until:
            night.ask("skip")
            time.sleep(0.05)
    night.killed()


def _patch(lab: Lab) -> bytes:
    return lab.read("train.py") + f"HANDED_IN = {time.time_ns()}\n".encode()


def _recovers(where: Where) -> Tally:
    night = Night(where.lab, where.environment)
    try:
        before = decided(where.lab)
        night.until(lambda: decided(where.lab) > before, "experiment after the crash")
        night.stop()
        return check(where.lab, where.engine)
    finally:
        night.kill()


def main() -> int:
    options = _options()
    wanted = options.points.split(",") if options.points else points(options.sandbox)
    began, survived = time.monotonic(), Counter[str]()
    with tempfile.TemporaryDirectory(prefix="autoresearch-crash-") as name, _Labs(Path(name), options.sandbox) as labs:
        for repeat in range(options.repeats):
            for point in wanted:
                survived[point] += labs.survives(point, repeat)
            seconds = time.monotonic() - began
            print(
                f"round {repeat + 1}: {survived.total()} of {(repeat + 1) * len(wanted)}, {seconds:.0f} s", flush=True
            )
    print(f"{'point':<24} survived ({options.sandbox} sandbox)")
    for point in wanted:
        print(f"{point:<24} {survived[point]} of {options.repeats}")
    total = len(wanted) * options.repeats
    print(f"{len(wanted)} points x {options.repeats}: {survived.total()} of {total} survived")
    return 0 if survived.total() == total else 1


class _Labs(ExitStack):
    """One lab serves one crash after the other; after a failure the next has a lab of its own."""

    def __init__(self, folder: Path, sandbox: str) -> None:
        super().__init__()
        self._folder, self._sandbox = folder, sandbox
        self._where: Where | None = None

    def survives(self, point: str, repeat: int) -> bool:
        if self._where is None:
            place = Path(tempfile.mkdtemp(dir=self._folder))
            self._where = self.enter_context(a_place(place, self._sandbox))
        try:
            crash_at(self._where, point, repeat)
        except (AssertionError, OSError, OurFault) as error:
            print(f"FAILED {point}, repeat {repeat}: {type(error).__name__}: {error}", flush=True)
            self._where = None
            return False
        return True


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sandbox", choices=("docker", "scripted"), default="docker")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--points", default="")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
