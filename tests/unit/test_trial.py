"""Train, then score: whose fault is what, and what of the hostile log is believed (nothing)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from specs import a_spec

from daemon.model import OurFault, TrialStatus
from daemon.trial import Listener, claims, run_trial
from sandbox.fake import AUDIT, SCORED, FakeRun, FakeSandbox, FakeSession
from sandbox.interface import Cancelled, RunResult, RunStatus, SandboxUnavailable

QUIET = Listener()


def trial(run: FakeRun) -> object:
    return run_trial(FakeSandbox(lambda _spec: run), a_spec(), QUIET)


def test_a_scored_trial_carries_the_referees_number_not_the_claim() -> None:
    result = run_trial(
        FakeSandbox(lambda _: FakeRun(val_bpb=1.5, log="steps\n---\nval_bpb: 0.000001\nnum_steps: 12\n")),
        a_spec(),
        QUIET,
    )
    assert result.status is TrialStatus.OK
    assert result.val_bpb == 1.5
    assert result.claimed_bpb == 0.000001
    assert result.claimed == {"val_bpb": 0.000001, "num_steps": 12.0}
    assert result.seed == 1337


@pytest.mark.parametrize("status", [s for s in RunStatus if s is not RunStatus.OK])
def test_a_failed_run_is_never_scored(status: RunStatus) -> None:
    result = run_trial(FakeSandbox(lambda _: FakeRun(val_bpb=0.1, status=status, reason="because")), a_spec(), QUIET)
    assert result.status.value == status.value
    assert result.score is None
    assert result.reason == "because"


def test_an_invalid_model_is_the_candidates() -> None:
    result = run_trial(FakeSandbox(lambda _: FakeRun(reason="the graph peeks")), a_spec(), QUIET)
    assert result.status is TrialStatus.INVALID
    assert result.reason == "the graph peeks"


def test_an_engine_that_dies_is_ours() -> None:
    with pytest.raises(OurFault, match="engine is gone"):
        run_trial(FakeSandbox(lambda _: FakeRun(error=SandboxUnavailable("the engine is gone"))), a_spec(), QUIET)


def test_cancelling_passes_through() -> None:
    with pytest.raises(Cancelled):
        run_trial(FakeSandbox(lambda _: FakeRun(error=Cancelled("stop"))), a_spec(), QUIET)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scripted(FakeSession):
    """A session whose referee answers with a given result."""

    answer: RunResult

    def score(self, *, cancel: Callable[[], bool]) -> RunResult:
        return self.answer


@dataclass(slots=True)
class OneSession(FakeSandbox):
    answer: RunResult | None = None

    def session(self, spec: object):  # type: ignore[no-untyped-def,override]
        from contextlib import nullcontext

        assert self.answer is not None
        return nullcontext(Scripted(run=FakeRun(val_bpb=1.0), spec=a_spec(), answer=self.answer))


def scoring(log: str, **changes: object) -> RunResult:
    result = RunResult(
        status=RunStatus.OK, reason="", exit_code=0, log=log, log_bytes=len(log), startup_seconds=0, wall_seconds=1
    )
    return replace(result, **changes)  # type: ignore[arg-type]


def judged(answer: RunResult) -> object:
    return run_trial(OneSession(lambda _: FakeRun(), answer=answer), a_spec(), QUIET)


GOOD = {"version": 1, "referee_sha256": "0" * 64, **SCORED, "val_bpb": 1.0, "audit": {**AUDIT, "corrected_bpb": 1.0}}


def test_the_good_line_is_read() -> None:
    assert judged(scoring(json.dumps(GOOD))).val_bpb == 1.0  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "log",
    [
        "",
        "nonsense",
        json.dumps(GOOD) + "\n" + json.dumps(GOOD),
        json.dumps({**GOOD, "extra": 1}),
        json.dumps({**GOOD, "val_bpb": 0.0}),
        json.dumps({**GOOD, "val_bpb": -1.0}),
        json.dumps({**GOOD, "val_bpb": "1.0"}),
        json.dumps(GOOD).replace("1.0,", "NaN,", 1),
        json.dumps({**GOOD, "tokens": 0}),
        json.dumps({**GOOD, "version": 2}),
        "x" * 5000,
    ],
)
def test_a_line_that_is_not_of_the_referees_form_is_never_a_score(log: str) -> None:
    with pytest.raises(OurFault):
        judged(scoring(log))


def test_a_referee_fault_is_ours() -> None:
    line = {"version": 1, "status": "fault", "reason": "rows.bin cannot be read", "referee_sha256": "0" * 64}
    with pytest.raises(OurFault, match=r"rows\.bin"):
        judged(scoring(json.dumps(line)))


@pytest.mark.parametrize("status", [RunStatus.TIMEOUT, RunStatus.OOM])
def test_a_model_that_cannot_be_scored_within_the_cap_is_invalid(status: RunStatus) -> None:
    result = judged(scoring("", status=status))
    assert result.status is TrialStatus.INVALID  # type: ignore[attr-defined]
    assert "referee ran out of" in result.reason  # type: ignore[attr-defined]


def test_phases_are_told_in_order() -> None:
    told: list[str] = []
    listener = Listener(on_phase=lambda phase, _seconds: told.append(phase))
    run_trial(FakeSandbox(lambda _: FakeRun(val_bpb=1.0)), a_spec(), listener)
    assert told == ["starting", "training", "scoring"]


def test_claims_are_finite_numbers_after_the_last_rule() -> None:
    log = "val_bpb: 9\n\n---\nval_bpb: 1.0\n---\nval_bpb: nan\nmfu_percent: inf\ndepth: 2\nname: x\nbad line\n"
    assert claims(log) == {"depth": 2.0}
    assert claims("val_bpb: 1.0\n") == {}


def test_text_in_a_log_cannot_reach_a_terminal_as_control() -> None:
    result = run_trial(
        FakeSandbox(lambda _: FakeRun(val_bpb=1.0, log="\x1b]0;pwned\x07 \x1b[2J ok\n")), a_spec(), QUIET
    )
    assert "\x1b" not in result.log_tail
    assert "\x07" not in result.log_tail


def test_the_end_of_a_log_is_kept_however_many_control_characters_stand_before_it() -> None:
    log = "\0" * 20_000 + "\nValueError: the reason\n"
    result = run_trial(FakeSandbox(lambda _: FakeRun(val_bpb=1.0, log=log)), a_spec(), QUIET)
    assert result.log_tail.rstrip().endswith("ValueError: the reason")
