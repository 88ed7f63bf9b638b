"""Every metric, by name: base units, ``_total`` for what only grows, labels from fixed lists alone.

No text of a candidate or a proposer becomes a label. What a training log claimed is called ``claimed``: it is shown to
people, and nothing is decided by it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from enum import StrEnum
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Enum, Gauge, Histogram, Info, disable_created_metrics

from daemon.metrics.phase_clock import LoopPhase
from daemon.model import Decision, FaultKind, TrialStatus

PREFIX = "autoresearch"
OTHER = "other"
_LEDGER = "over the lab's whole life: it goes on from the ledger after a restart"

# For budgets from 20 s to five minutes, sharp around both.
STARTUP_BUCKETS = (0.5, 1, 2, 3, 5, 7.5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 300)
TRAIN_BUCKETS = (5, 10, 15, 18, 19, 20, 21, 30, 60, 120, 180, 240, 270, 285, 290, 295, 300, 301, 330, 600)
SCORE_BUCKETS = (0.5, 1, 2, 3, 5, 7.5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300)
PROPOSE_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 180, 300, 600, 1800)
IDLE_BUCKETS = (0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800)


class TokenKind(StrEnum):
    """Whose price differs."""

    INPUT = "input"
    CACHED = "cached"
    CACHE_WRITE = "cache-write"
    OUTPUT = "output"


class Reload(StrEnum):
    """What became of a changed program.md."""

    TAKEN = "taken"
    REFUSED = "refused"


class Scores:
    """The champion, and what has come since."""

    def __init__(self, registry: CollectorRegistry) -> None:
        unknown = partial(_unknown, registry)
        self.champion_bpb = unknown("champion_val_bpb", "Validation bits per byte of the arena's champion.")
        self.last_bpb = unknown("last_val_bpb", "Validation bits per byte of the last experiment that was scored.")
        self.sigma = unknown("noise_sigma_bpb", "Standard deviation of one run's score over seeds, in this arena.")
        self.holdout_gap = unknown(
            "holdout_gap_bpb", "Holdout less validation bits per byte of the champion looked at last; for people only."
        )
        self.looks_left = unknown("holdout_looks_left", "Looks at the holdout that may still be taken.")
        self.champion_at = unknown("champion_closed_timestamp_seconds", "When the champion was kept, in Unix time.")
        self.champion_age = unknown(
            "champion_age_experiments", "Experiments decided in this arena since the champion was kept."
        )
        self.last_at = unknown(
            "last_experiment_closed_timestamp_seconds",
            "When an experiment was last closed in this arena, in Unix time.",
        )


class Trials:
    """How experiments and their trials ended, and how long they took."""

    def __init__(self, registry: CollectorRegistry, rules: Iterable[str]) -> None:
        count, histogram = partial(_count, registry), partial(_histogram, registry)
        self.experiments = count("experiments", f"Experiments closed, by decision, {_LEDGER}.", "decision", Decision)
        self.trials = count("trials", f"Trials that ended, by what ended them, {_LEDGER}.", "status", TrialStatus)
        self.rules = frozenset(rules)
        help_text = f"Experiments refused, by rule; one that several rules refuse counts for each; {_LEDGER}."
        self.refusals = count("refusals", help_text, "rule", [*sorted(self.rules), OTHER])
        self.voids = _plain(registry, "trials_voided", "Trials of this run that the host spoilt; they are run again.")
        self.withheld = _plain(registry, "withheld", "Candidates of this run that wait for a person: too good.")
        self.replicates = _plain(
            registry, "replicate_seconds", f"Seconds that went to replicates, the champion's included, {_LEDGER}."
        )
        self.seconds = _plain(registry, "trials_seconds", f"Seconds that went to trials, {_LEDGER}.")
        self.startup = histogram(
            "trial_startup_seconds", "From the start of the container to the release of the data.", STARTUP_BUCKETS
        )
        self.train = histogram(
            "trial_train_seconds",
            "From the release of the data to the end of training, sealing included.",
            TRAIN_BUCKETS,
        )
        self.score = histogram("trial_score_seconds", "The referee's audit and scoring.", SCORE_BUCKETS)
        self.disturbed = Counter(
            "trials_disturbed",
            "Trials of this run that something else on the machine made unlike others.",
            namespace=PREFIX,
            registry=registry,
        )


class Claims:
    """What the last training log claimed of itself, after its last ``---``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        unknown = partial(_unknown, registry)
        what = "of the last trial that was scored, as its log claims"
        self.speed = unknown("claimed_tokens_per_second", f"Training throughput {what}.")
        self.mfu = unknown("claimed_mfu_ratio", f"Model FLOPs utilisation {what}; 0 where the peak is not known.")
        self.memory = unknown("claimed_peak_memory_bytes", f"Peak GPU memory, else memory of the process, {what}.")
        self.tokens = _plain(
            registry, "claimed_trained_tokens", "Tokens trained in this run, as the logs of scored trials claim."
        )


class Live:
    """What the log of the trial that trains just now claims of itself."""

    def __init__(self, registry: CollectorRegistry) -> None:
        unknown = partial(_unknown, registry)
        what = "of the trial that trains now, as its last progress line claims"
        self.speed = unknown("claimed_live_tokens_per_second", f"Training throughput {what}.")
        self.loss = unknown("claimed_live_loss_nats", f"Training loss, in nats a token, {what}.")
        self.step = unknown("claimed_live_step", f"Optimiser step {what}.")

    def clear(self) -> None:
        """Nothing trains."""
        for gauge in (self.speed, self.loss, self.step):
            gauge.set(math.nan)


class Provider:
    """Who proposes, and what that costs."""

    def __init__(self, registry: CollectorRegistry) -> None:
        count = partial(_count, registry)
        self.seconds = _histogram(
            registry,
            "propose_seconds",
            "What the proposer took for a proposal, hidden by training or not.",
            PROPOSE_BUCKETS,
        )
        self.tokens = count("provider_tokens", f"Tokens that the provider counted, {_LEDGER}.", "kind", TokenKind)
        self.usd = _plain(
            registry,
            "provider_cost_usd",
            f"US dollars that the provider costs by its list prices, where they are known, {_LEDGER}.",
        )
        self.faults = count(
            "faults",
            "Failures of the service or the provider in this run; they judge no experiment.",
            "kind",
            FaultKind,
        )
        caps = partial(Gauge, namespace=PREFIX, registry=registry)
        self.cap_usd = caps("provider_cap_usd", "Where [cost] of lab.toml ends the spending.", ["period"])
        self.cap_tokens = caps("provider_cap_tokens", "Where [cost] of lab.toml ends the asking.", ["period"])


class Run:
    """The loop itself: what it is at, and on what terms."""

    def __init__(self, registry: CollectorRegistry) -> None:
        gauge = partial(Gauge, namespace=PREFIX, registry=registry)
        self.phase = Enum(
            "loop_phase",
            "What the loop is at.",
            namespace=PREFIX,
            registry=registry,
            states=[phase.value for phase in LoopPhase],
        )
        self.idle = _histogram(
            registry, "slot_idle_seconds", "Between two trials: proposing, checks, git, pauses and waits.", IDLE_BUCKETS
        )
        self.ahead = gauge("slot_queue_ahead", "Labs that come first on this machine; 0 while none is waited for.")
        self.paused = gauge("paused", "1 while the loop waits by rule: the money of the day is spent.")
        self.started_at = gauge("run_started_timestamp_seconds", "When this run began, in Unix time.")
        self.budget = gauge("budget_seconds", "What lab.toml grants one trial, by part.", ["part"])
        self.reloads = _count(
            registry, "program_reloads", "Changes of program.md in this run, by what became of them.", "outcome", Reload
        )
        self.inbox = gauge("inbox_patches", "Patches that were handed in and wait.")
        self.free_bytes = gauge("lab_free_bytes", "Free space where the lab lies.")
        self.size_bytes = gauge("lab_filesystem_bytes", "Size of the file system where the lab lies.")
        info = partial(Info, namespace=PREFIX, registry=registry)
        self.build = info("build", "Versions of what is running.")
        self.arena = info("arena", "The conditions under which scores are comparable; a new arena begins anew.")
        self.program = info("program", "The sha256 of the program.md in force.")


class Catalog:
    """All of them, over one registry."""

    def __init__(self, registry: CollectorRegistry, rules: Iterable[str]) -> None:
        # A time of creation says nothing of a count that goes on from the ledger.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.scores = Scores(registry)
        self.trials = Trials(registry, rules)
        self.claims = Claims(registry)
        self.live = Live(registry)
        self.provider = Provider(registry)
        self.run = Run(registry)


def _unknown(registry: CollectorRegistry, name: str, text: str) -> Gauge:
    """A gauge that says NaN, and not 0, until something is known."""
    gauge = Gauge(name, f"{text} NaN while unknown.", namespace=PREFIX, registry=registry)
    gauge.set(math.nan)
    return gauge


def _count(registry: CollectorRegistry, name: str, text: str, label: str, values: Iterable[str]) -> Counter:
    """Every value of the label is there from the beginning, at 0: a rate needs a first sample."""
    counter = Counter(name, text, [label], namespace=PREFIX, registry=registry)
    for value in values:
        counter.labels(str(value))
    return counter


def _plain(registry: CollectorRegistry, name: str, text: str) -> Counter:
    return Counter(name, text, namespace=PREFIX, registry=registry)


def _histogram(registry: CollectorRegistry, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
    return Histogram(name, text, namespace=PREFIX, registry=registry, buckets=buckets)
