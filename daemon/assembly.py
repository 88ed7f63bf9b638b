"""A lab's parts put together into a loop that can run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from daemon import leftovers, results, selfcheck
from daemon.ahead import Ahead
from daemon.checker import Checker
from daemon.checking import policy_text
from daemon.cost import Caps
from daemon.credentials import KeySource
from daemon.decide import Greedy, Rule, Simpler
from daemon.health import Guarded, Health
from daemon.lab import Lab
from daemon.lab_desk import desk_of
from daemon.ledger import Ledger
from daemon.loop import Loop
from daemon.observe import Event, ExperimentClosed, Observer, Observers, ProgramChanged, ProgramRefused
from daemon.program_watch import ProgramWatch
from daemon.proposers import interface as proposers
from daemon.proposing import Source
from daemon.sections import DecideSettings
from daemon.steering import Steering
from daemon.text import clean
from daemon.trial import SerialExecutor
from sandbox import preflight
from sandbox.faultpoints import reach


class ResultsFile:
    """Writes results.tsv after every experiment, for people's scripts."""

    def __init__(self, lab: Lab, ledger: Ledger) -> None:
        self._lab = lab
        self._ledger = ledger

    def notify(self, event: Event) -> None:
        if isinstance(event, ExperimentClosed):
            _write_results(self._lab, self._ledger)


def _write_results(lab: Lab, ledger: Ledger) -> None:
    results.write(lab.directory / "results.tsv", ledger.summaries())


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

    with lab.ledger() as ledger, ExitStack() as undo:
        reader = undo.enter_context(lab.ledger(one_thread=False))
        health = Health(lab)
        lab.check_ready()
        # First of all: what a killed process left holds memory and the very cores that a self-check is to run on.
        reaped = [*lab.wall.sandbox.reap(lab.id), *leftovers.clear(lab)]
        reach("start.reaped")
        preflight.check_memory(lab.settings.limits())
        selfcheck.ensure(lab)
        lab.workspace.start_branch()
        with (
            published(lab, ledger) as measuring,
            _observed(lab, [*watching, ResultsFile(lab, ledger), *measuring, health]) as (observers, watch),
            Checker(policy_text(lab)) as checker,
        ):
            source = _source(lab, ledger, reader, observers, steering, watch, checker, keys)
            reading = undo.pop_all()  # from here on its thread closes what it reads from
            try:
                loop = _loop(lab, ledger, observers, steering, source, checker, health)
                loop.recover(reaped)
                _write_results(lab, ledger)
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
    health: Health,
) -> Loop:
    settings = lab.settings
    return Loop(
        arena=lab.arena,
        ledger=ledger,
        workspace=lab.workspace,
        source=source,
        check=checker.check,
        executor=Guarded(SerialExecutor(lab.wall.sandbox), health.check_data),
        plan=lab.spec,
        rule=_rule(settings.decide),
        train_seed=settings.decide.train_seed,
        startup_margin_seconds=settings.time.startup_margin_seconds,
        observers=observers,
        steering=steering,
        healthy=health.check,
    )


def _rule(settings: DecideSettings) -> Rule:
    greedy = Greedy(min_gain_bpb=settings.min_gain_bpb)
    return Simpler(rule=greedy, equal_bpb=settings.equal_bpb) if settings.simpler else greedy


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
        desk=desk_of(lab, checker, arena=lab.arena.fingerprint, program=watch.current),
    )
