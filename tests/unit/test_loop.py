"""The order of things, with a real ledger and real git, a scripted sandbox and a scripted proposer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest
from specs import a_spec

from daemon.ahead import Ahead
from daemon.cost import Caps
from daemon.decide import Answer, Greedy, Keep, Noise, Replicate, Rule, Simpler, Standing
from daemon.inbox import Inbox
from daemon.judging import OneLook
from daemon.ledger import Ledger
from daemon.loop import Loop
from daemon.model import Arena, Decision, Experiment, OurFault, Patch, Phase, Proposal, UserError
from daemon.observe import Event, ExperimentClosed, FaultSeen, Observers, Recovered
from daemon.proposers.interface import Context, NothingToPropose, ProposalFailed, Proposer
from daemon.proposing import MAX_INTERRUPTIONS, Source
from daemon.steering import Steering, When
from daemon.trial import Executor, SerialExecutor, TrialPlan
from daemon.trying import Judge, Trying
from daemon.workspace import Workspace
from policies.engine import check
from policies.interface import Finding, Policy, Submission
from sandbox.fake import FakeRun, FakeSandbox
from sandbox.interface import Cancelled, RunStatus, SandboxSpec, SandboxUnavailable

ARENA = Arena(
    prepare_sha256="p", manifest_sha256="m", image_contents="i", device="d", torch_version="t",
    train_seconds=20.0, clock="release", sandbox="fake",
)  # fmt: skip
BASELINE = b"VALUE = 0  # 2.0\n"
RULE = Greedy(min_gain_bpb=0.01)


def file_scoring(bpb: float, note: str = "") -> bytes:
    """A train.py whose score the scripted sandbox reads from its last comment."""
    return f"VALUE = 1  # {note} {bpb}\n".encode()


def score_in(spec: SandboxSpec) -> FakeRun:
    text = spec.train_py.decode().split()[-1]
    if text in set(RunStatus):
        return FakeRun(status=RunStatus(text), reason="as scripted")
    return FakeRun(val_bpb=float(text))


@dataclass
class Script:
    """A proposer that gives one file after the other, by how many were closed or interrupted before."""

    files: Sequence[bytes | Exception]
    given: int = 0
    seen: list[Context] = field(default_factory=list)
    name: str = "script"

    def propose(self, context: Context) -> Proposal:
        self.seen.append(context)
        if self.given == len(self.files):
            raise NothingToPropose
        item = self.files[self.given]
        self.given += 1
        if isinstance(item, Exception):
            raise item
        patch = Patch(train_py=item, base_commit=context.base_commit)
        return Proposal(hypothesis=f"idea {self.given}", patch=patch, proposer=self.name)


class AllowAll:
    name = "allow-all"

    def check(self, submission: Submission) -> Sequence[Finding]:
        return []


class RefuseEvil(AllowAll):
    def check(self, submission: Submission) -> Sequence[Finding]:
        if b"evil" not in submission.patch:
            return []
        return [Finding(rule="evil", line=1, column=1, message="says evil", instead="good")]


@dataclass
class Bench:
    """A lab on disk and a way to make loops over it."""

    lab: Path
    events: list[Event] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    plans: list[TrialPlan] = field(default_factory=list)
    steering: Steering = field(default_factory=Steering)

    @property
    def inbox(self) -> Inbox:
        return Inbox(self.lab / ".autoresearch" / "inbox")

    def __post_init__(self) -> None:
        self.steering.wait = self._wait  # type: ignore[method-assign]
        Workspace.init(self.lab, {"train.py": BASELINE, ".gitignore": b".autoresearch/\n"}, "a lab")
        self.workspace = Workspace(self.lab, "test")
        self.workspace.start_branch()

    def _wait(self, seconds: float) -> bool:
        self.slept.append(seconds)
        return self.steering.stops()

    def notify(self, event: Event) -> None:
        self.events.append(event)

    def ledger(self) -> Ledger:
        (self.lab / ".autoresearch").mkdir(exist_ok=True)
        return Ledger(self.lab / ".autoresearch" / "ledger.sqlite")

    def loop(
        self,
        ledger: Ledger,
        files: Sequence[bytes | Exception] = (),
        script: Callable[[SandboxSpec], FakeRun] = score_in,
        *,
        lookahead: int = 0,
        proposer: Proposer | None = None,
        arena: Arena = ARENA,
        caps: Caps | None = None,
        rule: Rule = RULE,
        judge: Judge | None = None,
        executor: Executor | None = None,
        observers: Observers | None = None,
        **changes: object,
    ) -> Loop:
        self.sandbox = FakeSandbox(script)
        self.proposer = proposer or Script(files)

        policies: Sequence[Policy] = [AllowAll(), RefuseEvil()]
        loop = Loop(
            arena=arena,
            ledger=ledger,
            workspace=self.workspace,
            source=Source(
                arena=arena,
                ledger=ledger,
                reader=Ledger(self.lab / ".autoresearch" / "ledger.sqlite", one_thread=False),
                read=self.workspace.read,
                ahead=Ahead(self.proposer, lookahead, self.steering.stops_now),
                inbox=self.inbox,
                program=lambda: "the brief",
                caps=caps or Caps(),
                profile="cpu",
                observers=Observers([self]),
                cancel=self.steering.stops_now,
                sleep=self.steering.wait,
            ),
            check=partial(check, rules=policies),
            trying=Trying(
                ledger=ledger,
                executor=executor or SerialExecutor(self.sandbox),
                plan=self._plan,
                judge=judge or OneLook(ledger=ledger, rule=rule),
                train_seed=7,
                startup_margin_seconds=1.0,
                observers=observers or Observers([self]),
                steering=self.steering,
                replicates=judge is not None,
            ),
            observers=observers or Observers([self]),
            steering=self.steering,
        )
        loop = replace(loop, trying=replace(loop.trying, prepare=loop.source.prepare))
        return replace(loop, **changes)  # type: ignore[arg-type]

    def _plan(self, trial: TrialPlan) -> SandboxSpec:
        self.plans.append(trial)
        return a_spec(train_py=trial.train_py, run_id=trial.run_id, seed=trial.seed)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "lab")


@pytest.fixture
def ledger(bench: Bench) -> Iterator[Ledger]:
    with bench.ledger() as opened:
        yield opened


def decisions(ledger: Ledger) -> list[Decision | None]:
    return [row.decision for row in ledger.summaries()]


def test_a_night(bench: Bench, ledger: Ledger) -> None:
    files = [
        file_scoring(1.9), file_scoring(1.95), b"evil = 1  # 0.1\n", b"x = 1  # crash\n", b"y = 1  # timeout\n",
        b"z = 1  # oom\n", b"w = 1  # invalid\n", file_scoring(1.895), file_scoring(1.5),
    ]  # fmt: skip
    assert bench.loop(ledger, files).run(20) == len(files)
    assert decisions(ledger) == [
        Decision.KEEP, Decision.KEEP, Decision.DISCARD, Decision.REFUSED, Decision.CRASH, Decision.TIMEOUT,
        Decision.CRASH, Decision.INVALID, Decision.DISCARD, Decision.KEEP,
    ]  # fmt: skip
    champion = ledger.champion(ARENA.fingerprint)
    assert champion is not None
    assert champion.number == 9
    assert bench.workspace.tip() == champion.commit
    assert bench.workspace.read(champion.commit or "") == file_scoring(1.5)
    assert sorted(bench.workspace.recorded()) == list(range(10))
    ledger.verify()


def test_what_is_simpler_at_an_equal_score_is_kept_and_does_not_lower_the_bar(bench: Bench, ledger: Ledger) -> None:
    long = b"VALUE = 1\nOTHER = [1, 2, 3, 4, 5]\n# 1.5\n"
    files = [long, file_scoring(1.504), b"VALUE = 2  # 1.493\n", b"VALUE = 3  # 1.489\n"]
    bench.loop(ledger, files, rule=Simpler(rule=RULE, equal_bpb=0.005)).run(4)
    assert decisions(ledger) == [Decision.KEEP] * 3 + [Decision.DISCARD, Decision.KEEP]
    assert "simpler by 10 syntax nodes" in ledger.get(2).outcome.reason  # type: ignore[union-attr]
    assert [trial.confirm_below for trial in bench.plans] == [None, *map(pytest.approx, (2.005, 1.505, 1.505, 1.505))]


def test_a_refused_patch_never_reaches_the_sandbox(bench: Bench, ledger: Ledger) -> None:
    bench.loop(ledger, [b"evil = 1  # 0.1\n"]).run(1)
    assert [spec.train_py for spec in bench.sandbox.asked] == [BASELINE]


def test_the_proposer_is_told_the_champions_file_and_the_whole_history(bench: Bench, ledger: Ledger) -> None:
    bench.loop(ledger, [file_scoring(1.9), file_scoring(1.95), file_scoring(1.8)]).run(3)
    last = bench.proposer.seen[-1]
    assert last.train_py == file_scoring(1.9)
    assert [e.number for e in last.history] == [0, 1, 2]
    assert last.program == "the brief"


def test_a_second_run_continues(bench: Bench, ledger: Ledger) -> None:
    bench.loop(ledger, [file_scoring(1.9)]).run(1)
    bench.loop(ledger, [file_scoring(1.8)]).run(1)
    assert decisions(ledger) == [Decision.KEEP] * 3
    assert ledger.get(2).champion == 1


def test_a_new_arena_begins_with_a_new_baseline(bench: Bench, ledger: Ledger) -> None:
    bench.loop(ledger, [file_scoring(1.9)]).run(1)
    other = replace(ARENA, train_seconds=40.0)
    bench.loop(ledger, [file_scoring(1.8)], arena=other).run(1)
    fresh = ledger.get(2)
    assert fresh.champion is None
    assert fresh.proposal is not None
    assert fresh.proposal.patch.train_py == file_scoring(1.9)
    assert ledger.get(3).champion == 2


def test_a_branch_that_a_person_moved_is_measured_anew(bench: Bench, ledger: Ledger) -> None:
    bench.loop(ledger, [file_scoring(1.9)]).run(1)
    bench.workspace.advance(ledger.get(0).base_commit, bench.workspace.tip())
    bench.loop(ledger, []).run(1)
    assert ledger.get(2).champion is None
    assert ledger.champion(ARENA.fingerprint) == ledger.get(2)


def test_a_baseline_that_fails_ends_the_run_with_a_sentence(bench: Bench, ledger: Ledger) -> None:
    loop = bench.loop(ledger, [], script=lambda _: FakeRun(status=RunStatus.CRASH, reason="planted"))
    with pytest.raises(UserError, match=r"baseline was not kept.*planted.*show 0"):
        loop.run(3)
    assert decisions(ledger) == [Decision.CRASH]


def test_an_outage_judges_nobody_and_the_same_proposal_comes_back(bench: Bench, ledger: Ledger) -> None:
    broken = [True, True]

    def script(spec: SandboxSpec) -> FakeRun:
        if spec.train_py != BASELINE and broken:
            broken.pop()
            return FakeRun(error=SandboxUnavailable("the engine is gone"))
        return score_in(spec)

    assert bench.loop(ledger, [file_scoring(1.9), file_scoring(1.8)], script=script).run(2) == 2
    phases = [(row.phase, row.decision) for row in ledger.summaries()]
    assert phases == [
        (Phase.CLOSED, Decision.KEEP), (Phase.INTERRUPTED, None), (Phase.INTERRUPTED, None),
        (Phase.CLOSED, Decision.KEEP), (Phase.CLOSED, Decision.KEEP),
    ]  # fmt: skip
    assert [ledger.get(n).hypothesis for n in (1, 2, 3)] == ["idea 1"] * 3
    assert bench.slept == [5.0, 15.0]
    assert [e.message for e in bench.events if isinstance(e, FaultSeen)] == ["the engine is gone"] * 2


def test_a_proposal_that_is_interrupted_again_and_again_is_dropped(bench: Bench, ledger: Ledger) -> None:
    def script(spec: SandboxSpec) -> FakeRun:
        poison = b"poison" in spec.train_py
        return FakeRun(error=SandboxUnavailable("the machine went down")) if poison else score_in(spec)

    bench.loop(ledger, [file_scoring(1.9, "poison"), file_scoring(1.8)], script=script).run(1)
    interrupted = [row for row in ledger.summaries() if row.phase is Phase.INTERRUPTED]
    assert len(interrupted) == MAX_INTERRUPTIONS
    assert ledger.latest().hypothesis == "idea 2"  # type: ignore[union-attr]
    assert [e.hypothesis for e in bench.proposer.seen[-1].history] == ["baseline", "idea 1"]


def test_an_outage_that_stays_is_raised_in_the_end(bench: Bench, ledger: Ledger) -> None:
    loop = bench.loop(ledger, [], script=lambda _: FakeRun(error=SandboxUnavailable("no engine")))
    with pytest.raises(OurFault, match="no engine"):
        loop.run(1)
    assert {row.phase for row in ledger.summaries()} == {Phase.INTERRUPTED}


def test_stopping_interrupts_and_the_next_run_takes_it_up(bench: Bench, ledger: Ledger) -> None:
    def script(spec: SandboxSpec) -> FakeRun:
        return score_in(spec) if spec.train_py == BASELINE else FakeRun(error=Cancelled("stop"))

    assert bench.loop(ledger, [file_scoring(1.9)], script=script).run(5) == 0
    assert ledger.get(1).phase is Phase.INTERRUPTED
    bench.loop(ledger, []).run(1)
    assert ledger.get(2).hypothesis == "idea 1"
    assert ledger.get(2).decision is Decision.KEEP


def test_told_to_stop_before_it_began_it_does_nothing(bench: Bench, ledger: Ledger) -> None:
    bench.steering.stop(When.NOW)
    assert bench.loop(ledger, [file_scoring(1.0)]).run(5) == 0
    assert ledger.count() == 0


def test_a_finite_proposer_ends_the_run_without_a_ghost(bench: Bench, ledger: Ledger) -> None:
    assert bench.loop(ledger, [file_scoring(1.9)]).run(10) == 1
    assert ledger.count() == 2


def test_a_proposer_that_fails_is_asked_again(bench: Bench, ledger: Ledger) -> None:
    assert bench.loop(ledger, [ProposalFailed("nonsense"), file_scoring(1.9)]).run(1) == 1
    assert decisions(ledger) == [Decision.KEEP, None, Decision.KEEP]
    failed = ledger.get(1)
    assert failed.phase is Phase.INTERRUPTED
    assert failed.events == ("interrupted: no usable proposal: nonsense",)


def test_an_observer_that_fails_stops_nothing(bench: Bench, ledger: Ledger) -> None:
    class Broken:
        def notify(self, event: Event) -> None:
            raise RuntimeError("decoration fell off")

    loop = bench.loop(ledger, [file_scoring(1.9)], observers=Observers([Broken(), bench]))
    assert loop.run(1) == 1
    assert len([e for e in bench.events if isinstance(e, ExperimentClosed)]) == 2


@dataclass(frozen=True)
class Twice:
    """A rule that wants a second run before it answers."""

    def judge(self, standing: Standing) -> Answer:
        runs = standing.candidate.runs
        return Replicate(pairs=2, reason="not sure") if runs == 1 else Keep(reason=f"sure after {runs}")

    def reach(self, champion_bpb: float, noise: Noise | None = None) -> float:
        return champion_bpb


def test_a_rule_that_asks_for_replicates_gets_them_on_other_seeds(bench: Bench, ledger: Ledger) -> None:
    bench.loop(ledger, [file_scoring(1.9)], rule=Twice()).run(1)
    done = ledger.get(1)
    assert [trial.seed for trial in done.trials] == [7, 1007, 1008]
    assert [(rival.of, rival.seed, rival.val_bpb) for rival in done.rivals] == [(0, 1007, 2.0), (0, 1008, 2.0)]
    assert [spec.seed for spec in bench.sandbox.asked] == [7, 7, 1007, 1007, 1008, 1008]
    assert [spec.train_py == BASELINE for spec in bench.sandbox.asked] == [True, False, False, True, True, False]
    assert done.outcome.reason.startswith("sure after 3")  # type: ignore[union-attr]
    assert done.gain_bpb == pytest.approx(0.1)
    row = ledger.summaries()[1]
    assert (row.trials, row.rivals, row.gain_bpb) == (3, 2, pytest.approx(0.1))
    assert row.total_seconds > row.replicate_seconds > 0
    ledger.verify()


class Killed(BaseException):
    """Stands for SIGKILL: nothing may catch it."""


@pytest.mark.parametrize("method", ["record", "advance"])
def test_killed_between_decision_and_git_the_next_start_finishes_it(
    bench: Bench, ledger: Ledger, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.loop(ledger, []).run(0)
    with monkeypatch.context() as patched:
        patched.setattr(Workspace, method, lambda *a, **k: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            bench.loop(ledger, [file_scoring(1.9)]).run(1)
    assert ledger.get(1).phase is Phase.DECIDED
    bench.loop(ledger, []).recover(reaped=["a-container"])
    finished: Experiment = ledger.get(1)
    assert finished.phase is Phase.CLOSED
    assert bench.workspace.tip() == finished.commit
    told = [e for e in bench.events if isinstance(e, Recovered)]
    assert [(list(e.finished), list(e.reaped)) for e in told] == [([1], ["a-container"])]
    bench.loop(ledger, []).recover(reaped=[])
    assert len([e for e in bench.events if isinstance(e, Recovered)]) == 1


def test_killed_while_training_the_next_start_marks_it_and_runs_it_again(bench: Bench, ledger: Ledger) -> None:
    def script(spec: SandboxSpec) -> FakeRun:
        return score_in(spec) if spec.train_py == BASELINE else FakeRun(error=Killed())  # type: ignore[arg-type]

    with pytest.raises(Killed):
        bench.loop(ledger, [file_scoring(1.9)], script=script).run(1)
    assert ledger.get(1).phase is Phase.TRAINING
    loop = bench.loop(ledger, [])
    loop.recover(reaped=[])
    assert ledger.get(1).phase is Phase.INTERRUPTED
    assert loop.run(1) == 1
    assert ledger.get(2).decision is Decision.KEEP
    assert ledger.get(2).hypothesis == "idea 1"
