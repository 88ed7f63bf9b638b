"""An engine of a test's own, which may be stopped and killed: nobody else's containers are in it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 60.0


class PrivateEngine:
    """``dockerd`` with its own root, socket and containerd, without networks. It takes root to run one."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("dockerd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
        assert program is not None, "dockerd is not installed; apt-get install docker.io"
        self._folder, self._program = folder, program
        self.host = f"unix://{folder}/docker.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        folder = self._folder
        with (folder / "dockerd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._program, f"--data-root={folder}/data", f"--exec-root={folder}/exec", f"--host={self.host}",
                    f"--pidfile={folder}/pid", "--bridge=none", "--iptables=false", "--ip6tables=false",
                ],
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        until = time.monotonic() + START_SECONDS
        while self.docker("version", check=False).returncode != 0:
            assert time.monotonic() < until, (folder / "dockerd.log").read_text()[-2000:]
            time.sleep(0.1)

    def docker(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(["docker", f"--host={self.host}", *words], check=check, capture_output=True)

    def take(self, image: str) -> None:
        """Copy an image out of the usual engine."""
        load = ["docker", f"--host={self.host}", "load"]
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saving:
            subprocess.run(load, stdin=saving.stdout, check=True, capture_output=True)

    def end(self, how: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(60)
        if how is signal.SIGKILL:  # as a service manager does it, with all that the engine started but the shims
            containerd = self._folder / "exec" / "containerd" / "containerd.pid"
            os.kill(int(containerd.read_text()), signal.SIGKILL)
            containerd.unlink()  # where nobody buries the dead, the next engine would take it for a living one
        self._process = None

    def close(self) -> None:
        if self._process is not None:
            self.end(signal.SIGTERM)


@contextmanager
def private_engine(folder: Path) -> Iterator[PrivateEngine]:
    engine = PrivateEngine(folder)
    try:
        engine.start()
        yield engine
    finally:
        engine.close()
        for place in sorted(line.split()[1] for line in Path("/proc/mounts").read_text().splitlines())[::-1]:
            if place.startswith(str(folder)):
                subprocess.run(["umount", "--lazy", place], check=False, capture_output=True)
