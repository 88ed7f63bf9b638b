"""Puts the metrics of one lab's run together."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector

from daemon import program
from daemon.cost import Caps
from daemon.lab import Lab
from daemon.ledger import Ledger
from daemon.metrics import live
from daemon.metrics.catalog import Catalog, Provider, Run
from daemon.metrics.observer import MetricsObserver
from daemon.metrics.phase_clock import PhaseClock
from daemon.metrics.server import serving
from daemon.model import Arena
from daemon.observe import Observer
from daemon.sections import TimeSettings
from daemon.text import clean
from policies import config

MAX_LABEL_CHARACTERS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a run before it begins, and where to look up what changes by itself."""

    arena: Arena
    program_sha256: str
    times: TimeSettings
    caps: Caps
    directory: Path
    inbox_count: Callable[[], int]


@contextmanager
def published(lab: Lab, ledger: Ledger) -> Iterator[Sequence[Observer]]:
    """Serve the metrics of a run while inside; yields who must be told of its events: nobody where they are off.

    Raises:
        UserError: program.md cannot be used.
        LedgerError: the ledger cannot be read.
    """
    address = lab.settings.metrics.address
    if address is None:
        yield ()
        return
    registry = CollectorRegistry()
    observer = instruments(registry, facts_of(lab), ledger)
    ProcessCollector(registry=registry)
    with serving(address, registry) as port:
        yield () if port is None else (observer,)


def facts_of(lab: Lab) -> Facts:
    return Facts(
        arena=lab.arena,
        program_sha256=program.read(lab.directory / "program.md").sha256,
        times=lab.settings.time,
        caps=Caps(**lab.settings.cost.model_dump()),
        directory=lab.directory,
        inbox_count=lab.inbox.count,
    )


def instruments(
    registry: CollectorRegistry, facts: Facts, ledger: Ledger, clock: Callable[[], float] = time.monotonic
) -> MetricsObserver:
    """All instruments over a registry, standing where the ledger stands; returns who moves them.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    rules = [rule.name for rule in config.load("rules: {}")]  # all there are: policy.yaml may change between two runs
    catalog, phases = Catalog(registry, rules), PhaseClock(clock)
    registry.register(live.PhaseSeconds(phases))
    _describe(catalog.run, facts)
    _limit(catalog.provider, facts.caps)
    observer = MetricsObserver(catalog, phases)
    observer.resume(ledger.totals(), ledger.summaries(arena=facts.arena.fingerprint))
    return observer


def _describe(run: Run, facts: Facts) -> None:
    run.started_at.set_to_current_time()
    run.build.info({"version": version("autoresearchd"), "python": platform.python_version()})
    arena = {name: clean(str(value), MAX_LABEL_CHARACTERS) for name, value in asdict(facts.arena).items()}
    run.arena.info({"fingerprint": facts.arena.fingerprint, **arena})
    run.program.info({"sha256": facts.program_sha256})
    for part in ("startup", "train", "score"):
        run.budget.labels(part).set(getattr(facts.times, f"{part}_seconds"))
    run.inbox.set_function(live.lookup(facts.inbox_count))
    run.free_bytes.set_function(live.free_bytes(facts.directory))
    run.size_bytes.set_function(live.filesystem_bytes(facts.directory))


def _limit(provider: Provider, caps: Caps) -> None:
    """A cap that is not set has no series."""
    if caps.max_usd is not None:
        provider.cap_usd.labels("total").set(caps.max_usd)
    if caps.max_usd_per_day is not None:
        provider.cap_usd.labels("day").set(caps.max_usd_per_day)
    if caps.max_tokens is not None:
        provider.cap_tokens.labels("total").set(caps.max_tokens)
