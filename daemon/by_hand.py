"""Trials that a person asks for: what must hold before one, and its phases on the console."""

from __future__ import annotations

from rich.console import Console

from daemon import selfcheck
from daemon.console import ConsoleObserver
from daemon.lab import Lab
from daemon.lifecycle import StopFlag
from daemon.model import TrialResult
from daemon.observe import Observers, PhaseEntered
from daemon.slots import Waiting, alone, turns_of
from daemon.trial import Executor, Listener
from sandbox import preflight
from sandbox.interface import SandboxSpec


def prepared(lab: Lab, stop: StopFlag) -> None:
    """See that a trial may run in this lab, whose lock is held, and remove what an earlier one left.

    Raises:
        UserError: files of others, too little memory, or a wall that does not hold.
        SandboxUnavailable: no engine answers.
    """
    lab.check_owner()
    preflight.check_memory(lab.settings.limits())
    lab.wall.sandbox.reap(lab.id)
    selfcheck.ensure(lab, alone(lab, stop))


def run_watched(
    lab: Lab, executor: Executor, spec: SandboxSpec, number: int, what: str, stop: StopFlag, console: Console
) -> TrialResult:
    """One trial when it is this lab's turn, with its phases shown on the console."""
    observer = ConsoleObserver(console)

    def on_phase(phase: str, seconds: float) -> None:
        observer.notify(PhaseEntered(number=number, phase=phase, seconds=seconds, hypothesis=what))

    waiting = Waiting(gives_up=stop, observers=Observers([observer]))
    with observer.drawing(), turns_of(lab).held(spec, waiting):
        return executor.run(spec, Listener(on_phase=on_phase, cancel=stop))
