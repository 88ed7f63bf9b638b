"""Whole trials in real containers: an honest train.py is scored, and every bad one ends with its own status."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from specs import REPOSITORY

from daemon.claimed import claim
from daemon.model import OurFault, TrialResult, TrialStatus
from daemon.trial import Listener, run_trial
from sandbox.docker_engine import Engine
from sandbox.docker_sandbox import DockerSandbox
from sandbox.interface import Cancelled, SandboxSpec, SandboxUnavailable
from sandbox.log import KEPT_BYTES

MakeSpec = Callable[..., SandboxSpec]
QUIET = Listener()
ASK = """
import prepare
tokenizer = prepare.Tokenizer.from_directory()
loader = prepare.make_dataloader(tokenizer, 4, 64, "train")
next(loader)
"""


@pytest.fixture
def tried(sandbox: DockerSandbox, make_spec: MakeSpec) -> Callable[..., TrialResult]:
    def run(train_py: str | bytes, **changes: object) -> TrialResult:
        return run_trial(sandbox, make_spec(train_py, **changes), QUIET)

    return run


def test_the_default_train_py_learns_and_is_scored(tried: Callable[..., TrialResult]) -> None:
    result = tried((REPOSITORY / "train.py").read_bytes(), train_seconds=10)
    assert result.status is TrialStatus.OK, (result.reason, result.log_tail)
    assert result.val_bpb is not None
    assert 1.0 < result.val_bpb < 2.4
    assert result.claimed_bpb is None
    assert result.score is not None
    assert result.score.audit["moved"] == 0
    assert result.score.corrected_bpb == pytest.approx(result.val_bpb, abs=1e-6)
    assert "sealed" in result.log_tail


BAD = [
    ("raises", "raise ValueError('a clear reason')", TrialStatus.CRASH, "a clear reason"),
    ("does not parse", "def (", TrialStatus.CRASH, "SyntaxError"),
    ("never asks and ends", "print('---\\nval_bpb: 0.000001')", TrialStatus.INVALID, "without ever asking"),
    ("never asks and stays", "import time\ntime.sleep(600)", TrialStatus.TIMEOUT, "without asking for"),
    ("never stops", ASK + "\nwhile True: pass", TrialStatus.TIMEOUT, "time_left()"),
    ("ignores SIGTERM", "import signal\nsignal.signal(15, signal.SIG_IGN)\n" + ASK + "\nwhile True: pass",
     TrialStatus.TIMEOUT, "killed at its deadline"),
    ("seals nothing", ASK, TrialStatus.INVALID, "model"),
    ("takes all memory", ASK + "\nhoard = []\nwhile True: hoard.append(bytearray(1 << 24))", TrialStatus.OOM, "memory"),
    ("prints a gigabyte", "import sys\nwhile True: sys.stdout.write('x' * 65536)", TrialStatus.OUTPUT_LIMIT,
     "log limit"),
    ("writes 10 GB", ASK + "\nwith open('/out/big', 'wb') as f:\n  for _ in range(10240): f.write(bytes(1 << 20))",
     TrialStatus.OUTPUT_LIMIT, "output space"),
    ("forks without end", "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass", TrialStatus.TIMEOUT, ""),
    ("fakes an out-of-memory exit", "import os\nos._exit(137)", TrialStatus.CRASH, "SIGKILL"),
    ("kills its own init", "import os, time\nos.kill(1, 15)\ntime.sleep(600)", TrialStatus.CRASH, ""),
    ("cannot be sealed", ASK.replace("next(loader)", """
import torch
class Branches(torch.nn.Module):
    def forward(self, tokens):
        return torch.zeros(*tokens.shape, 2048) + (1 if tokens.sum() > 5 else 0)
prepare.preseal(Branches())
"""), TrialStatus.CRASH, "branches on the value of a tensor"),
]  # fmt: skip


@pytest.mark.parametrize(("train_py", "status", "words"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_each_bad_program_has_its_own_status(
    tried: Callable[..., TrialResult], train_py: str, status: TrialStatus, words: str
) -> None:
    result = tried(train_py, startup_seconds=12, free_startup_seconds=12)
    assert (result.status, words in result.reason) == (status, True), (result.reason, result.log_tail)
    assert result.score is None


def test_what_is_left_running_in_the_background_dies_with_the_run(tried: Callable[..., TrialResult]) -> None:
    result = tried(
        ASK
        + "\nimport os, signal, time\n"
        + "if os.fork() == 0:\n  os.setsid()\n  signal.signal(15, signal.SIG_IGN)\n  time.sleep(600)\n"
    )
    assert result.status is TrialStatus.INVALID


def test_the_next_trial_runs_after_a_bad_one(tried: Callable[..., TrialResult]) -> None:
    assert tried("import os\nos.abort()").status is TrialStatus.CRASH
    assert tried(ASK).status is TrialStatus.INVALID


PRINTS = (
    ASK
    + """
import time
for step in range(12):
    print(f"\\rstep {step:05d} ( 10.0%) | loss 4.5000 | 12,345 tok/s | 83 ms/step", end="", flush=True)
    time.sleep(0.25)
print("\\n\\x1b[31m" + "| loss " * 20000, flush=True)
"""
)


def test_what_a_training_claims_is_told_while_it_trains(sandbox: DockerSandbox, make_spec: MakeSpec) -> None:
    told: list[tuple[float, str]] = []
    listener = Listener(on_log=lambda text: told.append((time.monotonic(), text)))
    result = run_trial(sandbox, make_spec(PRINTS, train_seconds=30), listener)
    ended = time.monotonic()
    assert result.status is TrialStatus.INVALID, "it sealed nothing"
    found = [claim(text) for _, text in told]
    steps = [one.step for one in found if one is not None]
    assert len(set(steps)) >= 2, "more than once, and before it ended"
    assert steps == sorted(steps)
    assert all(later - earlier > 0.9 for (earlier, _), (later, _) in pairwise(told)), "at most once a second"
    assert told[0][0] < ended - 1
    assert max(len(text) for _, text in told) <= KEPT_BYTES


def test_cancelling_ends_the_run_and_judges_nothing(sandbox: DockerSandbox, make_spec: MakeSpec) -> None:
    stop = threading.Event()
    listener = Listener(on_phase=lambda phase, _s: stop.set() if phase == "training" else None, cancel=stop.is_set)
    with pytest.raises(Cancelled):
        run_trial(sandbox, make_spec(ASK + "\nwhile True: pass", train_seconds=60), listener)


def test_what_a_killed_daemon_left_is_reaped(sandbox: DockerSandbox, make_spec: MakeSpec, engine: Engine) -> None:
    spec = make_spec("import time\ntime.sleep(600)")
    session = sandbox.session(spec)
    session.__enter__()
    containers, volumes = engine.ours(spec.lab_id)
    assert (len(containers), len(volumes)) == (2, 1)
    assert sorted(sandbox.reap(spec.lab_id)) == sorted([*containers, *volumes])
    session.__exit__(None, None, None)


def test_another_labs_containers_are_left_alone(sandbox: DockerSandbox, make_spec: MakeSpec) -> None:
    with sandbox.session(make_spec("pass")):
        assert sandbox.reap("ffffffff") == []


def test_without_an_engine_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    with pytest.raises(SandboxUnavailable, match="start it"):
        Engine()


def test_an_engine_that_accepts_and_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.docker_engine.CALL_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{deaf.getsockname()[1]}")
        with pytest.raises(SandboxUnavailable):
            Engine()


def test_an_image_that_is_not_there_is_our_fault(sandbox: DockerSandbox, make_spec: MakeSpec) -> None:
    with pytest.raises(OurFault, match="refused to create a container"):
        run_trial(sandbox, make_spec("pass", image="autoresearch-train:missing"), QUIET)


def test_a_container_that_somebody_removes_is_nobodys_verdict(
    sandbox: DockerSandbox, make_spec: MakeSpec, engine: Engine
) -> None:
    spec = make_spec(ASK + "\nwhile True: pass", train_seconds=60)

    def remove_soon() -> None:
        time.sleep(4)
        name = next(name for name in engine.ours(spec.lab_id)[0] if name.endswith("-train"))
        engine.remove(name)

    threading.Thread(target=remove_soon, daemon=True).start()
    with pytest.raises(OurFault):
        run_trial(sandbox, spec, QUIET)


def test_the_folder_of_a_run_is_gone_afterwards(sandbox: DockerSandbox, make_spec: MakeSpec) -> None:
    spec = make_spec("pass")
    run_trial(sandbox, spec, QUIET)
    assert list(Path(spec.runs_dir).iterdir()) == []
