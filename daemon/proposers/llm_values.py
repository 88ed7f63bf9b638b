"""What an exchange with a model is made of. Plain values: importing this imports no SDK."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from daemon.pricing import Tokens

Block = dict[str, Any]
CUT = frozenset({"max_tokens", "model_context_window_exceeded"})  # the provider's stop reasons for half an answer
BAD_JSON = "bad_json"  # our own stop reason: a tool's input that cannot be parsed, which the model is to send again


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A whole answer. ``blocks`` are in the form in which the next request repeats them."""

    blocks: tuple[Block, ...]
    stop_reason: str
    stop_details: str
    tokens: Tokens
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """No answer. ``transient`` means that asking again may help; ``tokens`` were spent all the same.

    ``content`` means that the provider objects to what this one request holds, such as its length.
    """

    text: str
    transient: bool
    content: bool = False
    retry_after_seconds: float | None = None
    tokens: Tokens = field(default_factory=Tokens)
    request_id: str = ""
