"""Observers of other people: found by name, kept apart, and unable to stop anything."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from nights import a_lab
from specs import REPOSITORY
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_loop import Bench, file_scoring
from values import CRASH, experiment, scored

from daemon import settings
from daemon.model import Decision, Outcome, UserError
from daemon.observe import Claimed, Event, ExperimentClosed, LogSeen, Observer, Observers, ProposalAwaited
from daemon.plugins import load
from daemon.plugins.load import MAX_WAITING, Apart, plugged

EVENT = ProposalAwaited()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of somebody, installed: two plug-ins, one of which cannot be imported."""
    site = tmp_path / "site"
    about = site / "theirs-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[autoresearchd.observers]\ngood = theirs_good:build\nbroken = theirs_broken:build\n"
    )
    page = (REPOSITORY / "docs" / "plugins.md").read_text()
    (site / "theirs_good.py").write_text(page.split("# my_tracker.py\n")[1].split("```")[0])
    (site / "theirs_broken.py").write_text("raise RuntimeError('their fault')\n")
    monkeypatch.syspath_prepend(str(site))
    yield site
    for name in ("theirs_good", "theirs_broken"):
        sys.modules.pop(name, None)


def test_nothing_is_loaded_by_default(installed: Path, tmp_path: Path) -> None:
    assert settings.Settings.model_fields["observers"].default.on == []
    lab = a_lab(tmp_path / "lab")
    assert lab.settings.observers.on == []
    with plugged([], {}, tmp_path, tmp_path) as observers:
        assert observers == []
    assert "theirs_good" not in sys.modules


def test_the_example_of_the_docs_works_as_installed(installed: Path, tmp_path: Path) -> None:
    bench = Bench(tmp_path / "lab")
    state = tmp_path / "state"
    with bench.ledger() as ledger, plugged(["good"], {}, bench.lab, state) as observers:
        bench.loop(ledger, [file_scoring(1.5)], observers=Observers(observers)).run(1)
    assert (state / "observers" / "good" / "scores.txt").read_text() == "0 2.000000\n1 1.500000\n"
    assert (state / "observers" / "good").stat().st_mode & 0o077 == 0
    assert "theirs_broken" not in sys.modules, "only what is named is imported"


def test_one_that_cannot_be_imported_is_logged_and_the_run_goes_on(
    installed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(tmp_path / "lab")
    with bench.ledger() as ledger, plugged(["broken"], {}, bench.lab, tmp_path) as observers:
        bench.loop(ledger, [file_scoring(1.5)], observers=Observers(observers)).run(1)
        champion = ledger.champion(ledger.get(1).arena)
    assert champion is not None and champion.number == 1
    assert "their fault" in caplog.text


def test_a_name_that_nobody_offers_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"observers.on names 'tensorbord'; installed are .*tensorboard"):
        plugged(["tensorbord"], {}, tmp_path, tmp_path).__enter__()


@pytest.mark.parametrize("name", ["", "../up", "a b", "x" * 65])
def test_a_name_is_a_plain_word(name: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        settings.ObserverSettings(on=[name])


class Recorder:
    def __init__(self, error: BaseException | None = None) -> None:
        self.seen: list[Event] = []
        self.closed = 0
        self.error = error

    def notify(self, event: Event) -> None:
        self.seen.append(event)
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        self.closed += 1
        if self.error is not None:
            raise self.error


def test_one_that_fails_is_told_again_and_closed() -> None:
    theirs = Recorder(ValueError("no"))
    apart = Apart("theirs", lambda: theirs)
    for _ in range(3):
        apart.notify(EVENT)
    apart.close()
    assert (theirs.seen, theirs.closed) == ([EVENT] * 3, 1)


def test_logs_are_not_handed_over() -> None:
    theirs = Recorder()
    apart = Apart("theirs", lambda: theirs)
    apart.notify(LogSeen(number=1, log="x"))
    apart.close()
    assert theirs.seen == []


def test_one_that_hangs_stops_nobody(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(load, "LEAVE_SECONDS", 0.1)
    release = threading.Event()

    class Hangs:
        def notify(self, event: Event) -> None:
            release.wait(20)

    def build() -> Observer:
        return Hangs()

    apart = Apart("theirs", build)
    begun = time.monotonic()
    for _ in range(MAX_WAITING + 50):
        apart.notify(EVENT)
    apart.close()
    assert time.monotonic() - begun < 5
    assert caplog.text.count("does not keep up") == 1, "said once"
    release.set()


def read(folder: Path) -> Mapping[str, list[tuple[int, float]]]:
    """By TensorBoard's own reader."""
    reader = EventAccumulator(str(folder))
    reader.Reload()
    return {tag: [(e.step, e.value) for e in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}


def closed(number: int, decision: Decision, bpb: float | None, champion: float | None) -> ExperimentClosed:
    trial = CRASH if bpb is None else scored(bpb)
    done = experiment(number=number, trials=(trial,), outcome=Outcome(decision=decision, reason="\x1b[31mevil"))
    return ExperimentClosed(experiment=done, champion_bpb=champion)


def test_tensorboard_reads_back_what_happened(tmp_path: Path) -> None:
    events: list[Event] = [
        closed(0, Decision.KEEP, 2.0, None),
        Claimed(number=1, step=5, loss=4.5, tokens_per_second=1000.0),
        Claimed(number=1, step=9, loss=4.25, tokens_per_second=1500.0),
        closed(1, Decision.KEEP, 1.5, 2.0),
        Claimed(number=2, step=4, loss=3.0, tokens_per_second=900.0),
        closed(2, Decision.CRASH, None, 1.5),
        closed(3, Decision.DISCARD, 1.75, 1.5),
    ]
    with plugged(["tensorboard"], {"tensorboard": {"folder": "runs"}}, tmp_path, tmp_path / "state") as observers:
        for event in events:
            Observers(observers).notify(event)
    lab = read(tmp_path / "runs" / "lab")
    assert lab["score/val_bpb"] == [(0, 2.0), (1, 1.5), (3, 1.75)]
    assert lab["score/champion_val_bpb"] == [(0, 2.0), (1, 1.5), (2, 1.5), (3, 1.5)]
    assert lab["time/train_seconds"][0] == (0, 300.25)
    first, second = read(tmp_path / "runs" / "training-00001"), read(tmp_path / "runs" / "training-00002")
    assert first["claimed/loss"] == [(5, 4.5), (9, 4.25)]
    assert first["claimed/tokens_per_second"] == [(5, 1000.0), (9, 1500.0)]
    assert second["claimed/loss"] == [(4, 3.0)]
    written = b"".join(file.read_bytes() for file in (tmp_path / "runs").rglob("*tfevents*"))
    assert not re.search(rb"evil|learning rate", written), "numbers only"
