"""The daemon's way to the engine through the proxy: what a trial needs goes through, and nothing of it is changed."""

from __future__ import annotations

import os
import socket
import socketserver
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from proxied import API, Proxy, allow_text, engine_through, running
from specs import REPOSITORY

from daemon.model import TrialStatus
from daemon.trial import Listener, run_trial
from sandbox import rundir
from sandbox import spec as bodies
from sandbox.conformance import Standing, examine
from sandbox.docker_engine import Engine
from sandbox.docker_sandbox import DockerSandbox
from sandbox.interface import SandboxSpec, SandboxUnavailable

MakeSpec = Callable[..., SandboxSpec]


@pytest.fixture
def spec(make_spec: MakeSpec) -> SandboxSpec:
    return make_spec((REPOSITORY / "train.py").read_bytes(), train_seconds=10)


@pytest.fixture
def proxy(spec: SandboxSpec, tmp_path: Path) -> Iterator[Proxy]:
    with running(tmp_path, allow_text(spec)) as proxy:
        yield proxy


def test_an_honest_trial_runs_and_is_scored(proxy: Proxy, spec: SandboxSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    through = DockerSandbox(engine_through(proxy, monkeypatch))
    result = run_trial(through, spec, Listener())
    assert result.status is TrialStatus.OK, (result, proxy.log.read_text())
    assert "refused" not in proxy.log.read_text()


def test_the_self_check_passes(proxy: Proxy, spec: SandboxSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    report = examine(engine_through(proxy, monkeypatch), spec)
    assert report.of(Standing.FAILED) == ()
    assert "refused" not in proxy.log.read_text()


def test_leftovers_are_listed_and_removed(proxy: Proxy, spec: SandboxSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    through = engine_through(proxy, monkeypatch)
    run = rundir.create(spec)
    through.create_volume(bodies.volume_body(spec))
    through.create(bodies.container_name(spec, "train"), bodies.train_body(spec, run))
    removed = DockerSandbox(through).reap(spec.lab_id)
    assert removed == [bodies.container_name(spec, "train"), bodies.volume_name(spec)]
    assert through.ours(spec.lab_id) == ([], [])
    through.remove("nothing-of-that-name")  # as with the engine: what is gone already is no error
    through.remove_volume("nothing-of-that-name")


def test_the_image_is_found_and_no_other_is(
    proxy: Proxy, spec: SandboxSpec, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    through = engine_through(proxy, monkeypatch)
    assert through.image(spec.image) == engine.image(spec.image)
    with pytest.raises(SandboxUnavailable, match="not in the allow file"):
        through.image("autoresearch-base:bookworm")
    assert not through.pull("busybox:latest")


def test_the_socket_is_for_its_group_alone(proxy: Proxy) -> None:
    mode = proxy.socket.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o660


def test_what_a_killed_proxy_left_does_not_stop_the_next(spec: SandboxSpec, tmp_path: Path) -> None:
    stale = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(stale))
    with running(tmp_path, allow_text(spec)) as proxy:
        assert proxy.call("GET", "/version").status == 200
    assert not stale.exists()


def test_an_engine_that_is_not_there_is_said_so(spec: SandboxSpec, tmp_path: Path) -> None:
    with running(tmp_path, allow_text(spec), engine=str(tmp_path / "none.sock")) as proxy:
        answer = proxy.call("GET", f"{API}/info")
    assert answer.status == 502
    assert "does not answer" in answer.json()["message"]


ANSWERS = {
    "an error": b"HTTP/1.1 500 Oops\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
    "no JSON": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n<>",
    "no HTTP": b"220 mail.example ESMTP\r\n\r\n",
    "nothing": b"",
    "half an answer": b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n{}",
    "a list": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_what_the_engine_cannot_vouch_for_is_refused(kind: str, spec: SandboxSpec, tmp_path: Path) -> None:
    """An engine that answers every look-up with one of these; whatever it is, no second request follows."""
    asked: list[bytes] = []
    fake = str(tmp_path / "engine.sock")
    with (
        engine_that_says(ANSWERS[kind], fake, asked),
        running(tmp_path, allow_text(spec), engine=fake) as proxy,
    ):
        for method, path, body in (
            ("POST", "/containers/x/kill", None),
            ("DELETE", "/volumes/x?force=1", None),
            ("POST", "/volumes/create", bodies.volume_body(spec)),
        ):
            asked.clear()
            answer = proxy.call(method, API + path, body)
            assert answer.status in (403, 502), answer
            assert [line for line in asked if not line.startswith(b"GET ")] == []
            assert len(asked) == 1


@contextmanager
def engine_that_says(answer: bytes, path: str, asked: list[bytes]) -> Iterator[None]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            asked.append(self.rfile.readline())
            while self.rfile.readline() not in (b"\r\n", b""):
                pass
            self.wfile.write(answer)

    with socketserver.ThreadingUnixStreamServer(path, Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


def test_a_wrong_allow_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "allow.toml").write_text("images = []\n")
    command = [sys.executable, "-m", "sandbox.proxy", "--listen", f"unix:{tmp_path}/s", "--allow"]
    done = subprocess.run([*command, str(tmp_path / "allow.toml")], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert not os.path.lexists(tmp_path / "s")
