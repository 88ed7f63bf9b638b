"""What people read is what Python runs: plain UTF-8, and nothing invisible or look-alike."""

from __future__ import annotations

import re
import tokenize
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from policies.interface import Finding
from policies.tokens import tokens

_COOKIE = re.compile(rb"^[ \t\f]*#.*?coding[:=]")
# Bidirectional controls, zero-width characters, and everything else that takes part without being seen.
_UNSEEN = ("Cf", "Cc", "Co", "Cs", "Cn", "Zl", "Zp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """UTF-8 without byte-order mark, coding cookie, NUL, CR, invisible characters or non-ASCII identifiers."""

    name: str = "text"

    def check(self, patch: bytes, base: bytes) -> Sequence[Finding]:
        del base
        return list(self._findings(patch))

    def _findings(self, patch: bytes) -> Iterator[Finding]:
        if patch.startswith(b"\xef\xbb\xbf"):
            yield self._finding(1, 1, "the file begins with a byte-order mark", "plain UTF-8")
        if b"\r" in patch:
            line = patch[: patch.index(b"\r")].count(b"\n") + 1
            yield self._finding(line, 0, "a carriage return in a line end", "line feeds alone")
        for number, line_bytes in enumerate(patch.split(b"\n")[:2], 1):
            if _COOKIE.match(line_bytes):
                yield self._finding(number, 1, "a coding cookie", "plain UTF-8, which needs none")
        try:
            text = patch.decode("utf-8")
        except UnicodeDecodeError as error:
            line = patch[: error.start].count(b"\n") + 1
            yield self._finding(line, 0, "bytes that are not UTF-8", "plain UTF-8")
            return
        for number, line_text in enumerate(text.split("\n"), 1):
            yield from self._line(number, line_text)
        yield from self._names(patch)

    def _line(self, number: int, line: str) -> Iterator[Finding]:
        if line.isascii() and line.replace("\t", "").isprintable():
            return
        for column, character in enumerate(line, 1):
            if character not in "\t\r" and unicodedata.category(character) in _UNSEEN:
                yield self._finding(number, column, f"an invisible character, U+{ord(character):04X}", "remove it")
                return

    def _names(self, patch: bytes) -> Iterator[Finding]:
        """Python reads look-alikes of a name as the name itself, after NFKC; people do not."""
        for token in tokens(patch):
            if token.type == tokenize.NAME and not token.string.isascii():
                line, column = token.start
                yield self._finding(line, column + 1, "an identifier that is not ASCII", "ASCII names")

    def _finding(self, line: int, column: int, message: str, instead: str) -> Finding:
        return Finding(rule=self.name, line=line, column=column, message=message, instead=instead)
