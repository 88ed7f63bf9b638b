"""``python -m sandbox.proxy.health SOCKET``: 0 when the proxy and the engine behind it answer."""

from __future__ import annotations

import http.client
import socket
import sys

SECONDS = 4.0


def answers(path: str) -> bool:
    """Whether a call that is always allowed is answered."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(SECONDS)
            client.connect(path)
            client.sendall(b"GET /version HTTP/1.1\r\nHost: docker\r\n\r\n")
            answer = http.client.HTTPResponse(client)
            answer.begin()
            return answer.status == 200
    except (OSError, http.client.HTTPException):
        return False


if __name__ == "__main__":
    sys.exit(0 if len(sys.argv) == 2 and answers(sys.argv[1]) else 1)
