"""The clock, without a clock: every time is given."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sandbox.clock import Clock, Expiry
from sandbox.interface import TimeRules


def rules(**changes: object) -> TimeRules:
    values: dict[str, object] = {
        "train_seconds": 300.0,
        "startup_seconds": 100.0,
        "free_startup_seconds": 20.0,
        "score_seconds": 60.0,
    }
    return TimeRules(**{**values, **changes})  # type: ignore[arg-type]


def test_the_budget_runs_from_the_release_and_not_from_the_start() -> None:
    clock = Clock(rules(), started_at=1000.0)
    assert clock.release(1015.0) == 300.0
    assert clock.deadline == 1315.0
    assert clock.expired(1314.999) is None
    assert clock.expired(1315.0) is Expiry.BUDGET


def test_start_up_beyond_what_is_free_is_charged() -> None:
    clock = Clock(rules(), started_at=1000.0)
    assert clock.release(1050.0) == 270.0
    assert clock.charged_seconds == 30.0
    assert clock.deadline == 1320.0


def test_a_second_marker_changes_nothing() -> None:
    clock = Clock(rules(), started_at=0.0)
    clock.release(10.0)
    clock.release(200.0)
    assert (clock.released_at, clock.deadline) == (10.0, 310.0)


def test_one_that_never_asks_is_ended_by_the_start_up_limit() -> None:
    clock = Clock(rules(), started_at=0.0)
    assert clock.expired(99.9) is None
    assert clock.expired(100.0) is Expiry.STARTUP
    assert clock.startup_seconds(100.0) == 100.0
    assert clock.wall_seconds(100.0) == 0.0


def test_clock_container_counts_start_up_inside_the_budget() -> None:
    clock = Clock(rules(starts_at="container"), started_at=0.0)
    assert clock.deadline == 300.0
    assert clock.release(40.0) == 260.0
    assert clock.deadline == 300.0


@given(
    started=st.floats(0, 1e6),
    startup=st.floats(0, 1e4),
    free=st.floats(0, 1e4),
    budget=st.floats(0.1, 1e4),
)
def test_start_up_never_buys_training_time(started: float, startup: float, free: float, budget: float) -> None:
    clock = Clock(rules(train_seconds=budget, free_startup_seconds=free), started_at=started)
    granted = clock.release(started + startup)
    assert 0 <= granted <= budget
    assert granted + clock.charged_seconds >= budget - 1e-6
