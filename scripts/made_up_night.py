"""A night that never was, told to the real instruments: what ``scripts/dashboard_preview.py`` draws."""

from __future__ import annotations

import math
import random
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client import CollectorRegistry

from daemon.cost import Caps
from daemon.ledger import Ledger
from daemon.metrics.publish import Facts, instruments
from daemon.model import Arena, Decision, Experiment, FaultKind, Outcome, Phase, Score, TrialResult, TrialStatus, Usage
from daemon.observe import (
    Claimed,
    ExperimentClosed,
    FaultSeen,
    PhaseEntered,
    ProposalAwaited,
    ProposalMade,
    ProviderCharged,
    TrialEnded,
)
from daemon.sections import TimeSettings
from policies.interface import Finding, Verdict

LABELS = {"instance": "lab:9464", "job": "autoresearch"}
HOURS, STEP_SECONDS = 8, 30


class Night:
    """A made-up night, told to the instruments by a clock that is turned by hand."""

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        self.at = self.began = time.time() // 60 * 60 - HOURS * 3600
        self.samples: dict[str, list[str]] = defaultdict(list)
        self.kinds: dict[str, str] = {}
        self.registry = CollectorRegistry()
        arena = Arena(
            prepare_sha256="p", manifest_sha256="m", image_contents="i", device="gpu", torch_version="2",
            train_seconds=300.0, clock="release", sandbox="docker",
        )  # fmt: skip
        times = TimeSettings(
            train_seconds=300.0, startup_seconds=300.0, startup_margin_seconds=20.0, score_seconds=300.0
        )
        facts = Facts(
            arena=arena, program_sha256="0" * 64, times=times, caps=Caps(max_usd=20.0), directory=folder,
            inbox_count=lambda: 0,
        )  # fmt: skip
        self.observer = instruments(self.registry, facts, ledger, lambda: self.at)
        self.chance, self.best, self.number, self.seen_at = random.Random(5), 1.021, 0, 0.0  # noqa: S311 - a made-up night

    def pass_seconds(self, seconds: float) -> None:
        """Time goes by, and Prometheus reads every half minute of it."""
        until = self.at + seconds
        while self.seen_at + STEP_SECONDS <= until:
            self.seen_at = max(self.seen_at + STEP_SECONDS, self.at)
            self.at = self.seen_at
            self.scrape()
        self.at = until

    def scrape(self) -> None:
        hours = (self.at - self.began) / 3600
        made_up = {
            "autoresearch_lab_free_bytes": 420e9 - 6e9 * hours,
            "autoresearch_lab_filesystem_bytes": 1e12,
        }
        for family in self.registry.collect():
            self.kinds[family.name] = {"stateset": "stateset"}.get(family.type, family.type)
            for sample in family.samples:
                self._write(family.name, sample.name, sample.labels, made_up.get(sample.name, sample.value))
        self.kinds["process_resident_memory_bytes"] = "gauge"
        self._write("process_resident_memory_bytes", "process_resident_memory_bytes", {}, 1.9e8 + 2e6 * hours)

    def _write(self, family: str, name: str, labels: dict[str, str], value: float) -> None:
        text = ",".join(f'{key}="{value}"' for key, value in {**labels, **LABELS}.items())
        number = "NaN" if math.isnan(value) else repr(float(value))
        self.samples[family].append(f"{name}{{{text}}} {number} {self.at:.3f}\n")

    def openmetrics(self) -> str:
        parts = [f"# TYPE {name} {self.kinds[name]}\n" + "".join(lines) for name, lines in self.samples.items()]
        return "".join(parts) + "# EOF\n"

    def go_by(self) -> None:
        self.seen_at = self.at
        while self.at < self.began + HOURS * 3600 - 500:
            self.experiment()
            if self.number in (31, 32):
                self.observer.notify(FaultSeen(message="", retry_seconds=60.0, kind=FaultKind.PROVIDER))
                self.pass_seconds(60)

    def experiment(self) -> None:
        tell, chance = self.observer.notify, self.chance
        tell(ProposalAwaited())
        seconds = chance.uniform(15, 70)
        self.pass_seconds(seconds / 3)
        tell(ProposalMade(seconds=seconds))
        asked, answered = int(chance.uniform(4e3, 1e4)), int(chance.uniform(2e3, 6e3))
        usage = Usage(
            purpose="proposal", model="m", input_tokens=asked, cached_tokens=20_000, output_tokens=answered,
            usd=chance.uniform(0.08, 0.2),
        )  # fmt: skip
        tell(ProviderCharged(usage=usage))
        luck = chance.random() if self.number else 0.0
        if luck > 0.9:
            self.close(Decision.REFUSED, None, ())
            return
        trial = self.trial(crashes=luck > 0.82)
        score = trial.val_bpb
        kept = score is not None and (not self.number or score < self.best - 0.0005)
        self.best = min(self.best, score) if kept and score is not None else self.best
        decision = Decision.CRASH if score is None else Decision.KEEP if kept else Decision.DISCARD
        self.close(decision, score, (trial,))

    def trial(self, *, crashes: bool) -> TrialResult:
        tell, chance = self.observer.notify, self.chance
        tell(PhaseEntered(number=self.number, phase="starting", seconds=300.0))
        startup = chance.uniform(18, 32)
        self.pass_seconds(startup)
        tell(PhaseEntered(number=self.number, phase="training", seconds=300.0))
        speed, lasted = chance.gauss(1.55e6, 4e4), 40 if crashes else 300
        for second in range(0, lasted, 20):
            loss = 2.75 + 4.5 * math.exp(-second / 45) + chance.gauss(0, 0.02)
            tell(
                Claimed(number=self.number, step=second * 3, loss=loss, tokens_per_second=speed * chance.gauss(1, 0.01))
            )
            self.pass_seconds(20)
        if crashes:
            ended = TrialResult(
                status=TrialStatus.CRASH, reason="", seed=1, startup_seconds=startup, train_wall_seconds=40
            )
        else:
            tell(PhaseEntered(number=self.number, phase="scoring", seconds=300.0))
            self.pass_seconds(scoring := chance.uniform(11, 16))
            bpb = (1.021 if not self.number else self.best) + (chance.gauss(0.0035, 0.004) if self.number else 0)
            claimed = {"total_tokens_M": speed * 300 / 1e6, "training_seconds": 300.0, "mfu_percent": speed / 3.9e4,
                       "peak_vram_mb": chance.gauss(45000, 300)}  # fmt: skip
            score = Score(val_bpb=bpb, corrected_bpb=bpb, tokens=1, bytes=4, referee_sha256="", audit={})
            ended = TrialResult(status=TrialStatus.OK, reason="", seed=1, score=score, claimed=claimed,
                                startup_seconds=startup, train_wall_seconds=299, score_seconds=scoring)  # fmt: skip
        tell(TrialEnded(number=self.number, result=ended))
        return ended

    def close(self, decision: Decision, _score: float | None, trials: tuple[TrialResult, ...]) -> None:
        rule = self.chance.choice(["imports", "scope", "imports", "history"])
        finding = Finding(rule=rule, line=1, column=1, message="", instead="")
        verdict = Verdict(rules=(rule,), findings=(finding,) if decision is Decision.REFUSED else ())
        done = Experiment(
            number=self.number, arena="", base_commit="", champion=0, phase=Phase.CLOSED, opened_at="", verdict=verdict,
            trials=trials, outcome=Outcome(decision=decision, reason=""),
            closed_at=datetime.fromtimestamp(self.at, UTC).isoformat(),
        )  # fmt: skip
        self.observer.notify(ExperimentClosed(experiment=done, champion_bpb=self.best))
        self.number += 1
        self.pass_seconds(3)
