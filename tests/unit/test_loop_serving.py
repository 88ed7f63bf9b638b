"""The loop without an end: it waits, goes on, outlasts outages, and ends only when it is told to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from test_loop import Bench, bench, decisions, file_scoring, ledger, score_in

from daemon.ledger import Ledger
from daemon.loop import BACKOFF_SECONDS
from daemon.model import Decision, OurFault, Phase
from daemon.observe import ExperimentClosed, FaultSeen, Paused
from daemon.steering import When
from sandbox.fake import FakeRun
from sandbox.interface import Cancelled, SandboxSpec, SandboxUnavailable

__all__ = ["bench", "ledger"]


def at_wait(bench: Bench, number: int, act: Callable[[], object]) -> None:
    """Do something when the loop waits for the so-manieth time."""
    inner = bench.steering.wait

    def wait(seconds: float) -> bool:
        answer = inner(seconds)
        if len(bench.slept) == number:
            act()
        return answer or bench.steering.stops()

    bench.steering.wait = wait  # type: ignore[method-assign]


def reasons(bench: Bench) -> list[str]:
    return [event.reason for event in bench.events if isinstance(event, Paused)]


def test_with_nothing_to_propose_it_waits_and_takes_what_is_handed_in(bench: Bench, ledger: Ledger) -> None:
    at_wait(bench, 3, lambda: bench.inbox.put(file_scoring(1.8), "a person's"))
    at_wait(bench, 5, lambda: bench.steering.stop(When.NOW))
    bench.loop(ledger, [file_scoring(1.9)]).serve()
    assert decisions(ledger) == [Decision.KEEP] * 3
    assert ledger.get(2).hypothesis == "a person's"
    assert reasons(bench) == ["the proposer has nothing left"] * 2  # told once each time, not at every look


def test_paused_it_begins_nothing_and_goes_on_when_it_may(bench: Bench, ledger: Ledger) -> None:
    bench.steering.pause()
    at_wait(bench, 2, bench.steering.resume)
    at_wait(bench, 3, lambda: bench.steering.stop(When.NOW))
    bench.loop(ledger, [file_scoring(1.9)]).serve()
    assert reasons(bench)[0] == "paused by the operator"
    assert decisions(ledger) == [Decision.KEEP] * 2


def test_the_brief_can_say_that_it_is_enough_and_a_new_brief_counts_anew(bench: Bench, ledger: Ledger) -> None:
    files = [file_scoring(1.9 - number / 10) for number in range(5)]
    loop = bench.loop(ledger, files)
    brief = ["the brief"]
    loop = replace(loop, source=replace(loop.source, program=lambda: brief[0]))
    at_wait(bench, 1, lambda: brief.append(brief.pop() + ", changed"))
    at_wait(bench, 2, lambda: bench.steering.stop(When.NOW))
    loop.serve(lambda: 2)
    assert len(decisions(ledger)) == 1 + 4
    assert reasons(bench) == ["program.md says that 2 experiments are enough"] * 2


def test_an_outage_of_a_night_is_outlasted_and_costs_no_proposal(bench: Bench, ledger: Ledger) -> None:
    """The service is looked at before each try, so that what was being tried is not interrupted again and again."""
    sick = [True] * 30

    def healthy() -> None:
        if ledger.latest() is not None and sick:
            sick.pop()
            raise OurFault("no engine")

    at_wait(bench, 31, lambda: bench.steering.stop(When.NOW))
    replace(bench.loop(ledger, [file_scoring(1.9)]), healthy=healthy).serve()
    assert decisions(ledger) == [Decision.KEEP] * 2
    assert bench.slept[:5] == [*BACKOFF_SECONDS, BACKOFF_SECONDS[-1]]
    assert len([event for event in bench.events if isinstance(event, FaultSeen)]) == 30


def test_what_is_skipped_is_abandoned_and_not_taken_up_again(bench: Bench, ledger: Ledger) -> None:
    def script(spec: SandboxSpec) -> FakeRun:
        if b"dull" in spec.train_py:
            assert bench.steering.skip() == 1
            return FakeRun(error=Cancelled("asked to"))
        return score_in(spec)

    at_wait(bench, 1, lambda: bench.steering.stop(When.NOW))
    bench.loop(ledger, [file_scoring(1.9, "dull"), file_scoring(1.8)], script=script).serve()
    rows = ledger.summaries()
    assert [row.phase for row in rows] == [Phase.CLOSED, Phase.ABANDONED, Phase.CLOSED]
    assert [e.number for e in bench.proposer.seen[-1].history] == [0, 1, 2]  # it is told what was given up
    assert not ledger.unfinished()
    ledger.verify()


def test_a_run_goes_on_after_a_skip_and_does_not_count_it(bench: Bench, ledger: Ledger) -> None:
    def script(spec: SandboxSpec) -> FakeRun:
        if b"dull" in spec.train_py:
            bench.steering.skip()
            return FakeRun(error=Cancelled("asked to"))
        return score_in(spec)

    assert bench.loop(ledger, [file_scoring(1.9, "dull"), file_scoring(1.8)], script=script).run(1) == 1
    assert [row.phase for row in ledger.summaries()] == [Phase.CLOSED, Phase.ABANDONED, Phase.CLOSED]


def test_stopping_after_the_experiment_decides_it_first(bench: Bench, ledger: Ledger) -> None:
    def script(spec: SandboxSpec) -> FakeRun:
        if b"1.9" in spec.train_py:
            bench.steering.stop(When.EXPERIMENT)
        return score_in(spec)

    bench.loop(ledger, [file_scoring(1.9), file_scoring(1.8)], script=script).serve()
    assert decisions(ledger) == [Decision.KEEP] * 2
    assert len([event for event in bench.events if isinstance(event, ExperimentClosed)]) == 2


@pytest.mark.parametrize("outage", [False, True])
def test_a_reload_ends_it_between_two_experiments_and_not_within_one(
    bench: Bench, ledger: Ledger, outage: bool
) -> None:
    def script(spec: SandboxSpec) -> FakeRun:
        bench.steering.reload()
        return FakeRun(error=SandboxUnavailable("no engine")) if outage else score_in(spec)

    bench.loop(ledger, [file_scoring(1.9)], script=script).serve()
    assert [row.phase for row in ledger.summaries()] == [Phase.INTERRUPTED if outage else Phase.CLOSED]
    assert not bench.steering.take_reload()


def test_a_reload_that_cannot_be_leaves_the_loop_as_it_is(bench: Bench, ledger: Ledger) -> None:
    asked = []

    def reloads() -> bool:
        asked.append(len(ledger.summaries()))
        return False

    bench.steering.reload()
    at_wait(bench, 1, lambda: bench.steering.stop(When.NOW))
    bench.loop(ledger, [file_scoring(1.9)]).serve(reloads=reloads)
    assert asked == [0]
    assert decisions(ledger) == [Decision.KEEP] * 2
