"""Carry a change over to a newer base: a three-way merge of lines that gives up rather than guess."""

from __future__ import annotations

from difflib import SequenceMatcher
from itertools import pairwise

Lines = list[bytes]
Change = tuple[int, int, Lines]  # the base's lines [start, end) become these


def rebase(patch: bytes, base: bytes, onto: bytes) -> bytes | None:
    """Return ``onto`` with what ``patch`` changed of ``base``; None where both changed the same or touching lines.

    A change that ``onto`` already holds is a conflict too: there would be nothing left to try.
    """
    lines = base.splitlines(keepends=True)
    ours, theirs = _changes(lines, onto), _changes(lines, patch)
    merged = sorted([*ours, *theirs], key=lambda change: change[:2])
    if any(_touch(one, other) for one, other in pairwise(merged)):
        return None
    for start, end, replacement in reversed(merged):
        lines[start:end] = replacement
    return b"".join(lines)


def _changes(base: Lines, other: bytes) -> list[Change]:
    lines = other.splitlines(keepends=True)
    matcher = SequenceMatcher(None, base, lines, autojunk=False)
    return [(i1, i2, lines[j1:j2]) for tag, i1, i2, j1, j2 in matcher.get_opcodes() if tag != "equal"]


def _touch(one: Change, other: Change) -> bool:
    """Do two changes, the first of which starts no later, leave no untouched line between them?"""
    return other[0] <= one[1]
