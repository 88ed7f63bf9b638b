"""Keeps the page's process beside a run: started with it, restarted when it dies, gone when the run is gone."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from daemon.lab import Lab
from daemon.live import FILE, LiveFile
from daemon.model import UserError
from daemon.sections import PageSettings
from daemon.steering import Steering
from daemon.text import clean
from daemon.web.settings import Facts, read_token, to_json

TAKEN = 3  # as in daemon.web.serve, which loads the server
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1.0, 60.0
STOP_SECONDS = 3.0
POLL_SECONDS = 0.2
_COMMAND = (sys.executable, "-I", "-m", "daemon.web.serve")
# All that the page and the doctor that it asks have a use for; no key of a provider is among them.
_PASSED = (
    *("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "XDG_RUNTIME_DIR"),
    *("DOCKER_HOST", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"),
)
log = logging.getLogger("autoresearchd")


def facts_of(lab: Lab, page: PageSettings | None = None) -> Facts:
    """What the page is told of a lab.

    Raises:
        UserError: its token cannot be read, or it is switched off.
    """
    page = page or lab.settings.page
    if page.address is None:
        raise UserError('lab.toml: page.listen is "", so there is no page; --listen 127.0.0.1:9465 names an address')
    host, port = page.address
    box = lab.settings.sandbox
    boundary = {
        "sandbox": box.kind,
        "runtime": box.runtime or "the engine's default",
        "gpu": box.gpu or "none",
        "cores": box.cpus,
        "memory": f"{box.memory_mib} MiB",
        "output": f"{box.output_mib} MiB",
        "log": f"{box.log_mib} MiB",
        "processes": str(box.pids),
    }
    return Facts(
        directory=str(lab.directory),
        state=str(lab.state),
        tag=lab.settings.tag,
        profile=lab.settings.profile,
        host=host,
        port=port,
        hosts=tuple(page.hosts),
        token=read_token(lab.directory / Path(page.token_file).expanduser()) if page.token_file else "",
        train_seconds=lab.settings.time.train_seconds,
        boundary=tuple((name, clean(value, 200)) for name, value in boundary.items()),
    )


def listening_at(page: PageSettings, listen: str) -> PageSettings:
    """The settings with another address, where one is given.

    Raises:
        UserError: it is no address, or one that needs a token where none is set.
    """
    if not listen:
        return page
    try:
        return PageSettings.model_validate({**page.model_dump(), "listen": listen})
    except ValidationError as error:
        raise UserError(f"--listen: {error.errors(include_url=False)[0]['msg']}") from error


@contextmanager
def kept(lab: Lab) -> Iterator[None]:
    """Serve the lab's page while inside, from a process of its own; nothing where lab.toml names no address.

    Raises:
        UserError: the page's token cannot be read.
    """
    if lab.settings.page.address is None:
        yield
        return
    keeper = Keeper(facts_of(lab))
    keeper.start()
    try:
        yield
    finally:
        keeper.stop()


@contextmanager
def shown(lab: Lab, steering: Steering) -> Iterator[LiveFile]:
    """Show a run to people while inside: the page, and the file that tells it what the loop is at.

    Yields the observer that must be told of the run's events.

    Raises:
        UserError: the page's token cannot be read.
    """
    live = LiveFile(lab.state / FILE, paused=lambda: steering.paused)
    with live.keeping(), kept(lab):
        yield live


class Keeper:
    """One child, watched by a thread."""

    def __init__(
        self, facts: Facts, command: Sequence[str] = _COMMAND, first_wait_seconds: float = FIRST_WAIT_SECONDS
    ) -> None:
        self._facts, self._command, self._first_wait = facts, command, first_wait_seconds
        self._stopping = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep, name="page", daemon=True)

    @property
    def pid(self) -> int | None:
        """Of the child, while there is one."""
        return self._child.pid if self._child and self._child.poll() is None else None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the child; it is given a moment."""
        self._stopping.set()
        self._thread.join()

    def _keep(self) -> None:
        wait = self._first_wait
        while not self._stopping.is_set():
            began = time.monotonic()
            status = self._live()
            if self._stopping.is_set():
                return
            if status == TAKEN:
                log.warning(
                    "no page for this run: %s port %d cannot be listened at; another run may have it, and [page] "
                    "listen in lab.toml chooses another address",
                    self._facts.host,
                    self._facts.port,
                )
                return
            wait = self._first_wait if time.monotonic() - began > LONGEST_WAIT_SECONDS else wait
            log.warning("the page ended (status %s); it is started again in %g s", status, wait)
            self._stopping.wait(wait)
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)

    def _live(self) -> int | None:
        """One life of the child; None when it could not be born."""
        try:
            child = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                cwd="/",
                env=_environment(os.environ),
                start_new_session=True,  # a Ctrl-C in the terminal is for the run, which ends the page
            )
        except OSError as error:
            log.warning("the page could not be started: %s", error.strerror)
            return None
        self._child = child
        try:
            return self._attend(child)
        finally:
            if child.stdin is not None:
                child.stdin.close()

    def _attend(self, child: subprocess.Popen[bytes]) -> int | None:
        assert child.stdin is not None  # noqa: S101 - it is a pipe
        try:
            child.stdin.write(to_json(self._facts).encode() + b"\n")
            child.stdin.flush()
        except OSError:  # it died at once; its status says so below
            log.debug("the page did not take its facts", exc_info=True)
        while child.poll() is None and not self._stopping.wait(POLL_SECONDS):
            pass
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        return child.returncode


def _environment(mine: Mapping[str, str]) -> dict[str, str]:
    passed = {name: mine[name] for name in _PASSED if name in mine}
    return {**passed, "MALLOC_ARENA_MAX": "2", "PYTHONDONTWRITEBYTECODE": "1"}
