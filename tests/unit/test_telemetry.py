"""What makes a trial unlike others, judged on looks that are made up; and the host's looks, on this host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from specs import a_spec

from daemon.model import OurFault, TrialResult, TrialStatus
from daemon.observe import Disturbed, Event, Observers, SlotAwaited, SlotTaken
from daemon.sections import TelemetrySettings
from daemon.steering import Steering, When
from daemon.telemetry import GpuLook, HostLook, Look, Norms, Scripted, comparable
from daemon.telemetry_host import HostScope
from daemon.trial import Listener, NotComparable
from daemon.watched import Watched
from sandbox.interface import Cancelled, SandboxSpec

NORMS = Norms(cores=2, gpu_clock_mhz=1900.0, core_clock_mhz=3000.0)
GPU = GpuLook(clock_mhz=1890.0)


def at(second: float, *, gpu: GpuLook | None = GPU, **more: object) -> Look:
    """A quiet second of a trial that uses both of its cores."""
    host = HostLook(
        busy_seconds=1000 + 2 * second, steal_seconds=5.0, own_seconds=2 * second, throttles=4, clock_mhz=2950.0
    )
    look = Look(boot=100 + second, awake=50 + second, wall=1e9 + second, phase="training", gpu=gpu, host=host)
    return replace(look, **more)


QUIET = [at(second) for second in range(20)]


def later(**jumps: float) -> list[Look]:
    """The second half comes after a jump of these clocks."""
    return QUIET[:10] + [
        replace(look, **{name: getattr(look, name) + by for name, by in jumps.items()}) for look in QUIET[10:]
    ]


def hosts(**slopes: float) -> list[Look]:
    def bent(second: int, look: Look) -> Look:
        assert look.host is not None
        more = {name: getattr(look.host, name) + by * second for name, by in slopes.items()}
        return replace(look, host=replace(look.host, **more))

    return [bent(second, look) for second, look in enumerate(QUIET)]


def blind(looks: list[Look]) -> list[Look]:
    """On a machine that does not tell what the container used."""
    return [replace(look, host=replace(look.host, own_seconds=None)) for look in looks if look.host]


def gpus(share: float, **more: object) -> list[Look]:
    """So many of the looks see another GPU."""
    return [replace(look, gpu=replace(GPU, **more)) if n < share * 20 else look for n, look in enumerate(QUIET)]


@pytest.mark.parametrize(
    ("looks", "why"),
    [
        (later(boot=30, wall=30), "the machine slept for 30 s"),
        (later(wall=-3600), "clock was set by -3600 s"),
        (later(wall=7), r"clock was set by \+7 s"),
        (later(boot=60, awake=60, wall=60), "the daemon itself was stopped"),
        (gpus(0.05, lost="GPU is lost"), "the GPU was lost: GPU is lost"),
        (gpus(0.4, strangers=("python, process 7",)), r"another program was on the GPU \(python, process 7\)"),
        (gpus(0.4, throttled=("too hot",)), r"slowed itself down in 40 % of the looks \(too hot\)"),
        (gpus(0.6, clock_mhz=1200.0), "the GPU ran at 1200 MHz, where 1900 MHz are usual"),
        ([*QUIET[:-1], at(19, gpu=replace(GPU, uncorrected_errors=2))], "2 errors that it could not correct"),
        (hosts(steal_seconds=0.5), "gave 25 % of the cores' time to others"),
        (hosts(busy_seconds=0.8), "other programs used 40 % of the trial's cores"),
        (hosts(throttles=1), "slowed themselves down for heat, 19 times"),
        (hosts(clock_mhz=-100), "the cores ran at 2000 MHz, where 3000 MHz are usual"),
    ],
)
def test_what_cannot_be_compared_is_told_with_its_reason(looks: list[Look], why: str) -> None:
    assert re.search(why, comparable(looks, NORMS) or "comparable")


@pytest.mark.parametrize(
    "looks",
    [
        QUIET,
        [],
        QUIET[:1],
        later(boot=1.5, wall=1.5),
        gpus(0.1, strangers=("nvidia-smi, process 7",)),
        gpus(0.1, throttled=("too hot",)),
        gpus(0.4, clock_mhz=300.0),
        hosts(steal_seconds=0.1),
        hosts(busy_seconds=0.2),
        [replace(look, gpu=None, host=None) for look in QUIET],
        [replace(look, gpu=replace(GPU, clock_mhz=None)) for look in QUIET],
        [
            replace(look, host=replace(look.host or at(0).host, own_seconds=None, throttles=None))
            for look in hosts(busy_seconds=0)
        ],
        [replace(look, phase="scoring") for look in hosts(busy_seconds=1)],
    ],
)
def test_what_is_usual_can_be_compared(looks: list[Look]) -> None:
    assert comparable(looks, NORMS) is None


def test_without_a_norm_no_clock_is_judged() -> None:
    assert comparable(gpus(1, clock_mhz=100.0), Norms(cores=2)) is None


class Trial:
    """An executor that says how it went, a moment later."""

    def __init__(self, status: TrialStatus = TrialStatus.OK, seconds: float = 0.0) -> None:
        self.status, self.seconds, self.runs = status, seconds, 0

    def run(self, spec: SandboxSpec, listener: Listener) -> TrialResult:
        self.runs += 1
        listener.on_phase("training", 20.0)
        time.sleep(self.seconds)
        return TrialResult(status=self.status, reason="", seed=spec.seed)


class Told:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def notify(self, event: Event) -> None:
        self.events.append(event)


def watched(
    looks: list[Look], trial: Trial | None = None, **settings: object
) -> tuple[Watched, Told, Steering, Callable[[], TrialResult]]:
    told, steering = Told(), Steering()
    options = TelemetrySettings(**{"every_seconds": 0.1, "disturbed": "tell", **settings})
    scope = Scripted(looks=looks)
    watch = Watched(trial or Trial(), lambda _spec: scope, options, Observers([told]), steering)
    return watch, told, steering, lambda: watch.run(a_spec(), Listener(cancel=steering.stops_now))


def test_a_trial_that_was_disturbed_is_told_and_its_result_is_given_back() -> None:
    watch, told, _, run = watched([at(0), at(1), at(2, boot=500.0)])
    assert run().status is TrialStatus.OK
    assert watch.last is not None and watch.last.run_id == "00007-0"
    assert "slept" in str(watch.last.reason)
    assert [type(event) for event in told.events] == [Disturbed]


def test_where_it_is_asked_for_such_a_trial_does_not_count() -> None:
    _, told, _, run = watched([at(0), at(1), at(2, boot=500.0)], disturbed="void")
    with pytest.raises(NotComparable, match="slept"):
        run()
    assert told.events == []


def test_what_is_usual_is_learnt_from_trials_that_went_well_and_from_no_others() -> None:
    watch, _, _, run = watched([at(0)])
    for _ in range(3):
        assert watch.norms(2).gpu_clock_mhz is None
        run()
    assert (watch.norms(2).gpu_clock_mhz, watch.norms(2).core_clock_mhz) == (1890.0, 2950.0)
    crashing, _, _, crash = watched([at(0)], Trial(TrialStatus.CRASH))
    for _ in range(3):
        crash()
    assert crashing.norms(2).gpu_clock_mhz is None


def test_a_gpu_that_is_taken_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.watched.POLL_SECONDS", 0.01)
    taken = at(0, gpu=replace(GPU, strangers=("python, process 7",)))
    watch, told, _, run = watched([taken, taken, at(1)])
    run()
    assert [type(event) for event in told.events] == [SlotAwaited, SlotTaken]
    assert "python, process 7" in told.events[0].reason
    assert watch.last is not None and watch.last.reason is None


@pytest.mark.parametrize(
    ("gpu", "busy", "raised"),
    [
        (replace(GPU, strangers=("x",)), "fault", "another program is on the GPU"),
        (replace(GPU, used_bytes=5 << 30), "fault", "5120 MiB of the GPU are in use"),
        (replace(GPU, throttled=("too hot",)), "fault", "slows itself down"),
        (replace(GPU, lost="GPU is lost"), "ignore", r"does not answer \(GPU is lost\)"),
    ],
)
def test_or_it_is_a_fault_of_ours_by_setting_and_one_that_is_lost_always_is(
    gpu: GpuLook, busy: str, raised: str
) -> None:
    trial = Trial()
    _, _, _, run = watched([at(0, gpu=gpu)], trial, busy=busy)
    with pytest.raises(OurFault, match=raised):
        run()
    assert trial.runs == 0


def test_or_it_is_ignored() -> None:
    trial = Trial()
    _, _, _, run = watched([at(0, gpu=replace(GPU, used_bytes=5 << 30))], trial, busy="ignore")
    run()
    assert trial.runs == 1


def test_the_wait_for_a_gpu_ends_when_told_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.watched.POLL_SECONDS", 0.01)
    _, _, steering, run = watched([at(0, gpu=replace(GPU, strangers=("x",)))])
    steering.stop(When.EXPERIMENT)
    with pytest.raises(Cancelled):
        run()


def test_a_driver_that_hangs_stops_no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.watched.LAST_LOOK_SECONDS", 0.1)

    class Hanging(Scripted):
        def look(self) -> Look:
            if self.shown:
                time.sleep(60)
            return super().look()

    told = Told()
    settings = TelemetrySettings(disturbed="tell")
    watch = Watched(Trial(), lambda _spec: Hanging(looks=[at(0)]), settings, Observers([told]), Steering())
    assert watch.run(a_spec(), Listener()).status is TrialStatus.OK
    assert watch.last is not None and "could not be watched" in str(watch.last.reason)


# The host itself.

SPIN = """
import os, sys, time
os.sched_setaffinity(0, {int(sys.argv[1])})
end = time.monotonic() + 2
while time.monotonic() < end: pass
"""


def test_another_program_on_the_cores_of_a_trial_is_seen_on_this_host() -> None:
    core = max(os.sched_getaffinity(0))
    scope = HostScope([core], lambda: None)
    first = scope.look()
    subprocess.run([sys.executable, "-c", SPIN, str(core)], check=True)
    last = scope.look()
    assert first is not None and last is not None and last.own_seconds is None
    looks = [at(0, host=replace(first, own_seconds=0.0)), at(3, host=replace(last, own_seconds=0.0))]
    assert last.busy_seconds - first.busy_seconds > 0.5
    assert "other programs used" in str(comparable(looks, Norms(cores=1, max_foreign_share=0.1, every_seconds=1.0)))


def a_tree(root: Path, *, version: int) -> Path:
    """Files as the kernel shows them."""
    (root / "proc").mkdir()
    (root / "proc" / "stat").write_text(
        "cpu 9 9 9 9\ncpu1 100 20 30 999 5 1 2 7 50 0\ncpu10 1 1 1 1 1 1 1 1 1 1\nintr 5\n"
    )
    cpu = root / "sys/devices/system/cpu/cpu1"
    (cpu / "thermal_throttle").mkdir(parents=True)
    (cpu / "thermal_throttle" / "core_throttle_count").write_text("3\n")
    (cpu / "cpufreq").mkdir()
    (cpu / "cpufreq" / "scaling_cur_freq").write_text("2500000\n")
    groups = root / "sys/fs/cgroup"
    group = groups / ("system.slice/docker-abc.scope" if version == 2 else "cpuacct/docker/abc")
    group.mkdir(parents=True)
    if version == 2:
        (groups / "cgroup.controllers").write_text("cpu\n")
        (group / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1\n")
    else:
        (group / "cpuacct.usage").write_text("1500000000\n")
    (group / "cgroup.procs").write_text("41\n42\n")
    return group


@pytest.mark.parametrize("version", [1, 2])
def test_the_container_is_found_in_either_kind_of_control_groups(tmp_path: Path, version: int) -> None:
    group = a_tree(tmp_path, version=version)
    scope = HostScope([1], lambda: "abc", tmp_path)
    look = scope.look()
    ticks = os.sysconf("SC_CLK_TCK")
    assert look == HostLook(
        busy_seconds=153 / ticks, steal_seconds=7 / ticks, own_seconds=1.5, throttles=3, clock_mhz=2500.0
    )
    assert scope.processes() == {41, 42}
    for file in group.iterdir():
        file.unlink()
    group.rmdir()
    after = scope.look()
    assert after is not None and after.own_seconds == 1.5, "the group goes with its last process"


def test_a_container_that_has_not_started_yet_is_found_later(tmp_path: Path) -> None:
    group = a_tree(tmp_path, version=2)
    group.rename(group.with_name("not yet"))
    scope = HostScope([1], lambda: "abc", tmp_path)
    look = scope.look()
    assert look is not None and look.own_seconds is None
    group.with_name("not yet").rename(group)
    look = scope.look()
    assert look is not None and look.own_seconds == 1.5


def test_what_cannot_be_read_is_not_known(tmp_path: Path) -> None:
    assert HostScope([1], lambda: None, tmp_path).look() is None
    a_tree(tmp_path, version=2)
    look = HostScope([1], lambda: "another", tmp_path).look()
    assert look is not None and look.own_seconds is None
