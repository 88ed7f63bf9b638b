"""The engine stopped or killed in the middle of a trial: nobody is judged by it, and the daemon goes on with the next.

On an engine of its own; part of `make crash`, because it copies the image into that engine first.
"""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from crash_points import Where
from night_lab import Night, check, decided, make_lab
from private_engine import PrivateEngine, private_engine
from tiny_image import TINY, tiny_image

from sandbox.docker_engine import Engine


@pytest.fixture(scope="module")
def own() -> Iterator[PrivateEngine]:
    with tempfile.TemporaryDirectory(prefix="engine-") as name, private_engine(Path(name)) as engine:
        tiny_image(Engine())
        engine.take(TINY)
        yield engine


@pytest.fixture(scope="module")
def where(own: PrivateEngine, tmp_path_factory: pytest.TempPathFactory) -> Where:
    return Where(make_lab(tmp_path_factory.mktemp("restarts") / "lab", image=TINY, train_seconds=20.0), None)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL] * 3)
def test_an_engine_that_goes_in_the_middle_of_a_trial(
    own: PrivateEngine, where: Where, how: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = where.lab
    lab.inbox.put(lab.read("train.py").replace(b"SLEEP = 0.05", b"SLEEP = 8"), "trains for some seconds")
    night = Night(lab, {"DOCKER_HOST": own.host, "NIGHT_CALL_SECONDS": "10"})
    try:

        def trains() -> bool:
            facts = night.ask("status") or {}
            return facts.get("state") == "training" and facts.get("hypothesis") == "trains for some seconds"

        night.until(trains, "the long program")
        number = int(str((night.ask("status") or {})["experiment"]))
        own.end(how)
        night.until(lambda: (night.ask("status") or {}).get("state") == "outage", "outage")
        with lab.ledger() as ledger:
            assert ledger.get(number).phase == "interrupted", ledger.get(number)
            assert ledger.get(number).trials == ()
        before = decided(lab)
        own.start()
        night.until(lambda: decided(lab) > before, "experiment after the restart")
        night.stop()
        monkeypatch.setenv("DOCKER_HOST", own.host)
        check(lab, Engine())
    finally:
        night.kill()
