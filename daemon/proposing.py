"""Where the next proposal comes from: one that was interrupted, one that somebody handed in, or the proposer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from daemon.ahead import Ahead, Next
from daemon.cost import Caps, reached, spent
from daemon.inbox import Inbox
from daemon.ledger import Interrupted, Ledger
from daemon.model import Arena, Experiment, FaultKind, Lesson, OurFault, Patch, Phase, Proposal, Summary, Usage
from daemon.observe import FaultSeen, Observers, Paused, ProposalAwaited, ProposalMade, ProviderCharged
from daemon.proposers.interface import Context, Desk, NothingToPropose, ProposalFailed
from daemon.recall import History, Remembered
from daemon.text import clean
from sandbox.interface import Cancelled

MAX_INTERRUPTIONS = 3
MAX_FAILED_PROPOSALS = 5
PAUSE_SECONDS = 30.0


class CapReached(NothingToPropose):
    """The provider may not be asked again: a cap of ``[cost]`` is reached for good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Proposals for one lab.

    ``reader`` is a second connection to the ledger, used by the proposer's thread alone; ``read`` gives the train.py of
    a commit.
    """

    arena: Arena
    ledger: Ledger
    reader: Ledger
    read: Callable[[str], bytes]
    ahead: Ahead
    inbox: Inbox
    program: Callable[[], str]
    caps: Caps
    profile: str
    observers: Observers
    cancel: Callable[[], bool]
    sleep: Callable[[float], bool]
    desk: Desk | None = None
    corrections: Callable[[Experiment], Proposal | None] = lambda _champion: None
    _remembered: Remembered = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_remembered", Remembered(self.reader.get))

    def next(self, champion: Experiment) -> Next:
        """What to pursue now.

        Raises:
            NothingToPropose: the proposer is at its end, or too much money is spent.
            OurFault: the provider cannot be reached, or gave nothing usable several times in a row.
            Cancelled: told to stop.
        """
        waiting = self._interrupted(champion) or self._correcting(champion) or self._submitted(champion)
        return waiting or self._asked(champion)

    def prepare(self, champion: Experiment, running: Experiment) -> None:
        """Begin with the proposal after ``running``, where that is not pointless."""
        if not any(self.inbox.waiting()) and self._cap() is None:
            self.ahead.prepare(lambda: self._context(champion, (running,)), champion.commit or "")

    def learn(self, champion: Experiment, experiment: Experiment) -> None:
        """Let the proposer write down what it learnt, before it is asked for the next proposal."""
        if experiment.proposal is not None and self._cap() is None:
            self.ahead.reflect(lambda: self._context(champion, ()), experiment, self._remember)

    def _interrupted(self, champion: Experiment) -> Next | None:
        """The proposal of the experiment that was interrupted last, unless it was so too often.

        An experiment that ended before its proposal was written down took up none: it is looked past.
        """
        rows = self._rows()
        row = next((row for row in reversed(rows) if row.patch_sha256), None)
        if row is None or row.phase is not Phase.INTERRUPTED:
            return None
        proposal = self.ledger.get(row.number).proposal
        if proposal is None or proposal.patch.base_commit != champion.commit or proposal.proposer == "baseline":
            return None
        if _interruptions(rows)[proposal.patch.sha256] >= MAX_INTERRUPTIONS:
            return None
        return Next(proposal=proposal, program=self.program())

    def _correcting(self, champion: Experiment) -> Next | None:
        """What follows from runs that contradict a keep comes before anything new."""
        proposal = self.corrections(champion)
        return Next(proposal=proposal, program=self.program()) if proposal is not None else None

    def _submitted(self, champion: Experiment) -> Next | None:
        assert champion.commit is not None  # noqa: S101 - a champion is closed, so it was committed
        for slip in self.inbox.waiting():
            if self.ledger.has_ticket(slip.ticket):  # tried before, and the file was not yet removed
                self.inbox.discard(slip.ticket)
                continue
            patch = Patch(train_py=slip.train_py, base_commit=champion.commit)
            hypothesis = clean(slip.hypothesis, 500)
            proposal = Proposal(hypothesis=hypothesis, patch=patch, proposer=slip.submitter, ticket=slip.ticket)
            return Next(proposal=proposal, program=self.program())
        return None

    def _asked(self, champion: Experiment) -> Next:
        self._wait_for_allowance()
        self.observers.notify(ProposalAwaited())
        commit = champion.commit or ""
        last: ProposalFailed | None = None
        for _ in range(MAX_FAILED_PROPOSALS):
            try:
                asked = self.ahead.propose(lambda: self._context(champion, ()), commit, self.read(commit))
                self.observers.notify(ProposalMade(seconds=asked.seconds))
                return asked
            except OurFault as fault:
                if (usage := getattr(fault, "usage", None)) is not None:  # a provider that broke off was paid for it
                    self._record(champion, f"the provider failed: {fault}", usage)
                raise
            except ProposalFailed as failure:
                last = failure
                unusable = f"no usable proposal: {failure}"
                self.observers.notify(FaultSeen(message=unusable, retry_seconds=0.0, kind=FaultKind.PROPOSAL))
                self._record(champion, unusable, failure.usage)
                if self.cancel():
                    raise Cancelled("stopped by the operator") from failure
        raise OurFault(f"the proposer {self.ahead.name} failed {MAX_FAILED_PROPOSALS} times in a row: {last}")

    def _record(self, champion: Experiment, reason: str, usage: Usage | None) -> None:
        """An experiment without a proposal, which was interrupted: it keeps the reason, and what it cost."""
        experiment = self.ledger.open(
            arena=self.arena,
            base_commit=champion.commit or "",
            champion=champion.number,
            program=self.program(),
        )
        if usage is not None:
            experiment = self.ledger.add(experiment, usage)
            self.observers.notify(ProviderCharged(usage=usage))
        self.ledger.add(experiment, Interrupted(reason=clean(reason, 300)))

    def _remember(self, experiment: Experiment, lesson: Lesson) -> None:
        """On the proposer's thread."""
        if lesson.usage is not None:
            experiment = self.reader.add(self.reader.get(experiment.number), lesson.usage)
            self.observers.notify(ProviderCharged(usage=lesson.usage))
        if lesson.text:
            self.reader.add(self.reader.get(experiment.number), lesson)

    def _context(self, champion: Experiment, pending: Sequence[Experiment]) -> Context:
        """On the proposer's thread."""
        assert champion.commit is not None  # noqa: S101 - a champion is closed, so it was committed
        return Context(
            champion=champion,
            train_py=self.read(champion.commit),
            base_commit=champion.commit,
            history=self._history(),
            pending=tuple(pending),
            program=self.program(),
            profile=self.profile,
            desk=self.desk,
        )

    def _history(self) -> Sequence[Experiment]:
        """All that was closed or abandoned, and once each what was given up, so that it is not proposed again."""
        rows = self.reader.summaries(arena=self.arena.fingerprint)
        given_up = {sha256 for sha256, times in _interruptions(rows).items() if times >= MAX_INTERRUPTIONS}
        wanted = []
        for row in rows:
            if row.phase in (Phase.CLOSED, Phase.ABANDONED, Phase.QUARANTINED) or row.patch_sha256 in given_up:
                wanted.append(row)
                given_up.discard(row.patch_sha256)
        return History(wanted, self._remembered)

    def _rows(self) -> list[Summary]:
        return self.ledger.summaries(arena=self.arena.fingerprint)

    def _cap(self) -> str | None:
        if self.caps == Caps():
            return None
        return reached(spent(self.ledger.summaries(), _today()), self.caps)

    def _wait_for_allowance(self) -> None:
        """Return when the provider may be asked: at once, or when a new day has begun."""
        told = False
        while (sentence := self._cap()) is not None:
            if "max_usd_per_day" not in sentence:
                raise CapReached(sentence)
            if not told:
                self.observers.notify(Paused(reason=sentence))
                told = True
            if self.sleep(PAUSE_SECONDS):
                raise Cancelled("stopped while the day's money was spent")


def _interruptions(rows: Iterable[Summary]) -> Counter[str]:
    """How often each patch, by sha256, was interrupted."""
    return Counter(row.patch_sha256 for row in rows if row.phase is Phase.INTERRUPTED and row.patch_sha256)


def _today() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d")
