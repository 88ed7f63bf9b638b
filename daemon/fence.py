"""Marks where text that others wrote begins and ends, so that it cannot pass for words of the lab."""

from __future__ import annotations

import hashlib


def fence(label: str, text: str) -> str:
    """``text`` between two lines that carry a mark which does not occur in it. The same text gives the same answer.

    A text cannot forge the end of its own fence: the mark is taken from its hash and then checked against it.
    ``label`` is ours and says whose words these are; the text must have been cleaned.
    """
    mark = next(mark for salt in range(1000) if (mark := _mark(text, salt)) not in text)
    return f"[data {mark}: {label}]\n{text.rstrip(chr(10))}\n[end of data {mark}]"


def _mark(text: str, salt: int) -> str:
    return hashlib.sha256(f"{salt} {text}".encode("utf-8", errors="replace")).hexdigest()[:12]
