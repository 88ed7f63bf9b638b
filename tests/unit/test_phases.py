"""What may follow what, and that nothing else may."""

from __future__ import annotations

import pytest
from values import ALLOWED, BASE, CRASH, DISCARD, KEEP, PROPOSAL, REFUSED, TRIAL, experiment

from daemon.model import Decision, Experiment, Lesson, Outcome, Phase, Usage
from daemon.phases import Abandoned, Closed, Committed, IllegalTransition, Interrupted, TrialStarted, Value, advance

AT = "2026-01-01T00:00:01.000Z"
START, COMMIT = TrialStarted(seed=1), Committed(commit=BASE)
POLICY_SAYS_NO = Outcome(decision=Decision.REFUSED, reason="socket")
SPENT, LESSON = Usage(purpose="proposal", model="m"), Lesson(text="it was too slow")
CRASHED = Outcome(decision=Decision.CRASH, reason="ZeroDivisionError")


def after(*values: Value | Closed) -> Experiment:
    state = experiment(phase=Phase.OPENED, proposal=None, verdict=None, trials=(), outcome=None)
    for value in values:
        state = advance(state, value, AT)
    return state


@pytest.mark.parametrize(
    ("values", "phase"),
    [
        ((PROPOSAL,), Phase.PROPOSED),
        ((PROPOSAL, ALLOWED), Phase.CHECKED),
        ((PROPOSAL, ALLOWED, START), Phase.TRAINING),
        ((PROPOSAL, ALLOWED, START, TRIAL), Phase.SCORED),
        ((PROPOSAL, ALLOWED, START, TRIAL, START, TRIAL), Phase.SCORED),
        ((PROPOSAL, ALLOWED, START, TRIAL, KEEP), Phase.DECIDED),
        ((PROPOSAL, ALLOWED, START, TRIAL, KEEP, COMMIT, Closed()), Phase.CLOSED),
        ((PROPOSAL, ALLOWED, START, CRASH, CRASHED, Closed()), Phase.CLOSED),
        ((PROPOSAL, REFUSED, POLICY_SAYS_NO, COMMIT, Closed()), Phase.CLOSED),
        ((Interrupted(reason="stopped"),), Phase.INTERRUPTED),
        ((PROPOSAL, ALLOWED, START, Interrupted(reason="stopped")), Phase.INTERRUPTED),
        ((SPENT, Interrupted(reason="no usable proposal"), SPENT), Phase.INTERRUPTED),
        ((PROPOSAL, ALLOWED, START, Abandoned(reason="skipped"), SPENT), Phase.ABANDONED),
        ((PROPOSAL, REFUSED, POLICY_SAYS_NO, COMMIT, Closed(), SPENT, LESSON), Phase.CLOSED),
    ],
)
def test_the_ways_through(values: tuple[Value | Closed, ...], phase: Phase) -> None:
    assert after(*values).phase is phase


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ((KEEP,), "it is opened"),
        ((PROPOSAL, PROPOSAL), "it is proposed"),
        ((PROPOSAL, START), "it is proposed"),
        ((PROPOSAL, ALLOWED, KEEP), "no trial"),
        ((PROPOSAL, ALLOWED, START, TRIAL, LESSON), "it is scored"),
        ((PROPOSAL, ALLOWED, POLICY_SAYS_NO), "exactly when its verdict refuses"),
        ((PROPOSAL, REFUSED, START), "its verdict refuses it"),
        ((PROPOSAL, REFUSED, DISCARD), "exactly when its verdict refuses"),
        ((PROPOSAL, ALLOWED, START, START), "it is training"),
        ((PROPOSAL, ALLOWED, START, DISCARD), "it is training"),
        ((PROPOSAL, ALLOWED, START, CRASH, KEEP), "no score"),
        ((PROPOSAL, ALLOWED, START, TRIAL, DISCARD, DISCARD), "it is decided"),
        ((PROPOSAL, ALLOWED, START, TRIAL, DISCARD, Interrupted(reason="late")), "it is decided"),
        ((PROPOSAL, ALLOWED, START, TRIAL, KEEP, Closed()), "kept but not committed"),
        ((PROPOSAL, ALLOWED, START, TRIAL, KEEP, COMMIT, COMMIT), "already is commit"),
        ((PROPOSAL, ALLOWED, START, TRIAL, DISCARD, Closed(), COMMIT), "it is closed"),
        ((Interrupted(reason="stopped"), PROPOSAL), "it is interrupted"),
        ((Abandoned(reason="skipped"), PROPOSAL), "it is abandoned"),
        ((PROPOSAL, ALLOWED, START, TRIAL, DISCARD, Abandoned(reason="late")), "it is decided"),
        ((Interrupted(reason="stopped"), Closed()), "it is interrupted"),
    ],
)
def test_what_may_not_follow(values: tuple[Value | Closed, ...], why: str) -> None:
    before = after(*values[:-1])
    with pytest.raises(IllegalTransition, match=why):
        advance(before, values[-1], AT)


def test_an_interruption_is_told_and_never_decided() -> None:
    stopped = after(PROPOSAL, ALLOWED, START, Interrupted(reason="power cut"))
    assert stopped.events == ("trial started with seed 1", "interrupted: power cut")
    assert stopped.decision is None
    assert stopped.closed_at == AT
