"""Kept models: what was judged and nothing else, bounded in number and size, and watched over by verify."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from nights import Night, a_lab, arena_of
from specs import LIMITS, a_spec
from values import SCORE, TRIAL

from daemon import held, models, tidying
from daemon.lab import Lab
from daemon.model import Decision, TrialResult, TrialStatus, UserError
from daemon.models import KeepingExecutor, Models, NotKept
from daemon.observe import ExperimentClosed, Observers
from daemon.retention import collect
from daemon.tidying import Tidying
from daemon.trial import Listener, SerialExecutor
from daemon.verify import verify
from sandbox.fake import FakeRun, FakeSandbox
from sandbox.interface import RunStatus, SandboxSpec
from sandbox.rundir import RunDir

QUIET = Listener()


def spec_in(root: Path, run_id: str, **changes: object) -> SandboxSpec:
    return a_spec(root, run_id=run_id, **changes)


def a_model(lab: Lab, number: int, bpb: float) -> TrialResult:
    """One that the loop's executor kept, with the result that the ledger gets."""
    spec = spec_in(lab.state, f"{number:05d}-0")
    sandbox = FakeSandbox(lambda _: FakeRun(val_bpb=bpb))
    return KeepingExecutor(SerialExecutor(sandbox), models.of_lab(lab.state)).run(spec, QUIET)


def a_night(lab: Lab, count: int, keeps: Callable[[int], bool] = lambda _: True) -> None:
    with lab.ledger() as ledger:
        night = Night(lab, ledger, arena_of(lab))
        for number in range(count):
            bpb = 2.0 - number / 100
            result = a_model(lab, number, bpb)
            night._trials = lambda *_, found=result: [found]  # type: ignore[method-assign]
            night.add(Decision.KEEP if keeps(number) else Decision.DISCARD, bpb)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setattr("daemon.retention._in_engine", lambda *_, **__: [])
    return a_lab(tmp_path / "lab")


def kept(lab: Lab) -> list[int]:
    return models.of_lab(lab.state).numbers()


def test_what_was_judged_is_kept_with_its_hashes(lab: Lab) -> None:
    result = a_model(lab, 3, 1.5)
    one = models.of_lab(lab.state).get(3)
    assert result.score is not None
    assert one.sealed_sha256 == result.score.audit["sealed_sha256"]
    assert one.weights_sha256 == hashlib.sha256((one.folder / "model.safetensors").read_bytes()).hexdigest()
    assert (one.number, one.run_id, one.val_bpb, one.seed) == (3, "00003-0", 1.5, 1337)
    assert models.problem(one) is None
    assert not RunDir(root=lab.state / "runs" / "00003-0").kept.exists()
    assert models.of_lab(lab.state).folder.stat().st_mode & 0o077 == 0


ASKED = {
    "an experiment of the loop": ("00003-0", {}, True),
    "one that could not be used": ("00003-0", {"confirm_below": 1.4}, False),
    "one that could": ("00003-0", {"confirm_below": 1.6}, True),
    "a trial by hand": ("trial-0a1b2c3d", {}, False),
    "a replay": ("replay-3-0a1b2c3d", {}, False),
}


@pytest.mark.parametrize("what", ASKED)
def test_who_is_kept(lab: Lab, what: str) -> None:
    run_id, changes, is_kept = ASKED[what]
    sandbox = FakeSandbox(lambda _: FakeRun(val_bpb=1.5))
    executor = KeepingExecutor(SerialExecutor(sandbox), models.of_lab(lab.state))
    assert executor.run(spec_in(lab.state, run_id, **changes), QUIET).status is TrialStatus.OK
    assert kept(lab) == ([3] if is_kept else [])
    assert sandbox.asked[0].keep == run_id.startswith("00003")


def test_the_last_of_an_experiment_stays_whatever_it_scored(lab: Lab) -> None:
    """The first is what a candidate was picked for, one before the last may be void; nothing chooses the last."""
    executor = KeepingExecutor(
        SerialExecutor(FakeSandbox(lambda spec: FakeRun(val_bpb=1.5 if spec.run_id.endswith("-2") else 1.1))),
        models.of_lab(lab.state),
    )
    for attempt in range(3):
        executor.run(spec_in(lab.state, f"00003-{attempt}"), QUIET)
    assert models.of_lab(lab.state).get(3).val_bpb == 1.5


def test_what_fails_keeps_nothing_and_leaves_nothing(lab: Lab) -> None:
    sandbox = FakeSandbox(lambda _: FakeRun(status=RunStatus.CRASH))
    KeepingExecutor(SerialExecutor(sandbox), models.of_lab(lab.state)).run(spec_in(lab.state, "00003-0"), QUIET)
    assert kept(lab) == []


def placed(folder: Path, weights: bytes = b"w", graph: bytes = b"{}") -> Path:
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "model.json").write_bytes(graph)
    return folder


def scored(weights: bytes = b"w", graph: bytes = b"{}") -> TrialResult:
    whole = models.sealed_sha256(hashlib.sha256(graph).hexdigest(), hashlib.sha256(weights).hexdigest())
    return replace(TRIAL, score=replace(SCORE, audit={"sealed_sha256": whole}))


def _a_link(folder: Path, secret: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(secret)


def _a_fifo(folder: Path, _: Path) -> None:
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")


def _too_large(folder: Path, _: Path) -> None:
    with (folder / "model.safetensors").open("r+b") as file:
        file.truncate(LIMITS.output_bytes + 1)


HARM: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "a link": (_a_link, "symbolic links"),
    "a pipe": (_a_fifo, "no plain file"),
    "more than may be": (_too_large, "bytes that it may have"),
    "other bytes": (lambda folder, _: (folder / "model.safetensors").write_bytes(b"x"), "not the one that was scored"),
    "no weights": (lambda folder, _: (folder / "model.safetensors").unlink(), "No such file"),
}


@pytest.mark.parametrize("what", HARM)
def test_what_a_hostile_or_broken_referee_might_leave(tmp_path: Path, what: str) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"w")  # the very bytes, so that a hash alone would let it pass
    folder = placed(tmp_path / "kept")
    harm, words = HARM[what]
    harm(folder, secret)
    store = Models(folder=tmp_path / "models")
    with pytest.raises((NotKept, OSError), match=words):
        store.take(folder, 3, spec_in(tmp_path, "00003-0"), scored())
    assert store.numbers() == []
    assert list(store.folder.iterdir()) == []
    store.take(placed(tmp_path / "again"), 3, spec_in(tmp_path, "00003-0"), scored())
    assert store.numbers() == [3]


def test_only_the_last_champions_stay(lab: Lab) -> None:
    a_night(lab, 9, keeps=lambda number: number != 7)
    assert kept(lab) == list(range(9))
    gone = [item.name.rpartition("/")[2] for item in collect(lab).items if item.kind == "model"]
    assert gone == ["0", "1", "2", "7"]
    assert kept(lab) == [3, 4, 5, 6, 8]
    assert verify(lab).counts["models"] == 5
    assert collect(lab).items == []


def test_a_model_goes_as_soon_as_its_experiment_is_not_kept(lab: Lab) -> None:
    a_night(lab, 7, keeps=lambda number: number != 5)
    with lab.ledger() as ledger:
        told = Observers([Tidying(lab, ledger)])
        told.notify(ExperimentClosed(experiment=ledger.get(5), champion_bpb=None))
        assert 5 not in kept(lab)
        told.notify(ExperimentClosed(experiment=ledger.get(6), champion_bpb=None))
    assert kept(lab) == [1, 2, 3, 4, 6]


def test_beyond_the_disk_it_may_use_the_oldest_go_and_the_champion_stays(lab: Lab) -> None:
    a_night(lab, 3)
    text = (lab.directory / "lab.toml").read_text()
    (lab.directory / "lab.toml").write_text(text.replace("disk_mib = 0 ", "disk_mib = 1 "))
    (lab.state / "other").write_bytes(os.urandom(3 << 20))
    collect(Lab(lab.directory))
    assert kept(lab) == [2]


def test_tidying_comes_once_an_hour_and_never_breaks_a_run(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    a_night(lab, 1)
    clock, done = [0.0], []

    def fails(*_: object, **given: object) -> object:
        done.append(given)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("daemon.retention.collect", fails)
    with lab.ledger() as ledger:
        watcher = Tidying(lab, ledger, now=lambda: clock[0])
        event = ExperimentClosed(experiment=ledger.get(0), champion_bpb=None)
        for at in (0.0, 10.0, 3599.0, 3600.0, 7199.0, 7200.0):
            clock[0] = at
            watcher.notify(event)
    assert done == [{"busy": True}] * 3


def test_a_run_that_goes_on_keeps_its_folder(lab: Lab) -> None:
    a_night(lab, 1)
    (lab.runs_dir / "00001-0" / "gate").mkdir(parents=True)
    (lab.runs_dir / "00001-0-kept").mkdir()
    tidying.tidy(lab)
    assert sorted(path.name for path in lab.runs_dir.iterdir()) == ["00001-0", "00001-0-kept"]
    assert [item.kind for item in collect(lab).items] == ["run", "run"]


def test_what_it_holds_is_written_down_for_status(lab: Lab) -> None:
    assert held.last(lab.state) is None
    a_night(lab, 1)
    tidying.measure(lab)
    found = held.last(lab.state)
    assert found is not None
    assert found.bytes["git"] > 0
    for nonsense in (b"", b"[]", b'{"at": 3, "bytes": {}}', b'{"at": "2026-01-01", "bytes": {"git": "x"}}', b"\xff"):
        (lab.state / held.DISK).write_bytes(nonsense)
        assert held.last(lab.state) is None


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "other weights": (lambda folder: (folder / "model.safetensors").write_bytes(b"x"), "is not what was kept"),
    "no graph": (lambda folder: (folder / "model.json").unlink(), "model.json is gone"),
    "no record": (lambda folder: (folder / "record.json").unlink(), "no sealed model"),
    "another record": (lambda folder: (folder / "record.json").write_text("{}"), "cannot be used"),
    "of another experiment": (lambda folder: shutil.copytree(folder, folder.with_name("0"), dirs_exist_ok=True),
                              "none that the ledger has a score of"),
    "of none": (lambda folder: folder.rename(folder.with_name("99")), "there is no experiment 99"),
}  # fmt: skip


@pytest.mark.parametrize("what", SPOILT)
def test_verify_names_a_model_that_is_not_what_was_scored(lab: Lab, what: str) -> None:
    a_night(lab, 2)
    assert verify(lab).ok
    spoil, words = SPOILT[what]
    spoil(lab.state / "models" / "1")
    report = verify(lab)
    assert report.broken is not None
    assert words in report.broken.what
    assert "rm -r" in report.broken.mend


def test_there_may_be_none(lab: Lab) -> None:
    with pytest.raises(UserError, match="no sealed model of experiment 3 is kept"):
        models.of_lab(lab.state).get(3)
    models.of_lab(lab.state).drop(3)
    assert kept(lab) == []
