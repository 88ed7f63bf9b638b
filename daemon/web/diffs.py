"""Two versions of a text as the lines that changed, with Python's words told apart by classes.

Everything is bounded: what a hostile file makes dear is shown plainly instead.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from markupsafe import Markup, escape

from daemon.text import clean

CONTEXT_LINES = 3
MAX_CHARACTERS = 200_000  # of one version
MAX_SHOWN = 1_500  # lines of a diff
MAX_LINE = 400
MAX_COLOURED = 30_000  # characters that go through the lexer
MAX_PAIRS = 60_000  # equal lines that the comparison may have to weigh
GAP, KEPT, ADDED, REMOVED = "gap", "kept", "added", "removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line; ``old`` and ``new`` are its numbers, None where it is not there."""

    kind: str
    old: int | None
    new: int | None
    code: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """The lines to show, how many were added and removed in all, and how many more there are than are shown."""

    lines: Sequence[Line]
    added: int
    removed: int
    left_out: int


def compare(before: bytes, after: bytes, *, python: bool = True) -> Diff:
    """What changed, with some lines around it."""
    old, new = _split(before), _split(after)
    groups = _groups(old, new)
    paint = _painter(old, new, groups) if python else _plain
    every = list(_lines(old, new, groups, paint))
    changed = Counter(tag for group in groups for tag in _kinds(group))
    return Diff(
        lines=every[:MAX_SHOWN],
        added=changed[ADDED],
        removed=changed[REMOVED],
        left_out=max(0, len(every) - MAX_SHOWN),
    )


def _split(content: bytes) -> list[str]:
    text = clean(content.decode("utf-8", errors="replace"), MAX_CHARACTERS, lines=True)
    lines = [line if len(line) <= MAX_LINE else line[: MAX_LINE - 1] + "…" for line in text.split("\n")]
    return lines[:-1] if lines and not lines[-1] else lines


_Group = list[tuple[str, int, int, int, int]]


def _groups(old: Sequence[str], new: Sequence[str]) -> list[_Group]:
    """Hunks. What begins and ends alike is set aside first; what would be dear to compare counts as all changed."""
    head = next((at for at, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    room = min(len(old), len(new)) - head
    backwards = zip(reversed(old), reversed(new), strict=False)
    tail = next((at for at, (a, b) in enumerate(backwards) if at >= room or a != b), room)
    middle_old, middle_new = old[head : len(old) - tail], new[head : len(new) - tail]
    if _pairs(middle_old, middle_new) > MAX_PAIRS:
        codes: Sequence[tuple[str, int, int, int, int]] = [("replace", 0, len(middle_old), 0, len(middle_new))]
    else:
        codes = difflib.SequenceMatcher(None, middle_old, middle_new, autojunk=False).get_opcodes()
    moved = [(tag, i + head, j + head, k + head, m + head) for tag, i, j, k, m in codes]
    whole = [("equal", 0, head, 0, head), *moved, ("equal", len(old) - tail, len(old), len(new) - tail, len(new))]
    return list(_hunks([code for code in whole if code[2] > code[1] or code[4] > code[3]]))


def _pairs(old: Sequence[str], new: Sequence[str]) -> int:
    counts = Counter(new)
    return sum(counts[line] for line in old)


def _hunks(codes: Sequence[tuple[str, int, int, int, int]]) -> Iterator[_Group]:
    matcher = difflib.SequenceMatcher(None, "", "")
    matcher.opcodes = list(codes)  # type: ignore[attr-defined]  # grouping is all that is asked of it
    for group in matcher.get_grouped_opcodes(CONTEXT_LINES):
        if any(tag != "equal" for tag, *_ in group):
            yield group


def _kinds(group: _Group) -> Iterator[str]:
    for tag, i, j, k, m in group:
        if tag != "equal":
            yield from [REMOVED] * (j - i) + [ADDED] * (m - k)


def _lines(old: Sequence[str], new: Sequence[str], groups: Sequence[_Group], paint: Any) -> Iterator[Line]:
    for group in groups:
        first = group[0]
        if first[1] or first[3]:
            yield Line(kind=GAP, old=None, new=None, code=Markup(""))
        for tag, i, j, k, m in group:
            if tag == "equal":
                for at, line in enumerate(new[k:m]):
                    yield Line(kind=KEPT, old=i + at + 1, new=k + at + 1, code=paint(1, k + at, line))
                continue
            for at, line in enumerate(old[i:j]):
                yield Line(kind=REMOVED, old=i + at + 1, new=None, code=paint(0, i + at, line))
            for at, line in enumerate(new[k:m]):
                yield Line(kind=ADDED, old=None, new=k + at + 1, code=paint(1, k + at, line))


def _plain(_side: int, _at: int, line: str) -> Markup:
    return escape(line)


def _painter(old: Sequence[str], new: Sequence[str], groups: Sequence[_Group]) -> Any:
    """Colours for the lines of the hunks, each hunk and side read as one piece; none where that would be too much."""
    painted: dict[tuple[int, int], Markup] = {}
    room = MAX_COLOURED
    for group in groups:
        for side, lines, begin, end in (
            (0, old, group[0][1], group[-1][2]),
            (1, new, group[0][3], group[-1][4]),
        ):
            text = "\n".join(lines[begin:end])
            room -= len(text)
            if room < 0:
                return _plain
            painted |= {(side, begin + at): code for at, code in enumerate(coloured(text))}
    return lambda side, at, line: painted.get((side, at), escape(line))


def coloured(text: str) -> list[Markup]:
    """Each line of a Python text, its words in spans with the short classes of Pygments."""
    lexer, classes = _lexer()
    done: list[list[str]] = [[]]
    for kind, value in lexer.get_tokens(text):
        name = classes(kind)
        for at, part in enumerate(value.split("\n")):
            if at:
                done.append([])
            if part:
                done[-1].append(f'<span class="{name}">{escape(part)}</span>' if name else str(escape(part)))
    return [Markup("".join(line)) for line in done]  # noqa: S704 - every part of it is escaped above


@lru_cache(maxsize=1)
def _lexer() -> tuple[Any, Any]:
    from pygments.lexers.python import PythonLexer  # for those who look at a diff
    from pygments.token import STANDARD_TYPES, Token

    @lru_cache(maxsize=256)
    def name(kind: Any) -> str:
        while kind not in STANDARD_TYPES:
            kind = kind.parent
        found = STANDARD_TYPES[kind]
        return "" if kind in (Token, Token.Text, Token.Name, Token.Text.Whitespace, Token.Punctuation) else found

    return PythonLexer(stripnl=False, ensurenl=False), name
