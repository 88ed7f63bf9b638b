"""The file stays small, and no literal is large enough to carry data."""

from __future__ import annotations

import tokenize
from collections.abc import Sequence
from dataclasses import dataclass

from policies.interface import Finding
from policies.tokens import tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """At most ``max_bytes`` in the file and ``max_literal_characters`` in one literal."""

    max_bytes: int = 65_536
    max_literal_characters: int = 4_096
    name: str = "size"

    def check(self, patch: bytes, base: bytes) -> Sequence[Finding]:
        del base
        if len(patch) > self.max_bytes:
            return [self._finding(0, 0, f"the file has {len(patch)} bytes, more than {self.max_bytes}", "less code")]
        return [
            self._finding(
                token.start[0],
                token.start[1] + 1,
                f"a literal of {len(token.string)} characters, more than {self.max_literal_characters}",
                "compute it, or learn it",
            )
            for token in _literals(patch)
            if len(token.string) > self.max_literal_characters
        ]

    def _finding(self, line: int, column: int, message: str, instead: str) -> Finding:
        return Finding(rule=self.name, line=line, column=column, message=message, instead=instead)


def _literals(patch: bytes) -> list[tokenize.TokenInfo]:
    kinds = {tokenize.STRING, tokenize.NUMBER, getattr(tokenize, "FSTRING_MIDDLE", -1)}
    return [token for token in tokens(patch) if token.type in kinds]
