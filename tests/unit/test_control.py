"""The control socket: who may open it, what it answers, and what it cannot be made to do."""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon import control
from daemon.control import Answer, Request, ask, serving
from daemon.model import UserError


class Daemon:
    """Answers, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Request] = []

    def __call__(self, request: Request) -> Answer:
        self.asked.append(request)
        if request.verb == "skip":
            raise UserError("nothing is being tried\x1b[2J just now")
        if request.verb == "reload":
            raise RuntimeError("a fault of ours")
        return {"state": "training"}


@pytest.fixture
def daemon() -> Daemon:
    return Daemon()


@pytest.fixture
def path(tmp_path: Path, daemon: Daemon) -> Iterator[Path]:
    deep = tmp_path / ("x" * 100) / "lab"  # longer than an address of a unix socket may be
    deep.mkdir(parents=True)
    with serving(deep / "control.sock", daemon):
        yield deep / "control.sock"


def test_a_verb_and_its_answer(path: Path, daemon: Daemon) -> None:
    answer = ask(path, {"verb": "stop", "when": "now"})
    assert answer == {"version": 1, "ok": True, "state": "training"}
    assert daemon.asked == [Request(version=1, verb="stop", when="now")]


def test_only_its_user_and_its_group_may_open_it(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert path.stat().st_gid == os.getgid()


def test_it_is_given_to_the_group_that_is_named(tmp_path: Path, daemon: Daemon) -> None:
    import grp

    with serving(tmp_path / "s", daemon, group="daemon"):
        assert (tmp_path / "s").stat().st_gid == grp.getgrnam("daemon").gr_gid
    with pytest.raises(UserError, match="has no such group"), serving(tmp_path / "s", daemon, group="no-such-group"):
        pass


def test_it_is_gone_afterwards_and_a_dead_process_leaves_nothing_in_the_way(tmp_path: Path, daemon: Daemon) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "s"))
    left.close()
    with pytest.raises(UserError, match="nothing runs in this lab"):
        ask(tmp_path / "s", {"verb": "status"})
    with serving(tmp_path / "s", daemon):
        ask(tmp_path / "s", {"verb": "status"})
    assert not (tmp_path / "s").exists()
    with pytest.raises(UserError, match="nothing runs in this lab"):
        ask(tmp_path / "s", {"verb": "status"})


@pytest.mark.parametrize(("verb", "said"), [("skip", "is being tried\\x1b[2J just"), ("reload", "its log says why")])
def test_a_refusal_and_a_fault_are_one_sentence(path: Path, verb: str, said: str) -> None:
    with pytest.raises(UserError) as refusal:
        ask(path, {"verb": verb})
    assert said in str(refusal.value)
    assert ask(path, {"verb": "status"})["ok"]


def say(path: Path, content: bytes) -> list[dict[str, object]]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        folder = os.open(path.parent, os.O_PATH)
        connection.connect(f"/proc/self/fd/{folder}/{path.name}")
        os.close(folder)
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as answers:
            return [json.loads(line) for line in answers]


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"{}\n",
        b"[1]\n",
        b"pause\n",
        b"\xff\xfe\n",
        b'{"version": 2, "verb": "pause"}\n',
        b'{"version": 1, "verb": "shell"}\n',
        b'{"version": 1, "verb": "pause", "image": "evil"}\n',
        b'{"version": 1, "verb": "stop", "when": "later"}\n',
        b'{"version": 1, "verb": "pause"',
        b"[" * 100_000 + b"\n",
    ],
)
def test_what_is_no_request_is_refused_and_the_next_one_is_answered(path: Path, daemon: Daemon, line: bytes) -> None:
    answers = say(path, line)
    assert [answer["ok"] for answer in answers] == [False]
    assert daemon.asked == []
    assert ask(path, {"verb": "status"})["ok"]


def test_a_line_without_an_end_is_not_kept_in_memory(path: Path, daemon: Daemon) -> None:
    answers = say(path, b"x" * (control.MAX_LINE_BYTES + 1))
    assert answers == [{"version": 1, "ok": False, "error": f"a request has {control.MAX_LINE_BYTES} bytes at most"}]


def test_several_requests_on_one_connection(path: Path, daemon: Daemon) -> None:
    line = b'{"version": 1, "verb": "pause"}\n'
    assert [answer["ok"] for answer in say(path, line * 3)] == [True] * 3


def test_too_many_connections_are_told_so_and_those_that_are_there_go_on(path: Path) -> None:
    held = []
    folder = os.open(path.parent, os.O_PATH)
    for _ in range(control.MAX_CONNECTIONS):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(f"/proc/self/fd/{folder}/{path.name}")
        connection.sendall(b'{"version": 1, "verb": "pause"}\n')
        assert connection.recv(4096)
        held.append(connection)
    os.close(folder)
    assert "too many connections" in str(say(path, b"")[0]["error"])
    for connection in held:
        connection.close()
    with pytest.raises(UserError, match="cannot be made"), serving(path.parent / "no" / "s", Daemon()):
        pass
