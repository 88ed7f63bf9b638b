"""Asks the proposer in a thread of its own: the next proposal is made while the present experiment trains."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, replace

from daemon.model import Experiment, Lesson, Patch, Proposal, Usage
from daemon.proposers.interface import Context, ProposalFailed, Proposer, Reflects
from daemon.rebase import rebase
from daemon.text import clean
from sandbox.interface import Cancelled

POLL_SECONDS = 0.05
CLOSE_SECONDS = 1.0
log = logging.getLogger("autoresearchd")

MakeContext = Callable[[], Context]
Remember = Callable[[Experiment, Lesson], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """A proposal to pursue, and the text of program.md that it was made under.

    ``seconds`` is what the proposer took over it; 0 where none was asked.
    """

    proposal: Proposal
    program: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What the proposer said, and what it had been told."""

    proposal: Proposal
    context: Context
    seconds: float

    def as_next(self) -> Next:
        return Next(proposal=self.proposal, program=self.context.program, seconds=self.seconds)


class Ahead:
    """One proposer, asked by one thread, at most one proposal ahead. ``lookahead`` 0 asks only when it is time.

    Contexts are made on that thread too, so that reading a long history delays nobody.
    """

    def __init__(self, proposer: Proposer, lookahead: int, cancel: Callable[[], bool]) -> None:
        self._proposer = proposer
        self._lookahead = lookahead
        self._cancel = cancel
        # A daemon thread: a provider that does not answer must not keep a stopped process alive.
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True, name="proposer")
        self._thread.start()
        self._prepared: tuple[str, Future[_Answer]] | None = None

    @property
    def name(self) -> str:
        return self._proposer.name

    def close(self, then: Callable[[], None] = lambda: None) -> None:
        """Let the thread end when it has done what it was given, and do ``then`` last; it is waited for, not for long.

        What the thread uses is for ``then`` to close: closed under a running statement, SQLite takes the process down.
        """

        def end() -> None:
            then()
            raise SystemExit

        self._jobs.put(end)
        self._thread.join(CLOSE_SECONDS)

    def _work(self) -> None:
        while True:
            self._jobs.get()()

    def prepare(self, make: MakeContext, base_commit: str) -> None:
        """Begin with a proposal, unless one is prepared already."""
        if self._lookahead and self._prepared is None:
            self._prepared = (base_commit, self._begin(make))

    def propose(self, make: MakeContext, base_commit: str, base: bytes) -> Next:
        """The next proposal, against ``base``.

        One that was prepared for another base is carried over where its change still fits, else asked for anew;
        what the lost one cost is on the new one's account.

        Raises:
            Cancelled: told to stop while waiting; and what :meth:`Proposer.propose` raises.
        """
        prepared, self._prepared = self._prepared, None
        if prepared is None:
            return self._wait(self._begin(make)).as_next()
        made_for, future = prepared
        answer = self._wait(future)
        if made_for == base_commit:
            return answer.as_next()
        old = answer.proposal
        if (patch := rebase(old.patch.train_py, answer.context.train_py, base)) is not None:
            carried = replace(old, patch=Patch(train_py=patch, base_commit=base_commit))
            return replace(answer.as_next(), proposal=carried)
        return self._again(make, old.usage)

    def _again(self, make: MakeContext, lost: Usage | None) -> Next:
        try:
            answer = self._wait(self._begin(make))
        except ProposalFailed as failure:
            raise ProposalFailed(str(failure), together(lost, failure.usage)) from failure
        proposal = replace(answer.proposal, usage=together(lost, answer.proposal.usage))
        return replace(answer.as_next(), proposal=proposal)

    def reflect(self, make: MakeContext, experiment: Experiment, remember: Remember) -> None:
        """Ask for a lesson and have it remembered, before the next proposal; nothing waits for it."""
        if isinstance(self._proposer, Reflects):
            proposer = self._proposer
            self._jobs.put(lambda: self._reflect(proposer, make, experiment, remember))

    @staticmethod
    def _reflect(proposer: Reflects, make: MakeContext, experiment: Experiment, remember: Remember) -> None:
        try:
            lesson = proposer.reflect(make(), experiment)
            if lesson is not None:
                remember(experiment, lesson)
        except Exception as error:  # noqa: BLE001 - a lesson is a luxury: whatever is wrong with it, research goes on
            log.warning("no lesson from experiment %d: %s", experiment.number, clean(str(error), 300))

    def _begin(self, make: MakeContext) -> Future[_Answer]:
        future: Future[_Answer] = Future()
        self._jobs.put(lambda: self._ask(make, future))
        return future

    def _ask(self, make: MakeContext, future: Future[_Answer]) -> None:
        try:
            context, began = make(), time.monotonic()
            proposal = self._proposer.propose(context)
            future.set_result(_Answer(proposal=proposal, context=context, seconds=time.monotonic() - began))
        except BaseException as error:  # noqa: BLE001 - it is raised where the answer is waited for
            future.set_exception(error)

    def _wait(self, future: Future[_Answer]) -> _Answer:
        while True:
            try:
                return future.result(timeout=POLL_SECONDS)
            except NotYet:
                if future.done():
                    raise  # the proposer's own TimeoutError
                if self._cancel():
                    raise Cancelled("stopped while a proposal was being made") from None


def together(one: Usage | None, other: Usage | None) -> Usage | None:
    """Two accounts as one; a price that is unknown leaves the sum unknown."""
    if one is None or other is None:
        return one or other
    known = one.usd is not None and other.usd is not None
    return replace(
        one,
        input_tokens=one.input_tokens + other.input_tokens,
        cached_tokens=one.cached_tokens + other.cached_tokens,
        cache_write_tokens=one.cache_write_tokens + other.cache_write_tokens,
        output_tokens=one.output_tokens + other.output_tokens,
        usd=(one.usd or 0.0) + (other.usd or 0.0) if known else None,
        requests=(*one.requests, *other.requests),
    )
