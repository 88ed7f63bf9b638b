"""One piece of work in a forked child: what crashes, hangs in a kernel or eats memory there is not us.

A child starts from the bytes of the sealed model and has seen nothing else: neither the scoring pass nor another
audit. It answers with bytes through a pipe, in time, or not at all.
"""

import contextlib
import os
import re
import resource
import select
import signal
import struct
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .errors import Fault, Invalid, sanitise

_OK, _INVALID, _FAULT = b"O", b"I", b"F"
_NUMBER = re.compile(r"[0-9]+")
_HEAD = struct.Struct("<cQ")
_PIPE_BYTES = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What all children together may take.

    deadline: of time.monotonic(); seconds: how long that was at the start, for the sentence. None: no limit.
    memory_bytes: private memory of one child, beyond what it starts with. None: as much as the container has,
        where the kernel then ends it.
    writes_files: whether a child may write into files. Only drivers of accelerators need to: their caches.
    """

    seconds: float | None = None
    deadline: float | None = None
    memory_bytes: int | None = None
    writes_files: bool = True

    def left(self) -> float | None:
        """Seconds until the deadline, never negative."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())


def bounds(seconds: float, memory_mib: int, *, writes_files: bool = True) -> Bounds:
    """Start the clock; 0 means no limit of ours."""
    return Bounds(
        seconds=seconds or None,
        deadline=time.monotonic() + seconds if seconds else None,
        memory_bytes=memory_mib * 2**20 or None,
        writes_files=writes_files,
    )


UNBOUNDED = Bounds()


class _Late(Exception):  # noqa: N818 (never seen outside)
    """The deadline came before the answer."""


def in_child(work: Callable[[], bytes], what: str, limit_bytes: int, bound: Bounds = UNBOUNDED) -> bytes:
    """Run `work` in a fork of this process and return its bytes, at most `limit_bytes`.

    The parent must be single-threaded and must not have touched an accelerator.

    Raises:
        Invalid: the work refused the candidate, ran out of memory or time, or the child died.
        Fault: the work says that the referee itself cannot go on.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _child(work, writer, bound)
    os.close(writer)
    try:
        kind, length, body = _answer_of(reader, limit_bytes, bound)
    except _Late:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise Invalid(f"{what} did not end within the {bound.seconds:g} seconds that the referee has") from None
    finally:
        os.close(reader)
    _, status = os.waitpid(child, 0)
    if kind == _OK and status == 0 and len(body) == length:
        return body
    if kind in (_INVALID, _FAULT):
        raise (Invalid if kind == _INVALID else Fault)(sanitise(body.decode("ascii", "replace")))
    raise Invalid(f"{what} {_death(status)}")


def _answer_of(reader: int, limit_bytes: int, bound: Bounds) -> tuple[bytes, int, bytes]:
    head = _read(reader, _HEAD.size, bound)
    kind, length = _HEAD.unpack(head) if len(head) == _HEAD.size else (b"", 0)
    return kind, length, _read(reader, length, bound) if length <= limit_bytes else b""


def _read(reader: int, count: int, bound: Bounds) -> bytes:
    """Read `count` bytes, fewer if the child ends.

    Raises:
        _Late: the deadline came first.
    """
    parts: list[bytes] = []
    while count > 0:
        if not select.select([reader], [], [], bound.left())[0]:
            raise _Late
        parts.append(os.read(reader, min(count, _PIPE_BYTES)))
        if not parts[-1]:
            break
        count -= len(parts[-1])
    return b"".join(parts)


def _death(status: int) -> str:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number == signal.SIGKILL:
            return "ran out of memory"
        return f"died of {signal.Signals(number).name}"
    return f"ended with code {os.waitstatus_to_exitcode(status)} and no result"


def _child(work: Callable[[], bytes], writer: int, bound: Bounds) -> None:
    """Never returns: a child that came back would run the parent's code a second time."""
    code = 1
    try:
        _confine(bound)
        kind, body = _answer(work)
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(_HEAD.pack(kind, len(body)) + body)
        code = 0
    finally:
        os._exit(code)


def _confine(bound: Bounds) -> None:
    """Bound the child's memory, keep its libraries quiet, and let the kernel choose it before its parent.

    A graph can make a library warn at every node; the parent still has a verdict to give when memory ends.
    """
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not bound.writes_files:  # the directory for kept models lies on the host's disk, and is for the parent alone
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    if bound.memory_bytes is not None:
        limit = _private_bytes() + bound.memory_bytes
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    quiet = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(quiet, stream)
    os.close(quiet)


def _private_bytes() -> int:
    """What the child has from its parent already, and the kernel counts."""
    return int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()


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
        # Only the candidate's model is new here from run to run; a child has no other way to speak.
        # Numbers are taken out of what is not our own sentence: a kernel's may be computed from tokens.
        reason = str(error) if isinstance(error, Invalid) else _NUMBER.sub("#", f"{type(error).__name__}: {error}")
        return _INVALID, sanitise(reason).encode()
