"""The endpoint that Prometheus reads. A port that is taken costs the metrics, not the run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server

log = logging.getLogger("autoresearchd")


@contextmanager
def serving(address: tuple[str, int], registry: CollectorRegistry) -> Iterator[int | None]:
    """Serve the registry at host and port while inside; yields the port, None where nobody can listen there."""
    host, port = address
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        log.warning(
            "no metrics for this run: %s port %d cannot be listened at (%s); another run may have it, "
            "and [metrics] listen in lab.toml chooses another address",
            host,
            port,
            error.strerror or error,
        )
        yield None
        return
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
