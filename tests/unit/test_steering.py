"""Flags that people set and a loop reads."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from daemon.lifecycle import stopped_by_signals
from daemon.steering import SKIPPED, STOPPED, Steering, When


def test_nothing_is_asked_at_first() -> None:
    steering = Steering()
    assert not (steering.stops() or steering.stops_now() or steering.leaves() or steering.paused)
    assert steering.abandons() is None
    assert not steering.take_reload()


def test_after_the_experiment_and_now() -> None:
    steering = Steering()
    steering.stop(When.EXPERIMENT)
    assert steering.stops()
    assert steering.abandons() is None
    steering.stop(When.NOW)
    steering.stop(When.EXPERIMENT)  # the sooner counts
    assert steering.abandons() == STOPPED


def test_only_what_is_being_tried_can_be_skipped_and_nothing_after_it() -> None:
    steering = Steering()
    assert steering.skip() is None
    with steering.trying(7):
        assert steering.abandons() is None
        assert steering.skip() == 7
        assert steering.abandons() == SKIPPED
    with steering.trying(8):
        assert steering.abandons() is None


def test_a_reload_is_taken_once() -> None:
    steering = Steering()
    steering.reload()
    assert steering.leaves() and not steering.stops()
    assert steering.take_reload() and not steering.take_reload()


def test_every_question_is_a_beat() -> None:
    beats: list[None] = []
    steering = Steering(lambda: beats.append(None))
    steering.stops(), steering.stops_now(), steering.leaves(), steering.abandons()
    assert len(beats) == 4


def test_waiting_ends_when_it_is_told_to() -> None:
    steering = Steering()
    threading.Timer(0.2, lambda: steering.stop(When.NOW)).start()
    began = time.monotonic()
    assert steering.wait(60.0)
    assert time.monotonic() - began < 30
    assert not Steering().wait(0.0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_as_set_and_a_second_one_at_once(number: signal.Signals) -> None:
    steering = Steering()
    with stopped_by_signals(steering, When.EXPERIMENT):
        os.kill(os.getpid(), number)
        assert steering.stopping is When.EXPERIMENT
        os.kill(os.getpid(), number)
        assert steering.stopping is When.NOW


@pytest.mark.parametrize(("reloads", "left"), [(True, True), (False, False)])
def test_a_hangup_reloads_a_daemon_and_stops_what_has_a_terminal(reloads: bool, left: bool) -> None:
    steering = Steering()
    with stopped_by_signals(steering, reloads=reloads):
        os.kill(os.getpid(), signal.SIGHUP)
    assert steering.take_reload() is left
    assert steering.stops() is not left
