"""The process of the page: serves one lab until it is told to stop, or whoever started it is gone."""

from __future__ import annotations

import os
import socket
import sys
import threading
from typing import BinaryIO

import uvicorn

from daemon import logs
from daemon.model import UserError
from daemon.web.app import build
from daemon.web.settings import Facts, from_json

TAKEN = 3  # exit status: somebody else listens at the address
MAX_FACTS_BYTES = 64 * 1024
MAX_CONNECTIONS = 128
GRACE_SECONDS = 2
NICENESS = 5  # who looks gives way to what is trained


def listen(host: str, port: int) -> socket.socket:
    """A socket at the address.

    Raises:
        OSError: nobody can listen there.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = found[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(MAX_CONNECTIONS)
    except OSError:
        listening.close()
        raise
    return listening


def server_of(facts: Facts) -> uvicorn.Server:
    """The server, which listens at nothing yet."""
    made: list[uvicorn.Server] = []
    server = uvicorn.Server(
        uvicorn.Config(
            build(facts, ending=lambda: bool(made) and made[0].should_exit),
            http="h11",
            ws="none",
            loop="asyncio",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=MAX_CONNECTIONS,
            h11_max_incomplete_event_size=16_384,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )
    made.append(server)
    return server


def serve(facts: Facts) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises:
        UserError: nobody can listen at the address.
    """
    try:
        listening = listen(facts.host, facts.port)
    except OSError as error:
        raise UserError(
            f"{facts.host} port {facts.port} cannot be listened at ({error.strerror or error}); the lab's daemon may "
            "serve its page there already, and --listen takes another address"
        ) from error
    with listening:
        server_of(facts).run(sockets=[listening])


def main() -> None:
    """The child of a run: its facts come on standard input, and when that ends so does it."""
    logs.configure()
    os.nice(NICENESS)
    facts = from_json(sys.stdin.buffer.readline(MAX_FACTS_BYTES).decode())
    try:
        listening = listen(facts.host, facts.port)
    except OSError:
        sys.exit(TAKEN)
    server = server_of(facts)
    threading.Thread(target=_leave_with, args=(sys.stdin.buffer, server), daemon=True, name="parent").start()
    with listening:
        server.run(sockets=[listening])


def _leave_with(parent: BinaryIO, server: uvicorn.Server) -> None:
    """A pipe ends when the process at its other end does, however that died."""
    while parent.read(4096):
        pass
    server.should_exit = True


if __name__ == "__main__":
    main()
