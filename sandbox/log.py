"""The bounded log: whatever a container prints, the host keeps this much of it and notices the ready marker."""

from __future__ import annotations

from collections import deque

from sandbox.interface import READY_MARKER

LINE_BYTES = 4096
KEPT_BYTES = 64 * 1024


class BoundedLog:
    """Collects output in constant memory: at most 64 KiB of whole lines from the end, each cut at 4 KiB.

    A carriage return starts its line over, as on a terminal, so that a progress line costs one line.
    """

    def __init__(self) -> None:
        self.total_bytes = 0
        self.ready = False
        self._lines: deque[bytes] = deque()
        self._kept = 0
        self._open = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Take the next piece of output."""
        self.total_bytes += len(chunk)
        *whole, rest = chunk.split(b"\n")
        for piece in whole:
            self._extend(piece)
            self._close_line()
        self._extend(rest)

    def _extend(self, piece: bytes) -> None:
        if b"\r" in piece:
            before_last, _, last = piece.rstrip(b"\r").rpartition(b"\r")
            if before_last or piece.startswith(b"\r"):
                self._open.clear()
            piece = last
        room = LINE_BYTES - len(self._open)
        if room > 0:
            self._open += piece[:room]

    def _close_line(self) -> None:
        line = bytes(self._open)
        self._open.clear()
        if line.strip() == READY_MARKER.encode():
            self.ready = True
            return
        self._lines.append(line)
        self._kept += len(line) + 1
        while self._kept > KEPT_BYTES:
            self._kept -= len(self._lines.popleft()) + 1

    def text(self) -> str:
        """What is kept, as valid UTF-8; not yet cleaned for a terminal or a page."""
        lines = [*self._lines, bytes(self._open)] if self._open else list(self._lines)
        return b"\n".join(lines).decode("utf-8", errors="replace")
