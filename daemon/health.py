"""Could a trial run now? Asked before each experiment, and after an outage more thoroughly."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from daemon.lab import Lab
from daemon.model import FaultKind, OurFault, TrialResult
from daemon.observe import Event, FaultSeen
from daemon.trial import Executor, Listener, TrialPlan
from sandbox.interface import MiB, SandboxSpec, SandboxUnavailable

MIN_FREE_BYTES = 1024 * MiB  # the ledger, git, and a sealed model of some hundred MiB
CANARY = TrialPlan(train_py=b"", run_id="canary", seed=0, free_startup_seconds=None)


class Health:
    """Looks at what a trial of this lab stands on. As an observer it hears of faults, and grows careful.

    An experiment that begins in an outage is interrupted, and given up after a few times: it had better not begin.
    """

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._in_doubt = False

    def notify(self, event: Event) -> None:
        if isinstance(event, FaultSeen) and event.kind is FaultKind.SERVICE:
            self._in_doubt = True

    def check(self) -> None:
        """See that a trial could run, and remove what an outage left.

        Raises:
            OurFault: it would fail by no fault of its own.
        """
        lab = self._lab
        try:
            lab.wall.sandbox.reap(lab.id)
            lab.wall.recheck()
            self.check_data()
            self._check_space()
            if self._in_doubt:
                self._try_containers()
        except SandboxUnavailable as error:
            raise OurFault(str(error)) from error
        self._in_doubt = False

    def check_data(self) -> None:
        """See that the data are those of the manifest, and that a container can read them.

        Raises:
            OurFault: they are not, or it cannot.
        """
        self._lab.dataset.check()
        if self._lab.settings.sandbox.kind == "docker":
            self._lab.dataset.check_readable()

    def _check_space(self) -> None:
        free = shutil.disk_usage(self._lab.state).free
        if free < MIN_FREE_BYTES:
            raise OurFault(
                f"only {free >> 20} MiB are free on the disk of {self._lab.state}; "
                f"an experiment needs {MIN_FREE_BYTES >> 20}"
            )

    def _try_containers(self) -> None:
        """A trial's volume and containers are made, the referee's is started, and all is removed again."""
        with self._lab.wall.sandbox.session(self._lab.spec(CANARY)):
            pass


class Guarded:
    """An executor whose trials count only where ``check`` finds nothing wrong afterwards."""

    def __init__(self, executor: Executor, check: Callable[[], None]) -> None:
        self._executor, self._check = executor, check

    def run(self, spec: SandboxSpec, listener: Listener) -> TrialResult:
        """Run the trial.

        Raises:
            OurFault: it failed by no fault of its own, or what it stood on has changed meanwhile.
        """
        result = self._executor.run(spec, listener)
        self._check()
        return result
