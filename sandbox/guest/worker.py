"""One piece of work in a forked child: what crashes, hangs in a kernel or eats memory there is not us.

A child starts from the verified model and has seen nothing else: neither the scoring pass nor another audit.
It answers with bytes through a pipe.
"""

import contextlib
import os
import signal
import struct
import warnings
from collections.abc import Callable
from pathlib import Path

from .errors import Fault, Invalid, sanitise

_OK, _INVALID, _FAULT = b"O", b"I", b"F"
_HEAD = struct.Struct("<cQ")


def in_child(work: Callable[[], bytes], what: str, limit_bytes: int) -> bytes:
    """Run `work` in a fork of this process and return its bytes, at most `limit_bytes`.

    The parent must be single-threaded and must not have touched an accelerator.

    Raises:
        Invalid: the work refused the candidate, ran out of memory, or the child died.
        Fault: the work says that the referee itself cannot go on.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _child(work, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        head = pipe.read(_HEAD.size)
        kind, length = _HEAD.unpack(head) if len(head) == _HEAD.size else (b"", 0)
        body = pipe.read(length) if length <= limit_bytes else b""
    _, status = os.waitpid(child, 0)
    if kind == _OK and status == 0 and len(body) == length:
        return body
    if kind in (_INVALID, _FAULT):
        raise (Invalid if kind == _INVALID else Fault)(sanitise(body.decode("ascii", "replace")))
    raise Invalid(f"{what} {_death(status)}")


def _death(status: int) -> str:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number == signal.SIGKILL:
            return "ran out of memory"
        return f"died of {signal.Signals(number).name}"
    return f"ended with code {os.waitstatus_to_exitcode(status)} and no result"


def _child(work: Callable[[], bytes], writer: int) -> None:
    """Never returns: a child that came back would run the parent's code a second time."""
    code = 1
    try:
        _volunteer_for_oom()
        kind, body = _answer(work)
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(_HEAD.pack(kind, len(body)) + body)
        code = 0
    finally:
        os._exit(code)


def _volunteer_for_oom() -> None:
    """Ask the kernel to kill this child before its parent, who still has a verdict to give."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _answer(work: Callable[[], bytes]) -> tuple[bytes, bytes]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _OK, work()
    except Fault as error:
        return _FAULT, sanitise(str(error)).encode()
    except MemoryError:
        return _INVALID, b"the model ran out of memory"
    except Exception as error:  # noqa: BLE001
        # Only the candidate's graph is new here from run to run; a child has no other way to speak.
        reason = str(error) if isinstance(error, Invalid) else f"{type(error).__name__}: {error}"
        return _INVALID, sanitise(reason).encode()
