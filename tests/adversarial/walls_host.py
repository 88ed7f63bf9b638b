"""Walls with a broken host: clock, classification, sinks, workspace; and neighbours that should not be there."""

from __future__ import annotations

import ctypes
import fcntl
import signal
import socket
import subprocess
import threading
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import walls_limits  # noqa: F401 - its walls are added
import walls_referee  # noqa: F401
import walls_text  # noqa: F401
from walls import UNCONFINED, Breach, wall

import daemon.console
import daemon.output
import daemon.results
import daemon.selftest.run
import daemon.text
import daemon.trial
import sandbox.log
import sandbox.rundir
import sandbox.session
from daemon.model import Score, TrialResult, TrialStatus
from sandbox.clock import Clock
from sandbox.docker_engine import Container
from sandbox.fake import FakeRun, FakeSandbox
from sandbox.interface import RunStatus
from sandbox.rundir import RunDir
from sandbox.session import TrialSession, Watched
from sandbox.supervise import Happening, Watch

KEY = 0x6175746F


@wall("harness-always-ok")
def _(breach: Breach) -> None:
    breach.sandbox = FakeSandbox(lambda _: FakeRun(val_bpb=3.0))


# Belief in what the candidate says


def believe_claims(breach: Breach) -> None:
    real = daemon.trial.run_trial

    def believing(*arguments: Any) -> TrialResult:
        result = real(*arguments)
        if result.claimed_bpb is None:
            return result
        score = Score(
            val_bpb=result.claimed_bpb, corrected_bpb=1.0, tokens=1000, bytes=4000, referee_sha256="", audit={}
        )
        return replace(result, status=TrialStatus.OK, score=score)

    breach.patch.setattr(daemon.selftest.run, "run_trial", believing)
    audit = lambda *_, **__: None  # noqa: E731 - such a score has no audit to show
    breach.patch.setattr(daemon.output, "_trial_lines", audit)


@wall("claims-believed")
def _(breach: Breach) -> None:
    believe_claims(breach)


@wall("scored-by-itself")
def _(breach: Breach) -> None:
    """How it is done elsewhere: the validation rows lie beside train.py, which says itself how good it is."""

    def change(body: dict[str, Any]) -> None:
        body["Env"] = [variable for variable in body["Env"] if not variable.startswith("AUTORESEARCH_OUT=")]
        mounts = body["HostConfig"]["Mounts"]
        body["HostConfig"]["Mounts"] = [mount for mount in mounts if not mount["Target"].startswith("/data/")]

    breach.request("train", change)
    breach.spec.data_dir.chmod(0o755)  # a test's own folder is its owner's alone
    breach.bind(breach.spec.data_dir, "/data")
    believe_claims(breach)


@wall("one-log-for-both")
def _(breach: Breach) -> None:
    real = TrialSession.score

    def confused(self: TrialSession, *, cancel: Callable[[], bool]) -> Any:
        lines = [line for line in self.trainer.text().splitlines() if line.startswith('{"version"')]
        return replace(real(self, cancel=cancel), log=lines[-1])

    breach.patch.setattr(TrialSession, "score", confused)


# The clock


@wall("late-deadline")
def _(breach: Breach) -> None:
    deadline = Clock.deadline.fget
    assert deadline is not None
    breach.patch.setattr(Clock, "deadline", property(lambda clock: deadline(clock) + 20))


@wall("asks-politely")
def _(breach: Breach) -> None:
    kill = Container.kill

    def ask(self: Container) -> None:
        self._api.kill(self.id, signal=signal.SIGTERM)
        threading.Timer(3, kill, (self,)).start()

    breach.patch.setattr(Container, "kill", ask)


@wall("clock-starts-anew")
def _(breach: Breach) -> None:
    on_output, release = Watched._on_output, Watch._release

    def forgetful(self: Watched, chunk: bytes, is_stderr: bool) -> None:
        on_output(self, chunk, is_stderr)
        self.output.ready = False
        self._told.discard(Happening.READY)

    def again(self: Watch, seen_at: float) -> None:
        release(self, seen_at)
        self.clock.released_at = self.now()

    breach.patch.setattr(Watched, "_on_output", forgetful)
    breach.patch.setattr(Watch, "_release", again)


@wall("tokens-before-the-clock")
def _(breach: Breach) -> None:
    release = RunDir.release
    breach.patch.setattr(RunDir, "release", lambda run, data, granted: release(run, data, granted + 1000))


def _classified(breach: Breach, change: Callable[[RunStatus, Any], RunStatus]) -> None:
    real = sandbox.session.classify

    def classify(ending: Any, state: Any, *others: Any) -> tuple[RunStatus, str]:
        status, reason = real(ending, state, *others)
        return change(status, state), reason

    breach.patch.setattr(sandbox.session, "classify", classify)


@wall("killed-and-scored-all-the-same")
def _(breach: Breach) -> None:
    _classified(breach, lambda status, _: RunStatus.OK if status is RunStatus.TIMEOUT else status)


@wall("no-release-needed")
def _(breach: Breach) -> None:
    _classified(breach, lambda status, _: RunStatus.OK if status is RunStatus.INVALID else status)


@wall("judged-by-exit-code")
def _(breach: Breach) -> None:
    words = {137: RunStatus.OOM, 143: RunStatus.TIMEOUT}
    _classified(breach, lambda status, state: words.get(state.exit_code, status))


@wall("any-size")
def _(breach: Breach) -> None:
    breach.patch.setattr(sandbox.rundir, "MAX_TRAIN_PY_BYTES", 1 << 20)


# Neighbours


def _docker(*words: str) -> str:
    return subprocess.run(["docker", *words], check=True, capture_output=True, text=True).stdout.strip()


def _network(breach: Breach, *options: str) -> None:
    """An internal network of the test's own, with nothing on it but the bridge's address."""
    name = f"autoresearch-attack-{uuid.uuid4().hex[:8]}"
    _docker("network", "create", "--internal", *options, name)
    breach.undo.callback(_docker, "network", "rm", name)
    gateway = _docker("network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", name)
    breach.host(
        NetworkMode=name, Dns=["127.0.0.1"], ExtraHosts=[f"metadata.google.internal:{gateway}"], SecurityOpt=UNCONFINED
    )
    endpoint = {"EndpointsConfig": {name: {"Aliases": ["neighbour"]}}}
    breach.request("train", lambda body: body.update(NetworkingConfig=endpoint))


@wall("a-network")
def _(breach: Breach) -> None:
    _network(breach)


@wall("a-network-of-ipv6")
def _(breach: Breach) -> None:
    _network(breach, "--ipv6", "--subnet", "fd00:6175:746f::/64")


LISTENER = "import socket, time; s = socket.socket(1); s.bind('\\0neighbour'); s.listen(); time.sleep(600)"


@wall("network-shared-with-a-neighbour")
def _(breach: Breach) -> None:
    name = f"autoresearch-attack-{uuid.uuid4().hex[:8]}"
    python = ("/opt/venv/bin/python", "-c", LISTENER)
    _docker("run", "--detach", "--network=none", "--name", name, breach.spec.image, *python)
    breach.undo.callback(_docker, "rm", "--force", name)
    breach.host(NetworkMode=f"container:{name}")
    breach.request("train", lambda body: body.pop("Hostname"))


@wall("a-socket-of-the-host")
def _(breach: Breach) -> None:
    """A socket of the test's own, in place of the engine's."""
    path = breach.folder / "engine.sock"
    server = socket.socket(socket.AF_UNIX)
    breach.undo.callback(server.close)
    server.bind(str(path))
    path.chmod(0o777)
    server.listen()
    threading.Thread(target=_answer, args=(server,), daemon=True).start()
    breach.bind(path, "/run/docker.sock")


def _answer(server: socket.socket) -> None:
    try:
        while True:
            connection, _ = server.accept()
            with connection:
                connection.recv(100)  # who hangs up before the question breaks the pipe of the one who asks
                connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
    except OSError:
        return


@wall("a-setuid-program")
def _(breach: Breach) -> None:
    program = breach.folder / "id"
    program.write_bytes(Path("/usr/bin/id").read_bytes())
    program.chmod(0o4755)
    breach.undo.callback(program.unlink)
    breach.bind(breach.folder, "/mnt")
    breach.host(SecurityOpt=["seccomp=unconfined"])


@wall("ipc-shared-with-the-host")
def _(breach: Breach) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    segment, queue = libc.shmget(KEY, 4096, 0o1666), libc.msgget(KEY, 0o1666)
    breach.undo.callback(libc.shmctl, segment, 0, None)
    breach.undo.callback(libc.msgctl, queue, 0, None)

    def share(body: dict[str, Any]) -> None:
        body["HostConfig"]["IpcMode"] = "host"
        for folder in ("/dev/shm", "/dev/mqueue"):
            body["HostConfig"]["Tmpfs"].pop(folder, None)

    breach.request("train", share)
    breach.host(SecurityOpt=UNCONFINED)


@wall("a-neighbour-that-signals")
def _(breach: Breach) -> None:
    file = breach.undo.enter_context((breach.spec.data_dir / "common" / "tokenizer.json").open())
    fcntl.flock(file, fcntl.LOCK_SH)
