"""The harness itself, deliberately broken: each of these must be noticed, or a green corpus would mean nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from specs import a_spec

from daemon.model import OurFault
from daemon.selftest import corpus
from daemon.selftest.corpus import Attack
from daemon.selftest.run import Range, merit, run_one
from sandbox.fake import FakeRun, FakeSandbox
from sandbox.interface import RunStatus, SandboxUnavailable

ATTACKS = {attack.name: attack for attack in corpus.load()}
CONTROL = ATTACKS["control/honest"]
HONEST = 2.5


def scripted(**run: object) -> Range:
    return Range(sandbox=FakeSandbox(lambda _: FakeRun(**run)), spec=a_spec())  # type: ignore[arg-type]


def test_an_honest_program_scored_on_its_merit_is_accepted() -> None:
    assert run_one(scripted(val_bpb=HONEST), CONTROL, HONEST).correct


@pytest.mark.parametrize("bpb", [HONEST - 0.1, HONEST + 0.1, 0.000001])
def test_a_judge_with_the_wrong_merit_is_noticed_by_the_control(bpb: float) -> None:
    assert not run_one(scripted(val_bpb=bpb), CONTROL, HONEST).correct


def test_a_wall_that_refuses_everybody_is_noticed_by_the_control() -> None:
    assert not run_one(scripted(reason="no"), CONTROL, HONEST).correct


FAILING = [attack for attack in ATTACKS.values() if attack.about.kind == "train" and attack.about.expect != "no-effect"]


@pytest.mark.parametrize("attack", [a for a in FAILING if a.about.expect != "refused"], ids=lambda a: a.name)
def test_a_runner_that_always_says_ok_is_noticed(attack: Attack) -> None:
    assert not run_one(scripted(val_bpb=HONEST), attack, HONEST).correct


def test_a_believed_forgery_is_noticed() -> None:
    result = run_one(scripted(val_bpb=0.000001), ATTACKS["metric/prints_a_claim"], HONEST)
    assert (result.verdict, result.correct) == ("forged", False)


def test_a_probe_that_got_through_is_noticed_however_the_program_ended() -> None:
    attack = ATTACKS["network/tcp"]
    for run in ({"val_bpb": HONEST}, {"status": RunStatus.CRASH}, {"status": RunStatus.TIMEOUT}):
        result = run_one(scripted(log="@@effect sent TCP\n", **run), attack, HONEST)
        assert (result.verdict, result.correct) == ("effect", False)


def test_the_right_verdict_for_the_wrong_reason_is_noticed() -> None:
    assert not run_one(scripted(reason="something else"), ATTACKS["metric/peeks_everywhere"], HONEST).correct


def test_a_service_that_gives_up_is_a_verdict_of_its_own() -> None:
    result = run_one(scripted(error=SandboxUnavailable("the engine is gone")), CONTROL, HONEST)
    assert (result.verdict, result.correct) == ("fault", False)


def test_without_a_scored_control_nothing_is_judged() -> None:
    with pytest.raises(OurFault, match="control was not scored"):
        merit(scripted(reason="no model"), list(ATTACKS.values()), lambda: False)


def test_policies_that_refuse_or_allow_everything_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.selftest.run.default_rules", lambda: ())  # an empty set refuses
    assert not run_one(scripted(val_bpb=HONEST), CONTROL, HONEST).policies_correct

    class Blind:
        name = "blind"

        def check(self, submission: object) -> list[object]:
            return []

    monkeypatch.setattr("daemon.selftest.run.default_rules", lambda: (Blind(),))
    refused = replace(ATTACKS["evasion/eval"])
    assert not run_one(scripted(val_bpb=HONEST), refused, HONEST).policies_correct
