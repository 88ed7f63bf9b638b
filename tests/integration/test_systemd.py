"""The unit as systemd itself reads it: without a complaint, and shut as far as a client of Docker can be."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from specs import REPOSITORY

UNITS = REPOSITORY / "deploy" / "systemd"
HIGHEST_EXPOSURE = 2.0  # of 10; `systemd-analyze security` calls up to 2 OK


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """An instance of the unit, with a program that is there."""
    assert shutil.which("systemd-analyze"), "systemd-analyze is missing: apt-get install systemd"
    text = (UNITS / "autoresearchd@.service").read_text()
    path = tmp_path / "autoresearchd@night.service"
    path.write_text(text.replace("/opt/autoresearchd/.venv/bin/autoresearch", "/bin/true"))
    return path


def analyze(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *map(str, words)], capture_output=True, text=True)


def test_systemd_has_nothing_to_say_against_it(unit: Path) -> None:
    done = analyze("verify", "--man=no", unit)
    complaints = [line for line in done.stderr.splitlines() if unit.name in line]
    assert (done.returncode, complaints) == (0, []), done.stderr


def test_a_unit_with_a_mistake_is_noticed(unit: Path) -> None:
    unit.write_text(unit.read_text().replace("Restart=on-failure", "Restart=perhaps"))
    assert "Failed to parse" in analyze("verify", "--man=no", unit).stderr


def test_it_is_shut_as_far_as_it_can_be(unit: Path) -> None:
    said = analyze("security", "--offline=yes", unit).stdout
    overall = re.search(r"Overall exposure level .*: ([\d.]+)", said)
    assert overall is not None
    assert float(overall[1]) <= HIGHEST_EXPOSURE, said


def test_the_watchdog_and_the_stop_leave_time_for_the_longest_step() -> None:
    text = (UNITS / "autoresearchd@.service").read_text()
    seconds = {name: int(value) for name, value in re.findall(r"^(\w+Sec)=(\d+)$", text, re.MULTILINE)}
    startup, training, scoring = 300, 300, 300  # of the gpu profile
    assert seconds["TimeoutStopSec"] > startup + training + scoring
    assert seconds["WatchdogSec"] >= 2 * 60  # a hung engine is given up after a minute
    assert "RestartPreventExitStatus=2" in text
