"""Where proposals come from: asked for ahead of time, handed in, paid for, and learnt from."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest
from test_loop import Bench, bench, decisions, file_scoring, ledger, score_in

from daemon.cost import Caps
from daemon.ledger import Interrupted, Ledger
from daemon.model import Decision, Experiment, Lesson, Patch, Phase, Proposal, Usage
from daemon.observe import Paused
from daemon.proposers.interface import Context, NothingToPropose, ProposalFailed
from daemon.steering import When
from policies.interface import Finding, Submission, Verdict
from sandbox.fake import FakeRun
from sandbox.interface import SandboxSpec

__all__ = ["bench", "ledger"]  # fixtures

LINES = b"a = 1\nb = 2\nc = 3\nd = 4\ne = 5\nf = 6\n"


def spent(usd: float = 1.0, purpose: str = "proposal") -> Usage:
    return Usage(purpose=purpose, model="m", input_tokens=100, output_tokens=10, usd=usd, requests=("req_1",))


def proposed(train_py: bytes, context: Context, **changes: object) -> Proposal:
    patch = Patch(train_py=train_py, base_commit=context.base_commit)
    return replace(Proposal(hypothesis="idea", patch=patch, proposer="slow", usage=spent()), **changes)  # type: ignore[arg-type]


@dataclass
class Thinker:
    """A proposer given by a function of the context."""

    think: Callable[[Context], Proposal]
    seen: list[Context] = field(default_factory=list)
    name: str = "thinker"

    def propose(self, context: Context) -> Proposal:
        self.seen.append(context)
        return self.think(context)


@dataclass
class Learner(Thinker):
    """One that also learns; what crashed leaves it without words."""

    reflected: list[int] = field(default_factory=list)

    def reflect(self, context: Context, experiment: Experiment) -> Lesson | None:
        self.reflected.append(experiment.number)
        if experiment.decision is Decision.CRASH:
            raise ProposalFailed("no words")
        return Lesson(text=f"learnt from {experiment.number}", usage=spent(0.25, "lesson"))


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_with_lookahead_the_next_proposal_is_made_while_one_trains(bench: Bench, ledger: Ledger) -> None:
    made = threading.Event()

    def think(context: Context) -> Proposal:
        if len(thinker.seen) == 2:
            made.set()
        return proposed(file_scoring(3.0, f"v{len(thinker.seen)}"), context)

    def train(spec: SandboxSpec) -> FakeRun:
        if b"v1" in spec.train_py:
            return replace(score_in(spec), while_training=lambda: made.wait(10))
        return score_in(spec)

    thinker = Thinker(think)
    bench.loop(ledger, script=train, proposer=thinker, lookahead=1).run(2)
    assert made.is_set()
    assert [e.number for e in thinker.seen[1].pending] == [1]
    assert ledger.get(2).proposal.patch.train_py == file_scoring(3.0, "v2")  # type: ignore[union-attr]


def test_without_lookahead_nothing_is_asked_before_its_time(bench: Bench, ledger: Ledger) -> None:
    thinker = Thinker(lambda context: proposed(file_scoring(3.0, f"v{len(thinker.seen)}"), context))
    bench.loop(ledger, proposer=thinker).run(2)
    assert [len(context.history) for context in thinker.seen] == [1, 2]
    assert all(context.pending == () for context in thinker.seen)


def scored_by_lines(spec: SandboxSpec) -> FakeRun:
    """Every line that is not as in LINES makes the score better by one tenth."""
    changed = sum(one != other for one, other in zip(spec.train_py.split(), LINES.split(), strict=False))
    return FakeRun(val_bpb=2.0 - 0.1 * changed)


def bases(bench: Bench, edits: list[tuple[bytes, bytes]]) -> Thinker:
    def think(context: Context) -> Proposal:
        old, new = edits[min(len(thinker.seen), len(edits)) - 1]
        return proposed(context.train_py.replace(old, new), context)

    thinker = Thinker(think)
    (bench.lab / "train.py").write_bytes(LINES)
    base = bench.workspace.tip()
    commit = bench.workspace.record(999, Patch(train_py=LINES, base_commit=base), "lines", "2026-01-01T00:00:00.000Z")
    bench.workspace.advance(commit, base)
    return thinker


def test_after_a_keep_the_prepared_change_is_carried_over(bench: Bench, ledger: Ledger) -> None:
    thinker = bases(bench, [(b"a = 1", b"a = 10"), (b"f = 6", b"f = 60"), (b"d = 4", b"d = 40")])
    bench.loop(ledger, script=scored_by_lines, proposer=thinker, lookahead=1).run(2)
    second = ledger.get(2)
    assert second.proposal is not None
    assert second.proposal.patch.train_py == LINES.replace(b"a = 1", b"a = 10").replace(b"f = 6", b"f = 60")
    assert second.base_commit == ledger.get(1).commit
    assert decisions(ledger) == [Decision.KEEP] * 3


def test_a_change_that_does_not_fit_any_more_is_asked_for_anew(bench: Bench, ledger: Ledger) -> None:
    thinker = bases(bench, [(b"a = 1", b"a = 10"), (b"a = 1\n", b"a = 11\n"), (b"d = 4", b"d = 40")])
    bench.loop(ledger, script=scored_by_lines, proposer=thinker, lookahead=1).run(2)
    second = ledger.get(2)
    assert second.proposal is not None
    assert second.proposal.patch.train_py == LINES.replace(b"a = 1", b"a = 10").replace(b"d = 4", b"d = 40")
    assert second.usages[0].usd == 2.0  # the lost one is paid for too
    assert second.usages[0].requests == ("req_1", "req_1")


def test_what_it_learnt_is_on_the_ledger_and_paid_for(bench: Bench, ledger: Ledger) -> None:
    files = iter([file_scoring(1.9), b"x = 1  # crash\n"])
    thinker = Learner(lambda context: proposed(next(files), context))
    bench.loop(ledger, proposer=thinker).run(2)
    until(lambda: thinker.reflected == [1, 2])
    until(lambda: ledger.get(1).lesson != "")
    assert ledger.get(1).lesson == "learnt from 1"
    assert [usage.purpose for usage in ledger.get(1).usages] == ["proposal", "lesson"]
    assert ledger.get(2).lesson == ""
    assert ledger.summaries()[1].usd == 1.25
    ledger.verify()


def test_a_failed_proposal_is_paid_for_and_the_loop_goes_on(bench: Bench, ledger: Ledger) -> None:
    answers: Iterator[bytes | None] = iter([None, file_scoring(1.9)])

    def think(context: Context) -> Proposal:
        if (file := next(answers)) is None:
            raise ProposalFailed("I would rather \x1b[31mnot", spent(0.5))
        return proposed(file, context)

    assert bench.loop(ledger, proposer=Thinker(think)).run(1) == 1
    failed = ledger.get(1)
    assert (failed.phase, failed.proposal, failed.usages[0].usd) == (Phase.INTERRUPTED, None, 0.5)
    assert "\x1b" not in failed.events[0]


def test_a_total_cap_ends_the_run_with_its_reason(bench: Bench, ledger: Ledger) -> None:
    thinker = Thinker(lambda context: proposed(file_scoring(3.0, f"v{len(thinker.seen)}"), context))
    assert bench.loop(ledger, proposer=thinker, caps=Caps(max_usd=2.0)).run(10) == 2
    told = [e.reason for e in bench.events if isinstance(e, Paused)]
    assert told == ["the provider has cost 2.00 USD of cost.max_usd = 2"]


def test_a_cap_a_day_waits_for_the_next_day(bench: Bench, ledger: Ledger) -> None:
    thinker = Thinker(lambda context: proposed(file_scoring(3.0, f"v{len(thinker.seen)}"), context))
    loop = bench.loop(ledger, proposer=thinker, caps=Caps(max_usd_per_day=1.0))

    def sleep(seconds: float) -> bool:
        bench.slept.append(seconds)
        if len(bench.slept) == 3:
            bench.steering.stop(When.NOW)
        return bench.steering.stops()

    loop = replace(loop, source=replace(loop.source, sleep=sleep))
    assert loop.run(10) == 1
    assert len(bench.slept) == 3
    assert len([e for e in bench.events if isinstance(e, Paused)]) == 1


def test_tokens_are_capped_too(bench: Bench, ledger: Ledger) -> None:
    thinker = Thinker(lambda context: proposed(file_scoring(3.0, f"v{len(thinker.seen)}"), context))
    assert bench.loop(ledger, proposer=thinker, caps=Caps(max_tokens=100)).run(10) == 1


def test_what_was_handed_in_comes_first_and_exactly_once(bench: Bench, ledger: Ledger) -> None:
    first = bench.inbox.put(file_scoring(1.9), "from a person")
    second = bench.inbox.put(file_scoring(1.8), "from an agent", submitter="mcp")
    assert bench.loop(ledger, [file_scoring(1.7)]).run(3) == 3
    assert [ledger.get(n).hypothesis for n in (1, 2, 3)] == ["from a person", "from an agent", "idea 1"]
    assert (ledger.ticket(first), ledger.ticket(second)) == (1, 2)
    assert ledger.get(2).proposal.proposer == "mcp"  # type: ignore[union-attr]
    assert list(bench.inbox.waiting()) == []


def test_a_ticket_on_the_ledger_is_not_tried_again(
    bench: Bench, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.inbox.put(file_scoring(1.9), "once")
    with monkeypatch.context() as patched:
        patched.setattr(type(bench.inbox), "discard", lambda *_: None)  # killed before the file was removed
        bench.loop(ledger, []).run(1)
    assert len(list(bench.inbox.waiting())) == 1
    assert bench.loop(ledger, []).run(5) == 0
    assert list(bench.inbox.waiting()) == []


def test_an_interrupted_long_run_is_not_taken_up(bench: Bench, ledger: Ledger) -> None:
    assert bench.loop(ledger, []).run(0) == 0
    champion = ledger.get(0)
    assert champion.commit is not None
    other = replace(ledger.arena(champion.arena), train_seconds=9999.0)
    experiment = ledger.open(arena=other, base_commit=champion.commit, champion=0, program="")
    patch = Patch(train_py=file_scoring(1.0), base_commit=champion.commit)
    experiment = ledger.add(experiment, Proposal(hypothesis="for longer", patch=patch, proposer="long"))
    ledger.add(experiment, Interrupted(reason="stopped"))
    assert bench.loop(ledger, [file_scoring(1.9)]).run(1) == 1
    assert (ledger.get(2).hypothesis, ledger.get(2).arena) == ("idea 1", champion.arena)


def test_what_was_handed_in_is_tried_even_when_the_money_is_spent(bench: Bench, ledger: Ledger) -> None:
    bench.inbox.put(file_scoring(1.9), "free of charge")
    assert bench.loop(ledger, [], caps=Caps(max_usd=0.0)).run(5) == 1


def test_the_rules_are_told_what_was_tried_on_this_base(bench: Bench, ledger: Ledger) -> None:
    asked: list[Submission] = []

    def check(submission: Submission) -> Verdict:
        asked.append(submission)
        refused = b"evil" in submission.patch
        finding = Finding(rule="evil", line=1, column=1, message="says evil", instead="good")
        name = submission.patch.decode()
        return Verdict(rules=("r",), findings=(finding,) if refused else (), fingerprint=name)

    files = [file_scoring(3.0), b"evil = 1  # 0.1\n", file_scoring(1.9), file_scoring(3.1)]
    bench.loop(ledger, files, check=check).run(4)
    tried = [{(t.experiment, t.outcome) for t in submission.tried.values()} for submission in asked]
    # Refused patches were never run; after the keep the base is another.
    assert tried == [set(), set(), {(1, "discard")}, {(1, "discard")}, set()]


def test_the_program_of_an_experiment_is_kept_as_it_was(bench: Bench, ledger: Ledger) -> None:
    texts = iter(["the first brief", "the second brief"])
    loop = bench.loop(ledger, [file_scoring(1.9)])
    loop = replace(loop, source=replace(loop.source, program=lambda: next(texts)))
    loop.run(1)
    assert ledger.program(0) == "the first brief"
    assert ledger.program(1) == "the second brief"


def test_a_proposer_at_its_end_says_so_through_the_thread(bench: Bench, ledger: Ledger) -> None:
    def think(context: Context) -> Proposal:
        raise NothingToPropose

    assert bench.loop(ledger, proposer=Thinker(think), lookahead=1).run(3) == 0
    assert ledger.count() == 1


def test_stopping_does_not_wait_for_a_slow_provider(bench: Bench, ledger: Ledger) -> None:
    release = threading.Event()

    def think(context: Context) -> Proposal:
        bench.steering.stop(When.NOW)
        release.wait(30)
        raise NothingToPropose

    began = time.monotonic()
    assert bench.loop(ledger, proposer=Thinker(think)).run(3) == 0
    release.set()
    assert time.monotonic() - began < 10


def test_a_second_kill_before_it_was_written_down_again_loses_no_proposal(bench: Bench, ledger: Ledger) -> None:
    """The first takes an experiment that trains, the second the one that was to take it up again, while still empty."""
    loop = bench.loop(ledger, [file_scoring(1.9)])
    champion = loop.champion_or_baseline()
    ticket = bench.inbox.put(file_scoring(1.8, "handed in"), "handed in")
    asked = loop.source.next(champion)
    arguments = {"arena": loop.arena, "base_commit": champion.commit or "", "champion": 0, "program": ""}
    ledger.add(ledger.open(**arguments), asked.proposal)  # type: ignore[arg-type]
    bench.inbox.discard(ticket)
    loop.recover(reaped=())
    ledger.open(**arguments)  # type: ignore[arg-type]
    loop.recover(reaped=())
    again = loop.source.next(champion)
    assert again.proposal.ticket == ticket, "what somebody handed in is lost"
