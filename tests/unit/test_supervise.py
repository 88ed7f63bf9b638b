"""The order of things in one run, with a mailbox filled beforehand and a clock that the test moves."""

from __future__ import annotations

import queue
from dataclasses import dataclass, field

import pytest

from sandbox.clock import Clock
from sandbox.interface import Cancelled, RunStatus, SandboxUnavailable, TimeRules
from sandbox.supervise import Event, Happening, Watch

RULES = TimeRules(train_seconds=10, startup_seconds=5, free_startup_seconds=2, score_seconds=5)


@dataclass
class World:
    """Events at their times; waiting moves the time. Killing ends the run ``dies_after`` seconds later."""

    events: list[Event] = field(default_factory=list)
    time: float = 0.0
    released: list[float] = field(default_factory=list)
    kills: int = 0
    cancel_at: float = 1e9
    dies_after: float | None = 0.1
    stalls_until: float | None = None

    def get(self, timeout: float) -> Event:
        if self.stalls_until is not None:
            self.time, self.stalls_until = max(self.time, self.stalls_until), None
        if self.events and self.events[0].at <= self.time + timeout:
            event = self.events.pop(0)
            self.time = max(self.time, event.at)
            return event
        self.time += timeout + 1e-6
        raise queue.Empty

    def kill(self) -> None:
        self.kills += 1
        if self.dies_after is not None:
            self.events = [Event(Happening.ENDED, self.time + self.dies_after)]

    def watch(self, rules: TimeRules = RULES) -> Watch:
        return Watch(
            clock=Clock(rules, started_at=0.0),
            mailbox=self,  # type: ignore[arg-type]
            release=self.released.append,
            kill=self.kill,
            cancel=lambda: self.time >= self.cancel_at,
            now=lambda: self.time,
        )


def ready(at: float) -> Event:
    return Event(Happening.READY, at)


def ended(at: float) -> Event:
    return Event(Happening.ENDED, at)


def test_an_honest_run_is_released_and_ends_by_itself() -> None:
    world = World([ready(1.0), ended(10.5)])
    ending = world.watch().until_ended()
    assert ending.killed_for is None
    assert ending.ended_at == 10.5
    assert world.released == [10.0]
    assert world.kills == 0


def test_one_that_never_stops_is_killed_at_its_deadline() -> None:
    world = World([ready(1.0)])
    ending = world.watch().until_ended()
    assert ending.killed_for is RunStatus.TIMEOUT
    assert ending.ended_at == pytest.approx(11.1, abs=0.01)
    assert ending.overrun_seconds == pytest.approx(0.1, abs=0.01)
    assert "time_left()" in ending.reason


def test_one_that_never_asks_is_killed_at_the_start_up_limit() -> None:
    ending = World().watch().until_ended()
    assert ending.killed_for is RunStatus.TIMEOUT
    assert "without asking for the training data" in ending.reason


def test_slow_start_up_is_charged_and_said() -> None:
    world = World([ready(4.0)])
    ending = world.watch().until_ended()
    assert world.released == [8.0]
    assert ending.ended_at == pytest.approx(12.1, abs=0.01)
    assert "2.0 s of slow start-up" in ending.reason


def test_start_up_that_eats_the_whole_budget_releases_nothing() -> None:
    rules = TimeRules(train_seconds=1, startup_seconds=5, free_startup_seconds=0, score_seconds=5)
    world = World([ready(3.0)])
    ending = world.watch(rules).until_ended()
    assert world.released == []
    assert ending.killed_for is RunStatus.TIMEOUT


def test_too_much_output_is_killed_for() -> None:
    world = World([ready(1.0), Event(Happening.LOG_LIMIT, 2.0)])
    assert world.watch().until_ended().killed_for is RunStatus.OUTPUT_LIMIT
    assert world.kills == 1


def test_an_end_seen_just_after_the_deadline_is_a_timeout_not_a_score() -> None:
    rules = TimeRules(train_seconds=10, startup_seconds=5, free_startup_seconds=5, score_seconds=5)
    world = World([ready(1.0), ended(11.2)], stalls_until=None)
    watch = world.watch(rules)
    world.events = [ready(1.0)]
    watch.mailbox.get(timeout=2.0)
    watch.clock.release(1.0)
    world.events = [ended(11.2)]
    world.time = 11.2
    assert watch._ended(11.2).killed_for is RunStatus.TIMEOUT


def test_a_stalled_host_voids_the_run() -> None:
    world = World([ready(1.0), ended(30.0)])
    watch = world.watch()
    watch.clock.release(1.0)
    world.events = [ended(30.0)]
    world.stalls_until = 30.0
    with pytest.raises(SandboxUnavailable, match="stalled"):
        watch.until_ended()


def test_cancel_kills_and_is_not_a_verdict() -> None:
    world = World([ready(1.0)], cancel_at=3.0)
    with pytest.raises(Cancelled):
        world.watch().until_ended()
    assert world.kills == 1


def test_one_that_will_not_die_is_the_engines_fault() -> None:
    world = World([ready(1.0)], dies_after=None)
    with pytest.raises(SandboxUnavailable, match="still alive"):
        world.watch().until_ended()
