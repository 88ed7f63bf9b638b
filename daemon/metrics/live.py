"""What is looked up at the moment Prometheus asks: seconds by phase, the duty of the slot."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from daemon.metrics.catalog import PREFIX
from daemon.metrics.phase_clock import IN_A_TRIAL, LoopPhase, PhaseClock


class PhaseSeconds(Collector):
    """The phase clock as a counter and as shares; the present phase counts up to the scrape."""

    def __init__(self, phases: PhaseClock) -> None:
        self._phases = phases

    def collect(self) -> Iterator[Metric]:
        seconds = self._phases.seconds()
        total = CounterMetricFamily(
            f"{PREFIX}_loop_phase_seconds", "Wall seconds of this run, by what the loop was at.", labels=["phase"]
        )
        for phase, spent in seconds.items():
            total.add_metric([phase.value], spent)
        yield total
        duty = GaugeMetricFamily(
            f"{PREFIX}_slot_duty_ratio", "Share of this run's wall time: in a trial, and training.", labels=["share"]
        )
        whole = sum(seconds.values()) or math.nan
        duty.add_metric(["trial"], sum(seconds[phase] for phase in IN_A_TRIAL) / whole)
        duty.add_metric(["training"], seconds[LoopPhase.TRAINING] / whole)
        yield duty


def free_bytes(directory: Path) -> Callable[[], float]:
    return lookup(lambda: shutil.disk_usage(directory).free)


def filesystem_bytes(directory: Path) -> Callable[[], float]:
    return lookup(lambda: shutil.disk_usage(directory).total)


def lookup(look: Callable[[], float]) -> Callable[[], float]:
    """NaN for what cannot be looked up just now: it must not fail the whole scrape."""

    def value() -> float:
        try:
            return float(look())
        except OSError:
            return math.nan

    return value
