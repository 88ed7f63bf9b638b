"""The small file that says what the loop is at."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from values import experiment

from daemon import live
from daemon.live import LiveFile
from daemon.model import FaultKind
from daemon.observe import (
    Claimed,
    Event,
    ExperimentClosed,
    FaultSeen,
    Paused,
    PhaseEntered,
    ProgramChanged,
    ProposalAwaited,
)

TRAINING = PhaseEntered(number=4, phase="training", seconds=300.0, hypothesis="a \x1b[31mred\u202e idea")
EVENTS: tuple[tuple[Event, str, int | None], ...] = (
    (TRAINING, "training", 4),
    (ProposalAwaited(), "proposing", None),
    (Paused(reason="the money \x00 of the day"), "waiting", None),
    (FaultSeen(message="no engine", retry_seconds=30.0, kind=FaultKind.SERVICE), "outage", None),
    (ExperimentClosed(experiment=experiment(), champion_bpb=None), "between", None),
)


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / live.FILE


@pytest.mark.parametrize(("event", "phase", "number"), EVENTS)
def test_each_event_is_there_for_a_reader(path: Path, event: Event, phase: str, number: int | None) -> None:
    time = Time()
    file = LiveFile(path, clock=time, paused=lambda: True)
    time.now = 1003.0
    file.notify(event)
    file.notify(ProgramChanged(sha256="0" * 64))  # changes nothing of it
    file.look()
    found = live.read(path, 1004.0)
    assert found is not None
    assert (found.phase, found.number, found.phase_since, found.paused) == (phase, number, 1003.0, True)
    assert "\x1b" not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_claim_counts_while_its_own_experiment_trains(path: Path) -> None:
    claim = Claimed(number=TRAINING.number, step=3, loss=2.5, tokens_per_second=1e5)
    file = LiveFile(path)
    file.notify(claim)
    file.look()
    assert json.loads(path.read_text())["claimed"] is None
    file.notify(TRAINING)
    file.notify(replace(claim, number=TRAINING.number + 1))
    file.look()
    assert json.loads(path.read_text())["claimed"] is None
    file.notify(claim)
    file.look()
    assert json.loads(path.read_text())["claimed"] == {"step": 3, "loss": 2.5, "tokens_per_second": 1e5}
    file.notify(replace(TRAINING, phase="scoring"))
    file.look()
    assert json.loads(path.read_text())["claimed"] is None


def test_it_is_written_when_something_is_new_and_as_a_sign_of_life(path: Path) -> None:
    time = Time()
    file = LiveFile(path, clock=time)
    file.look()
    first = path.stat().st_ino, path.read_text()
    time.now += 1
    file.look()
    assert (path.stat().st_ino, path.read_text()) == first
    time.now += live.BEAT_SECONDS
    file.look()
    assert json.loads(path.read_text())["updated"] == time.now


def test_it_goes_with_the_run(path: Path) -> None:
    with LiveFile(path).keeping() as file:
        file.look()
        assert path.exists()
    assert not path.exists()


def test_a_folder_that_is_gone_does_not_stop_the_run(tmp_path: Path) -> None:
    with LiveFile(tmp_path / "none" / live.FILE).keeping() as file:
        file.notify(TRAINING)
    assert not (tmp_path / "none").exists()


GOOD = (
    '{"number":1,"phase":"training","phase_since":1,"phase_seconds":2,"hypothesis":"","paused":false,"waiting":"",'
    '"claimed":null,"updated":1000}'
)


@pytest.mark.parametrize(
    "content",
    [
        "", "{", "[]", "null", "7", "{}", '"x"', "[" * 100_000, GOOD.replace("1000", "0"), GOOD.replace("1000", '"x"'),
        GOOD.replace("1000", "1e400"), GOOD.replace("1000", "NaN"), GOOD.replace("null", "[1]"),
        GOOD.replace("null", "{}"),
        GOOD.replace('"number":1', '"number":"x"'), GOOD.replace('"number":1', '"number":[]'),
        GOOD.replace('"phase_since":1', '"phase_since":null'), "\x00" * 100, GOOD + GOOD,
    ],
)  # fmt: skip
def test_what_is_not_ours_is_nothing(path: Path, content: str) -> None:
    path.write_text(content)
    assert live.read(path, 1001.0) is None


def test_what_is_stale_or_missing_is_nothing(path: Path) -> None:
    assert live.read(path, 0.0) is None
    path.write_text(GOOD)
    assert live.read(path, 1001.0) is not None
    assert live.read(path, 1000.0 + live.STALE_SECONDS + 1) is None
    assert live.read(path, 1000.0 - live.STALE_SECONDS - 1) is None
    path.unlink()
    path.mkdir()
    assert live.read(path, 1001.0) is None
