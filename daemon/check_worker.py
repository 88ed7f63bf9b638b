"""The child in which the policies run: ``python -I -m daemon.check_worker``, spoken to by :mod:`daemon.checker`.

Frames on stdin and stdout: four bytes of length, then JSON. The first frame is policy.yaml, each later one is a
submission. It limits itself before it reads anything, and ends when its stdin does.
"""

from __future__ import annotations

import base64
import gc
import json
import resource
import struct
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from itertools import count
from typing import Any, BinaryIO

from policies.config import PolicyError, load
from policies.engine import check
from policies.interface import Named, Submission, Tried, Verdict

HEADER = struct.Struct(">I")
COLLECT_EVERY = 100  # checks
Judge = Callable[[Submission], Verdict]


def main(make_judge: Callable[[str], Judge] | None = None) -> None:
    """Answer frames until stdin ends. ``make_judge`` stands in for the policies in tests."""
    cpu_seconds, memory_bytes = int(sys.argv[-2]), int(sys.argv[-1])
    _limit(memory_bytes)
    policy = _receive(sys.stdin.buffer)
    if policy is None:
        return
    try:
        judge = (make_judge or _judge)(policy["policy"])
    except PolicyError as error:
        _send(sys.stdout.buffer, {"wrong": str(error)})
        return
    _send(sys.stdout.buffer, {"ready": True})
    gc.disable()  # trees are freed without it, and looking through them costs as much as a check
    for number in count(1):
        if (request := _receive(sys.stdin.buffer)) is None:
            return
        _grant(cpu_seconds)
        _send(sys.stdout.buffer, asdict(judge(_submission(request))))
        if number % COLLECT_EVERY == 0:
            gc.collect()


def _judge(policy_text: str) -> Judge:
    rules = load(policy_text)
    return lambda submission: check(submission, rules)


def _limit(memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _grant(cpu_seconds: int) -> None:
    """So much more processor time, from now: what one check used is not held against the next."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(usage.ru_utime + usage.ru_stime) + cpu_seconds + 1, hard))


def _receive(stream: BinaryIO) -> Mapping[str, Any] | None:
    header = stream.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    (length,) = HEADER.unpack(header)
    content: Mapping[str, Any] = json.loads(stream.read(length))
    return content


def _send(stream: BinaryIO, answer: Mapping[str, Any]) -> None:
    content = json.dumps(answer).encode()
    stream.write(HEADER.pack(len(content)) + content)
    stream.flush()


def _submission(request: Mapping[str, Any]) -> Submission:
    return Submission(
        patch=base64.b64decode(request["patch"]),
        base=base64.b64decode(request["base"]),
        files=tuple(Named(**named) for named in request["files"]),
        tried={fingerprint: Tried(**tried) for fingerprint, tried in request["tried"].items()},
    )


if __name__ == "__main__":
    main()
