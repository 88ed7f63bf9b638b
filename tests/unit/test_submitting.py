"""Patches handed to a running daemon, by people who may use its socket and not its lab; and what it says of itself."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from nights import a_lab
from rich.console import Console
from specs import REPOSITORY

from daemon import control, handing_in, status
from daemon.control import NothingRuns
from daemon.lab import Lab
from daemon.model import UserError
from daemon.observe import PhaseEntered, SlotAwaited
from daemon.service import _answers
from daemon.situation import Watcher
from daemon.steering import Steering
from sandbox.interface import MAX_TRAIN_PY_BYTES

GROUP = 64110
MEMBER = """
import os, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from daemon import control, handing_in, status
from daemon.lab import Lab
from daemon.model import UserError
from rich.console import Console
console = Console()
console.print("")
os.setgroups([int(sys.argv[4])])
os.setresgid(64111, 64111, 64111)
os.setresuid(64111, 64111, 64111)
lab = Lab(Path(sys.argv[2]))
try:
    lab.inbox.put(b"x = 1", "by the back door")
except PermissionError:
    print("no way into the inbox")
try:
    print(handing_in.submit(lab, Path(sys.argv[3]), "wider"))
    status.status(lab, console, as_json=True)
except UserError as error:
    print(error)
"""


@pytest.fixture
def lab() -> Iterator[Lab]:
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        lab = a_lab(Path(directory) / "lab")
        text = (lab.directory / "lab.toml").read_text()
        (lab.directory / "lab.toml").write_text(text.replace(".autoresearch/control.sock", f"{directory}/s"))
        (Path(directory) / "new.py").write_text("WIDTH = 2\n")
        yield Lab(lab.directory)


@pytest.fixture
def watcher(lab: Lab) -> Iterator[Watcher]:
    watcher = Watcher()
    with control.serving(lab.control_socket, _answers(lab, Steering(), watcher)):
        yield watcher


def as_member(lab: Lab, group: int) -> list[str]:
    file = lab.directory.parent / "new.py"
    command = [sys.executable, "-c", MEMBER, str(REPOSITORY), str(lab.directory), str(file), str(group)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[1:]


def test_a_member_of_the_group_submits_through_the_daemon_and_not_past_it(lab: Lab, watcher: Watcher) -> None:
    os.chown(lab.control_socket, -1, GROUP)
    no_way, ticket, *status = as_member(lab, GROUP)
    assert no_way == "no way into the inbox"
    (slip,) = lab.inbox.waiting()
    assert (slip.ticket, slip.train_py, slip.hypothesis, slip.submitter) == (ticket, b"WIDTH = 2\n", "wider", "control")
    facts = json.loads(status[0])
    assert (facts["version"], facts["state"], facts["paused"]) == (1, "starting", False)


def test_who_is_in_no_group_is_told_how_to_get_in(lab: Lab, watcher: Watcher) -> None:
    os.chown(lab.control_socket, -1, GROUP)
    _, said, *_ = as_member(lab, 64112)
    assert "join the group of [control]" in said
    assert lab.inbox.count() == 0


def test_where_no_daemon_runs_it_waits_in_the_inbox(lab: Lab) -> None:
    handing_in.submit(lab, lab.directory.parent / "new.py", "wider", "somebody")
    (slip,) = lab.inbox.waiting()
    assert slip.submitter == "somebody"


def test_what_a_daemon_refuses_is_not_put_past_it(lab: Lab, watcher: Watcher) -> None:
    file = lab.directory.parent / "new.py"
    with pytest.raises(UserError, match="a hypothesis is needed"):
        handing_in.submit(lab, file, " ")
    file.write_bytes(b"x" * (MAX_TRAIN_PY_BYTES + 1))
    with pytest.raises(UserError, match=f"the sandbox takes 1 to {MAX_TRAIN_PY_BYTES}"):
        handing_in.submit(lab, file, "too much")
    file.write_bytes(b"\xff" * MAX_TRAIN_PY_BYTES)
    handing_in.submit(lab, file, "the most there may be " * 20)
    assert lab.inbox.count() == 1


def test_the_status_tells_phase_experiment_since_and_queue(lab: Lab, watcher: Watcher) -> None:
    watcher.notify(SlotAwaited(number=4, reason="waiting for GPU-1, held by lab b\x1b", ahead=2))
    facts = control.ask(lab.control_socket, {"verb": "status"})
    assert {"version", "ok", "state", "experiment", "since", "for_seconds", "ahead", "paused", "stopping"} <= set(facts)
    assert (facts["state"], facts["experiment"], facts["ahead"]) == ("queued", 4, 2)
    out = io.StringIO()
    status.status(lab, Console(file=out, width=200), as_json=False)
    assert "now: queued #4" in out.getvalue()
    assert "waiting for GPU-1, held by lab b\\x1b" in out.getvalue()


def test_watching_says_each_change_once_until_the_daemon_ends(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    watcher, out, asked = Watcher(), io.StringIO(), threading.Event()
    serving = control.serving(lab.control_socket, _answers(lab, Steering(), watcher))
    serving.__enter__()
    turns = iter(range(9))

    def stop(_seconds: float) -> bool:
        turn = next(turns)
        if turn == 2:
            watcher.notify(PhaseEntered(number=5, phase="training", seconds=20.0))
        if turn == 4:
            serving.__exit__(None, None, None)
        return asked.is_set()

    status.follow(lab, Console(file=out, width=200), stop, as_json=False)
    assert [line.split(" (")[0] for line in out.getvalue().splitlines()] == ["now: starting", "now: training #5"]
    with pytest.raises(NothingRuns):
        status.follow(lab, Console(file=out), stop, as_json=False)
