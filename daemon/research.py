"""The verbs that run trials, put together from a lab's parts."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from daemon import arenas, plot, selfcheck, selftest
from daemon.assembly import assembled
from daemon.console import ConsoleObserver
from daemon.credentials import KeySource
from daemon.files import private_folder
from daemon.lab import Lab
from daemon.lifecycle import StopFlag, lab_lock
from daemon.model import TrialResult, UserError
from daemon.observe import Observers, PhaseEntered
from daemon.payload import root
from daemon.slots import Waiting, alone, turns_of
from daemon.steering import Steering
from daemon.trial import Listener, TrialPlan, run_trial
from daemon.web.child import shown
from sandbox import preflight
from sandbox.interface import MAX_TRAIN_PY_BYTES


def research(
    directory: Path, experiments: int, steering: Steering, console: Console, keys: KeySource | None = None
) -> int:
    """Run up to ``experiments`` experiments in a lab; returns how many were decided.

    Raises:
        UserError: the lab is not ready, in use, or its baseline fails.
        OurFault: the service failed again and again.
    """
    lab, observer = Lab(directory), ConsoleObserver(console)
    with (
        lab_lock(lab.state, "run"),
        shown(lab, steering) as live,
        observer.drawing(),
        assembled(lab, steering, keys or KeySource(), [observer, live]) as parts,
    ):
        return parts.loop.run(experiments, stop_after=parts.stop_after)


def one_trial(directory: Path, file: Path, stop: StopFlag, console: Console) -> TrialResult:
    """Train and score one file, under the lab's lock: two trials on the same cores would disturb each other.

    Raises:
        UserError: the file cannot be used, or the lab is not ready.
        OurFault: the sandbox failed.
    """
    lab = Lab(directory)
    try:
        train_py = file.read_bytes()
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from error
    if len(train_py) > MAX_TRAIN_PY_BYTES:
        raise UserError(f"{file} has {len(train_py)} bytes; the sandbox takes {MAX_TRAIN_PY_BYTES} at most")
    with lab_lock(lab.state, "trial"):
        lab.check_owner()
        preflight.check_memory(lab.settings.limits())
        lab.wall.sandbox.reap(lab.id)
        selfcheck.ensure(lab, alone(lab, stop))
        plan = TrialPlan(
            train_py=train_py,
            run_id=f"trial-{uuid.uuid4().hex[:8]}",
            seed=lab.settings.decide.train_seed,
            free_startup_seconds=None,
        )
        observer = ConsoleObserver(console)
        with observer.drawing():
            listener = Listener(
                on_phase=lambda phase, seconds: observer.notify(
                    PhaseEntered(number=0, phase=phase, seconds=seconds, hypothesis=file.name)
                ),
                cancel=stop,
            )
            spec = lab.spec(plan)
            with turns_of(lab).held(spec, Waiting(gives_up=stop, observers=Observers([observer]))):
                return run_trial(lab.wall.sandbox, spec, listener)


def attack_lab(directory: Path, *, quick: bool, only: str | None, stop: StopFlag) -> Iterator[selftest.AttackResult]:
    """Attack this lab's sandbox with the corpus, under the lab's lock.

    Raises:
        UserError: the lab is not ready, or no attack is called so.
        OurFault: the honest control was not scored.
    """
    lab, count = Lab(directory), 0
    with lab_lock(lab.state, "selftest attack"):
        lab.check_owner()
        lab.wall.sandbox.reap(lab.id)
        for row in selftest.attack(selftest.range_of(lab), quick=quick, only=only, cancel=stop):
            count += 1
            yield row
    if not count and not stop():
        raise UserError(f"no attack has {only!r} in its name")


def draw(lab: Lab, to: Path | None) -> Path:
    """Draw the staircase of the champion's arena.

    Raises:
        UserError: there is nothing to draw yet.
    """
    destination = to or lab.directory / "progress.png"
    with lab.ledger() as ledger:
        arena = arenas.current(ledger)
        if arena is None:
            raise UserError("no experiments yet; start some with `autoresearch run --experiments 5`")
        plot.draw(ledger.summaries(arena=arena), destination, title=f"autoresearch/{lab.settings.tag}")
    return destination


def run_prepare(lab: Lab, arguments: Sequence[str]) -> int:
    """Run the lab's own prepare.py as a child, with this environment's Python; returns its exit status."""
    environment = {
        **os.environ,
        "AUTORESEARCH_PROFILE": lab.settings.profile,
        "AUTORESEARCH_DATA": str(lab.data_dir),
        "AUTORESEARCH_SAMPLE_DIR": str(root() / "data" / "sample"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    private_folder(lab.state)
    lab.data_dir.mkdir(parents=True, exist_ok=True)
    return subprocess.run([sys.executable, str(lab.directory / "prepare.py"), *arguments], env=environment).returncode
