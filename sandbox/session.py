"""One trial from start to score: train under the clock, then open the referee's gate. Shared by every real sandbox."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sandbox.clock import Clock
from sandbox.interface import RunResult, RunStatus, SandboxSpec, SandboxUnavailable, TimeRules
from sandbox.log import BoundedLog
from sandbox.rundir import RunDir
from sandbox.runner import Runner, State
from sandbox.supervise import Ending, Event, Happening, Mailbox, Watch

DRAIN_SECONDS = 2.0  # the last output may arrive after the end; a stream that outlasts this is not waited for
KILLED_CODES = (128 + signal.SIGKILL, 128 + signal.SIGTERM)
SECOND_LOOK_SECONDS = 0.5


@dataclass(slots=True, kw_only=True)
class Watched:
    """A run with what is known of it: its logs and the mailbox of what happened. ``merge`` makes one log of both."""

    runner: Runner
    log_limit_bytes: int
    output: BoundedLog = field(default_factory=BoundedLog)
    errors: BoundedLog = field(default_factory=BoundedLog)
    mailbox: Mailbox = field(default_factory=Mailbox)
    merge: bool = False
    started_at: float = 0.0
    _told: set[Happening] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        self.started_at = self.runner.start(self._on_output, self._on_end)

    def _on_output(self, chunk: bytes, is_stderr: bool) -> None:
        log = self.errors if is_stderr and not self.merge else self.output
        with self._lock:
            log.feed(chunk)
        if self.output.ready:
            self._tell(Happening.READY)
        if self.output.total_bytes + self.errors.total_bytes > self.log_limit_bytes:
            self._tell(Happening.LOG_LIMIT)

    def _tell(self, what: Happening) -> None:
        if what not in self._told:
            self._told.add(what)
            self.mailbox.put(Event(what, time.monotonic()))

    def _on_end(self, at: float) -> None:
        self.mailbox.put(Event(Happening.ENDED, at))

    def final_state(self, killed_by_us: bool = False) -> State:
        """The last word on the ended run.

        Raises:
            SandboxUnavailable: it still runs, so it was the engine that went away.
        """
        self.runner.drained.wait(DRAIN_SECONDS)
        state = self.runner.state()
        if state.exit_code in KILLED_CODES and not state.oom_killed and not killed_by_us:
            # It may have been ended from outside: by somebody's `docker rm -f`, or by an engine that shuts down.
            # Then the engine is busy removing it, or gone, in a moment, and nobody is to be judged.
            time.sleep(SECOND_LOOK_SECONDS)
            state = self.runner.state()
        if state.running:
            raise SandboxUnavailable("the engine stopped watching a running container; was it restarted?")
        return state

    def text(self) -> str:
        with self._lock:
            return self.output.text()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialSession:
    """See :class:`sandbox.interface.Session`."""

    spec: SandboxSpec
    run: RunDir
    trainer: Watched
    referee: Watched
    before_scoring: Callable[[], None]

    def train(self, *, on_release: Callable[[float], None], cancel: Callable[[], bool]) -> RunResult:
        train, spec = self.trainer, self.spec

        def release(granted_seconds: float) -> None:
            self.run.release(spec.data_dir, granted_seconds)
            on_release(granted_seconds)

        train.start()
        clock = Clock(spec.times, started_at=train.started_at)
        watch = Watch(clock=clock, mailbox=train.mailbox, release=release, kill=train.runner.kill, cancel=cancel)
        ending = watch.until_ended()
        state = train.final_state(killed_by_us=ending.killed_for is not None)
        if ending.killed_for is None and state.exit_code != 0:
            self._check_alone()
        status, reason = classify(ending, state, clock.released_at is not None, spec, train.text())
        return RunResult(
            status=status,
            reason=reason,
            exit_code=state.exit_code,
            log=train.text(),
            log_bytes=train.output.total_bytes,
            startup_seconds=clock.startup_seconds(ending.ended_at),
            wall_seconds=clock.wall_seconds(ending.ended_at),
            charged_seconds=clock.charged_seconds,
            overrun_seconds=ending.overrun_seconds,
        )

    def log_so_far(self) -> str:
        return self.trainer.text()

    def _check_alone(self) -> None:
        """See that the program ended for itself: an engine that shuts down ends every container, politely at first.

        Raises:
            SandboxUnavailable: the referee, which waits at its gate, is gone as well.
        """
        if not self.referee.runner.state().running:
            raise SandboxUnavailable("both containers ended at once; was the engine stopped or restarted?")

    def score(self, *, cancel: Callable[[], bool]) -> RunResult:
        referee, spec = self.referee, self.spec
        self.trainer.final_state()  # the gate stays shut while anything of the candidate lives
        self.before_scoring()
        self.run.open_gate(spec.confirm_below)
        return one_line(referee, spec, opened_at=time.monotonic(), cancel=cancel)


def one_line(referee: Watched, spec: SandboxSpec, *, opened_at: float, cancel: Callable[[], bool]) -> RunResult:
    """Wait for the referee's answer, as long as a scoring may take."""
    seconds = spec.times.score_seconds
    rules = TimeRules(
        train_seconds=seconds, startup_seconds=seconds, free_startup_seconds=0, score_seconds=seconds,
        starts_at="container",
    )  # fmt: skip
    clock = Clock(rules, started_at=opened_at)
    watch = Watch(clock=clock, mailbox=referee.mailbox, release=_nothing, kill=referee.runner.kill, cancel=cancel)
    ending = watch.until_ended()
    state = referee.final_state(killed_by_us=ending.killed_for is not None)
    status, reason = classify(ending, state, True, spec, referee.errors.text())
    return RunResult(
        status=status,
        reason=reason,
        exit_code=state.exit_code,
        log=referee.text(),
        log_bytes=referee.output.total_bytes,
        startup_seconds=0.0,
        wall_seconds=ending.ended_at - opened_at,
    )


def _nothing(_granted_seconds: float) -> None:
    """The referee asks for no data."""


def classify(ending: Ending, state: State, released: bool, spec: SandboxSpec, log: str) -> tuple[RunStatus, str]:
    """Say how a container ended: by the host's own act first, then by the engine's word, then by its exit code.

    An exit code alone is ambiguous: a program can exit with 137 by itself, and a child killed for memory
    leaves its parent free to exit with 0.
    """
    if ending.killed_for is not None:
        return ending.killed_for, ending.reason
    code = state.exit_code
    if state.oom_killed and code == 128 + signal.SIGKILL:
        return RunStatus.OOM, f"killed for using more than {spec.limits.memory_bytes >> 20} MiB of memory"
    if code != 0:
        return _crash(code, spec, log)
    if not released:
        return (
            RunStatus.INVALID,
            "ended without ever asking for the training data, so nothing it made is scored",
        )
    return RunStatus.OK, ""


def _crash(code: int, spec: SandboxSpec, log: str) -> tuple[RunStatus, str]:
    last = next((line.strip() for line in reversed(log.splitlines()) if line.strip()), "")
    full = ("[Errno 28]", "[Errno 27]")  # no space left on device; file too large
    if code == 128 + signal.SIGXFSZ or any(mark in last for mark in full):
        return (
            RunStatus.OUTPUT_LIMIT,
            f"wrote more than its {spec.limits.output_bytes >> 20} MiB of output space",
        )
    if "CUDA out of memory" in last or "OutOfMemoryError" in last:
        return RunStatus.OOM, f"ran out of memory: {last[:200]}"
    how = f"was ended by {signal.Signals(code - 128).name}" if _is_signal(code) else f"exited with code {code}"
    return RunStatus.CRASH, f"{how}: {last[:200]}" if last else how


def _is_signal(code: int) -> bool:
    return code - 128 in set(signal.Signals)
