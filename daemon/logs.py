"""The log of the process itself. Whatever a record carries, the line that is written went through the sanitiser."""

from __future__ import annotations

import logging

from daemon.text import clean

MAX_RECORD_CHARACTERS = 20_000


class CleanFormatter(logging.Formatter):
    """Formats, traceback included, then cleans: an exception's message may quote a candidate."""

    def format(self, record: logging.LogRecord) -> str:
        return clean(super().format(record), MAX_RECORD_CHARACTERS, lines=True, tail=True)


def configure(level: int = logging.WARNING) -> None:
    """Send the records of every logger to stderr, cleaned."""
    handler = logging.StreamHandler()
    handler.setFormatter(CleanFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
