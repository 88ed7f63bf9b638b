"""Moves the instruments as the loop's events come in."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime

from daemon.ledger import Totals, summarise
from daemon.metrics.catalog import OTHER, Catalog, Reload, TokenKind
from daemon.metrics.phase_clock import IN_A_TRIAL, LoopPhase, PhaseClock, outside_trials
from daemon.model import Decision, Experiment, Summary, TrialResult, TrialStatus, Usage
from daemon.observe import (
    Claimed,
    Disturbed,
    Event,
    ExperimentClosed,
    FaultSeen,
    HoldoutSeen,
    NoiseKnown,
    Paused,
    PhaseEntered,
    ProgramChanged,
    ProgramRefused,
    ProposalAwaited,
    ProposalMade,
    ProviderCharged,
    SlotAwaited,
    SlotTaken,
    TrialEnded,
    TrialVoided,
    Withheld,
)

MAX_CLAIM = 1e15  # beyond this a log is boasting, and a sum would never be right again
MIB = 2**20


class MetricsObserver:
    """See :class:`daemon.observe.Observer`."""

    def __init__(self, catalog: Catalog, phases: PhaseClock) -> None:
        self._catalog = catalog
        self._phases = phases
        self._idle_until_now = 0.0
        self._number = -1  # of what is being tried

    def resume(self, totals: Totals, rows: Iterable[Summary]) -> None:
        """Go on from the ledger; ``rows`` are those of the present arena, in order."""
        trials, provider = self._catalog.trials, self._catalog.provider
        for decision, count in totals.decisions.items():
            trials.experiments.labels(decision.value).inc(count)
        for status, count in totals.trials.items():
            trials.trials.labels(status.value).inc(count)
        for rule, count in totals.refusals.items():
            trials.refusals.labels(self._rule(rule)).inc(count)
        for kind, tokens in _tokens(totals).items():
            provider.tokens.labels(kind.value).inc(tokens)
        provider.usd.inc(totals.usd)
        trials.seconds.inc(totals.trial_seconds)
        trials.replicates.inc(totals.replicate_seconds)
        for row in rows:
            self._stand(row)

    def notify(self, event: Event) -> None:
        match event:
            case PhaseEntered():
                self._number = event.number
                self._enter(_PHASES.get(event.phase, self._phases.phase))
            case SlotAwaited():
                self._enter(LoopPhase.QUEUED)
                self._catalog.run.ahead.set(event.ahead)
            case SlotTaken():
                self._enter(LoopPhase.IDLE)
                self._catalog.run.ahead.set(0)
            case Disturbed():
                self._catalog.trials.disturbed.inc()
            case Claimed():
                self._live(event)
            case TrialEnded():
                self._enter(LoopPhase.IDLE)
                self._trial(event.result)
            case TrialVoided():
                self._enter(LoopPhase.IDLE)
                self._catalog.trials.voids.inc()
            case ExperimentClosed():
                self._enter(LoopPhase.IDLE)
                self._closed(event.experiment)
            case ProposalAwaited():
                self._enter(LoopPhase.PROPOSING)
            case ProposalMade():
                self._enter(LoopPhase.IDLE)
                self._catalog.provider.seconds.observe(event.seconds)
            case ProviderCharged():
                self._charge(event.usage)
            case FaultSeen():
                self._catalog.provider.faults.labels(event.kind.value).inc()
                if event.retry_seconds:
                    self._enter(LoopPhase.WAITING)
            case Paused():
                self._enter(LoopPhase.PAUSED)
            case ProgramChanged():
                self._catalog.run.reloads.labels(Reload.TAKEN.value).inc()
                self._catalog.run.program.info({"sha256": event.sha256})
            case ProgramRefused():
                self._catalog.run.reloads.labels(Reload.REFUSED.value).inc()
            case _:
                self._believe(event)

    def _believe(self, event: Event) -> None:
        """What says how far the scores can be trusted."""
        match event:
            case Withheld():
                self._catalog.trials.withheld.inc()
                self._spend(event.experiment)
            case HoldoutSeen():
                self._catalog.scores.holdout_gap.set(event.holdout_bpb - event.val_bpb)
                self._catalog.scores.looks_left.set(event.left)
            case NoiseKnown():
                self._catalog.scores.sigma.set(event.sigma_bpb)
            case _:
                pass

    def _enter(self, phase: LoopPhase) -> None:
        before = self._phases.phase
        self._phases.enter(phase)
        if phase is not LoopPhase.TRAINING:
            self._catalog.live.clear()
        self._catalog.run.phase.state(phase.value)
        self._catalog.run.paused.set(phase is LoopPhase.PAUSED)
        if phase in IN_A_TRIAL and before not in IN_A_TRIAL:
            outside = outside_trials(self._phases.seconds())
            self._catalog.run.idle.observe(max(0.0, outside - self._idle_until_now))
            self._idle_until_now = outside

    def _live(self, event: Claimed) -> None:
        if event.number != self._number or self._phases.phase not in (LoopPhase.STARTING, LoopPhase.TRAINING):
            return  # a late word of a trial that is over
        live = self._catalog.live
        live.speed.set(event.tokens_per_second)
        live.loss.set(event.loss)
        live.step.set(event.step)

    def _trial(self, result: TrialResult) -> None:
        trials = self._catalog.trials
        trials.trials.labels(result.status.value).inc()
        trials.startup.observe(result.startup_seconds)
        trials.train.observe(result.train_wall_seconds)
        if result.score_seconds:  # 0 where the referee was not asked
            trials.score.observe(result.score_seconds)
        if result.status is TrialStatus.OK:
            self._claim(result.claimed or {})

    def _claim(self, claimed: Mapping[str, float]) -> None:
        claims = self._catalog.claims
        tokens = _plausible(claimed.get("total_tokens_M"), 1e6)
        seconds = _plausible(claimed.get("training_seconds"))
        claims.speed.set(tokens / seconds if seconds > 0 else math.nan)
        claims.mfu.set(_plausible(claimed.get("mfu_percent"), 0.01))
        claims.memory.set(_plausible(claimed.get("peak_vram_mb"), MIB))
        claims.tokens.inc(0.0 if math.isnan(tokens) else tokens)

    def _closed(self, experiment: Experiment) -> None:
        trials, verdict = self._catalog.trials, experiment.verdict
        if experiment.decision is None:
            return
        trials.experiments.labels(experiment.decision.value).inc()
        self._spend(experiment)
        if verdict is not None:
            for rule in {self._rule(finding.rule) for finding in verdict.findings}:
                trials.refusals.labels(rule).inc()
        self._stand(experiment)

    def _stand(self, experiment: Experiment | Summary) -> None:
        """The arena's champion, and the last experiment."""
        scores = self._catalog.scores
        if experiment.decision is None or experiment.closed_at is None:
            return
        closed_at, bpb = datetime.fromisoformat(experiment.closed_at).timestamp(), experiment.val_bpb
        scores.last_at.set(closed_at)
        if bpb is not None:
            scores.last_bpb.set(bpb)
        if experiment.decision is Decision.KEEP:
            scores.champion_bpb.set(math.nan if bpb is None else bpb)
            scores.champion_at.set(closed_at)
            scores.champion_age.set(0)
        else:
            scores.champion_age.inc()

    def _spend(self, experiment: Experiment) -> None:
        row = summarise(experiment)
        self._catalog.trials.seconds.inc(row.total_seconds)
        self._catalog.trials.replicates.inc(row.replicate_seconds)

    def _charge(self, usage: Usage) -> None:
        for kind, tokens in _tokens(usage).items():
            self._catalog.provider.tokens.labels(kind.value).inc(tokens)
        self._catalog.provider.usd.inc(usage.usd or 0.0)

    def _rule(self, name: str) -> str:
        """The rule without the settings in its name; one that is not known is ``other``."""
        plain = name.split(" ", 1)[0]
        return plain if plain in self._catalog.trials.rules else OTHER


_PHASES = {phase.value: phase for phase in IN_A_TRIAL}


def _tokens(counted: Totals | Usage) -> dict[TokenKind, int]:
    return {
        TokenKind.INPUT: counted.input_tokens,
        TokenKind.CACHED: counted.cached_tokens,
        TokenKind.CACHE_WRITE: counted.cache_write_tokens,
        TokenKind.OUTPUT: counted.output_tokens,
    }


def _plausible(value: float | None, factor: float = 1.0) -> float:
    """A number that a log claimed, in base units; NaN for what cannot be."""
    return value * factor if value is not None and 0 <= value * factor <= MAX_CLAIM else math.nan
