"""The same trial without a wall: what people run on a GPU machine without an engine."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from specs import REPOSITORY

from daemon.model import OurFault, TrialResult, TrialStatus
from daemon.trial import Listener, run_trial
from sandbox.interface import SandboxSpec
from sandbox.unsafe_local import UnsafeLocalSandbox

PYTHON = REPOSITORY / ".venv-train" / "bin" / "python"
ASK = "import prepare\nnext(prepare.make_dataloader(prepare.Tokenizer.from_directory(), 2, 64, 'train'))\n"


@pytest.fixture
def tried(make_spec: Callable[..., SandboxSpec]) -> Callable[..., TrialResult]:
    def run(train_py: str | bytes, **changes: object) -> TrialResult:
        return run_trial(UnsafeLocalSandbox(PYTHON), make_spec(train_py, **changes), Listener())

    return run


def test_the_default_train_py_is_trained_and_scored(tried: Callable[..., TrialResult]) -> None:
    result = tried((REPOSITORY / "train.py").read_bytes(), train_seconds=10)
    assert result.status is TrialStatus.OK, (result.reason, result.log_tail)
    assert result.val_bpb is not None
    assert 1.0 < result.val_bpb < 2.4


def test_one_that_never_stops_is_killed_with_its_children(tried: Callable[..., TrialResult], tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    result = tried(
        ASK + "import os, time\nfrom pathlib import Path\nos.fork()\n"
        f"while True: Path({str(alive)!r}).write_text(str(time.monotonic())); time.sleep(0.05)\n"
    )
    assert result.status is TrialStatus.TIMEOUT
    time.sleep(0.3)
    last = alive.read_text()
    time.sleep(0.3)
    assert alive.read_text() == last


def test_a_crash_is_a_value(tried: Callable[..., TrialResult]) -> None:
    assert tried("raise SystemExit(3)").status is TrialStatus.CRASH
    assert tried("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)").reason.startswith("was ended by SIGSEGV")


def test_an_interpreter_that_is_not_there_is_ours(make_spec: Callable[..., SandboxSpec]) -> None:
    with pytest.raises(OurFault, match="cannot start"):
        run_trial(UnsafeLocalSandbox(Path("/nonexistent/python")), make_spec("pass"), Listener())
