"""The real sandbox: two containers around one tmpfs volume, watched from the host."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from sandbox import rundir
from sandbox import spec as bodies
from sandbox.docker_engine import Container, Engine
from sandbox.interface import Errand, RunResult, SandboxSpec, SandboxUnavailable
from sandbox.runtimes import fitted
from sandbox.session import TrialSession, Watched, one_line


class DockerSandbox:
    """Runs each trial in fresh containers of one engine."""

    name = "docker"

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @contextmanager
    def session(self, spec: SandboxSpec) -> Iterator[TrialSession]:
        """Open a trial: volume and referee stand ready, the train container is created.

        Raises:
            SandboxUnavailable: the engine refused one of them, or has not the runtime asked for.
        """
        spec = fitted(spec, self._engine.info())
        with ExitStack() as undo:
            run = rundir.create(spec)
            undo.callback(run.remove)
            undo.callback(self._discard_volume, bodies.volume_name(spec))
            self._engine.create_volume(bodies.volume_body(spec))
            # The referee holds the volume from the start: a tmpfs volume is emptied when its last container stops.
            referee = self._create(undo, spec, "referee", bodies.referee_body(spec, run))
            referee_watch = Watched(runner=referee, log_limit_bytes=spec.limits.log_bytes)
            referee_watch.start()
            train = self._create(undo, spec, "train", bodies.train_body(spec, run))

            def onto_all_cores() -> None:
                if spec.limits.idle_cpus != spec.limits.scoring_cpus:
                    referee.use_cpus(bodies.cpuset(spec.limits.scoring_cpus))

            yield TrialSession(
                spec=spec,
                run=run,
                trainer=Watched(runner=train, log_limit_bytes=spec.limits.log_bytes, merge=True),
                referee=referee_watch,
                before_scoring=onto_all_cores,
            )

    def errand(self, spec: SandboxSpec, errand: Errand, *, cancel: Callable[[], bool]) -> RunResult:
        """See :class:`sandbox.interface.Sandbox`. The container is gone when this returns."""
        spec = fitted(spec, self._engine.info())
        run = rundir.RunDir(root=spec.runs_dir / spec.run_id)
        with ExitStack() as undo:
            container = self._create(undo, spec, errand.value, bodies.errand_body(spec, run, errand))
            watched = Watched(runner=container, log_limit_bytes=spec.limits.log_bytes)
            watched.start()
            return one_line(watched, spec, opened_at=watched.started_at, cancel=cancel)

    def _create(self, undo: ExitStack, spec: SandboxSpec, role: str, body: bodies.Body) -> Container:
        name = bodies.container_name(spec, role)
        undo.callback(self._discard, name)
        container = self._engine.create(name, body)
        undo.callback(container.close)
        return container

    def _discard(self, name: str) -> None:
        with suppress(SandboxUnavailable):  # the engine is gone; the reaper finds it by label at the next start
            self._engine.remove(name)

    def _discard_volume(self, name: str) -> None:
        with suppress(SandboxUnavailable):
            self._engine.remove_volume(name)

    def reap(self, lab_id: str) -> Sequence[str]:
        """Remove every container and volume of this lab; the lab's lock says that none of them is in use."""
        containers, volumes = self._engine.ours(lab_id)
        for name in containers:
            self._engine.remove(name)
        for name in volumes:
            self._engine.remove_volume(name)
        return [*containers, *volumes]
