"""The verbs that run trials, put together from a lab's parts."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from daemon import plot, results, selfcheck, selftest
from daemon.ahead import Ahead
from daemon.checker import Checker
from daemon.checking import policy_text
from daemon.console import ConsoleObserver
from daemon.cost import Caps
from daemon.credentials import KeySource
from daemon.decide import Greedy, Rule, Simpler
from daemon.files import private_folder
from daemon.lab import Lab
from daemon.lab_desk import desk_of
from daemon.ledger import Ledger
from daemon.lifecycle import StopFlag, lab_lock
from daemon.loop import Loop
from daemon.model import TrialResult, UserError
from daemon.observe import Event, ExperimentClosed, Observer, Observers, PhaseEntered, ProgramChanged, ProgramRefused
from daemon.payload import root
from daemon.program_watch import ProgramWatch
from daemon.proposers import interface as proposers
from daemon.proposing import Source
from daemon.settings import DecideSettings
from daemon.text import clean
from daemon.trial import Listener, SerialExecutor, TrialPlan, run_trial
from sandbox import preflight
from sandbox.interface import MAX_TRAIN_PY_BYTES


class ResultsFile:
    """Writes results.tsv after every experiment, for people's scripts."""

    def __init__(self, lab: Lab, ledger: Ledger) -> None:
        self._path = lab.directory / "results.tsv"
        self._ledger = ledger

    def notify(self, event: Event) -> None:
        if isinstance(event, ExperimentClosed):
            results.write(self._path, self._ledger.summaries())


def research(directory: Path, experiments: int, stop: StopFlag, console: Console, keys: KeySource | None = None) -> int:
    """Run up to ``experiments`` experiments in a lab; returns how many were decided.

    Raises:
        UserError: the lab is not ready, in use, or its baseline fails.
        OurFault: the service failed again and again.
    """
    from daemon.metrics.publish import published  # prometheus-client is for this verb alone

    lab = Lab(directory)
    with lab_lock(lab.state, "run"), lab.ledger() as ledger:
        lab.check_ready()
        preflight.check_memory(lab.settings.limits())
        selfcheck.ensure(lab)
        lab.workspace.start_branch()
        with published(lab, ledger) as measuring:
            observers = [ResultsFile(lab, ledger), *measuring]
            return _research(lab, ledger, experiments, stop, console, observers, keys or KeySource())


def _research(
    lab: Lab,
    ledger: Ledger,
    experiments: int,
    stop: StopFlag,
    console: Console,
    others: Sequence[Observer],
    keys: KeySource,
) -> int:
    observer = ConsoleObserver(console)
    observers = Observers([observer, *others])
    with observer.drawing(), _watch(lab, observers) as watch, Checker(policy_text(lab)) as checker:
        source = _source(lab, ledger, observers, stop, watch, checker, keys)
        loop = _loop(lab, ledger, observers, stop, source, checker)
        loop.recover(lab.wall.sandbox.reap(lab.id))
        return loop.run(experiments, stop_after=lambda: watch.current().knobs.stop_after)


def _watch(lab: Lab, observers: Observers) -> ProgramWatch:
    return ProgramWatch(
        lab.directory / "program.md",
        on_change=lambda program: observers.notify(ProgramChanged(sha256=program.sha256)),
        on_refused=lambda why: observers.notify(ProgramRefused(reason=clean(why, 500))),
    )


def _loop(lab: Lab, ledger: Ledger, observers: Observers, stop: StopFlag, source: Source, checker: Checker) -> Loop:
    settings = lab.settings
    return Loop(
        arena=lab.arena,
        ledger=ledger,
        workspace=lab.workspace,
        source=source,
        check=checker.check,
        executor=SerialExecutor(lab.wall.sandbox),
        plan=lab.spec,
        rule=_rule(settings.decide),
        train_seed=settings.decide.train_seed,
        startup_margin_seconds=settings.time.startup_margin_seconds,
        observers=observers,
        cancel=stop,
        sleep=stop.wait,
    )


def _rule(settings: DecideSettings) -> Rule:
    greedy = Greedy(min_gain_bpb=settings.min_gain_bpb)
    return Simpler(rule=greedy, equal_bpb=settings.equal_bpb) if settings.simpler else greedy


def _source(
    lab: Lab,
    ledger: Ledger,
    observers: Observers,
    stop: StopFlag,
    watch: ProgramWatch,
    checker: Checker,
    keys: KeySource,
) -> Source:
    settings = lab.settings
    given: dict[str, object] = {"seed": settings.proposer.seed, "lab": str(lab.directory), "keys": keys}
    proposer = proposers.load(settings.proposer.name, {**settings.proposer.options, **given})
    return Source(
        arena=lab.arena,
        ledger=ledger,
        reader=lab.ledger(one_thread=False),
        read=lab.workspace.read,
        ahead=Ahead(proposer, settings.proposer.lookahead, stop),
        inbox=lab.inbox,
        program=lambda: watch.current().text,
        caps=Caps(**settings.cost.model_dump()),
        profile=settings.profile,
        observers=observers,
        cancel=stop,
        sleep=stop.wait,
        desk=desk_of(lab, checker, arena=lab.arena.fingerprint, program=watch.current),
    )


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
        selfcheck.ensure(lab)
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
            return run_trial(lab.wall.sandbox, lab.spec(plan), listener)


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
        latest = ledger.latest()
        if latest is None:
            raise UserError("no experiments yet; start some with `autoresearch run --experiments 5`")
        plot.draw(ledger.summaries(arena=latest.arena), destination, title=f"autoresearch/{lab.settings.tag}")
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
