"""A patch as tokens: no recursion, so no nesting bomb; nothing is parsed and nothing is run."""

from __future__ import annotations

import io
import tokenize


def tokens(patch: bytes) -> list[tokenize.TokenInfo]:
    """All tokens; none of a file that cannot be tokenised, which is the syntax rule's to refuse."""
    try:
        return list(tokenize.tokenize(io.BytesIO(patch).readline))
    except (tokenize.TokenError, SyntaxError):
        return []
