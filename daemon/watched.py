"""Trials under the eyes of the host: begun when the GPU is free, and told apart when something else disturbed them."""

from __future__ import annotations

import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

from daemon.model import OurFault, TrialResult, TrialStatus
from daemon.observe import Disturbed, Observers, SlotAwaited, SlotTaken
from daemon.sections import TelemetrySettings
from daemon.steering import Steering
from daemon.telemetry import Look, Norms, Telescope, busy, comparable, median_rate
from daemon.text import clean
from daemon.trial import Executor, Listener, NotComparable
from sandbox.interface import Cancelled, SandboxSpec

POLL_SECONDS = 0.5
LAST_LOOK_SECONDS = 10.0
REMEMBERED_TRIALS = 20
FORGET_AFTER = 3  # disturbed trials in a row
NEEDED_TRIALS = 3  # before what is usual is known
MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What was seen of one trial. ``reason`` says why it cannot be compared; the clocks are medians."""

    run_id: str
    reason: str | None
    looks: int
    gpu_clock_mhz: float | None
    core_clock_mhz: float | None


class Watched:
    """An executor that looks at the machine before, during and after a trial. ``last`` is what it saw of the latest."""

    def __init__(
        self,
        executor: Executor,
        point: Callable[[SandboxSpec], Telescope],
        settings: TelemetrySettings,
        observers: Observers,
        steering: Steering,
    ) -> None:
        self._executor, self._point, self._settings = executor, point, settings
        self._observers, self._steering = observers, steering
        self._gpu_clocks: deque[float] = deque(maxlen=REMEMBERED_TRIALS)
        self._core_clocks: deque[float] = deque(maxlen=REMEMBERED_TRIALS)
        self._in_a_row = 0
        self.last: Watch | None = None

    def run(self, spec: SandboxSpec, listener: Listener) -> TrialResult:
        self.last = None
        with closing(self._point(spec)) as telescope:
            return self._run(telescope, spec, listener)

    def _run(self, telescope: Telescope, spec: SandboxSpec, listener: Listener) -> TrialResult:
        self._until_free(telescope, listener)
        recorder = Recorder(telescope, self._settings.every_seconds)
        with recorder.recording():
            result = self._executor.run(spec, replace(listener, on_phase=recorder.telling(listener.on_phase)))
        self.last = self._judge(spec, list(recorder.looks), result.status is TrialStatus.OK)
        if recorder.hangs:
            self.last = replace(self.last, reason="the machine could not be watched: its driver does not answer")
        self._in_a_row = 0 if self.last.reason is None else self._in_a_row + 1
        if (
            self._in_a_row >= FORGET_AFTER
        ):  # what lasts is the new usual: a power limit that was lowered, another governor
            self._gpu_clocks.clear()
            self._core_clocks.clear()
        if self.last.reason is not None:
            if self._settings.disturbed == "void":
                raise NotComparable(clean(self.last.reason, 300))
            self._observers.notify(Disturbed(number=self._steering.number, reason=clean(self.last.reason, 300)))
        return result

    def norms(self, cores: int) -> Norms:
        """What is usual on this machine, as far as it is known by now."""
        settings = self._settings
        return Norms(
            cores=cores,
            every_seconds=settings.every_seconds,
            gpu_clock_mhz=_usual(self._gpu_clocks),
            core_clock_mhz=_usual(self._core_clocks),
            min_clock_ratio=settings.min_clock_ratio,
            max_foreign_share=settings.max_foreign_share,
            max_steal_share=settings.max_steal_share,
            max_throttled_share=settings.max_throttled_share,
            max_jump_seconds=settings.max_jump_seconds,
        )

    def _judge(self, spec: SandboxSpec, looks: list[Look], trained: bool) -> Watch:
        """Clocks are judged, and learnt from, where the trial went its whole way: one that crashed was hardly busy."""
        norms = self.norms(len(spec.limits.cpus))
        reason = comparable(looks, norms if trained else replace(norms, gpu_clock_mhz=None, core_clock_mhz=None))
        gpu = median_rate([look.gpu.clock_mhz for look in looks if look.gpu is not None])
        core = median_rate([look.host.clock_mhz for look in looks if look.host is not None])
        if reason is None and trained:
            self._gpu_clocks.extend([] if gpu is None else [gpu])
            self._core_clocks.extend([] if core is None else [core])
        return Watch(run_id=spec.run_id, reason=reason, looks=len(looks), gpu_clock_mhz=gpu, core_clock_mhz=core)

    def _until_free(self, telescope: Telescope, listener: Listener) -> None:
        began, told = time.monotonic(), ""
        while (why := self._occupied(telescope)) is not None:
            if self._settings.busy == "fault":
                raise OurFault(why)
            if listener.cancel() or self._steering.leaves():
                raise Cancelled("stopped while waiting for the GPU")
            if why != told:
                told = why
                self._observers.notify(
                    SlotAwaited(number=self._steering.number, reason=f"waiting for the GPU: {why}", ahead=1)
                )
            time.sleep(POLL_SECONDS)
        if told:
            self._observers.notify(SlotTaken(number=self._steering.number, seconds=time.monotonic() - began))

    def _occupied(self, telescope: Telescope) -> str | None:
        """Why the trial cannot begin yet.

        Raises:
            OurFault: there is no GPU to wait for.
        """
        gpu = telescope.look().gpu
        if gpu is None:
            return None
        if gpu.lost:
            raise OurFault(f"the GPU does not answer ({gpu.lost}); see `dmesg`, and restart the machine if it says so")
        return None if self._settings.busy == "ignore" else busy(gpu, self._settings.max_used_mib * MIB)


def _usual(rates: deque[float]) -> float | None:
    return statistics.median(rates) if len(rates) >= NEEDED_TRIALS else None


class Recorder:
    """Looks again and again from a thread of its own, so that a driver that hangs stops no trial."""

    def __init__(self, telescope: Telescope, every_seconds: float) -> None:
        self._telescope, self._every = telescope, every_seconds
        self._done = threading.Event()
        self._phase = ""
        self.looks: list[Look] = []
        self.hangs = False

    def telling(self, on_phase: Callable[[str, float], None]) -> Callable[[str, float], None]:
        """Hear of the phases, too."""

        def both(phase: str, seconds: float) -> None:
            self._phase = phase
            on_phase(phase, seconds)

        return both

    @contextmanager
    def recording(self) -> Iterator[None]:
        thread = threading.Thread(target=self._record, daemon=True, name="telemetry")
        thread.start()
        try:
            yield
        finally:
            self._done.set()
            thread.join(LAST_LOOK_SECONDS)
            self.hangs = thread.is_alive()

    def _record(self) -> None:
        while True:
            last = self._done.is_set()  # asked before, so that there is a look after the end
            self.looks.append(replace(self._telescope.look(), phase=self._phase))
            if last:
                return
            self._done.wait(self._every)
