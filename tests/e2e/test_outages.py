"""What fails of ours while the daemon is at work: no experiment is judged by it, and it goes on by itself when mended.

The daemon is a process of its own and the containers are real; only the model and the referee are tiny.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from crash_points import Where, a_place
from night_lab import Night, check, decided, make_lab
from stalling import Door, stalling_door

from bench.soak import small_disk
from daemon.lab import Lab

TRAIN_SECONDS = 2.0


@dataclass(frozen=True)
class AtWork:
    """A daemon whose way to the engine and to its provider can be cut."""

    where: Where
    night: Night
    door: Door
    provider_down: Path

    @property
    def lab(self) -> Lab:
        return self.where.lab

    def goes_on(self) -> bool:
        """By itself, and decides experiments again."""
        before = decided(self.lab)
        self.night.until(lambda: decided(self.lab) >= before + 2, "experiments")
        return self.night.process.poll() is None

    def outage(self, words: str) -> None:
        """Wait until it says so, to whoever asks and in its log."""
        seen = len(self.night.said())

        def told() -> bool:
            facts = self.night.ask("status") or {}
            return facts.get("state") == "outage" and words in str(facts.get("reason"))

        self.night.until(told, f"outage that says {words!r}")
        assert words in self.night.said()[seen:] or words in self.night.said()

    @contextmanager
    def nothing_is_judged(self) -> Iterator[None]:
        """What is decided inside was so before the outage took hold: one experiment, at most."""
        before = decided(self.lab)
        yield
        assert decided(self.lab) <= before + 1


@pytest.fixture(scope="module")
def at_work() -> Iterator[AtWork]:
    with tempfile.TemporaryDirectory(prefix="outages-") as name:
        folder = Path(name)
        with a_place(folder, "docker") as where, stalling_door(folder) as door:
            environment = {
                "DOCKER_HOST": f"unix://{door.path}",
                "NIGHT_CALL_SECONDS": "2",
                "NIGHT_PROVIDER_DOWN": str(folder / "down"),
            }
            night = Night(where.lab, environment)
            try:
                night.until(lambda: decided(where.lab) >= 2, "experiments")
                yield AtWork(where, night, door, folder / "down")
                night.stop()
                check(where.lab, where.engine)
            finally:
                night.kill()


def test_an_engine_that_accepts_and_never_answers(at_work: AtWork) -> None:
    with at_work.nothing_is_judged():
        at_work.door.flowing.clear()
        try:
            at_work.outage("Docker engine")
        finally:
            at_work.door.flowing.set()
    assert at_work.goes_on()


def test_an_image_that_is_deleted(at_work: AtWork) -> None:
    engine, image = at_work.where.engine, at_work.lab.settings.sandbox.image
    assert engine is not None
    with at_work.nothing_is_judged():
        repository, _, tag = image.partition(":")
        engine._api.tag(image, repository, f"{tag}-kept")
        engine._api.remove_image(image)
        try:
            at_work.outage("is gone")
        finally:
            engine._api.tag(f"{image}-kept", repository, tag)
            engine._api.remove_image(f"{image}-kept")
    assert at_work.goes_on()


def test_data_that_change_under_us_with_the_same_size(at_work: AtWork) -> None:
    tokens = at_work.lab.data_dir / "train" / "tokens"
    good = tokens.read_bytes()
    with at_work.nothing_is_judged():
        tokens.write_bytes(b"9" + good[1:])
        at_work.outage("has changed since it was prepared")
        tokens.write_bytes(good)
    assert at_work.goes_on()


def test_validation_data_that_cannot_be_read(at_work: AtWork) -> None:
    rows = at_work.lab.data_dir / "val" / "index.json"
    with at_work.nothing_is_judged():
        rows.chmod(0o600)
        at_work.outage("no container can read")
        rows.chmod(0o644)
    assert at_work.goes_on()


def test_a_provider_that_is_down(at_work: AtWork) -> None:
    with at_work.nothing_is_judged():
        at_work.provider_down.touch()
        at_work.outage("the provider cannot be reached")
        at_work.provider_down.unlink()
    assert at_work.goes_on()


def test_a_suspended_daemon_voids_what_ran_past_its_deadline(at_work: AtWork) -> None:
    lab, night, engine = at_work.lab, at_work.night, at_work.where.engine
    assert engine is not None
    lab.inbox.put(lab.read("train.py").replace(b"SLEEP = 0.05", b"SLEEP = 60"), "trains for a minute")

    def trains() -> bool:
        facts = night.ask("status") or {}
        return facts.get("state") == "training" and facts.get("hypothesis") == "trains for a minute"

    night.until(trains, "the long program")
    number = int(str((night.ask("status") or {})["experiment"]))
    night.process.send_signal(signal.SIGSTOP)
    time.sleep(TRAIN_SECONDS + 1.5)
    running = engine.ours(lab.id)[0]
    night.process.send_signal(signal.SIGCONT)
    assert any(f"{number:05d}" in name for name in running), "the container should outlive a stopped daemon"
    night.until(lambda: not any(f"{number:05d}" in name for name in engine.ours(lab.id)[0]), "end of it", 5)
    with lab.ledger() as ledger:
        night.until(lambda: ledger.get(number).phase == "interrupted", "void", 5)
        assert ledger.get(number).trials == ()
        assert "the run is void" in ledger.get(number).events[-1]
    night.ask("skip")


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    with small_disk(tmp_path) as disk:
        assert disk is not None, "a small file system could not be mounted; run as root"
        lab = make_lab(disk / "lab")
        night = Night(lab, {"NIGHT_SANDBOX": "scripted", "NIGHT_SMALL_DISK": "1"})
        try:
            night.until(lambda: decided(lab) >= 2, "experiments")
            _fill(disk / "ballast")
            # What is full cannot be written to; only the journal and whoever asks are told.
            night.until(lambda: (night.ask("status") or {}).get("state") == "outage", "outage")
            before = decided(lab)
            time.sleep(1)
            assert decided(lab) == before
            (disk / "ballast").unlink()
            night.until(lambda: decided(lab) >= before + 2, "experiments")
            night.stop()
            check(lab)
        finally:
            night.kill()


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                os.fsync(file.fileno())
