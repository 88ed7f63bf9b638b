"""The control socket of a running loop: a unix socket, one JSON object a line each way, and no other door.

A request is ``{"version": 1, "verb": "pause"}``, an answer ``{"version": 1, "ok": true, ...}`` or
``{"version": 1, "ok": false, "error": "..."}``. Who may open the socket may do all of it, and nothing beyond: the verbs
steer the loop, and none of them touches settings, policies, the image or a decision.
"""

from __future__ import annotations

import grp
import json
import logging
import os
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from daemon.model import UserError
from daemon.text import clean

VERSION = 1
MAX_LINE_BYTES = 256 * 1024  # a train.py in base64, and its hypothesis
IDLE_SECONDS = 30.0
MAX_CONNECTIONS = 16
POLL_SECONDS = 0.2
log = logging.getLogger("autoresearchd")

Answer = Mapping[str, object]


class NothingRuns(UserError):  # noqa: N818 - says what is so
    """There is no running loop to ask."""


class Request(BaseModel):
    """What may be asked. ``when`` belongs to ``stop``; the last three to ``submit``, ``train_py`` in base64."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: Literal[1]
    verb: Literal["status", "pause", "resume", "stop", "skip", "reload", "submit"]
    when: Literal["now", "experiment"] = "experiment"
    train_py: str = ""
    hypothesis: str = ""


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = MAX_CONNECTIONS

    def __init__(self, address: str, answer: Callable[[Request], Answer]) -> None:
        self.answer = answer
        self.places = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - as the library calls it
        log.debug("a control connection broke off", exc_info=True)


class _Handler(socketserver.StreamRequestHandler):
    timeout = IDLE_SECONDS
    server: _Server

    def handle(self) -> None:
        if not self.server.places.acquire(blocking=False):
            self._send({"ok": False, "error": "too many connections; try again in a moment"})
            return
        try:
            while line := self.rfile.readline(MAX_LINE_BYTES + 1):
                self._send(self._answer(line))
                if not line.endswith(b"\n"):
                    return
        finally:
            self.server.places.release()

    def _answer(self, line: bytes) -> Answer:
        if len(line) > MAX_LINE_BYTES:
            return {"ok": False, "error": f"a request has {MAX_LINE_BYTES} bytes at most"}
        try:
            return {"ok": True, **self.server.answer(Request.model_validate_json(line))}
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            return {"ok": False, "error": clean(f"{where or 'the request'}: {first['msg']}", 300)}
        except UserError as error:
            return {"ok": False, "error": clean(str(error), 500)}
        except Exception:  # a verb that fails is told and logged; the socket stays
            log.exception("a control request failed")
            return {"ok": False, "error": "the request failed inside the daemon; its log says why"}

    def _send(self, answer: Answer) -> None:
        self.wfile.write(json.dumps({"version": VERSION, **answer}).encode() + b"\n")


@contextmanager
def serving(path: Path, answer: Callable[[Request], Answer], group: str = "") -> Iterator[None]:
    """Answer requests at ``path`` by a thread while inside; mode 0660, owned by ``group`` where one is named.

    The lab's lock is held, so a socket that lies there is a dead process's.

    Raises:
        UserError: there is no such group, or the socket cannot be made there.
    """
    number = _group(group)
    with suppress(FileNotFoundError):
        path.unlink()
    before = os.umask(0o177)  # nobody may connect before the mode is set
    try:
        with _short(path) as address:
            server = _Server(address, answer)
    except OSError as error:
        raise UserError(f"the control socket {path} cannot be made: {error.strerror or error}") from error
    finally:
        os.umask(before)
    try:
        if number is not None:
            os.chown(path, -1, number)
        path.chmod(0o660)
    except PermissionError as error:
        server.server_close()
        raise UserError(f"the control socket cannot be given to the group {group}: {error.strerror}") from error
    answering = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), daemon=True, name="control")
    answering.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        with suppress(FileNotFoundError):
            path.unlink()


def ask(path: Path, request: Mapping[str, object], seconds: float = 5.0) -> dict[str, Any]:
    """Send a running loop the fields of a :class:`Request`, and return its answer.

    Raises:
        NothingRuns: nobody answers at this path.
        UserError: you may not ask it, or it refused.
    """
    line = json.dumps({"version": VERSION, **request}).encode() + b"\n"
    try:
        with socket.socket(socket.AF_UNIX) as connection, _short(path) as address:
            connection.settimeout(seconds)
            connection.connect(address)
            connection.sendall(line)
            with connection.makefile("rb") as answers:
                answer = json.loads(answers.readline(8 * MAX_LINE_BYTES))
    except (FileNotFoundError, ConnectionRefusedError):
        raise NothingRuns("nothing runs in this lab; `autoresearch daemon` or `autoresearch run` starts it") from None
    except PermissionError:
        raise UserError(f"you may not use {path}: ask its owner, or join the group of [control] in lab.toml") from None
    except (OSError, ValueError) as error:
        raise UserError(f"the process of this lab does not answer ({clean(str(error), 200)})") from error
    if not isinstance(answer, dict) or answer.get("version") != VERSION:
        raise UserError("the process of this lab speaks another version of the control protocol; restart it")
    if not answer.get("ok"):
        raise UserError(clean(str(answer.get("error")), 500))
    return answer


def situation(path: Path) -> dict[str, Any] | None:
    """What a running loop is at; None where nothing runs that one could ask."""
    try:
        return ask(path, {"verb": "status"}, seconds=1.0)
    except UserError:
        return None


def _group(name: str) -> int | None:
    if not name:
        return None
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise UserError(f"lab.toml: control.group names {name!r}, but this machine has no such group") from None


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """An address for ``path`` that fits into the 107 bytes the kernel takes, however deep the lab lies."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
