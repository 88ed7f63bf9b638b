"""How the probe tries things and tells what it saw. See :mod:`sandbox.probe`."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

SEEN_CHARACTERS = 1500


def tell(fact: str, seen: object) -> None:
    print(json.dumps({"fact": fact, "seen": str(seen)[:SEEN_CHARACTERS]}), flush=True)


def name_of(number: int | None) -> str:
    return errno.errorcode.get(number or 0, str(number))


def text(path: str | Path) -> str:
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError as error:
        return f"unreadable {name_of(error.errno)}"


def attempt(action: Callable[[], object]) -> str:
    """What an action answers, or the name of its error."""
    try:
        return f"returned {action()}"
    except OSError as error:
        return name_of(error.errno)


def in_child(action: Callable[[], object], seconds: float = 10.0) -> str:
    """The same in a process of its own, whose death by a signal is an answer as well."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, attempt(action).encode()[:200])
        os._exit(0)
    os.close(writing)
    deadline = time.monotonic() + seconds
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
        time.sleep(0.001)
    if ended == (0, 0):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return "stalled"
    answer = os.read(reading, 200).decode()
    os.close(reading)
    return f"signal {os.WTERMSIG(ended[1])}" if os.WIFSIGNALED(ended[1]) else answer


def in_children(tries: list[tuple[str, Callable[[], object]]]) -> None:
    """Tell what each of many tries answers: one child does them in turn, and another takes over where it dies."""
    while tries:
        reading, writing = os.pipe()
        if (child := os.fork()) == 0:
            signal.alarm(10)
            for _, action in tries:
                os.write(writing, (attempt(action)[:60] + "\n").encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as answers:
            told = answers.read().splitlines()
        status = os.waitpid(child, 0)[1]
        if len(told) < len(tries):
            told.append(f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"status {status}")
        for (name, _), answer in zip(tries, told, strict=False):
            tell(name, answer)
        tries = tries[len(told) :]


def call(number: int, *arguments: object) -> int:
    ctypes.set_errno(0)
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    answer = int(ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(number), *words))
    if answer < 0:
        raise OSError(ctypes.get_errno(), "")
    return answer
