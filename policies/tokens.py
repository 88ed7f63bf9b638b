"""A patch as tokens: no recursion, so no nesting bomb; nothing is parsed and nothing is run."""

from __future__ import annotations

import io
import tokenize
from collections.abc import Iterator


def read_tokens(patch: bytes) -> Iterator[tokenize.TokenInfo]:
    """Token by token, as UTF-8 whatever a coding cookie says: no codec is chosen by the patch.

    Raises:
        TokenError, SyntaxError, ValueError: it cannot be decoded, or not be split further.
    """
    return tokenize.generate_tokens(io.StringIO(patch.decode("utf-8")).readline)


def tokens(patch: bytes) -> list[tokenize.TokenInfo]:
    """All tokens; none of a file that cannot be tokenised, which is the syntax rule's to refuse."""
    try:
        return list(read_tokens(patch))
    except (tokenize.TokenError, SyntaxError, ValueError):
        return []
