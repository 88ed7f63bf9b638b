"""Who ended a run: the program, the host, or an engine that shut down and ended them all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from specs import a_spec

from sandbox import session
from sandbox.interface import RunStatus, SandboxUnavailable
from sandbox.rundir import RunDir
from sandbox.runner import State
from sandbox.session import TrialSession, Watched


@dataclass
class Run:
    """A program that has ended as soon as it was started, or one that stays."""

    exit_code: int = 0
    running: bool = False
    drained: threading.Event = field(default_factory=threading.Event)

    def start(self, on_output: Callable[[bytes, bool], None], on_end: Callable[[float], None]) -> float:
        began = time.monotonic()
        self.drained.set()
        if not self.running:
            on_end(began)
        return began

    def kill(self) -> None:
        self.running = False

    def state(self) -> State:
        return State(running=self.running, exit_code=self.exit_code, oom_killed=False)


def ended(exit_code: int, referee: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> RunStatus:
    monkeypatch.setattr(session, "SECOND_LOOK_SECONDS", 0.0)
    trial = TrialSession(
        spec=a_spec(train_py=b"", run_id="1"),
        run=RunDir(root=folder),
        trainer=Watched(runner=Run(exit_code), log_limit_bytes=1000, merge=True),
        referee=Watched(runner=referee, log_limit_bytes=1000),
        before_scoring=lambda: None,
    )
    return trial.train(on_release=lambda _: None, cancel=lambda: False).status


@pytest.mark.parametrize("exit_code", [1, 137, 143])
def test_a_program_that_ends_alone_is_judged(exit_code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ended(exit_code, Run(running=True), tmp_path, monkeypatch) is RunStatus.CRASH


@pytest.mark.parametrize("exit_code", [1, 137, 143])
def test_one_that_ends_together_with_the_waiting_referee_is_not(
    exit_code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SandboxUnavailable, match="both containers ended at once"):
        ended(exit_code, Run(), tmp_path, monkeypatch)
