"""Replicated keeps over a real ledger and real git: what is luck falls, what is real stays, what is doubtful waits."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import values
from test_loop import ARENA, BASELINE, Bench, Script, bench, file_scoring, ledger

from daemon.approval import approve, approved
from daemon.decide import Control, Noise, Replicated, Simpler
from daemon.demotion import PROPOSER, Corrections
from daemon.evidence import Contradiction, Evidence, NoiseTeller
from daemon.judging import ANY_SCORE, Allowance, ByReplicates
from daemon.ledger import Ledger, Looked
from daemon.looking import GROWS, Holdout, grows
from daemon.model import Decision, Experiment, OurFault, Phase, Proposal, TrialStatus, UserError
from daemon.observe import (
    Event,
    ExperimentClosed,
    FaultSeen,
    HoldoutSeen,
    NoiseKnown,
    Notice,
    Observers,
    TrialVoided,
    Withheld,
)
from daemon.proposers.interface import Context
from daemon.trial import Listener, NotComparable, SerialExecutor
from sandbox.fake import FakeRun, FakeSandbox
from sandbox.interface import RunStatus, SandboxSpec

__all__ = ["bench", "ledger"]

SIGMA = 0.01
RULE = Simpler(
    rule=Replicated(min_gain_bpb=0.001, max_pairs=4),
    equal_bpb=0.002,
    test=Replicated(min_gain_bpb=0.001, max_pairs=4),
)
LUCKY_SEED = 7  # the one that every candidate is looked at with


def noise_of(text: str, seed: int) -> float:
    """The luck of one program on one seed: the same whenever it is asked for."""
    return random.Random(f"{text} {seed}").gauss(0.0, SIGMA)


def noisy(spec: SandboxSpec) -> FakeRun:
    """A score about the number in the file's last word; ``lucky`` is far better on the first seed alone."""
    text = spec.train_py.decode()
    luck = -0.5 if "lucky" in text and spec.seed == LUCKY_SEED else noise_of(text, spec.seed)
    return FakeRun(val_bpb=float(text.split()[-1]) + (0.0 if "constant" in text else luck))


def judge_of(bench: Bench, ledger: Ledger, **changes: object) -> ByReplicates:
    judge = ByReplicates(
        evidence=Evidence(ledger, ARENA.fingerprint),
        rule=RULE,
        control=Control(alpha=0.05),
        allowance=Allowance(share=0.9, head_start_pairs=6),
        baseline_runs=5,
        settle_runs=3,
        suspicious_factor=5.0,
        approved=approved(bench.lab / ".autoresearch"),
    )
    return replace(judge, **changes)  # type: ignore[arg-type]


def night(
    bench: Bench,
    ledger: Ledger,
    files: Sequence[bytes],
    script: Callable[[SandboxSpec], FakeRun] = noisy,
    **changes: object,
) -> list[Experiment]:
    """Run them all; what the lab then knows, the baseline first."""
    judge = judge_of(bench, ledger, **changes)
    loop = bench.loop(ledger, files, script, judge=judge)
    corrections = Corrections(ledger=ledger, evidence=judge.evidence).next
    replace(loop, source=replace(loop.source, corrections=corrections)).run(len(files) + 3)
    return list(ledger.experiments())


def reason(experiment: Experiment) -> str:
    assert experiment.outcome is not None
    return experiment.outcome.reason


def test_the_baseline_tells_the_noise(bench: Bench, ledger: Ledger) -> None:
    (baseline,) = night(bench, ledger, [])
    assert [trial.seed for trial in baseline.trials] == [1007, 1008, 1009, 1010, 1011]
    assert baseline.val_bpb == pytest.approx(sum(t.val_bpb or 0 for t in baseline.trials) / 5)
    noise = Evidence(ledger, ARENA.fingerprint).noise()
    assert noise is not None
    assert (noise.runs, noise.degrees_of_freedom) == (5, 4)
    assert 0.3 * SIGMA < noise.sigma_bpb < 2 * SIGMA


def test_a_real_gain_is_kept_by_fresh_pairs_and_scored_without_its_first_run(bench: Bench, ledger: Ledger) -> None:
    better = night(bench, ledger, [file_scoring(1.9)])[1]
    assert better.decision is Decision.KEEP
    assert "fresh pair" in reason(better)
    pairs = len(better.rivals)
    assert [t.seed for t in better.rivals] == [1007, 1008, 1009][:pairs]
    assert [t.seed for t in better.trials] == [7, *[1007, 1008, 1009][:pairs], *[2007, 2008, 2009][: 3 - pairs]]
    assert {rival.lent_by for rival in better.rivals} == {0}  # the baseline's own runs are not made again
    ran = [spec.seed for spec in bench.sandbox.asked]
    assert ran == [1007, 1008, 1009, 1010, 1011, *(trial.seed for trial in better.trials)]
    fresh = [t.val_bpb or 0 for t in better.trials[1:]]
    assert better.val_bpb == pytest.approx(sum(fresh) / len(fresh))
    assert better.gain_bpb == pytest.approx(0.1, abs=4 * SIGMA)
    ledger.verify()


def test_luck_on_the_first_seed_is_found_out(bench: Bench, ledger: Ledger) -> None:
    lucky = night(bench, ledger, [file_scoring(2.0, "lucky")], suspicious_factor=1e9)[1]
    assert lucky.trials[0].val_bpb == pytest.approx(1.5)
    assert lucky.decision is Decision.DISCARD
    assert lucky.rivals


def test_a_poor_first_run_costs_one_trial(bench: Bench, ledger: Ledger) -> None:
    poor = night(bench, ledger, [file_scoring(2.2)])[1]
    assert (poor.decision, len(poor.trials), len(poor.rivals)) == (Decision.DISCARD, 1, 0)


def test_nights_of_no_change_keep_nothing(tmp_path: Path) -> None:
    """Thirty comments a night are thirty chances for luck."""
    kept = 0
    for number in range(3):
        bench = Bench(tmp_path / str(number))
        with bench.ledger() as ledger:
            done = night(bench, ledger, [file_scoring(2.0, f"comment {number} {i}") for i in range(30)])
            kept += sum(experiment.decision is Decision.KEEP for experiment in done[1:])
    assert kept == 0


def test_what_the_budget_does_not_allow_is_not_replicated(bench: Bench, ledger: Ledger) -> None:
    done = night(bench, ledger, [file_scoring(1.9)], allowance=Allowance(share=0.0, head_start_pairs=0))[1]
    assert (done.decision, len(done.trials)) == (Decision.DISCARD, 1)
    assert "budget for replicates is spent" in reason(done)


def test_every_replicate_is_audited_twice_and_a_first_run_where_it_promises(bench: Bench, ledger: Ledger) -> None:
    night(bench, ledger, [file_scoring(1.9)], baseline_runs=1)
    own = [plan.confirm_below for plan in bench.plans if plan.train_py != BASELINE]
    assert own[0] == pytest.approx(2.0, abs=4 * SIGMA)
    assert set(own[1:]) == {ANY_SCORE}
    assert {plan.confirm_below for plan in bench.plans if plan.train_py == BASELINE} == {None}
    rivals = [plan for plan in bench.plans[1:] if plan.train_py == BASELINE]
    assert rivals
    assert all("-of-0" in plan.run_id for plan in rivals)
    assert len({plan.run_id for plan in bench.plans}) == len(bench.plans)


def test_a_program_that_ignores_its_seed_is_told_and_not_kept(bench: Bench, ledger: Ledger) -> None:
    stubborn = night(bench, ledger, [file_scoring(1.9, "constant")])[1]
    assert stubborn.decision is Decision.DISCARD
    assert "ignores AUTORESEARCH_SEED" in reason(stubborn)


def test_a_replicate_that_crashes_ends_it(bench: Bench, ledger: Ledger) -> None:
    def script(spec: SandboxSpec) -> FakeRun:
        if b"1.9" in spec.train_py and spec.seed > 1000:
            return FakeRun(status=RunStatus.CRASH, reason="only on the first seed")
        return noisy(spec)

    assert night(bench, ledger, [file_scoring(1.9)], script)[1].decision is Decision.CRASH


def test_a_champion_that_cannot_be_run_again_loses_nothing(bench: Bench, ledger: Ledger) -> None:
    def script(spec: SandboxSpec) -> FakeRun:
        if spec.train_py == BASELINE and spec.seed > 1007:
            return FakeRun(status=RunStatus.CRASH, reason="a flaky champion")
        return noisy(spec)

    done = night(bench, ledger, [file_scoring(1.9)], script, baseline_runs=1)[1]
    assert done.decision is Decision.DISCARD
    assert "champion #0 could not be run beside it" in reason(done)
    assert [rival.status for rival in done.rivals] == [TrialStatus.OK, *[TrialStatus.CRASH] * 2]


class SpoiltExecutor(SerialExecutor):
    """The host spoils some trials, by their order."""

    def __init__(self, sandbox: FakeSandbox, spoilt: Sequence[int]) -> None:
        super().__init__(sandbox)
        self._spoilt, self._ran = spoilt, 0

    def run(self, spec: SandboxSpec, listener: Listener):  # type: ignore[no-untyped-def]
        self._ran += 1
        result = super().run(spec, listener)
        if self._ran in self._spoilt:
            raise NotComparable("another process used the GPU")
        return result


def test_what_the_host_spoilt_is_run_again_on_the_same_seed(bench: Bench, ledger: Ledger) -> None:
    executor = SpoiltExecutor(FakeSandbox(noisy), [1, 2, 4])
    bench.loop(ledger, [], judge=judge_of(bench, ledger), executor=executor).run(1)
    baseline = ledger.get(0)
    assert [trial.seed for trial in baseline.trials] == [1007, 1008, 1009, 1010, 1011]
    assert sum(event.startswith("trial voided: another process") for event in baseline.events) == 3
    assert len([event for event in bench.events if isinstance(event, TrialVoided)]) == 3
    ledger.verify()


def test_a_host_that_spoils_everything_is_a_fault(bench: Bench, ledger: Ledger) -> None:
    executor = SpoiltExecutor(FakeSandbox(noisy), range(1000))
    with pytest.raises(OurFault, match="3 trials in a row could not be compared with others; the last one: another"):
        bench.loop(ledger, [], judge=judge_of(bench, ledger), executor=executor).run(1)
    assert {row.phase for row in ledger.summaries()} == {Phase.INTERRUPTED}
    assert ledger.champion(ARENA.fingerprint) is None


def contradicted(spec: SandboxSpec) -> FakeRun:
    """#1 is good while it is tested, and bad ever after: what a lucky test looks like from the outside."""
    text = spec.train_py.decode()
    if "turncoat" in text and not 1000 <= spec.seed < 2000 and spec.seed != LUCKY_SEED:
        return FakeRun(val_bpb=2.1 + noise_of(text, spec.seed))
    return noisy(spec)


def test_a_contradicted_keep_is_demoted_by_a_commit_that_says_why(bench: Bench, ledger: Ledger) -> None:
    files = [file_scoring(1.9, "turncoat"), *(file_scoring(2.2, f"lucky {i}") for i in range(4))]
    done = night(bench, ledger, files, contradicted, suspicious_factor=1e9)
    assert done[1].decision is Decision.KEEP
    back = next(e for e in done if e.proposal and e.proposal.proposer == PROPOSER)
    assert back.decision is Decision.KEEP
    assert back.proposal is not None and back.proposal.patch.train_py == BASELINE
    assert "#1 is demoted, and #0 comes back" in reason(back)
    assert bench.workspace.read(back.commit or "") == BASELINE
    assert any("demoted" in entry.subject for entry in bench.workspace.log(20))
    recorded = bench.workspace.recorded()
    assert recorded[1] == done[1].commit  # nothing is erased
    assert Evidence(ledger, ARENA.fingerprint).contradiction(back) is None
    ledger.verify()


def test_what_stood_on_a_demoted_keep_is_tried_again_without_it(bench: Bench, ledger: Ledger) -> None:
    """#2 stood on #1 and #3 on #2; then #1 came back: the change of #3 is carried over to it, that of #2 as it was."""
    body = [f"line_{number} = {number}\n" for number in range(20)]

    def program(*changes: int) -> bytes:
        return "".join(f"changed_{at} = 1\n" if at in changes else line for at, line in enumerate(body)).encode()

    scores = iter([2.0, 1.9, 1.8, 1.7, 1.6])
    files = [program(2), program(2, 9), program(2, 9, 16), program(2)]
    bench.loop(ledger, files, lambda _: FakeRun(val_bpb=next(scores))).run(4)
    back = ledger.champion(ARENA.fingerprint)
    assert back is not None and back.number == 4
    corrections = Corrections(ledger=ledger, evidence=Evidence(ledger, ARENA.fingerprint))
    assert Evidence(ledger, ARENA.fingerprint).undone(back) == [2, 3]
    tried = []
    while (proposal := corrections.next(back)) is not None:
        tried.append((proposal.hypothesis, proposal.patch.train_py))
        bench.loop(ledger, [proposal.patch.train_py], lambda _: FakeRun(val_bpb=1.9), proposer=Given(proposal)).run(1)
    assert tried == [
        ("#2 again, without what #3 was demoted for: idea 2", program(2, 9)),
        ("#3 again, without what #3 was demoted for: idea 3", program(2, 16)),
    ]


@dataclass
class Given:
    """A proposer that has one proposal."""

    proposal: Proposal
    name: str = "given"

    def propose(self, context: Context) -> Proposal:
        return self.proposal


USUAL = [file_scoring(1.9), file_scoring(1.8), file_scoring(1.7)]  # three clear keeps: what is possible here
MIRACLE = file_scoring(0.7, "miracle")


def test_too_good_waits_for_a_person(bench: Bench, ledger: Ledger) -> None:
    done = night(bench, ledger, [*USUAL, MIRACLE, file_scoring(1.69, "other")], suspicious_factor=3.0)
    withheld = done[4]
    assert (withheld.phase, withheld.decision) == (Phase.QUARANTINED, None)
    assert "more than 3 times the largest" in withheld.events[-1]
    assert withheld.rivals  # it was replicated before anybody is bothered
    assert [e.experiment.number for e in bench.events if isinstance(e, Withheld)] == [4]
    assert done[5].champion == 3  # the loop went on from the old champion
    assert ledger.unfinished() == []
    ledger.verify()


def test_before_anything_is_usual_nothing_is_too_good(bench: Bench, ledger: Ledger) -> None:
    done = night(bench, ledger, [file_scoring(1.97), file_scoring(1.5)], suspicious_factor=1.0)
    assert [e.decision for e in done[1:]][-1] is Decision.KEEP


def test_what_a_person_approved_is_tested_again_on_other_seeds_and_kept(bench: Bench, ledger: Ledger) -> None:
    withheld = night(bench, ledger, [*USUAL, MIRACLE], suspicious_factor=3.0)[4]
    state = bench.lab / ".autoresearch"
    with pytest.raises(UserError, match="experiment 1 is closed, not withheld"):
        approve(state, ledger, bench.inbox, 1, "ada")
    ticket = approve(state, ledger, bench.inbox, 4, "ada\x1b[31m")
    done = night(bench, ledger, [], suspicious_factor=3.0)[-1]
    assert done.decision is Decision.KEEP
    assert done.hypothesis.startswith("#4, approved by ada")
    assert ledger.ticket(ticket) == done.number
    judged = [{rival.seed for rival in experiment.rivals} for experiment in (withheld, done)]
    assert judged[0] and judged[1] and not judged[0] & judged[1]
    assert not approved(state)("../../etc/passwd")


def test_after_a_fault_that_hid_a_keep_the_next_step_stands_on_it(bench: Bench, ledger: Ledger) -> None:
    """Git failed once, after the decision: recovery finishes the keep, and nobody works on the old champion."""
    failing, inner = [True], bench.workspace.advance

    def advance(commit: str, tip: str) -> None:
        if "1.9" in bench.workspace.read(commit).decode() and failing:
            failing.clear()
            raise OurFault("the disk is full for a moment")
        inner(commit, tip)

    bench.workspace.advance = advance  # type: ignore[method-assign]
    bench.loop(ledger, [file_scoring(1.9), file_scoring(1.8), file_scoring(1.7)]).run(3)
    assert [(row.decision, row.champion) for row in ledger.summaries()] == [
        (Decision.KEEP, None), (Decision.KEEP, 0), (Decision.KEEP, 1), (Decision.KEEP, 2),
    ]  # fmt: skip
    assert bench.workspace.read(bench.workspace.tip()) == file_scoring(1.7)


def test_an_ancestor_that_a_proposer_tried_in_vain_can_still_come_back(bench: Bench, ledger: Ledger) -> None:
    class Contradicting(Evidence):
        def contradiction(self, champion: Experiment) -> Contradiction | None:
            return Contradiction(champion=champion.number, ancestor=0, loss_bpb=0.1, runs=3)

    bench.loop(ledger, [file_scoring(1.9), BASELINE]).run(2)
    assert [row.decision for row in ledger.summaries()] == [Decision.KEEP, Decision.KEEP, Decision.DISCARD]
    champion = ledger.champion(ARENA.fingerprint)
    assert champion is not None
    back = Corrections(ledger=ledger, evidence=Contradicting(ledger, ARENA.fingerprint)).next(champion)
    assert back is not None and back.patch.train_py == BASELINE


def test_the_noise_is_told_after_every_experiment(bench: Bench, ledger: Ledger) -> None:
    told: list[Event] = []
    teller = NoiseTeller(Evidence(ledger, ARENA.fingerprint), told.append)
    loop = bench.loop(ledger, [file_scoring(1.9)], noisy, judge=judge_of(bench, ledger), observers=Observers([teller]))
    loop.run(1)
    known = [event for event in told if isinstance(event, NoiseKnown)]
    assert known[0].runs == 5
    assert len(known) == 2


def test_uneven_noise_is_told_once() -> None:
    class Uneven:
        def noise(self) -> Noise:
            return Noise(sigma_bpb=0.1, runs=9, heteroscedastic=True, test="Bartlett's test, p = 0.0001")

    told: list[Event] = []
    teller = NoiseTeller(Uneven(), told.append)  # type: ignore[arg-type]
    for _ in range(3):
        teller.notify(ExperimentClosed(experiment=values.experiment(), champion_bpb=None))
    assert [type(event) for event in told] == [NoiseKnown, Notice, NoiseKnown, NoiseKnown]
    assert "Bartlett" in told[1].message  # type: ignore[union-attr]


def looked(bpb: float, val: float) -> Looked:
    return Looked(holdout_bpb=bpb, val_bpb=val, sealed_sha256="e" * 64)


def test_a_look_is_on_the_ledger_and_on_no_experiment(bench: Bench, ledger: Ledger) -> None:
    loop = bench.loop(ledger, [file_scoring(1.9), file_scoring(1.8), file_scoring(1.7)])
    answers = iter([2.4321, 2.3321])

    def score(experiment: Experiment) -> Looked:
        return looked(next(answers), experiment.val_bpb or 0.0)

    holdout = Holdout(ledger=ledger, looks=2, score=score, observers=Observers([bench]))
    replace(loop, kept=holdout.kept).run(3)
    assert [(look.number, look.holdout_bpb) for look in ledger.looks()] == [(0, 2.4321), (1, 2.3321)]
    assert [event.left for event in bench.events if isinstance(event, HoldoutSeen)] == [1, 0]
    assert sum("2 looks at the holdout are spent" in e.message for e in bench.events if isinstance(e, Notice)) == 2
    assert isinstance(bench.proposer, Script)
    shown = repr([*ledger.experiments(), *ledger.summaries(), bench.proposer.seen])
    assert "2.4321" not in shown and "2.3321" not in shown
    ledger.verify()
    holdout.kept(ledger.get(0))  # looked at before: not again
    assert len(ledger.looks()) == 2


def test_a_look_that_fails_costs_no_experiment(bench: Bench, ledger: Ledger) -> None:
    def score(_: Experiment) -> Looked:
        raise OurFault("the engine is gone")

    loop = bench.loop(ledger, [file_scoring(1.9)])
    holdout = Holdout(ledger=ledger, looks=5, score=score, observers=Observers([bench]))
    assert replace(loop, kept=holdout.kept).run(1) == 1
    assert ledger.looks() == []
    assert [e.message for e in bench.events if isinstance(e, FaultSeen)] == [
        "no look at the holdout: the engine is gone"
    ] * 2


def test_a_growing_gap_is_told(bench: Bench, ledger: Ledger) -> None:
    assert not grows([0.1, 0.2, 0.3])
    assert grows([0.5, 0.1, 0.2, 0.3, 0.4][-4:])
    assert not grows([0.1, 0.2, 0.2, 0.3])
    gaps = iter([0.1, 0.2, 0.3, 0.4])
    loop = bench.loop(ledger, [file_scoring(1.9), file_scoring(1.8), file_scoring(1.7)])
    holdout = Holdout(
        ledger=ledger, looks=9, score=lambda e: looked((e.val_bpb or 0) + next(gaps), e.val_bpb or 0),
        observers=Observers([bench]),
    )  # fmt: skip
    replace(loop, kept=holdout.kept).run(3)
    assert [event.message for event in bench.events if isinstance(event, Notice)] == [GROWS]
