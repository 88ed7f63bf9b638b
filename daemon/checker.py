"""Policies run in a child of their own: a patch that blows up a parser costs one refusal, and the daemon parses none.

The child stays warm between checks. It has limits of time and memory; one that dies or dawdles is killed, and the
patch it had before it is refused. A child that cannot even start is our fault, and judges nobody.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from types import TracebackType
from typing import Any

from daemon.model import OurFault, UserError
from daemon.text import clean
from policies.interface import Finding, Submission, Verdict

NAME = "checker"
CHECK_SECONDS = 5.0
START_SECONDS = 60.0  # a cold start on a busy machine
MEMORY_BYTES = 768 * 1024**2  # of address space; the interpreter and the rules take about a third of it
MAX_REQUEST_BYTES = 16 * 1024**2
MAX_ANSWER_BYTES = 1024**2
MAX_FINDINGS = 500
_HEADER_BYTES = 4  # big-endian length of the JSON that follows
_WORKER = ("-m", "daemon.check_worker")


class Checker:
    """The policies of one ``policy.yaml``, in a warm child. One check at a time; callers in other threads wait."""

    def __init__(
        self,
        policy_text: str,
        *,
        check_seconds: float = CHECK_SECONDS,
        memory_bytes: int = MEMORY_BYTES,
        worker: Sequence[str] = _WORKER,
    ) -> None:
        """Start the child.

        Raises:
            UserError: policy.yaml is wrong.
            OurFault: the child cannot be started.
        """
        self._policy_text, self._check_seconds = policy_text, check_seconds
        # -I: neither the working directory, nor PYTHONPATH, nor the user's own packages have a say in it.
        limits = (str(int(check_seconds) + 1), str(memory_bytes))
        self._command = [sys.executable, "-I", *worker, *limits]
        self._lock = threading.Lock()
        self._child: _Child | None = self._start()

    def __enter__(self) -> Checker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def check(self, submission: Submission) -> Verdict:
        """What the policies find. A check that does not end in time, or takes the child down, is a refusal.

        Raises:
            OurFault: the child is gone and cannot be started again.
        """
        request = _request(submission)
        if len(request) > MAX_REQUEST_BYTES:
            return _refusal(f"is too large to be checked: {len(submission.patch)} bytes")
        with self._lock:
            self._child = self._child or self._start()
            answer = self._child.ask(request, self._check_seconds)
            if isinstance(answer, _Silence):
                self._stop()
                return _refusal(f"the check {answer.why}: refused")
        try:
            return _verdict(answer)
        except (KeyError, TypeError, ValueError):
            with self._lock:
                self._stop()
            return _refusal("the check gave an answer that cannot be read: refused")

    def close(self) -> None:
        """End the child. A later check starts another."""
        with self._lock:
            self._stop()

    @property
    def pid(self) -> int | None:
        """Of the child, while there is one."""
        return self._child.process.pid if self._child else None

    def _start(self) -> _Child:
        try:
            child = _Child(self._command)
        except OSError as error:
            raise OurFault(f"the policy checker cannot be started: {error.strerror}") from error
        answer = child.ask(_frame({"policy": self._policy_text}), START_SECONDS)
        if isinstance(answer, Mapping) and answer.get("ready") is True:
            return child
        child.kill()
        if isinstance(answer, Mapping) and "wrong" in answer:
            raise UserError(clean(str(answer["wrong"]), 500))
        why = answer.why if isinstance(answer, _Silence) else "gave an answer that cannot be read"
        raise OurFault(f"the policy checker cannot be started: it {why}")

    def _stop(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child = None


def check_once(policy_text: str, submission: Submission) -> Verdict:
    """One check in a child that ends with it.

    Raises:
        UserError: policy.yaml is wrong.
        OurFault: the child cannot be started.
    """
    with Checker(policy_text) as checker:
        return checker.check(submission)


class _Silence:
    """There was no answer; ``why`` completes the sentence "the check ..."."""

    def __init__(self, why: str) -> None:
        self.why = why


class _Child:
    """The process, and two pipes that are never waited for beyond a deadline."""

    def __init__(self, command: Sequence[str]) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd="/",
            env={"LC_ALL": "C.UTF-8"},
            start_new_session=True,
        )
        assert self.process.stdin is not None and self.process.stdout is not None  # noqa: S101 - both are pipes
        self._to, self._from = self.process.stdin.fileno(), self.process.stdout.fileno()
        os.set_blocking(self._to, False)
        os.set_blocking(self._from, False)

    def ask(self, frame: bytes, seconds: float) -> Mapping[str, Any] | _Silence:
        deadline = time.monotonic() + seconds
        late = _Silence(f"did not end within {seconds:g} s")
        try:
            if not self._write(frame, deadline):
                return late
            header = self._read(_HEADER_BYTES, deadline)
            length = int.from_bytes(header or b"", "big")
            if length > MAX_ANSWER_BYTES:
                return _Silence(f"answered with more than {MAX_ANSWER_BYTES} bytes")
            content = self._read(length, deadline) if header else None
            if content is None:
                return late
            answer = json.loads(content)
        except (EOFError, BrokenPipeError):
            return _Silence("ended without an answer")
        except (ValueError, RecursionError):
            return _Silence("gave an answer that cannot be read")
        return answer if isinstance(answer, dict) else _Silence("gave an answer that cannot be read")

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # it leads a group of its own
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def _write(self, frame: bytes, deadline: float) -> bool:
        rest = memoryview(frame)
        while rest:
            if not _ready([], [self._to], deadline):
                return False
            rest = rest[os.write(self._to, rest[: select.PIPE_BUF * 16]) :]
        return True

    def _read(self, length: int, deadline: float) -> bytes | None:
        content = b""
        while len(content) < length:
            if not _ready([self._from], [], deadline):
                return None
            part = os.read(self._from, length - len(content))
            if not part:
                raise EOFError
            content += part
        return content


def _ready(readable: Sequence[int], writable: Sequence[int], deadline: float) -> bool:
    poll = select.poll()  # not select.select: a daemon may hold more than 1,024 descriptors
    for descriptor in readable:
        poll.register(descriptor, select.POLLIN)
    for descriptor in writable:
        poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(max(0.0, deadline - time.monotonic()) * 1000))


def _frame(content: Mapping[str, Any]) -> bytes:
    text = json.dumps(content).encode()
    return len(text).to_bytes(_HEADER_BYTES, "big") + text


def _request(submission: Submission) -> bytes:
    return _frame(
        {
            "patch": base64.b64encode(submission.patch).decode("ascii"),
            "base": base64.b64encode(submission.base).decode("ascii"),
            "files": [asdict(named) for named in submission.files],
            "tried": {fingerprint: asdict(tried) for fingerprint, tried in submission.tried.items()},
        }
    )


def _verdict(answer: Mapping[str, Any]) -> Verdict:
    findings = tuple(_finding(item) for item in answer["findings"][:MAX_FINDINGS])
    rules = tuple(clean(str(rule), 500) for rule in answer["rules"])
    fingerprint = str(answer["fingerprint"])
    if fingerprint and not (len(fingerprint) == 64 and set(fingerprint) <= set("0123456789abcdef")):
        raise ValueError("the fingerprint is no sha256")
    saved_nodes = answer["saved_nodes"]
    if not (type(saved_nodes) is int and abs(saved_nodes) < 2**31):
        raise ValueError("the number of nodes is none")
    return Verdict(rules=rules, findings=findings, fingerprint=fingerprint, saved_nodes=saved_nodes)


def _finding(item: Mapping[str, Any]) -> Finding:
    return Finding(
        rule=clean(str(item["rule"]), 100),
        line=int(item["line"]),
        column=int(item["column"]),
        message=clean(str(item["message"]), 500),
        instead=clean(str(item["instead"]), 500),
    )


def _refusal(message: str) -> Verdict:
    instead = "write the change more plainly, and shorter"
    return Verdict(rules=(NAME,), findings=(Finding(rule=NAME, line=0, column=0, message=message, instead=instead),))
