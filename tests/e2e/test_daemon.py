"""The daemon as an operator has it: started, steered through its socket, and ended by a signal."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_research_loop import AUTORESEARCH, autoresearch, shortened, status

from daemon.control import ask

PATIENCE_SECONDS = 240.0  # the first start tries the sandbox from inside


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("daemon") / "lab"
    autoresearch("init", directory, "--profile", "cpu", "--tag", "night")
    shortened(directory, 3.0, rule='"greedy"')
    autoresearch("prepare", "--sample", "--lab", directory)
    return directory


class Running:
    """A daemon in a process of its own, and what it wrote."""

    def __init__(self, lab: Path, log: Path) -> None:
        self.lab, self.log = lab, log
        with log.open("wb") as out:
            command = [*AUTORESEARCH, "daemon", "--lab", str(lab)]
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)

    def ask(self, verb: str, **fields: str) -> dict[str, object]:
        return ask(self.lab / ".autoresearch" / "control.sock", {"verb": verb, **fields})

    def until(self, seen: Callable[[], object]) -> None:
        until = time.monotonic() + PATIENCE_SECONDS
        while not seen():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.1)

    def state(self) -> object:
        try:
            return self.ask("status")["state"]
        except Exception:  # noqa: BLE001 - not yet there
            return None

    def ended(self) -> int:
        return self.process.wait(PATIENCE_SECONDS)

    def events(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture
def daemon(lab: Path, tmp_path: Path) -> Iterator[Running]:
    running = Running(lab, tmp_path / "log")
    yield running
    if running.process.poll() is None:
        running.process.kill()
        running.process.wait()


def decided(lab: Path) -> int:
    return sum(row["decision"] is not None for row in status(lab)["experiments"])  # type: ignore[union-attr]


def test_a_morning_of_steering(daemon: Running) -> None:
    lab = daemon.lab
    daemon.until(lambda: daemon.state() == "training")
    refused = autoresearch("daemon", "--lab", lab, check=False)
    assert refused.returncode == 2
    assert "this lab is in use by `autoresearch daemon`" in refused.stderr
    assert re.search(
        r"now: (training|scoring) #0 \(\d+ of \d+ s\): baseline", autoresearch("status", "--lab", lab).stdout
    )
    daemon.until(lambda: decided(lab) >= 2)

    autoresearch("pause", "--lab", lab)
    daemon.until(lambda: daemon.state() == "waiting")
    assert daemon.ask("status")["reason"] == "paused by the operator"
    assert "nothing is being tried" in autoresearch("skip", "--lab", lab, check=False).stderr
    before = decided(lab)
    autoresearch("resume", "--lab", lab)
    daemon.until(lambda: daemon.state() == "training")
    number = daemon.ask("status")["experiment"]
    assert f"experiment {number} is abandoned" in autoresearch("skip", "--lab", lab).stdout
    daemon.until(lambda: decided(lab) > before)
    rows = {row["number"]: row for row in status(lab)["experiments"]}  # type: ignore[union-attr]
    assert rows[number]["phase"] == "abandoned"  # type: ignore[index]

    autoresearch("stop", "--lab", lab)
    assert daemon.ended() == 0
    assert rows.keys() <= {row["number"] for row in status(lab)["experiments"]}  # type: ignore[union-attr]
    assert all(row["phase"] in ("closed", "abandoned") for row in status(lab)["experiments"])  # type: ignore[union-attr]
    kinds = {event["event"] for event in daemon.events()}
    assert {"PhaseEntered", "ExperimentClosed", "Paused"} <= kinds
    assert "nothing runs in this lab" in autoresearch("pause", "--lab", lab, check=False).stderr


def test_a_signal_abandons_what_runs_and_the_next_start_takes_it_up(daemon: Running, tmp_path: Path) -> None:
    lab = daemon.lab
    daemon.until(lambda: daemon.state() == "training")
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.ended() == 0
    latest = status(lab)["experiments"][-1]  # type: ignore[index]
    assert latest["phase"] == "interrupted"
    again = Running(lab, tmp_path / "again")
    try:
        again.until(lambda: decided(lab) > latest["number"] - 1)
        assert status(lab)["experiments"][latest["number"] + 1]["hypothesis"] == latest["hypothesis"]  # type: ignore[index]
        again.ask("stop", when="now")
        assert again.ended() == 0
    finally:
        again.process.kill()


def test_settings_are_read_anew_and_wrong_ones_do_not_stop_it(daemon: Running) -> None:
    settings = daemon.lab / "lab.toml"
    good = settings.read_text()
    daemon.until(lambda: daemon.state() == "training")
    settings.write_text(good + "\nnonsense = 1\n")
    try:
        os.kill(daemon.process.pid, signal.SIGHUP)
        daemon.until(lambda: "not reloaded, the former settings stay" in daemon.log.read_text())
        daemon.until(lambda: daemon.state() == "training")
    finally:
        settings.write_text(good)
    daemon.ask("stop", when="now")
    assert daemon.ended() == 0


def test_killed_it_leaves_a_lab_that_goes_on(daemon: Running, tmp_path: Path) -> None:
    lab = daemon.lab
    daemon.until(lambda: daemon.state() == "training")
    daemon.process.kill()
    daemon.process.wait()
    again = Running(lab, tmp_path / "again")
    try:
        before = decided(lab)
        again.until(lambda: decided(lab) > before)
        again.ask("stop", when="now")
        assert again.ended() == 0
    finally:
        again.process.kill()
