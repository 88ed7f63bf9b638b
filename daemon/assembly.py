"""A lab's parts put together into a loop that can run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from daemon import judging, leftovers, models, results, selfcheck
from daemon.ahead import Ahead
from daemon.approval import approved
from daemon.checker import Checker
from daemon.checking import policy_text
from daemon.cost import Caps
from daemon.credentials import KeySource
from daemon.demotion import Corrections
from daemon.evidence import Evidence, NoiseTeller
from daemon.health import Guarded, Health
from daemon.holdout import is_kept, score_holdout
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
from sandbox.faultpoints import reach


class ResultsFile:
    """Keeps results.tsv up after every experiment, for people's scripts."""

    def __init__(self, lab: Lab, ledger: Ledger) -> None:
        self._file = results.ResultsFile(lab.directory / "results.tsv")
        self._ledger = ledger

    def notify(self, event: Event) -> None:
        if isinstance(event, ExperimentClosed):
            self.update()

    def update(self) -> None:
        """Bring it in line with the ledger."""
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
    with lab.ledger() as ledger, ExitStack() as undo:
        reader = undo.enter_context(lab.ledger(one_thread=False))
        health = Health(lab)
        lab.check_ready()
        # First of all: what a killed process left holds memory and the very cores that a self-check is to run on.
        reaped = [*lab.wall.sandbox.reap(lab.id), *leftovers.clear(lab)]
        reach("start.reaped")
        preflight.check_memory(lab.settings.limits())
        selfcheck.ensure(lab, alone(lab, steering.leaves, watching))
        lab.workspace.start_branch()
        written = ResultsFile(lab, ledger)
        files: Sequence[Observer] = (written, LiveLog(lab.state), Tidying(lab, ledger))
        with (
            published(lab, ledger) as measuring,
            plugged(plugins.on, plugins.options, lab.directory, lab.state) as others,
            _observed(lab, [*watching, *files, *measuring, *others, health]) as (observers, watch),
            Checker(policy_text(lab)) as checker,
        ):
            evidence = Evidence(ledger, lab.arena.fingerprint)
            observers.join(NoiseTeller(evidence, observers.notify))
            source = _source(lab, ledger, reader, observers, steering, watch, checker, keys)
            if lab.settings.decide.rule == "replicated":
                source = replace(source, corrections=Corrections(ledger=ledger, evidence=evidence).next)
            reading = undo.pop_all()  # from here on its thread closes what it reads from
            try:
                loop = _loop(lab, ledger, observers, steering, source, checker, evidence, health)
                loop.recover(reaped)
                if (champion := ledger.champion(lab.arena.fingerprint)) is not None:
                    loop.kept(champion)  # a kill may have come before its look
                written.update()
                reach("start.recovered")
                yield Assembled(loop=loop, watch=watch)
            finally:
                source.ahead.close(reading.close)


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
    health: Health,
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
            executor=_executor(lab, observers, steering, health),
            plan=lab.spec,
            judge=judging.judge_of(settings.decide, ledger, evidence, approved(lab.state)),
            train_seed=settings.decide.train_seed,
            startup_margin_seconds=settings.time.startup_margin_seconds,
            observers=observers,
            steering=steering,
            replicates=settings.decide.rule == "replicated",
            prepare=source.prepare,
        ),
        observers=observers,
        steering=steering,
        healthy=health.check,
        kept=_holdout(lab, ledger, observers, steering).kept,
    )


def _holdout(lab: Lab, ledger: Ledger, observers: Observers, steering: Steering) -> Holdout:
    """No look without a kept model to look with."""
    settings = lab.settings
    looks = settings.holdout.looks if settings.retention.models else 0

    def score(champion: Experiment) -> Looked | None:
        if not is_kept(lab, champion.number):
            return None
        found = score_holdout(lab, champion.number, cancel=steering.stops_now)
        if found.bpb is None:
            raise OurFault(f"the referee refused the champion's model there: {clean(found.reason, 200)}")
        return Looked(holdout_bpb=found.bpb, val_bpb=found.val_bpb, sealed_sha256=found.sealed_sha256)

    return Holdout(ledger=ledger, looks=looks, score=score, observers=observers)


def _executor(lab: Lab, observers: Observers, steering: Steering, health: Health) -> Executor:
    """Trials one by one, each under the eyes of the host, and each when it is this lab's turn."""
    trials: Executor = Guarded(SerialExecutor(lab.wall.sandbox), health.check_data)
    if lab.settings.retention.models:
        trials = models.KeepingExecutor(trials, models.of_lab(lab.state))
    watched = Watched(trials, pointing(lab), lab.settings.telemetry, observers, steering)
    turns = turns_of(lab)
    turns.check()
    return Queued(watched, turns, observers, steering)


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
