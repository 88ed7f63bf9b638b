"""One process per lab, and signals that only set a flag."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.lifecycle import StopFlag, lab_lock
from daemon.model import UserError


def test_a_second_holder_is_told_who_is_first(tmp_path: Path) -> None:
    first = rf"`autoresearch run` \(process {os.getpid()} "
    with lab_lock(tmp_path, "run"), pytest.raises(UserError, match=first), lab_lock(tmp_path, "trial"):
        pass


def test_the_lock_is_free_again_afterwards(tmp_path: Path) -> None:
    for _ in range(2):
        with lab_lock(tmp_path, "run"):
            pass


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; from daemon.lifecycle import lab_lock\n"
        "with lab_lock(Path(sys.argv[1]), 'run'): os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path)]).returncode == -signal.SIGKILL
    with lab_lock(tmp_path, "run"):
        pass


def test_a_lock_file_with_nonsense_in_it_is_still_a_lock(tmp_path: Path) -> None:
    with lab_lock(tmp_path, "run"):
        (tmp_path / "lock").write_text("nonsense")
        with pytest.raises(UserError, match="another process"), lab_lock(tmp_path, "run"):
            pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_sets_the_flag_and_wakes_a_sleeper(number: int) -> None:
    with StopFlag().listening() as stop:
        assert not stop()
        os.kill(os.getpid(), number)
        assert stop.wait(60)
        assert stop()


def test_a_second_interrupt_is_answered_as_python_does() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), StopFlag().listening():
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
