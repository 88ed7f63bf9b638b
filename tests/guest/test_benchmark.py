"""The benchmark says one bounded line, whatever happens."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.guest import benchmark, referee


def run(capfd, *arguments):
    code = benchmark.main([*arguments])
    out = capfd.readouterr().out
    assert out.count("\n") == 1
    assert len(out) < 1000
    return json.loads(out), code


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(benchmark, "CPU", benchmark.Work(side=64, products=2, words=2**12, copies=1))


@pytest.fixture(autouse=True)
def _own_stdout(monkeypatch):
    """The program gives its standard output away for good; a test wants it back."""
    real = benchmark.os.dup2
    monkeypatch.setattr(benchmark.os, "dup2", lambda *given: None if given == (2, 1) else real(*given))


@pytest.mark.usefixtures("small")
def test_it_tells_how_fast_this_place_is(capfd):
    found, code = run(capfd)
    assert (found["status"], found["version"], found["device"], code) == ("ok", 1, "cpu", 0)
    assert found["ops_per_second"] > 1e6
    assert found["bytes_per_second"] > 1e6
    assert found["rounds"] == benchmark.ROUNDS
    assert found["referee_sha256"] == referee.own_sha256()


@pytest.mark.usefixtures("small")
def test_a_place_that_is_very_slow_is_told_by_fewer_rounds(capfd, monkeypatch):
    monkeypatch.setattr(benchmark, "MAX_SECONDS", 0.0)
    found, _ = run(capfd)
    assert found["rounds"] < benchmark.ROUNDS


def test_a_device_that_is_not_there_is_a_fault_and_no_number(capfd):
    found, code = run(capfd, "--device", "cuda:99")
    assert (found["status"], code) == ("fault", 3)
    assert "ops_per_second" not in found


def test_as_the_container_runs_it(tmp_path):
    (tmp_path / "autoresearch_guest").symlink_to(Path(benchmark.__file__).parent)
    command = [sys.executable, "-P", "-m", "autoresearch_guest.benchmark"]
    done = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": str(tmp_path)}, check=True)
    assert json.loads(done.stdout)["status"] == "ok"
