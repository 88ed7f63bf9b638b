"""What the process logs is cleaned as a whole, traceback included."""

from __future__ import annotations

import logging

from daemon.logs import CleanFormatter


def test_a_record_and_its_traceback_are_cleaned() -> None:
    try:
        raise ValueError("\x1b]52;c;cm0gLXJm\x07 \u202egnp.exe")
    except ValueError as error:
        record = logging.LogRecord(
            "a", 40, "f", 1, "failed on %s", ("\x1b[2J",), (ValueError, error, error.__traceback__)
        )
    text = CleanFormatter("%(message)s").format(record)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "Traceback" in text
    assert "\\x1b]52" in text
