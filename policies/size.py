"""How much a file may hold: room for a program, none for memorised data."""

from __future__ import annotations

import ast
import tokenize
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from policies.interface import Finding, Submission
from policies.program import children, read
from policies.syntax import Unparsable, cached_tokens, parse

_DISPLAYS = (ast.List, ast.Tuple, ast.Set, ast.Dict)
_DATA = (*_DISPLAYS, ast.Constant, ast.UnaryOp)
_LITERAL_TOKENS = (tokenize.STRING, tokenize.NUMBER, getattr(tokenize, "FSTRING_MIDDLE", -1))  # the last: 3.12 on
_SHORT_NUMBER = 7  # digits; settings are shorter, and a memorised text in numbers is longer or stands in a display
_INSTEAD = "compute it, or learn it from the training split"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Bytes, changed lines, and literals: the longest, all of them together, and what they hold once compressed.

    The last one is what memorised data cannot hide from by being cut into many short literals or by being encoded.
    Docstrings are not counted: a program cannot read them.
    """

    max_bytes: int = 65_536
    max_changed_lines: int = 1_500
    max_literal_characters: int = 4_096
    max_total_literal_characters: int = 12_288
    max_literal_information_bytes: int = 2_048

    SENTENCE: ClassVar[str] = "Has room for a program and none for memorised data: bytes, changed lines, and literals."

    @property
    def name(self) -> str:
        return "size"

    def check(self, submission: Submission) -> Sequence[Finding]:
        patch = submission.patch
        if len(patch) > self.max_bytes:
            message = f"has {len(patch)} bytes; {self.max_bytes} are allowed"
            return [_finding(0, 0, message, "shorten the file; data belongs to the training split")]
        findings = [*self._changes(submission), *self._longest(patch)]
        return findings or list(self._together(patch))

    def _changes(self, submission: Submission) -> Iterator[Finding]:
        changed = changed_lines(submission.base, submission.patch) if submission.base else 0
        if changed > self.max_changed_lines:
            message = f"changes {changed} lines; {self.max_changed_lines} are allowed"
            yield _finding(0, 0, message, "try one idea at a time, on the file as it is")

    def _longest(self, patch: bytes) -> Iterator[Finding]:
        for line, column, length in (*_tokens(patch), *_constants(patch)):
            if length > self.max_literal_characters:
                message = f"a literal of {length} characters; {self.max_literal_characters} are allowed"
                yield _finding(line, column, message, _INSTEAD)
                return

    def _together(self, patch: bytes) -> Iterator[Finding]:
        texts = list(_texts(patch))
        total = sum(map(len, texts))
        if total > self.max_total_literal_characters:
            message = f"literals of {total} characters together; {self.max_total_literal_characters} are allowed"
            yield _finding(0, 0, message, _INSTEAD)
            return
        information = len(zlib.compress("\n".join(texts).encode("utf-8", errors="surrogatepass"), 9))
        if information > self.max_literal_information_bytes:
            allowed = self.max_literal_information_bytes
            message = f"literals that hold {information} bytes of information when compressed; {allowed} are allowed"
            yield _finding(0, 0, message, _INSTEAD)


def _finding(line: int, column: int, message: str, instead: str) -> Finding:
    return Finding(rule="size", line=line, column=column, message=message, instead=instead)


def changed_lines(base: bytes, patch: bytes) -> int:
    """Lines removed plus lines added. Moved lines do not count: no alignment, so no quadratic time."""
    old, new = Counter(base.split(b"\n")), Counter(patch.split(b"\n"))
    return (old - new).total() + (new - old).total()


def _tokens(patch: bytes) -> Iterator[tuple[int, int, int]]:
    """Line, column and length of each string and number as it is written."""
    for item in cached_tokens(patch):
        if item.type in _LITERAL_TOKENS:
            yield item.start[0], item.start[1] + 1, len(item.string)


def _constants(patch: bytes) -> Iterator[tuple[int, int, int]]:
    """The same of strings joined from several tokens and of displays that hold only literals."""
    try:
        program = read(patch)
    except Unparsable:
        return
    starts = _line_starts(patch)
    plain = _plain_data(patch)
    for node in (place.node for place in program.places):
        if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)):
            yield node.lineno, node.col_offset + 1, len(node.value)
        elif isinstance(node, _DISPLAYS) and node in plain:
            first, last = _span(node, starts)
            yield node.lineno, node.col_offset + 1, last - first


def _texts(patch: bytes) -> Iterator[str]:
    """What the file holds as data, each piece once: displays of nothing but literals, texts, and long numbers."""
    try:
        tree = parse(patch)
    except Unparsable:
        return
    starts, plain = _line_starts(patch), _plain_data(patch)
    work: list[ast.AST] = [tree]
    while work:
        node = work.pop()
        if isinstance(node, _DISPLAYS) and node in plain:
            first, last = _span(node, starts)
            yield patch[first:last].decode("utf-8", errors="replace")
        elif isinstance(node, ast.Constant):
            yield from _text_of(node.value)
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):  # a docstring, or idle
            work.extend(children(node))


def _text_of(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, bytes):
        yield value.decode("latin-1")
    elif isinstance(value, int | float | complex):
        digits = hex(value) if isinstance(value, int) else repr(value)
        if len(digits) > _SHORT_NUMBER:
            yield digits


@lru_cache(maxsize=2)
def _plain_data(patch: bytes) -> set[ast.AST]:
    """Nodes with nothing but literals in them, found from the leaves up, each looked at once."""
    plain: set[ast.AST] = set()
    for node in reversed([place.node for place in read(patch).places]):  # children come after their parents
        if isinstance(node, _DATA) and all(child in plain for child in children(node)):
            plain.add(node)
    return plain


def _span(node: ast.expr, starts: Sequence[int]) -> tuple[int, int]:
    first = starts[node.lineno - 1] + node.col_offset
    return first, starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)


def _line_starts(patch: bytes) -> list[int]:
    starts = [0]
    for line in patch.split(b"\n"):
        starts.append(starts[-1] + len(line) + 1)
    return starts
