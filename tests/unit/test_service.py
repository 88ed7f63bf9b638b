"""What a running daemon says of itself, in JSON lines and to whoever asks."""

from __future__ import annotations

import io
import json
import socket
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from values import KEEP, PROPOSAL, TRIAL, experiment

from daemon.journal import JournalObserver
from daemon.model import Usage
from daemon.notify import Notifier
from daemon.observe import (
    Claimed,
    Disturbed,
    Event,
    ExperimentClosed,
    FaultSeen,
    HoldoutSeen,
    LogSeen,
    NoiseKnown,
    Notice,
    Paused,
    PhaseEntered,
    ProgramChanged,
    ProgramRefused,
    ProposalAwaited,
    ProposalMade,
    ProviderCharged,
    Recovered,
    SlotAwaited,
    SlotTaken,
    TrialEnded,
    TrialVoided,
    Withheld,
)
from daemon.situation import Watcher

HOSTILE = "\x1b[2J\u202eabc\n"


def test_each_event_is_one_line_of_json_with_experiment_and_phase() -> None:
    out = io.StringIO()
    journal = JournalObserver(out)
    closed = experiment(outcome=KEEP, proposal=replace(PROPOSAL, hypothesis=HOSTILE))
    journal.notify(Recovered(finished=[1], interrupted=[2], reaped=["x"]))
    journal.notify(PhaseEntered(number=3, phase="training", seconds=20.0, hypothesis=HOSTILE))
    journal.notify(FaultSeen(message=HOSTILE, retry_seconds=5.0))
    journal.notify(Paused(reason=HOSTILE))
    journal.notify(ProgramChanged(sha256="a" * 64))
    journal.notify(ProgramRefused(reason=HOSTILE))
    journal.notify(ProposalAwaited())
    journal.notify(SlotAwaited(number=3, reason=HOSTILE, ahead=1))
    journal.notify(SlotTaken(number=3, seconds=2.0))
    journal.notify(Disturbed(number=3, reason=HOSTILE))
    journal.notify(TrialVoided(number=3, reason=HOSTILE))
    journal.notify(Withheld(experiment=closed))
    journal.notify(HoldoutSeen(number=3, holdout_bpb=1.7, val_bpb=1.6, left=2))
    journal.notify(NoiseKnown(sigma_bpb=0.01, runs=5))
    journal.notify(Notice(message=HOSTILE))
    journal.notify(LogSeen(number=3, log=HOSTILE))
    journal.notify(Claimed(number=3, step=1, loss=2.0, tokens_per_second=3.0))
    journal.notify(ProposalMade(seconds=2.0))
    journal.notify(ProviderCharged(usage=Usage(purpose="proposal", model="m", input_tokens=3)))
    journal.notify(TrialEnded(number=3, result=TRIAL))
    journal.notify(ExperimentClosed(experiment=closed, champion_bpb=1.6))
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    told = {kind.__name__ for kind in get_args(Event)} - {"LogSeen", "Claimed"}  # one a second would bury the others
    assert {line["event"] for line in lines} == told, "an event has no line"
    assert (lines[2]["experiment"], lines[2]["phase"]) == (3, "training")
    assert (lines[-1]["decision"], lines[-1]["champion_bpb"]) == ("keep", 1.6)
    assert "\x1b" not in out.getvalue() and "\u202e" not in out.getvalue()


def test_the_situation_follows_the_events() -> None:
    watcher = Watcher()
    assert watcher.facts()["state"] == "starting"
    watcher.notify(PhaseEntered(number=3, phase="training", seconds=20.0, hypothesis=HOSTILE))
    facts = watcher.facts()
    assert (facts["state"], facts["experiment"], facts["seconds"]) == ("training", 3, 20.0)
    assert "\x1b" not in str(facts["hypothesis"])
    watcher.notify(ExperimentClosed(experiment=experiment(), champion_bpb=None))
    assert (watcher.facts()["state"], watcher.facts()["decided"]) == ("between two experiments", 1)
    watcher.notify(ProposalAwaited())
    assert watcher.facts()["state"] == "proposing"
    watcher.notify(Paused(reason="enough"))
    assert (watcher.facts()["state"], watcher.facts()["reason"]) == ("waiting", "enough")
    watcher.notify(SlotAwaited(number=4, reason=HOSTILE, ahead=2))
    facts = watcher.facts()
    assert (facts["state"], facts["experiment"], facts["ahead"]) == ("queued", 4, 2)
    assert "\x1b" not in str(facts["reason"]) and str(facts["since"]).endswith("Z")
    watcher.notify(FaultSeen(message="no engine", retry_seconds=None))
    assert watcher.facts()["state"] == "outage"


@pytest.mark.parametrize("abstract", [False, True])
def test_the_service_manager_is_told_and_no_child_can_speak_for_us(tmp_path: Path, abstract: bool) -> None:
    name = f"\0autoresearch-{tmp_path.name}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name)
        manager.settimeout(5)
        environment = {"NOTIFY_SOCKET": name.replace("\0", "@"), "WATCHDOG_USEC": "4000000"}
        notifier = Notifier(environment)
        assert environment == {}
        notifier.say(READY="1", STATUS="running")
        assert manager.recv(100) == b"READY=1\nSTATUS=running"
        for _ in range(50):
            notifier.beat()
        assert manager.recv(100) == b"WATCHDOG=1"
        manager.setblocking(False)
        with pytest.raises(BlockingIOError):
            manager.recv(100)  # four times in its interval are enough


def test_without_a_service_manager_nothing_is_said_and_a_deaf_one_stops_nothing(tmp_path: Path) -> None:
    Notifier({}).say(READY="1")
    Notifier({}).beat()
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody"), "WATCHDOG_USEC": "x"}).say(READY="1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "manager"))
        manager.setblocking(False)
        where = {"NOTIFY_SOCKET": str(tmp_path / "manager"), "WATCHDOG_USEC": "1000"}
        Notifier({**where, "WATCHDOG_PID": "1"}).beat()  # another process is watched
        with pytest.raises(BlockingIOError):
            manager.recv(100)
