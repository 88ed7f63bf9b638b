"""A champion trained for longer: written down in an arena of its own, and everything else stays as it was."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from labs import git
from nights import Night, a_night, arena_of
from rich.console import Console
from values import CRASH, SCORE, TRIAL

from daemon import arenas, status
from daemon.cost import spent
from daemon.lab import Lab
from daemon.longer import train_long
from daemon.model import Decision, OurFault, Phase, TrialResult, UserError
from daemon.replaying import Run
from daemon.results import ResultsFile
from daemon.trial import TrialPlan
from daemon.verify import verify
from sandbox.interface import Cancelled


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_night(tmp_path_factory.mktemp("night") / "lab").directory


@pytest.fixture
def lab(first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    lab = Lab(shutil.copytree(first, tmp_path / "lab"))
    monkeypatch.setattr(Lab, "arena", property(arena_of))
    return lab


def start(answer: Callable[[TrialPlan, Lab], TrialResult]) -> Callable[[Lab], Run]:
    return lambda lab: lambda plan: answer(plan, lab)


def scores(bpb: float) -> Callable[[Lab], Run]:
    score = replace(SCORE, val_bpb=bpb, corrected_bpb=bpb)
    return start(lambda plan, _: replace(TRIAL, seed=plan.seed, score=score))


def refs(lab: Lab) -> str:
    return git(lab.directory, "for-each-ref", "refs/heads")


def test_it_is_on_the_ledger_and_nothing_else_has_changed(lab: Lab) -> None:
    before, asked = refs(lab), []

    def answer(plan: TrialPlan, given: Lab) -> TrialResult:
        asked.append((plan, given.settings.time.train_seconds))
        return replace(TRIAL, seed=plan.seed, score=replace(SCORE, val_bpb=1.2, corrected_bpb=1.2))

    done = train_long(lab.directory, 600, start(answer))
    ((plan, seconds),) = asked
    assert (done.number, done.champion, done.phase, done.decision) == (7, 6, Phase.CLOSED, Decision.DISCARD)
    assert (plan.run_id, seconds, plan.seed) == ("00007-0", 600, 1337)
    assert plan.train_py.decode() == git(lab.directory, "show", "autoresearch/night:train.py")
    with lab.ledger() as ledger:
        assert ledger.arena(done.arena).train_seconds == 600
        assert done.arena != ledger.get(6).arena
        champion = arenas.champion(ledger)
        assert champion is not None
        assert champion.number == 6
        assert spent(ledger.summaries(), "2026-01-01").usd_per_gain == 0.0  # of the gain in the arena that stands
    assert refs(lab) == before
    report = verify(lab)
    assert (report.ok, report.counts["experiments"]) == (True, 8)
    assert not [note for note in report.notes if "[time]" in note]


def test_status_says_what_it_is(lab: Lab) -> None:
    train_long(lab.directory, 600, scores(1.2))
    text = io.StringIO()
    status.status(lab, Console(file=text, width=200), as_json=False)
    line = next(line for line in text.getvalue().splitlines() if line.lstrip().startswith("7 "))
    assert line.split()[:3] == ["7", "long", "1.200000"]
    assert "experiment 6, trained for 600 s instead of 20 s" in line
    assert "champion #6" in text.getvalue()
    with lab.ledger() as ledger:
        ResultsFile(lab.directory / "results.tsv").update(ledger.summaries())
    assert "trained for" not in (lab.directory / "results.tsv").read_text()


def test_another_champion_by_its_number(lab: Lab) -> None:
    assert train_long(lab.directory, 40, scores(1.9), number=1).champion == 1


def test_one_that_fails_ends_as_it_did(lab: Lab) -> None:
    done = train_long(lab.directory, 600, start(lambda plan, _: replace(CRASH, seed=plan.seed)))
    assert done.decision is Decision.CRASH
    assert verify(lab).ok


@pytest.mark.parametrize("error", [OurFault("the engine is gone"), Cancelled("stopped")])
def test_one_that_was_stopped_is_not_taken_up_by_the_loop(lab: Lab, error: Exception) -> None:
    def fails(plan: TrialPlan, _: Lab) -> TrialResult:
        raise error

    with pytest.raises(type(error)):
        train_long(lab.directory, 600, start(fails))
    with lab.ledger() as ledger:
        latest = ledger.latest()
        assert latest is not None
        assert latest.phase is Phase.INTERRUPTED
        assert latest.arena != arenas.current(ledger)
    assert verify(lab).ok


WRONG = {
    "what was not kept": ({"seconds": 60, "number": 2}, "was not kept"),
    "what never ran": ({"seconds": 60, "number": 3}, "was refused"),
    "what there is not": ({"seconds": 60, "number": 99}, "no experiment 99"),
    "no time": ({"seconds": 0}, "may last up to"),
    "no end": ({"seconds": float("inf")}, "may last up to"),
    "the lab's own time": ({"seconds": 20}, "autoresearch replay"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_trained_for_longer(lab: Lab, what: str) -> None:
    given, words = WRONG[what]
    with lab.ledger() as ledger:
        before = ledger.events()
    with pytest.raises(UserError, match=words):
        train_long(lab.directory, start=scores(1.0), **given)  # type: ignore[arg-type]
    with lab.ledger() as ledger:
        assert ledger.events() == before


def test_a_lab_that_changed_in_other_ways_is_another_arena(lab: Lab) -> None:
    (lab.directory / "prepare.py").write_bytes(lab.read("prepare.py") + b"# other\n")
    with pytest.raises(UserError, match="prepare_sha256 was"):
        train_long(lab.directory, 60, scores(1.0))


def test_the_next_night_goes_on_from_the_champion(lab: Lab) -> None:
    train_long(lab.directory, 600, scores(1.2))
    with lab.ledger() as ledger:
        night = Night(lab, ledger, arena_of(lab), champion=6)
        assert night.add(Decision.KEEP, 1.7).champion == 6
    assert verify(lab).ok
