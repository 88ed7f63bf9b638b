"""The executor that waits its turn: steered while it waits, and seen by those who watch."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from specs import a_spec

from daemon import hardware
from daemon.hardware import Gpu
from daemon.line import Claim, Line, Place
from daemon.metrics.catalog import Catalog
from daemon.metrics.observer import MetricsObserver
from daemon.metrics.phase_clock import LoopPhase, PhaseClock
from daemon.model import OurFault, TrialResult, TrialStatus
from daemon.observe import Event, Observers, Paused, SlotAwaited, SlotTaken
from daemon.slots import Orphans, Queued, Turns, devices, folder_of
from daemon.steering import Steering, When
from daemon.trial import Listener
from sandbox.interface import Cancelled, SandboxSpec, SandboxUnavailable


class Trial:
    def __init__(self, fault: bool = False) -> None:
        self.ran, self.fault = 0, fault

    def run(self, spec: SandboxSpec, listener: Listener) -> TrialResult:
        self.ran += 1
        if self.fault:
            raise OurFault("the engine died")
        return TrialResult(status=TrialStatus.OK, reason="", seed=spec.seed)


class Told:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def notify(self, event: Event) -> None:
        self.events.append(event)

    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.events]


class Night:
    """A lab whose turn has not come: another one holds everything, until it leaves."""

    def __init__(self, folder: Path, *, fault: bool = False) -> None:
        self.line = Line(folder, 1 << 50)
        self.other: Place = self.line.enter(Claim(lab="other", name="ev\x1bil", cores=(0, 1)))
        assert self.other.before() == []
        self.other.take()
        self.beats = 0
        self.steering, self.told, self.trial = Steering(self._beat), Told(), Trial(fault)
        turns = Turns(self.line, name="mine")
        self.queued = Queued(self.trial, turns, Observers([self.told]), self.steering)
        self.ended: list[BaseException | TrialResult] = []
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _beat(self) -> None:
        self.beats += 1

    def _run(self) -> None:
        with self.steering.trying(7):
            listener = Listener(cancel=lambda: self.steering.abandons() is not None)
            try:
                self.ended.append(self.queued.run(a_spec(), listener))
            except (Cancelled, OurFault) as error:
                self.ended.append(error)

    def wait(self) -> None:
        self.thread.start()
        self.until(lambda: "SlotAwaited" in self.told.kinds())

    def until(self, so: Callable[[], bool], seconds: float = 20.0) -> None:
        until = time.monotonic() + seconds
        while not so():
            assert time.monotonic() < until
            time.sleep(0.01)

    def over(self) -> BaseException | TrialResult:
        self.thread.join(20)
        return self.ended[0]


@pytest.fixture
def night(tmp_path: Path) -> Night:
    return Night(tmp_path / "q")


def test_it_says_what_it_waits_for_and_goes_when_it_is_free(night: Night, tmp_path: Path) -> None:
    night.wait()
    event = night.told.events[0]
    assert isinstance(event, SlotAwaited)
    assert (event.number, event.ahead) == (7, 1)
    assert event.reason.startswith("waiting for cores 0-1, held by lab ev\\x1bil (")
    assert event.reason.endswith("; 1st in line")
    assert night.trial.ran == 0
    night.other.leave()
    assert isinstance(night.over(), TrialResult)
    assert night.told.kinds() == ["SlotAwaited", "SlotTaken"]
    assert os.listdir(tmp_path / "q") == []


@pytest.mark.parametrize("how", ["stop now", "stop", "skip", "reload"])
def test_the_wait_ends_within_a_second_of_being_told(night: Night, tmp_path: Path, how: str) -> None:
    night.wait()
    act = {
        "stop now": lambda: night.steering.stop(When.NOW),
        "stop": lambda: night.steering.stop(When.EXPERIMENT),
        "skip": night.steering.skip,
        "reload": night.steering.reload,
    }[how]
    act()
    night.thread.join(1.0)
    assert isinstance(night.over(), Cancelled)
    assert night.trial.ran == 0
    assert len(os.listdir(tmp_path / "q")) == 1, "it left the line"


def test_who_pauses_lets_others_pass_and_comes_back_at_the_end(night: Night, tmp_path: Path) -> None:
    night.wait()
    night.steering.pause()
    night.until(lambda: len(os.listdir(tmp_path / "q")) == 1, 1.0)
    assert isinstance(night.told.events[-1], Paused)
    night.other.leave()
    later = night.line.enter(Claim(lab="later", name="later", cores=(1,)))
    night.steering.resume()
    night.until(lambda: len(os.listdir(tmp_path / "q")) == 2)
    assert (night.trial.ran, later.before()) == (0, [])
    later.leave()
    assert isinstance(night.over(), TrialResult)


def test_waiting_feeds_the_watchdog(night: Night) -> None:
    night.wait()
    before = night.beats
    night.until(lambda: night.beats > before + 3, 5.0)
    assert night.beats > before + 3
    night.steering.stop(When.NOW)
    night.over()


def test_after_a_fault_of_the_engine_the_place_says_that_a_container_may_be_left(tmp_path: Path) -> None:
    night = Night(tmp_path / "q", fault=True)
    night.other.leave()
    night.thread.start()
    assert isinstance(night.over(), OurFault)
    neighbour = night.line.enter(Claim(lab="neighbour", name="neighbour", cores=(1,)))
    (before,) = neighbour.before()
    assert (before.claim.name, before.alive) == ("mine", False)
    again = night.line.enter(Claim(lab=before.claim.lab, name="mine", cores=(1,)))  # after it has reaped
    assert neighbour.before() == []
    again.leave()
    neighbour.leave()


def test_the_metrics_show_the_wait() -> None:
    registry = CollectorRegistry()
    catalog, phases = Catalog(registry, []), PhaseClock(time.monotonic)
    observer = MetricsObserver(catalog, phases)
    observer.notify(SlotAwaited(number=1, reason="", ahead=2))
    assert phases.phase is LoopPhase.QUEUED
    assert registry.get_sample_value("autoresearch_slot_queue_ahead") == 2
    observer.notify(SlotTaken(number=1, seconds=3.0))
    assert phases.phase is LoopPhase.IDLE
    assert registry.get_sample_value("autoresearch_slot_queue_ahead") == 0


def test_a_machine_that_nobody_shares_has_no_line() -> None:
    trial = Trial()
    Queued(trial, Turns(None, name="mine"), Observers(()), Steering()).run(a_spec(), Listener())
    assert trial.ran == 1


def test_the_names_of_a_gpu_are_one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    two = [Gpu(uuid="GPU-a", name="H", memory_mib=1), Gpu(uuid="GPU-b", name="H", memory_mib=1)]
    monkeypatch.setattr(hardware, "gpus", lambda: two)
    assert devices("GPU-b") == devices("nvidia.com/gpu=1") == devices("nvidia.com/gpu=GPU-b") == ("GPU-b",)
    assert devices("nvidia.com/gpu=all") == ("GPU-a", "GPU-b")
    assert devices(None) == ()
    monkeypatch.setattr(hardware, "gpus", list)
    assert devices("nvidia.com/gpu=1") == ("1",)


def test_the_folder_is_the_machines_own_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.slots.SYSTEM_FOLDER", tmp_path)
    assert folder_of("auto") == tmp_path
    monkeypatch.setattr("daemon.slots.SYSTEM_FOLDER", tmp_path / "none")
    assert folder_of("auto") == Path("/tmp/autoresearchd-queue")
    assert folder_of("/srv/queue") == Path("/srv/queue")


def test_the_engine_is_asked_what_a_dead_lab_left_and_not_too_often() -> None:
    asked: list[str] = []

    def count(lab_id: str) -> int:
        asked.append(lab_id)
        return 0

    claim = Claim(lab="dead", name="dead", engine="E")
    orphans = Orphans("E", count)
    assert [orphans.left(claim) for _ in range(5)] == [False] * 5
    assert asked == ["dead"]
    assert Orphans("E", lambda _lab: 1).left(claim)
    assert Orphans("another", count).left(claim), "it cannot be told"

    def broken(_lab: str) -> int:
        raise SandboxUnavailable("gone")

    assert Orphans("E", broken).left(claim)
