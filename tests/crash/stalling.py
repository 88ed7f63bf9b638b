"""A door to the engine that can be held shut: it goes on accepting, and nothing comes back."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class Door:
    """Hands bytes to and fro between its own unix socket and the engine's, while it is ``flowing``."""

    def __init__(self, path: Path, engine: str) -> None:
        self.path, self._engine = path, engine
        self.flowing = threading.Event()
        self.flowing.set()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self._listener.accept()[0],), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError):
            self.flowing.wait()
            engine = socket.socket(socket.AF_UNIX)
            engine.connect(self._engine)
            for source, sink in ((client, engine), (engine, client)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while chunk := source.recv(65536):
                self.flowing.wait()
                sink.sendall(chunk)
        for one in (source, sink):  # a half that is closed tells the other side nothing through its thread's end
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.flowing.set()
        self._listener.close()


@contextmanager
def stalling_door(folder: Path) -> Iterator[Door]:
    """A door to the engine of ``DOCKER_HOST``, or of the usual place."""
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    assert host.startswith("unix://"), f"DOCKER_HOST={host}: this test wants a unix socket"
    door = Door(folder / "engine.sock", host.removeprefix("unix://"))
    try:
        yield door
    finally:
        door.close()
