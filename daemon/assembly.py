"""A lab's parts put together into a loop that can run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from daemon import judging, models, results, selfcheck
from daemon.ahead import Ahead
from daemon.approval import approved
from daemon.checker import Checker
from daemon.checking import policy_text
from daemon.cost import Caps
from daemon.credentials import KeySource
from daemon.demotion import Corrections
from daemon.evidence import Evidence, NoiseTeller
from daemon.holdout import score_holdout
from daemon.lab import Lab
from daemon.lab_desk import desk_of
from daemon.ledger import Ledger, Looked
from daemon.live_log import LiveLog
from daemon.looking import Holdout
from daemon.loop import Loop
from daemon.model import Experiment, OurFault
from daemon.observe import Event, ExperimentClosed, Observer, Observers, ProgramChanged, ProgramRefused
from daemon.program_watch import ProgramWatch
from daemon.proposers import interface as proposers
from daemon.proposing import Source
from daemon.slots import Queued, alone, turns_of
from daemon.steering import Steering
from daemon.telescope import pointing
from daemon.text import clean
from daemon.tidying import Tidying
from daemon.trial import Executor, SerialExecutor
from daemon.trying import Trying
from daemon.watched import Watched
from sandbox import preflight
from sandbox.interface import MiB, SandboxUnavailable

MIN_FREE_BYTES = 1024 * MiB  # the ledger, git, and a sealed model of some hundred MiB


class ResultsFile:
    """Keeps results.tsv up after every experiment, for people's scripts."""

    def __init__(self, lab: Lab, ledger: Ledger) -> None:
        self._file = results.ResultsFile(lab.directory / "results.tsv")
        self._ledger = ledger

    def notify(self, event: Event) -> None:
        if isinstance(event, ExperimentClosed):
            self._file.update(self._ledger.summaries())


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """A loop over a lab that was found ready, and the brief that it goes by."""

    loop: Loop
    watch: ProgramWatch

    def stop_after(self) -> int | None:
        return self.watch.current().knobs.stop_after


@contextmanager
def assembled(lab: Lab, steering: Steering, keys: KeySource, watching: Sequence[Observer]) -> Iterator[Assembled]:
    """Check that the lab is ready, mend what a killed process left, and give out its loop. The lab's lock is held.

    Raises:
        UserError: the lab is not ready.
        OurFault: the service failed.
    """
    from daemon.metrics.publish import published  # prometheus-client is for those who run, not for those who look
    from daemon.plugins.load import plugged

    plugins = lab.settings.observers
    with lab.ledger() as ledger, lab.ledger(one_thread=False) as reader:
        lab.check_ready()
        preflight.check_memory(lab.settings.limits())
        selfcheck.ensure(lab, alone(lab, steering.leaves, watching))
        lab.workspace.start_branch()
        with (
            published(lab, ledger) as measuring,
            plugged(plugins.on, plugins.options, lab.directory, lab.state) as others,
            _observed(lab, [*watching, *_files(lab, ledger), *measuring, *others]) as (observers, watch),
            Checker(policy_text(lab)) as checker,
        ):
            evidence = Evidence(ledger, lab.arena.fingerprint)
            observers.join(NoiseTeller(evidence, observers.notify))
            source = _source(lab, ledger, reader, observers, steering, watch, checker, keys)
            if lab.settings.decide.rule == "replicated":
                source = replace(source, corrections=Corrections(ledger=ledger, evidence=evidence).next)
            loop = _loop(lab, ledger, observers, steering, source, checker, evidence)
            loop.recover(lab.wall.sandbox.reap(lab.id))
            try:
                yield Assembled(loop=loop, watch=watch)
            finally:
                source.ahead.close()


def _files(lab: Lab, ledger: Ledger) -> Sequence[Observer]:
    """Those who write what people and other commands read beside the ledger."""
    return ResultsFile(lab, ledger), LiveLog(lab.state), Tidying(lab, ledger)


@contextmanager
def _observed(lab: Lab, watching: Sequence[Observer]) -> Iterator[tuple[Observers, ProgramWatch]]:
    """Those who are told of events, and the watch on program.md, which tells them of its changes."""
    observers = Observers(watching)
    watch = ProgramWatch(
        lab.directory / "program.md",
        on_change=lambda program: observers.notify(ProgramChanged(sha256=program.sha256)),
        on_refused=lambda why: observers.notify(ProgramRefused(reason=clean(why, 500))),
    )
    with watch:
        yield observers, watch


def _loop(
    lab: Lab,
    ledger: Ledger,
    observers: Observers,
    steering: Steering,
    source: Source,
    checker: Checker,
    evidence: Evidence,
) -> Loop:
    settings = lab.settings
    return Loop(
        arena=lab.arena,
        ledger=ledger,
        workspace=lab.workspace,
        source=source,
        check=checker.check,
        trying=Trying(
            ledger=ledger,
            executor=_executor(lab, observers, steering),
            plan=lab.spec,
            judge=judging.judge_of(settings.decide, ledger, evidence, approved(lab.state)),
            train_seed=settings.decide.train_seed,
            startup_margin_seconds=settings.time.startup_margin_seconds,
            observers=observers,
            steering=steering,
            prepare=source.prepare,
        ),
        observers=observers,
        steering=steering,
        healthy=lambda: _check_health(lab),
        kept=_holdout(lab, ledger, observers, steering).kept,
    )


def _holdout(lab: Lab, ledger: Ledger, observers: Observers, steering: Steering) -> Holdout:
    """No look without a kept model to look with."""
    settings = lab.settings
    looks = settings.holdout.looks if settings.retention.models else 0

    def score(champion: Experiment) -> Looked:
        found = score_holdout(lab, champion.number, cancel=steering.stops_now)
        if found.bpb is None:
            raise OurFault(f"the referee refused the champion's model there: {clean(found.reason, 200)}")
        return Looked(holdout_bpb=found.bpb, val_bpb=found.val_bpb, sealed_sha256=found.sealed_sha256)

    return Holdout(ledger=ledger, looks=looks, score=score, observers=observers)


def _executor(lab: Lab, observers: Observers, steering: Steering) -> Executor:
    """Trials one by one, each under the eyes of the host, and each when it is this lab's turn."""
    trials: Executor = SerialExecutor(lab.wall.sandbox)
    if lab.settings.retention.models:
        trials = models.KeepingExecutor(trials, models.of_lab(lab.state))
    watched = Watched(trials, pointing(lab), lab.settings.telemetry, observers, steering)
    turns = turns_of(lab)
    turns.check()
    return Queued(watched, turns, observers, steering)


def _check_health(lab: Lab) -> None:
    """See that a trial could run now, and remove what an outage left.

    Raises:
        OurFault: it would fail by no fault of its own.
    """
    try:
        lab.wall.sandbox.reap(lab.id)
        lab.dataset.check_sizes()
    except SandboxUnavailable as error:
        raise OurFault(str(error)) from error
    free = shutil.disk_usage(lab.state).free
    if free < MIN_FREE_BYTES:
        raise OurFault(
            f"only {free >> 20} MiB are free on the disk of {lab.state}; an experiment needs {MIN_FREE_BYTES >> 20}"
        )


def _source(
    lab: Lab,
    ledger: Ledger,
    reader: Ledger,
    observers: Observers,
    steering: Steering,
    watch: ProgramWatch,
    checker: Checker,
    keys: KeySource,
) -> Source:
    settings = lab.settings
    caps = Caps(**settings.cost.model_dump())
    given: dict[str, object] = {
        "seed": settings.proposer.seed,
        "lab": str(lab.directory),
        "keys": keys,
        "usd_capped": caps.max_usd is not None or caps.max_usd_per_day is not None,
    }
    proposer = proposers.load(settings.proposer.name, {**settings.proposer.options, **given})
    return Source(
        arena=lab.arena,
        ledger=ledger,
        reader=reader,
        read=lab.workspace.read,
        ahead=Ahead(proposer, settings.proposer.lookahead, steering.stops_now),
        inbox=lab.inbox,
        program=lambda: watch.current().text,
        caps=caps,
        profile=settings.profile,
        observers=observers,
        cancel=steering.stops_now,
        sleep=steering.wait,
        desk=desk_of(
            lab,
            checker,
            arena=lab.arena.fingerprint,
            program=watch.current,
            noise=Evidence(reader, lab.arena.fingerprint).noise,
        ),
    )
