"""What Prometheus reads: a scripted night in numbers, a restart, hostile text, a port that is taken."""

from __future__ import annotations

import logging
import math
import socket
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from test_loop import ARENA, BASELINE, Bench, Script, file_scoring, score_in
from values import CRASH, TRIAL, experiment

from daemon import sections, settings
from daemon.cost import Caps
from daemon.ledger import Ledger
from daemon.metrics.observer import MetricsObserver
from daemon.metrics.phase_clock import IN_A_TRIAL, LoopPhase, PhaseClock, outside_trials
from daemon.metrics.publish import Facts, instruments, published
from daemon.metrics.server import serving
from daemon.model import Decision, FaultKind, Proposal, TrialStatus, Usage
from daemon.observe import (
    Event,
    ExperimentClosed,
    FaultSeen,
    Observers,
    Paused,
    PhaseEntered,
    ProgramChanged,
    ProgramRefused,
    ProposalAwaited,
    ProposalMade,
    ProviderCharged,
    TrialEnded,
)
from daemon.proposers.interface import Context, ProposalFailed
from policies.interface import Finding, Verdict
from sandbox.fake import FakeRun
from sandbox.interface import SandboxSpec, SandboxUnavailable

LOG = """step 1
---
val_bpb: nan
training_seconds: 20.0
peak_vram_mb: 100.0
mfu_percent: 41.5
total_tokens_M: 2.500
"""
USAGE = Usage(
    purpose="proposal", model="m", input_tokens=100, cached_tokens=20, cache_write_tokens=3, output_tokens=7, usd=0.25
)
HOSTILE = 'evil"} 1\nautoresearch_champion_val_bpb 0.1\n# \x1b[31m\u202e'
TIMES = sections.TimeSettings(train_seconds=20.0, startup_seconds=60.0, startup_margin_seconds=3.0, score_seconds=120.0)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "lab")


@pytest.fixture
def ledger(bench: Bench) -> Iterator[Ledger]:
    with bench.ledger() as opened:
        yield opened


def facts(bench: Bench, **changes: Any) -> Facts:
    given = Facts(
        arena=ARENA, program_sha256="0" * 64, times=TIMES, caps=Caps(), directory=bench.lab,
        inbox_count=bench.inbox.count,
    )  # fmt: skip
    return replace(given, **changes)


class Seen:
    """A registry of its own, and what a scrape of it says."""

    def __init__(self, bench: Bench, ledger: Ledger, clock: Any = time.monotonic, **changes: Any) -> None:
        self.registry = CollectorRegistry()
        self.observer: MetricsObserver = instruments(self.registry, facts(bench, **changes), ledger, clock)

    def notify(self, event: Event) -> None:
        self.observer.notify(event)

    def __getitem__(self, key: str | tuple[str, Mapping[str, str]]) -> float:
        name, labels = key if isinstance(key, tuple) else (key, {})
        value = self.registry.get_sample_value(f"autoresearch_{name}", dict(labels))
        assert value is not None, f"there is no series {key}"
        return value

    def by(self, name: str, label: str) -> dict[str, float]:
        """The series that are not 0, by the value of their label."""
        text = generate_latest(self.registry).decode()
        samples = (s for family in text_string_to_metric_families(text) for s in family.samples)
        return {s.labels[label]: s.value for s in samples if s.name == f"autoresearch_{name}" and s.value}


class Payer(Script):
    """A proposer whose provider charges for every answer."""

    def propose(self, context: Context) -> Proposal:
        return replace(super().propose(context), usage=USAGE)


def night(bench: Bench, ledger: Ledger, seen: Seen, files: list[bytes | Exception], **changes: Any) -> None:
    watching = Observers([bench, seen])
    loop = bench.loop(ledger, proposer=Payer(files), observers=watching, **changes)
    replace(loop, source=replace(loop.source, observers=watching)).run(20)


def test_a_scripted_night_in_numbers(bench: Bench, ledger: Ledger) -> None:
    def script(spec: SandboxSpec) -> FakeRun:
        return replace(score_in(spec), log=LOG)

    seen = Seen(bench, ledger)
    files: list[bytes | Exception] = [
        file_scoring(1.9), b"evil = 1  # 0.1\n", b"x = 1  # crash\n", b"y = 1  # timeout\n", b"z = 1  # oom\n",
        b"w = 1  # invalid\n", b"v = 1  # output-limit\n", ProposalFailed("nonsense", USAGE), file_scoring(1.95),
    ]  # fmt: skip
    night(bench, ledger, seen, files, script=script)
    assert seen.by("experiments_total", "decision") == {
        "keep": 2, "refused": 1, "crash": 3, "timeout": 1, "invalid": 1, "discard": 1,
    }  # fmt: skip
    assert seen.by("trials_total", "status") == {
        "ok": 3, "crash": 1, "timeout": 1, "oom": 1, "invalid": 1, "output-limit": 1,
    }  # fmt: skip
    assert seen.by("refusals_total", "rule") == {"other": 1}, "the bench's own rule is none of ours"
    assert (seen["champion_val_bpb"], seen["last_val_bpb"], seen["champion_age_experiments"]) == (1.9, 1.95, 7)
    assert seen.by("provider_tokens_total", "kind") == {"input": 900, "cached": 180, "cache-write": 27, "output": 63}
    assert seen["provider_cost_usd_total"] == pytest.approx(9 * 0.25)
    assert seen.by("faults_total", "kind") == {"proposal": 1}
    assert seen["propose_seconds_count"] == 8
    assert seen["trial_train_seconds_count"] == 8
    assert (seen["trial_startup_seconds_sum"], seen["trial_train_seconds_sum"]) == (4.0, 8.0)
    assert seen["trial_score_seconds_count"] == 3, "the referee was asked about what trained well"
    assert seen["slot_idle_seconds_count"] == 8
    closed_at = datetime.fromisoformat(ledger.get(1).closed_at or "").timestamp()
    assert seen["champion_closed_timestamp_seconds"] == closed_at
    assert seen["last_experiment_closed_timestamp_seconds"] >= closed_at


def test_what_the_log_claims_is_called_claimed(bench: Bench, ledger: Ledger) -> None:
    seen = Seen(bench, ledger)
    assert math.isnan(seen["claimed_tokens_per_second"])
    night(bench, ledger, seen, [], script=lambda spec: replace(score_in(spec), log=LOG))
    assert seen["claimed_tokens_per_second"] == pytest.approx(125_000)
    assert seen["claimed_mfu_ratio"] == pytest.approx(0.415)
    assert seen["claimed_peak_memory_bytes"] == 100 * 2**20
    assert seen["claimed_trained_tokens_total"] == 2_500_000


@pytest.mark.parametrize("boast", ["1e300", "-5", "9e15"])
def test_an_absurd_claim_spoils_no_sum(bench: Bench, ledger: Ledger, boast: str) -> None:
    log = f"\n---\ntotal_tokens_M: {boast}\ntraining_seconds: 20\nmfu_percent: {boast}\npeak_vram_mb: {boast}\n"
    seen = Seen(bench, ledger)
    night(bench, ledger, seen, [file_scoring(1.9)], script=lambda spec: replace(score_in(spec), log=log))
    assert seen["claimed_trained_tokens_total"] == 0
    assert math.isnan(seen["claimed_tokens_per_second"])
    assert math.isnan(seen["claimed_peak_memory_bytes"])


def test_a_restart_goes_on_where_the_ledger_stands(bench: Bench, ledger: Ledger) -> None:
    seen = Seen(bench, ledger)
    files = [
        file_scoring(1.9),
        b"evil = 1  # 0.1\n",
        b"x = 1  # crash\n",
        ProposalFailed("no", USAGE),
        file_scoring(2.5),
    ]
    night(bench, ledger, seen, list(files))
    again = Seen(bench, ledger)
    for name, label in [
        ("experiments_total", "decision"), ("trials_total", "status"), ("refusals_total", "rule"),
        ("provider_tokens_total", "kind"),
    ]:  # fmt: skip
        assert again.by(name, label) == seen.by(name, label) != {}, name
    for name in (
        "provider_cost_usd_total", "champion_val_bpb", "last_val_bpb", "champion_age_experiments",
        "champion_closed_timestamp_seconds", "last_experiment_closed_timestamp_seconds",
    ):  # fmt: skip
        assert again[name] == seen[name], name
    assert again["trial_train_seconds_count"] == 0, "histograms are of this process alone"


def test_what_is_decided_but_not_closed_counts_once(
    bench: Bench, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    night(bench, ledger, Seen(bench, ledger), [])
    with monkeypatch.context() as patched:
        patched.setattr(bench.workspace, "record", lambda *a, **k: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            night(bench, ledger, Seen(bench, ledger), [b"evil = 1  # 0.1\n"])
    seen = Seen(bench, ledger)
    assert seen.by("experiments_total", "decision") == {"keep": 1}
    bench.loop(ledger, observers=Observers([seen])).recover(reaped=())
    assert seen.by("experiments_total", "decision") == {"keep": 1, "refused": 1}
    assert seen.by("refusals_total", "rule") == {"other": 1}
    assert Seen(bench, ledger).by("refusals_total", "rule") == {"other": 1}


def test_another_arenas_scores_are_not_this_ones(bench: Bench, ledger: Ledger) -> None:
    night(bench, ledger, Seen(bench, ledger), [file_scoring(1.5)])
    seen = Seen(bench, ledger, arena=replace(ARENA, device="another"))
    assert math.isnan(seen["champion_val_bpb"])
    assert math.isnan(seen["champion_age_experiments"])
    assert seen.by("experiments_total", "decision") == {"keep": 2}, "counts are the lab's"


EVERY_EVENT: list[Event] = [
    PhaseEntered(number=1, phase="training", seconds=1.0, hypothesis=HOSTILE),
    PhaseEntered(number=1, phase=HOSTILE, seconds=1.0, hypothesis=HOSTILE),
    TrialEnded(number=1, result=replace(CRASH, reason=HOSTILE, log_tail=HOSTILE, claimed={HOSTILE: 1.0})),
    ExperimentClosed(
        experiment=experiment(
            verdict=Verdict(
                rules=(HOSTILE,),
                findings=tuple(
                    Finding(rule=rule, line=1, column=1, message=HOSTILE, instead=HOSTILE)
                    for rule in (HOSTILE, *(f"{HOSTILE}{n}" for n in range(600)), "imports (unsafe_allow_imports: a)")
                ),
            ),
            closed_at="2026-01-01T00:00:00.000Z",
            lesson=HOSTILE,
        ),
        champion_bpb=None,
    ),
    FaultSeen(message=HOSTILE, retry_seconds=5.0, kind=FaultKind.PROVIDER),
    Paused(reason=HOSTILE),
    ProgramChanged(sha256="a" * 64),
    ProgramRefused(reason=HOSTILE),
    ProposalAwaited(),
    ProposalMade(seconds=1.0),
    ProviderCharged(usage=Usage(purpose=HOSTILE, model=HOSTILE, input_tokens=1, requests=(HOSTILE,))),
]


def test_no_text_from_outside_becomes_a_label_and_series_are_few(bench: Bench, ledger: Ledger) -> None:
    def a_week(start: int) -> Seen:
        seen = Seen(bench, ledger, caps=Caps(max_usd=1.0, max_usd_per_day=1.0, max_tokens=1))
        for n in range(start):
            for event in EVERY_EVENT:
                seen.notify(event)
            seen.notify(ProgramChanged(sha256=f"{n:064x}"))
        return seen

    def series(seen: Seen) -> list[Any]:
        text = generate_latest(seen.registry).decode()
        return [s for family in text_string_to_metric_families(text) for s in family.samples]

    first, later = series(a_week(1)), series(a_week(50))
    assert len(first) == len(later) <= 300  # 500 are allowed; the process's own come to these
    words = {value for sample in later for value in sample.labels.values()}
    assert not [word for word in words if "evil" in word or not word.isprintable()]
    assert all(s.value != 0.1 for s in later if s.name == "autoresearch_champion_val_bpb")
    refusals = {s.labels["rule"]: s.value for s in later if s.name == "autoresearch_refusals_total" and s.value}
    assert refusals == {"other": 50, "imports": 50}


def test_a_hostile_device_name_cannot_break_the_exposition(bench: Bench, ledger: Ledger) -> None:
    seen = Seen(bench, ledger, arena=replace(ARENA, device=HOSTILE * 40))
    assert all(ord(c) >= 32 and len(v) <= 100 for v in seen.by("arena_info", "device") for c in v)


def test_every_status_decision_and_fault_has_its_series_from_the_start(bench: Bench, ledger: Ledger) -> None:
    seen = Seen(bench, ledger)
    for name, label, words in [
        ("experiments_total", "decision", Decision), ("trials_total", "status", TrialStatus),
        ("faults_total", "kind", FaultKind), ("loop_phase_seconds_total", "phase", LoopPhase),
    ]:  # fmt: skip
        for word in words:
            assert seen[name, {label: word.value}] >= 0


def test_faults_are_told_apart(bench: Bench, ledger: Ledger) -> None:
    broken = [True]

    def script(spec: SandboxSpec) -> FakeRun:
        if spec.train_py != BASELINE and broken:
            broken.pop()
            return FakeRun(error=SandboxUnavailable("the engine is gone"))
        return score_in(spec)

    seen = Seen(bench, ledger)
    night(bench, ledger, seen, [file_scoring(1.9)], script=script)
    assert seen.by("faults_total", "kind") == {"service": 1}
    assert seen.by("trials_total", "status") == {"ok": 2}, "a trial that a fault ended is none"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now

    def after(self, seconds: float) -> None:
        self.now += seconds


def test_the_phases_of_the_loop_add_up_to_its_time(bench: Bench, ledger: Ledger) -> None:
    clock = Clock()
    seen = Seen(bench, ledger, clock)
    steps: list[tuple[Event, float]] = [
        (ProposalAwaited(), 4.0), (ProposalMade(seconds=3.5), 1.0),
        (PhaseEntered(number=1, phase="starting", seconds=60), 5.0),
        (PhaseEntered(number=1, phase="training", seconds=20), 20.0),
        (PhaseEntered(number=1, phase="scoring", seconds=60), 10.0), (TrialEnded(number=1, result=TRIAL), 2.0),
        (FaultSeen(message="x", retry_seconds=5.0), 5.0), (Paused(reason="the day's money is spent"), 53.0),
    ]  # fmt: skip
    for event, seconds in steps:
        seen.notify(event)
        clock.after(seconds)
    assert seen.by("loop_phase_seconds_total", "phase") == {
        "proposing": 4, "idle": 3, "starting": 5, "training": 20, "scoring": 10, "waiting": 5, "paused": 53,
    }  # fmt: skip
    assert seen.by("slot_duty_ratio", "share") == {"trial": 0.35, "training": 0.20}
    assert seen.by("loop_phase", "autoresearch_loop_phase") == {"paused": 1}
    assert seen["paused"] == 1
    seen.notify(PhaseEntered(number=2, phase="starting", seconds=60))
    assert seen["paused"] == 0
    assert (seen["slot_idle_seconds_count"], seen["slot_idle_seconds_sum"]) == (2, 65.0)


def test_the_phase_clock_never_runs_backwards() -> None:
    clock = Clock()
    phases = PhaseClock(clock)
    clock.after(-5.0)
    assert set(phases.seconds().values()) == {0.0}
    assert set(LoopPhase) > IN_A_TRIAL
    assert outside_trials({LoopPhase.TRAINING: 5.0, LoopPhase.PAUSED: 2.0}) == 2.0


def test_programs_are_counted_and_named_by_their_hash(bench: Bench, ledger: Ledger) -> None:
    seen = Seen(bench, ledger)
    assert seen.by("program_info", "sha256") == {"0" * 64: 1}
    seen.notify(ProgramChanged(sha256="b" * 64))
    seen.notify(ProgramRefused(reason="empty"))
    assert seen.by("program_info", "sha256") == {"b" * 64: 1}
    assert seen.by("program_reloads_total", "outcome") == {"taken": 1, "refused": 1}


def test_the_lab_is_looked_at_when_prometheus_asks(bench: Bench, ledger: Ledger) -> None:
    seen = Seen(bench, ledger)
    assert seen["inbox_patches"] == 0
    bench.inbox.put(b"x = 1\n", "handed in")
    assert seen["inbox_patches"] == 1
    assert 0 < seen["lab_free_bytes"] < seen["lab_filesystem_bytes"]
    assert seen.by("budget_seconds", "part") == {"startup": 60, "train": 20, "score": 120}


def test_a_lab_that_cannot_be_looked_at_fails_no_scrape(bench: Bench, ledger: Ledger) -> None:
    def gone() -> int:
        raise PermissionError(13, "denied")

    seen = Seen(bench, ledger, directory=bench.lab / "not-there", inbox_count=gone)
    assert math.isnan(seen["lab_free_bytes"])
    assert math.isnan(seen["inbox_patches"])


def test_only_caps_that_are_set_have_a_series(bench: Bench, ledger: Ledger) -> None:
    assert Seen(bench, ledger).by("provider_cap_usd", "period") == {}
    seen = Seen(bench, ledger, caps=Caps(max_usd_per_day=5.0, max_tokens=9))
    assert seen.by("provider_cap_usd", "period") == {"day": 5.0}
    assert seen.by("provider_cap_tokens", "period") == {"total": 9}


def test_nothing_goes_to_the_global_registry(bench: Bench, ledger: Ledger) -> None:
    Seen(bench, ledger)
    Seen(bench, ledger)  # a global one would refuse the second of each name
    assert not [family.name for family in REGISTRY.collect() if family.name.startswith("autoresearch")]


def scraped(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def test_it_is_served_until_the_end_of_the_run(bench: Bench, ledger: Ledger) -> None:
    seen = Seen(bench, ledger)
    with serving(("127.0.0.1", 0), seen.registry) as port:
        assert port is not None
        families = list(text_string_to_metric_families(scraped(port)))
        assert {family.name for family in families} >= {"autoresearch_loop_phase", "autoresearch_champion_val_bpb"}
    with pytest.raises(OSError, match="refused"):
        scraped(port)


def test_a_port_that_is_taken_is_one_sentence_and_no_crash(bench: Bench, ledger: Ledger, caplog: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, caplog.at_level(logging.WARNING):
        taken = other.getsockname()[1]
        with published(a_lab(bench, f"127.0.0.1:{taken}"), ledger) as observers:
            assert list(observers) == []
    (record,) = caplog.records
    assert f"port {taken} cannot be listened at (Address already in use)" in record.getMessage()
    assert record.exc_info is None


def test_an_address_that_is_not_here_is_one_sentence_too(bench: Bench, ledger: Ledger, caplog: Any) -> None:
    with published(a_lab(bench, "192.0.2.1:9464"), ledger) as observers:
        assert list(observers) == []
    assert len(caplog.records) == 1


def test_switched_off_nothing_listens_and_nobody_is_told(bench: Bench, ledger: Ledger) -> None:
    lab = a_lab(bench, "")
    lab.arena = None  # not even looked at
    with published(lab, ledger) as observers:
        assert list(observers) == []


def test_a_run_is_published_where_the_setting_says(bench: Bench, ledger: Ledger) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with published(a_lab(bench, f"127.0.0.1:{port}"), ledger) as observers:
        bench.loop(ledger, [file_scoring(1.9)], observers=Observers(observers)).run(1)
        text = scraped(port)
    assert "autoresearch_champion_val_bpb 1.9\n" in text
    assert "process_resident_memory_bytes" in text
    assert "_created" not in text


def a_lab(bench: Bench, listen: str) -> Any:
    """As much of a lab as is asked for, without an engine."""
    (bench.lab / "program.md").write_text("be bold\n")
    text = settings.default_lab_toml("cpu", "test").replace('listen = "127.0.0.1:9464"', f'listen = "{listen}"')
    (bench.lab / "lab.toml").write_text(text)
    loaded = settings.load(bench.lab / "lab.toml")
    assert loaded.metrics.listen == listen
    return SimpleNamespace(settings=loaded, directory=bench.lab, arena=ARENA, inbox=bench.inbox)


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("127.0.0.1:9464", ("127.0.0.1", 9464)), ("[::1]:1", ("::1", 1)), ("localhost:65535", ("localhost", 65535)),
        ("", None),
    ],
)  # fmt: skip
def test_addresses(listen: str, address: tuple[str, int] | None) -> None:
    assert sections.MetricsSettings(listen=listen).address == address


@pytest.mark.parametrize(
    "listen", [":9464", "9464", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "a b:1", "[]:1", "x:1\n"]
)
def test_an_address_without_a_host_or_a_port_is_refused(bench: Bench, listen: str) -> None:
    with pytest.raises(ValueError, match="must be an address with its port"):
        sections.MetricsSettings(listen=listen)
