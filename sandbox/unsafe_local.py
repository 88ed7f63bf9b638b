"""No wall at all: the same trial as plain processes of this user, for machines without an engine.

Nothing here protects anybody. It serves people who run their own train.py on their own GPU, and measurements.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from sandbox import rundir
from sandbox.interface import Errand, RunResult, SandboxSpec, SandboxUnavailable
from sandbox.runner import State
from sandbox.session import TrialSession, Watched, one_line

GUEST = Path(__file__).parent / "guest"


class UnsafeLocalSandbox:
    """Runs each trial as two processes under ``python``, an interpreter that has torch and safetensors."""

    name = "unsafe-local"

    def __init__(self, python: Path) -> None:
        self._python = python

    @contextmanager
    def session(self, spec: SandboxSpec) -> Iterator[TrialSession]:
        """Open a trial in a folder of its own; both processes are dead and the folder gone when it closes."""
        run = rundir.create(spec)
        out, data = run.root / "out", run.root / "data"
        site = run.root / "site"
        for folder in (out, data, site):
            folder.mkdir()
        (site / "autoresearch_guest").symlink_to(GUEST)
        (data / "common").symlink_to(spec.data_dir / "common")
        (data / "train").symlink_to(run.train)
        referee = LocalProcess(self._referee_command(spec, run, out), run.root, self._environment(spec, site, run))
        trainer = LocalProcess(
            [str(self._python), "-P", str(run.lab / "train.py")],
            run.lab,
            {**self._environment(spec, site, run), "AUTORESEARCH_DATA": str(data), "AUTORESEARCH_OUT": str(out)},
        )
        referee_watch = Watched(runner=referee, log_limit_bytes=spec.limits.log_bytes)
        try:
            referee_watch.start()
            yield TrialSession(
                spec=spec,
                run=run,
                trainer=Watched(runner=trainer, log_limit_bytes=spec.limits.log_bytes, merge=True),
                referee=referee_watch,
                before_scoring=_nothing,
            )
        finally:
            trainer.kill()
            referee.kill()
            run.remove()

    def errand(self, spec: SandboxSpec, errand: Errand, *, cancel: Callable[[], bool]) -> RunResult:
        """See :class:`sandbox.interface.Sandbox`."""
        run = rundir.RunDir(root=spec.runs_dir / spec.run_id)
        with TemporaryDirectory(prefix="autoresearch-errand-") as folder:
            (Path(folder) / "autoresearch_guest").symlink_to(GUEST)
            command = self._errand_command(spec, run, errand)
            process = LocalProcess(command, Path(folder), self._environment(spec, Path(folder), run))
            watched = Watched(runner=process, log_limit_bytes=spec.limits.log_bytes)
            try:
                watched.start()
                return one_line(watched, spec, opened_at=watched.started_at, cancel=cancel)
            finally:
                process.kill()

    def _errand_command(self, spec: SandboxSpec, run: rundir.RunDir, errand: Errand) -> list[str]:
        device = ["--device", "cuda" if spec.gpu else "cpu"]
        if errand is Errand.BENCHMARK:
            return [str(self._python), "-P", "-m", "autoresearch_guest.benchmark", *device]
        return [
            str(self._python), "-P", "-m", "autoresearch_guest.referee",
            "--sealed", str(run.sealed), "--data", str(spec.data_dir), "--split", "holdout",
            "--seq-len", str(spec.seq_len), "--vocab-size", str(spec.vocab_size),
            "--audit-rows", str(spec.audit_rows), *device,
        ]  # fmt: skip

    def _referee_command(self, spec: SandboxSpec, run: rundir.RunDir, out: Path) -> list[str]:
        return [
            str(self._python), "-P", "-m", "autoresearch_guest.referee",
            "--gate", str(run.gate), "--sealed", str(out), "--data", str(spec.data_dir), "--split", "val",
            "--seq-len", str(spec.seq_len), "--vocab-size", str(spec.vocab_size),
            "--audit-rows", str(spec.audit_rows), "--confirm-rows", str(spec.confirm_rows),
            "--device", "cuda" if spec.gpu else "cpu", *(["--keep", str(run.kept)] if spec.keep else []),
        ]  # fmt: skip

    @staticmethod
    def _environment(spec: SandboxSpec, site: Path, run: rundir.RunDir) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LD_LIBRARY_PATH") if name in os.environ}
        return {
            **inherited,
            "PYTHONPATH": f"{run.lab}{os.pathsep}{site}",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": str(len(spec.limits.cpus)),
            "OMP_WAIT_POLICY": "PASSIVE",
            "AUTORESEARCH_PROFILE": spec.profile,
            "AUTORESEARCH_SEED": str(spec.seed),
            "AUTORESEARCH_TRAIN_SECONDS": f"{spec.times.train_seconds:g}",
        }

    def reap(self, lab_id: str) -> Sequence[str]:
        """Nothing outlives a session here but processes of a killed daemon, which cannot be told from others."""
        del lab_id
        return []


class LocalProcess:
    """One process group: a :class:`sandbox.runner.Runner`."""

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self._command = list(command)
        self._folder = folder
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self.drained = threading.Event()

    def start(self, on_output: Callable[[bytes, bool], None], on_end: Callable[[float], None]) -> float:
        try:
            process = subprocess.Popen(
                self._command, cwd=self._folder, env=self._environment, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
        except OSError as error:
            raise SandboxUnavailable(f"cannot start {self._command[0]}: {error.strerror}") from error
        self._process = process
        started_at = time.monotonic()
        assert process.stdout and process.stderr  # noqa: S101 - PIPE was asked for; tells the type checker so
        threads = [
            threading.Thread(target=_drain, args=(process.stdout, False, on_output), daemon=True),
            threading.Thread(target=_drain, args=(process.stderr, True, on_output), daemon=True),
        ]
        for thread in threads:
            thread.start()
        threading.Thread(target=self._wait, args=(process, threads, on_end), daemon=True).start()
        return started_at

    def _wait(
        self, process: subprocess.Popen[bytes], drains: Sequence[threading.Thread], on_end: Callable[[float], None]
    ) -> None:
        process.wait()
        ended_at = time.monotonic()
        self.kill()  # what it left running in the background ends with it, as in a container
        on_end(ended_at)
        for thread in drains:
            thread.join()
        self.drained.set()

    def kill(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def state(self) -> State:
        code = self._process.poll() if self._process is not None else None
        if code is None:
            return State(running=True, exit_code=0, oom_killed=False)
        return State(running=False, exit_code=code if code >= 0 else 128 - code, oom_killed=False)


def _drain(stream: IO[bytes], is_stderr: bool, on_output: Callable[[bytes, bool], None]) -> None:
    while chunk := os.read(stream.fileno(), 65536):
        on_output(chunk, is_stderr)


def _nothing() -> None:
    """Cores are not pinned here."""
