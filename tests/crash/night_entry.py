"""The daemon as it is, with a proposer of the tests'; and, where asked, a scripted sandbox in place of the engine.

``python night_entry.py daemon --lab DIR``. The environment says what the night is like: ``NIGHT_SANDBOX=scripted``;
``NIGHT_SLEEP``, how long a program trains; ``NIGHT_TROUBLE=SEED:PERCENT``, how often something of ours fails; while the
file ``NIGHT_PROVIDER_DOWN`` is there, no proposal is to be had; ``NIGHT_IMPATIENT`` and ``NIGHT_CALL_SECONDS`` shorten
the waits, ``NIGHT_SMALL_DISK`` makes do with less space.
"""

from __future__ import annotations

import os
import random
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from daemon import health, loop, selfcheck, service, walls
from daemon.cli import main
from daemon.model import Experiment, Lesson, OurFault, Patch, Proposal, Usage
from daemon.proposers import interface
from daemon.proposers.interface import Context, ProposalFailed
from daemon.walls import Wall
from sandbox import docker_engine, supervise
from sandbox.fake import FakeRun, FakeSandbox, FakeSession
from sandbox.interface import Cancelled, RunResult, RunStatus, SandboxSpec, SandboxUnavailable

NUMBER = re.compile(rb"^NUMBER = (\d+)$", re.MULTILINE)
SLEEP = re.compile(rb"^SLEEP = ([\d.]+)$", re.MULTILINE)
STATUSES = (RunStatus.CRASH, RunStatus.TIMEOUT, RunStatus.OOM)


def number_in(train_py: bytes) -> int:
    found = NUMBER.search(train_py)
    assert found is not None
    return int(found[1])


def score_of(number: int) -> float:
    """Every third one is better than all before it, by more than a lab takes for noise."""
    return 100 - number * 0.01 if number % 3 == 0 else 101.0


class Trouble:
    """Whether it strikes at a place, by a seed, a share in percent, and how often it was asked."""

    def __init__(self, text: str) -> None:
        seed, _, percent = text.partition(":")
        self._random, self._share = random.Random(f"{seed} {os.getpid()}"), float(percent or 0) / 100

    def strikes(self) -> bool:
        return self._random.random() < self._share


TROUBLE = Trouble(os.environ.get("NIGHT_TROUBLE", ""))


class NightProposer:
    """Counts: each proposal is another one than all that the ledger knows. It costs a little and learns a little."""

    name = "night"

    def propose(self, context: Context) -> Proposal:
        if os.path.exists(os.environ.get("NIGHT_PROVIDER_DOWN", "")):
            raise OurFault("the provider cannot be reached")
        if TROUBLE.strikes():
            raise random.choice((ProposalFailed("nothing usable"), OurFault("the provider is down")))
        known = [e.proposal.patch.train_py for e in (*context.history, *context.pending) if e.proposal is not None]
        number = 1 + max(map(number_in, [context.train_py, *known]))
        sleep = os.environ.get("NIGHT_SLEEP", "0.05").encode()
        train_py = SLEEP.sub(b"SLEEP = %b" % sleep, NUMBER.sub(b"NUMBER = %d" % number, context.train_py))
        return Proposal(
            hypothesis=f"number {number}",
            patch=Patch(train_py=train_py, base_commit=context.base_commit),
            proposer=self.name,
            usage=Usage(purpose="proposal", model="m", input_tokens=10, output_tokens=1, usd=0.001),
        )

    def reflect(self, context: Context, experiment: Experiment) -> Lesson | None:
        return Lesson(text=f"learnt from {experiment.number}", usage=Usage(purpose="lesson", model="m", usd=0.001))


def build(options: Mapping[str, object]) -> NightProposer:
    return NightProposer()


class NightSandbox(FakeSandbox):
    """Takes the time that a program asks for, heeds the operator, and is in trouble now and then."""

    @contextmanager
    def session(self, spec: SandboxSpec) -> Iterator[NightSession]:
        # An empty program is the daemon's own, which only sees whether containers can be made.
        score = score_of(number_in(spec.train_py)) if spec.train_py else None
        yield NightSession(run=FakeRun(val_bpb=score), spec=spec)


class NightSession(FakeSession):
    def __init__(self, run: FakeRun, spec: SandboxSpec) -> None:
        super().__init__(run=run, spec=spec)

    def train(self, *, on_release: Callable[[float], None], cancel: Callable[[], bool]) -> RunResult:
        found = SLEEP.search(self.spec.train_py)
        until = time.monotonic() + float(found[1] if found else 0)
        on_release(1.0)
        while time.monotonic() < until:
            if cancel():
                raise Cancelled("the run was abandoned")
            time.sleep(0.01)
        if TROUBLE.strikes():
            raise SandboxUnavailable("the engine is gone")
        if number_in(self.spec.train_py) % 7 == 1:
            return self.result(STATUSES[number_in(self.spec.train_py) % len(STATUSES)], "")
        return super().train(on_release=lambda _: None, cancel=cancel)


def scripted_wall(_box: object) -> Wall:
    return Wall(sandbox=NightSandbox(lambda _: FakeRun()), name="scripted", contents="none", torch_version="none")


def patch() -> None:
    interface._MODULES["night"] = "night_entry"
    sys.modules["night_entry"] = sys.modules[__name__]
    if "NIGHT_IMPATIENT" in os.environ:
        loop.BACKOFF_SECONDS = (0.1, 0.2, 0.5)
        loop.IDLE_SECONDS = 0.2
        service.RETRY_SECONDS = 0.5
    if "NIGHT_CALL_SECONDS" in os.environ:
        docker_engine.CALL_SECONDS = int(os.environ["NIGHT_CALL_SECONDS"])
        supervise.DEAD_WITHIN_SECONDS = 2.0
    if "NIGHT_SMALL_DISK" in os.environ:
        health.MIN_FREE_BYTES = 256 * 1024
    if os.environ.get("NIGHT_SANDBOX") == "scripted":
        walls.open_wall = scripted_wall  # type: ignore[assignment]
        selfcheck.ensure = lambda _lab, _alone: None  # type: ignore[assignment]


if __name__ == "__main__":
    patch()
    main()
