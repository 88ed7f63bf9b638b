"""An experiment run again: the same bytes, seeds and conditions, nothing written down, and an honest comparison."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from labs import git
from nights import Night, a_night, arena_of
from rich.console import Console
from values import ARENA, CRASH, SCORE, TRIAL

from daemon.lab import Lab
from daemon.lifecycle import lab_lock
from daemon.model import Arena, Decision, OurFault, TrialResult, TrialStatus, UserError
from daemon.replaying import Replay, Run, differences, replay, show
from daemon.trial import TrialPlan


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_night(tmp_path_factory.mktemp("night") / "lab").directory


@pytest.fixture
def lab(first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    lab = Lab(shutil.copytree(first, tmp_path / "lab"))
    monkeypatch.setattr(Lab, "arena", property(arena_of))
    return lab


class Runs:
    """A trial that scores by its seed, and remembers what it was asked."""

    def __init__(self, score: Callable[[int], float | None]) -> None:
        self.plans: list[TrialPlan] = []
        self._score = score

    def __call__(self, lab: Lab) -> Run:
        return self.run

    def run(self, plan: TrialPlan) -> TrialResult:
        self.plans.append(plan)
        bpb = self._score(plan.seed)
        if bpb is None:
            return replace(CRASH, seed=plan.seed)
        return replace(TRIAL, seed=plan.seed, score=replace(SCORE, val_bpb=bpb, corrected_bpb=bpb))


def everything(lab: Lab) -> tuple[str, int, str, str]:
    with lab.ledger() as ledger:
        return (
            git(lab.directory, "for-each-ref"),
            ledger.events(),
            ledger.head_hash(),
            git(lab.directory, "status", "-s"),
        )


@pytest.mark.parametrize(("number", "then"), [(0, 2.0), (1, 1.9), (2, 1.95)])
def test_kept_or_not_it_runs_again_as_it_was(lab: Lab, number: int, then: float) -> None:
    before, runs = everything(lab), Runs(lambda _: then + 0.01)
    done = replay(lab.directory, number, runs)
    assert [plan.seed for plan in runs.plans] == [1337]
    assert runs.plans[0].train_py.decode() == git(lab.directory, "show", f"refs/experiments/{number}:train.py")
    assert runs.plans[0].run_id.startswith(f"replay-{number}-")
    assert (runs.plans[0].free_startup_seconds is None) == (number == 0)
    assert done.difference_bpb == pytest.approx(0.01)
    assert done.sigmas is None
    assert done.ended_alike
    assert everything(lab) == before


def test_with_more_runs_it_is_said_in_standard_deviations(lab: Lab) -> None:
    scores = {1337: 1.901, 1338: 1.903, 1339: 1.905}
    runs = Runs(lambda seed: scores[seed])
    done = replay(lab.directory, 1, runs, runs=3)
    assert [plan.seed for plan in runs.plans] == [1337, 1338, 1339]
    assert done.difference_bpb == pytest.approx(0.003)
    assert done.sigma_bpb == pytest.approx(0.002)
    assert done.sigma_runs == 3
    assert done.sigmas == pytest.approx(0.003 / (0.002 * (1 / 3 + 1) ** 0.5))


def test_a_baseline_of_several_trials_is_enough(lab: Lab) -> None:
    with lab.ledger() as ledger:
        night = Night(lab, ledger, replace(arena_of(lab)))
        night.add(Decision.KEEP, 2.0, runs=3)
        night.add(Decision.DISCARD, 1.9)
    done = replay(lab.directory, 8, Runs(lambda _: 1.898))
    assert done.sigma_runs == 3
    assert done.sigma_bpb == pytest.approx(0.001)
    assert done.sigmas == pytest.approx(-0.002 / (0.001 * 2**0.5))
    assert [pair.seed for pair in replay(lab.directory, 7, Runs(lambda _: 2.0)).pairs] == [1337, 1338, 1339]


def test_a_crash_that_crashes_again_and_one_that_does_not(lab: Lab) -> None:
    again = replay(lab.directory, 4, Runs(lambda _: None))
    assert again.ended_alike
    assert again.difference_bpb is None
    assert not replay(lab.directory, 1, Runs({1337: 1.9}.get), runs=2).ended_alike  # the further seed crashed
    now = replay(lab.directory, 4, Runs(lambda _: 1.9))
    assert not now.ended_alike
    assert now.pairs[0].then_status is TrialStatus.CRASH


@pytest.mark.parametrize(
    ("number", "sentence"),
    [(3, "was refused and never ran"), (5, "no result to compare with: it is interrupted"), (99, "no experiment 99")],
)
def test_what_cannot_run_again(lab: Lab, number: int, sentence: str) -> None:
    runs = Runs(lambda _: 1.0)
    with pytest.raises(UserError, match=sentence):
        replay(lab.directory, number, runs)
    assert runs.plans == []


@pytest.mark.parametrize("count", [0, -1, 101])
def test_how_often(lab: Lab, count: int) -> None:
    with pytest.raises(UserError, match="1 to 100 times"):
        replay(lab.directory, 1, Runs(lambda _: 1.0), runs=count)


@pytest.mark.parametrize("name", list(ARENA.__dataclass_fields__))
def test_another_arena_is_refused_by_the_name_of_what_differs(
    lab: Lab, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = arena_of(lab)
    value = here.train_seconds * 2 if name == "train_seconds" else "e" * 64
    monkeypatch.setattr(Lab, "arena", property(lambda _: replace(here, **{name: value})))
    runs = Runs(lambda seed: {1337: 1.799, 1338: 1.801}[seed])
    with pytest.raises(UserError, match=rf"another arena \({name} was .* and is .*--other-arena"):
        replay(lab.directory, 1, runs)
    assert runs.plans == []
    done = replay(lab.directory, 1, runs, other_arena=True, runs=2)
    assert done.difference_bpb == pytest.approx(-0.1)
    assert done.sigma_bpb is not None
    assert done.sigmas is None
    assert len(done.differing) == 1


def test_arenas_that_are_the_same() -> None:
    assert differences(ARENA, Arena(**{name: getattr(ARENA, name) for name in ARENA.__dataclass_fields__})) == []


def test_a_lab_in_use(lab: Lab) -> None:
    with lab_lock(lab.state, "run"), pytest.raises(UserError, match="in use by `autoresearch run`"):
        replay(lab.directory, 1, Runs(lambda _: 1.0))


def test_a_commit_that_holds_something_else(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(lab.workspace), "read", lambda *_: b"LR = 9\n")
    with pytest.raises(OurFault, match="autoresearch verify"):
        replay(lab.directory, 1, Runs(lambda _: 1.0))


def printed(done: Replay) -> str:
    console = Console(file=io.StringIO(), width=200)
    show(done, console, as_json=False)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_what_is_printed(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    once = printed(replay(lab.directory, 1, Runs(lambda _: 1.91)))
    assert all(part in once for part in ("1337", "1.900000", "1.910000", "+0.010000", "not known from single runs"))
    several = replay(lab.directory, 1, Runs(lambda seed: 1.91 + (seed - 1337) / 1000), runs=2)
    assert "standard deviations of such a difference (of one run: 0.000707, from 2 runs)" in printed(several)
    assert "not run" in printed(several)
    alike = printed(replay(lab.directory, 1, Runs(lambda _: 1.91), runs=2))
    assert "the 2 runs that chance could be told from all scored the same" in alike
    assert "it ended as it did then" in printed(replay(lab.directory, 4, Runs(lambda _: None)))
    assert "seed 1337: ZeroDivisionError" in printed(replay(lab.directory, 4, Runs(lambda _: None)))
    assert "it did not end" in printed(replay(lab.directory, 4, Runs(lambda _: 1.0)))
    show(several, Console(), as_json=True)
    answer = json.loads(capsys.readouterr().out)
    assert answer["sigma_runs"] == 2
    assert answer["pairs"][1]["then_bpb"] is None
