"""Whether a trial could run now; what was in doubt once is tried out before the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from specs import a_spec

from daemon import health
from daemon.health import Guarded, Health
from daemon.lab import Lab
from daemon.model import FaultKind, OurFault
from daemon.observe import FaultSeen
from daemon.trial import Listener, SerialExecutor
from sandbox.fake import FakeRun, FakeSandbox
from sandbox.interface import SandboxSpec, SandboxUnavailable

FAULT = FaultSeen(message="no engine", retry_seconds=5.0)


@dataclass
class Sandbox(FakeSandbox):
    """One whose sessions fail while ``broken``."""

    script: Callable[[SandboxSpec], FakeRun] = lambda _: FakeRun(val_bpb=1.0)
    broken: bool = False
    opened: int = 0

    @contextmanager
    def session(self, spec: SandboxSpec) -> Iterator[object]:  # type: ignore[override]
        self.opened += 1
        if self.broken:
            raise SandboxUnavailable("containers cannot be started")
        with super().session(spec) as session:
            yield session


@dataclass
class Fakes:
    """A lab of which each part can be made to fail."""

    state: Path
    sandbox: Sandbox = field(default_factory=Sandbox)
    wrong: dict[str, str] = field(default_factory=dict)

    def lab(self) -> Lab:
        def fail(what: str) -> Callable[[], None]:
            def check() -> None:
                if what in self.wrong:
                    raise OurFault(self.wrong[what])

            return check

        parts = SimpleNamespace(
            id="lab",
            state=self.state,
            settings=SimpleNamespace(sandbox=SimpleNamespace(kind="docker")),
            wall=SimpleNamespace(sandbox=self.sandbox, recheck=fail("image")),
            dataset=SimpleNamespace(check=fail("data"), check_readable=fail("readable")),
            spec=lambda plan: a_spec(train_py=plan.train_py, run_id=plan.run_id),
        )
        return cast(Lab, parts)


def test_each_part_is_looked_at_and_each_has_its_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes = Fakes(tmp_path)
    looking = Health(fakes.lab())
    looking.check()
    assert fakes.sandbox.reaped == 1 and fakes.sandbox.opened == 0, "a healthy lab costs no container"
    for part in ("image", "data", "readable"):
        fakes.wrong = {part: f"the {part} is wrong"}
        with pytest.raises(OurFault, match=f"the {part} is wrong"):
            looking.check()
    fakes.wrong = {}
    monkeypatch.setattr(health, "MIN_FREE_BYTES", 1 << 60)
    with pytest.raises(OurFault, match="MiB are free on the disk"):
        looking.check()


def test_after_a_fault_containers_are_tried_until_they_work_and_then_no_more(tmp_path: Path) -> None:
    fakes = Fakes(tmp_path)
    looking = Health(fakes.lab())
    looking.notify(FAULT)
    fakes.sandbox.broken = True
    for _ in range(2):
        with pytest.raises(OurFault, match="containers cannot be started"):
            looking.check()
    fakes.sandbox.broken = False
    looking.check()
    looking.check()
    assert fakes.sandbox.opened == 3


def test_a_proposer_in_trouble_casts_no_doubt_on_the_sandbox(tmp_path: Path) -> None:
    fakes = Fakes(tmp_path)
    looking = Health(fakes.lab())
    looking.notify(FaultSeen(message="nothing usable", retry_seconds=0.0, kind=FaultKind.PROPOSAL))
    looking.check()
    assert fakes.sandbox.opened == 0


def test_a_trial_whose_data_changed_under_it_does_not_count() -> None:
    fine = SerialExecutor(FakeSandbox(lambda _: FakeRun(val_bpb=1.0)))
    spec = a_spec(train_py=b"x", run_id="1")
    assert Guarded(fine, lambda: None).run(spec, Listener()).score is not None

    def changed() -> None:
        raise OurFault("the data have changed")

    with pytest.raises(OurFault, match="have changed"):
        Guarded(fine, changed).run(spec, Listener())
