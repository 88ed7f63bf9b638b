"""Trials that wait for their turn where several labs share a machine: the executor's side of :mod:`daemon.line`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from daemon import hardware
from daemon.lab import Lab
from daemon.line import Claim, Line, Place, Seen, boottime, shared
from daemon.model import OurFault, TrialResult
from daemon.observe import Observer, Observers, Paused, SlotAwaited, SlotTaken
from daemon.steering import Steering
from daemon.text import clean
from daemon.trial import Executor, Listener
from sandbox.interface import Cancelled, SandboxSpec, SandboxUnavailable
from sandbox.preflight import needed_memory_bytes, total_memory_bytes

POLL_SECONDS = 0.2
ASK_ENGINE_SECONDS = 2.0
SYSTEM_FOLDER = Path("/run/autoresearchd/queue")  # made by tmpfiles.d, for the members of a group
COMMON_FOLDER = Path("/tmp/autoresearchd-queue")  # noqa: S108 - nothing is trusted there; see daemon.line
Told = tuple[tuple[str, float | None], ...]
BACKSTOP_SECONDS = 130.0  # a container's own end, after its limits: sandbox.spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Who waits: when it gives up, when it pauses, and who is told."""

    gives_up: Callable[[], bool]
    paused: Callable[[], bool] = lambda: False
    number: Callable[[], int | None] = lambda: None
    observers: Observers = field(default_factory=lambda: Observers(()))


class Queued:
    """An executor that lets a trial begin when nobody has, or asked sooner for, what it needs."""

    def __init__(self, executor: Executor, turns: Turns, observers: Observers, steering: Steering) -> None:
        self._executor, self._turns, self._observers, self._steering = executor, turns, observers, steering

    def run(self, spec: SandboxSpec, listener: Listener) -> TrialResult:
        waiting = Waiting(
            gives_up=lambda: listener.cancel() or self._steering.leaves(),
            paused=lambda: self._steering.paused,
            number=lambda: self._steering.number,
            observers=self._observers,
        )
        with self._turns.held(spec, waiting):
            return self._executor.run(spec, listener)


class Turns:
    """The line as one lab stands in it. ``line`` None: this lab is alone on its machine, by its settings."""

    def __init__(self, line: Line | None, *, name: str, engine: str = "") -> None:
        self._line, self._name, self._engine = line, name, engine

    def check(self) -> None:
        """Raise now what would be raised when a trial has begun.

        Raises:
            UserError: this user may not stand in the line.
        """
        if self._line is not None:
            self._line.check()

    @contextmanager
    def held(self, spec: SandboxSpec, waiting: Waiting) -> Iterator[None]:
        """Wait for the turn of a trial, and keep others out while inside.

        Raises:
            Cancelled: ``waiting`` gave up.
            UserError: this user may not stand in the line.
            OurFault: the line does not work.
        """
        if self._line is None:
            yield
            return
        place = self._wait(self._line, self._claim(spec), waiting)
        try:
            yield
        except OurFault:
            place.strand()  # the engine failed, so a container may still be at work; the next reaping frees the place
            raise
        except BaseException:  # whatever it was, the containers are removed by now, and the error goes on
            place.leave()
            raise
        place.leave()

    def _wait(self, line: Line, claim: Claim, waiting: Waiting) -> Place:
        began = time.monotonic()
        told: Told = ()
        waited = False
        place = line.enter(claim)
        try:
            while before := place.before():
                if waiting.gives_up():
                    raise Cancelled("stopped while waiting in line")
                if waiting.paused():
                    place = self._again(line, place, waiting)
                    told = ()
                    continue
                if told != (now := tuple((seen.file, seen.claim.taken_at) for seen in before)):
                    told, waited = now, True
                    _tell(waiting, place.claim, before)
                time.sleep(POLL_SECONDS)
            place.take()
        except BaseException:  # nothing of ours runs yet, so the place is free for others; the error goes on
            place.leave()
            raise
        if waited:
            waiting.observers.notify(SlotTaken(number=waiting.number(), seconds=time.monotonic() - began))
        return place

    def _again(self, line: Line, place: Place, waiting: Waiting) -> Place:
        """Who pauses lets others pass, and comes back at the end of the line."""
        place.leave()
        waiting.observers.notify(Paused(reason="paused by the operator, before its turn came"))
        while waiting.paused() and not waiting.gives_up():
            time.sleep(POLL_SECONDS)
        return line.enter(place.claim)

    def _claim(self, spec: SandboxSpec) -> Claim:
        times = spec.times
        return Claim(
            lab=spec.lab_id,
            name=clean(self._name, 100),
            devices=devices(spec.gpu),
            cores=spec.limits.scoring_cpus,
            memory_bytes=needed_memory_bytes(spec.limits),
            engine=self._engine,
            lingers_seconds=times.startup_seconds + times.train_seconds + times.score_seconds + BACKSTOP_SECONDS,
        )


def _tell(waiting: Waiting, mine: Claim, before: list[Seen]) -> None:
    event = SlotAwaited(number=waiting.number(), reason=sentence(mine, before), ahead=len(before))
    waiting.observers.notify(event)


def sentence(mine: Claim, before: list[Seen]) -> str:
    """``waiting for GPU-1, held by lab night (alice) since 21:04:10Z; 2nd in line``."""
    what = sorted({thing for seen in before for thing in shared(seen.claim, mine)}) or ["memory"]
    holders = [seen for seen in before if seen.claim.taken_at is not None]
    queued = len(before) - len(holders)
    by = f", held by {', '.join(map(_holder, holders[:4]))}" if holders else ""
    return clean(f"waiting for {', '.join(what)}{by}; {_ordinal(queued + 1)} in line", 500)


def _holder(seen: Seen) -> str:
    since = time.time() - max(0.0, boottime() - (seen.claim.taken_at or 0.0))
    at = time.strftime("%H:%M:%SZ", time.gmtime(since))
    left = "" if seen.alive else ", which was killed and may have left a container"
    return f"lab {clean(seen.claim.name, 60)} ({clean(seen.owner, 40)}) since {at}{left}"


def _ordinal(number: int) -> str:
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def devices(gpu: str | None) -> tuple[str, ...]:
    """The GPUs behind one name, by UUID where the driver can tell: a GPU has a UUID and several CDI names."""
    if not gpu:
        return ()
    found = [listed.uuid for listed in hardware.gpus()]
    short = gpu.partition("=")[2] or gpu
    if short == "all" and found:
        return tuple(sorted(found))
    if short.isdecimal() and int(short) < len(found):
        return (found[int(short)],)
    return (short,)


def turns_of(lab: Lab) -> Turns:
    """The line that a lab's settings name."""
    setting = lab.settings.slot.queue
    if not setting:
        return Turns(None, name=lab.directory.name)
    wall = lab.wall
    line = Line(folder_of(setting), total_memory_bytes(), Orphans(wall.engine_id, wall.containers_of).left)
    return Turns(line, name=lab.directory.name, engine=wall.engine_id)


def alone(
    lab: Lab, gives_up: Callable[[], bool], watching: Sequence[Observer] = ()
) -> Callable[[SandboxSpec], AbstractContextManager[None]]:
    """What else runs in the lab's sandbox takes its turn as a trial does."""
    return lambda spec: turns_of(lab).held(spec, Waiting(gives_up=gives_up, observers=Observers(watching)))


def folder_of(setting: str) -> Path:
    """``auto``: the machine's own, where its administrator made one, else one that everybody may use."""
    if setting != "auto":
        return Path(setting)
    return SYSTEM_FOLDER if SYSTEM_FOLDER.is_dir() else COMMON_FOLDER


class Orphans:
    """Whether a lab whose process was killed has left a container at work: the engine knows, if it is the same one."""

    def __init__(self, engine_id: str, containers_of: Callable[[str], int]) -> None:
        self._engine_id, self._containers_of = engine_id, containers_of
        self._known: dict[str, tuple[float, bool]] = {}

    def left(self, claim: Claim) -> bool:
        """True where it cannot be told, which holds until the containers have ended by themselves."""
        if not claim.engine or claim.engine != self._engine_id:
            return True
        asked, answer = self._known.get(claim.lab, (-ASK_ENGINE_SECONDS, True))
        if time.monotonic() - asked >= ASK_ENGINE_SECONDS:
            answer = self._ask(claim.lab)
            self._known[claim.lab] = (time.monotonic(), answer)
        return answer

    def _ask(self, lab_id: str) -> bool:
        try:
            return self._containers_of(lab_id) > 0
        except SandboxUnavailable:
            return True
