"""A daemon waits for what is not there yet or breaks under it; a person's mistake ends one that has just begun."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import cast

import pytest

from daemon import service
from daemon.credentials import KeySource
from daemon.lab import Lab
from daemon.ledger.schema import LedgerError
from daemon.model import UserError
from daemon.observe import Event, FaultSeen
from daemon.steering import Steering, When
from sandbox.interface import SandboxUnavailable


class Told:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def notify(self, event: Event) -> None:
        self.events.append(event)


def serve(monkeypatch: pytest.MonkeyPatch, errors: list[Exception]) -> tuple[Told, int]:
    """Serve a lab that cannot be put together before each of ``errors`` has been raised once."""
    steering, told, served = Steering(), Told(), []

    def stop(*_: Callable[[], object]) -> None:
        served.append(1)
        steering.stop(When.NOW)

    @contextmanager
    def assembled(*_: object) -> Iterator[object]:
        if errors:
            raise errors.pop(0)
        yield SimpleNamespace(loop=SimpleNamespace(serve=stop), stop_after=lambda: None)

    monkeypatch.setattr(service, "assembled", assembled)
    monkeypatch.setattr(service, "RETRY_SECONDS", 0.01)
    service._serve(cast(Lab, None), steering, KeySource(), [told])
    return told, len(served)


def test_an_engine_that_is_not_up_yet_a_full_disk_and_a_locked_ledger_are_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    faults: list[Exception] = [
        SandboxUnavailable("no Docker engine answered"),
        OSError(28, "No space left on device"),
        LedgerError("the ledger cannot be used"),
    ]
    told, served = serve(monkeypatch, faults)
    assert served == 1
    messages = [event.message for event in told.events if isinstance(event, FaultSeen)]
    assert [word in message for word, message in zip(("engine", "space", "ledger"), messages, strict=True)] == [
        True
    ] * 3


def test_a_mistake_at_the_start_is_for_whoever_started_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="no such image"):
        serve(monkeypatch, [UserError("no such image")])
