"""One request to a Messages API: streamed, bounded in time and bytes, answered by a value. The only user of the SDK.

Importing this imports the SDK, which takes a second or more: do it when a model is asked, not before.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import anthropic
import httpx2
from anthropic.lib.streaming import MessageStream
from pydantic import SecretStr

from daemon.pricing import Tokens
from daemon.proposers.llm_values import BAD_JSON, CUT, Block, Failure, Reply
from daemon.text import clean

MAX_ANSWER_BYTES = 16 * 1024 * 1024
CONNECT_SECONDS = 15.0
_CHARACTERS = 300  # of what a provider says about a failure
_NO_JSON = "Unable to parse tool parameter JSON"  # how the SDK begins when the model, not the wire, is at fault
_TRANSIENT_STATUS = frozenset({408, 409, 425, 429})
_CONTENT_STATUS = frozenset({400, 413, 422})
_TRANSIENT_TYPES = frozenset({"overloaded_error", "api_error", "rate_limit_error", "timeout_error"})


class Wire:
    """A connection to one provider. The key is in no attribute's repr and in no text that leaves here."""

    def __init__(self, base_url: str, key: SecretStr) -> None:
        self._key = key
        self._deadline = threading.local()
        # A redirect is not followed: it would take the prompt, if not the key, to whatever host it names.
        http = anthropic.DefaultHttpxClient(follow_redirects=False, event_hooks={"response": [self._bound]})
        self._client = anthropic.Anthropic(
            api_key=key.get_secret_value(), base_url=base_url, max_retries=0, http_client=http, open_telemetry=False
        )

    def send(self, request: Mapping[str, Any], seconds: float) -> Reply | Failure:
        """Ask once; ``seconds`` is for all of it, the wait for the first byte and the stream."""
        self._deadline.at = time.monotonic() + seconds
        timeout = httpx2.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))
        stream: MessageStream[None] | None = None
        try:
            with self._client.messages.stream(**request, timeout=timeout) as stream:
                return _reply(stream, _inputs(stream), self._id(stream))
        except anthropic.APIStatusError as error:
            return self._status_failure(error, stream)
        except Exception as error:  # noqa: BLE001 - a stream that is broken or no stream trips the SDK in many ways
            if isinstance(error, ValueError) and str(error).startswith(_NO_JSON):
                tokens, request_id = _spent(stream), self._id(stream)
                return Reply(blocks=(), stop_reason=BAD_JSON, stop_details="", tokens=tokens, request_id=request_id)
            cause = f" ({error.__cause__})" if error.__cause__ else ""
            words = self._safe(f"{type(error).__name__}: {error}{cause}")
            return Failure(text=words, transient=True, tokens=_spent(stream), request_id=self._id(stream))

    def _bound(self, response: httpx2.Response) -> None:
        assert isinstance(response.stream, httpx2.SyncByteStream)  # noqa: S101 - the client is a synchronous one
        response.stream = _Bounded(response.stream, self._deadline.at)

    def _status_failure(self, error: anthropic.APIStatusError, stream: MessageStream[None] | None) -> Failure:
        """An HTTP error, or an ``error`` event inside a stream that had begun well."""
        status, kind = error.status_code, str(error.type or "")
        begun = 200 <= status < 300
        unlucky = not kind or kind in _TRANSIENT_TYPES if begun else status in _TRANSIENT_STATUS or status >= 500
        said = clean(error.api_message or str(error.body or ""), _CHARACTERS)
        return Failure(
            text=self._safe(f"{'mid-stream' if begun else status} {kind} {said}".replace("  ", " ")),
            transient=unlucky,
            content=status in _CONTENT_STATUS,
            retry_after_seconds=_retry_after(error.response.headers),
            tokens=_spent(stream),
            request_id=self._safe(error.request_id or "")[:100],
        )

    def _id(self, stream: MessageStream[None] | None) -> str:
        return self._safe(stream.request_id or "")[:100] if stream is not None else ""

    def _safe(self, text: str) -> str:
        """A server, or a library, might quote the request's headers."""
        return clean(text.replace(self._key.get_secret_value(), "[key]"), _CHARACTERS)


class _Bounded(httpx2.SyncByteStream):
    """A response's bytes, up to a deadline and a size. Checked here because pings keep the SDK from looking up."""

    def __init__(self, inner: httpx2.SyncByteStream, deadline: float) -> None:
        self._inner, self._at = inner, deadline

    def __iter__(self) -> Iterator[bytes]:
        received = 0
        for chunk in self._inner:
            received += len(chunk)
            if received > MAX_ANSWER_BYTES:
                raise httpx2.ReadError(f"the answer has more than {MAX_ANSWER_BYTES} bytes")
            if time.monotonic() > self._at:
                raise httpx2.ReadTimeout("the answer was not complete in time")
            yield chunk

    def close(self) -> None:
        self._inner.close()


def _inputs(stream: MessageStream[None]) -> dict[int, str]:
    """Read the stream to its end; the tools' inputs as they came. The SDK's own reading takes half of one for whole."""
    parts: dict[int, str] = {}
    for event in stream:
        if event.type == "content_block_delta" and event.delta.type == "input_json_delta":
            parts[event.index] = parts.get(event.index, "") + event.delta.partial_json
    return parts


def _reply(stream: MessageStream[None], inputs: Mapping[int, str], request_id: str) -> Reply:
    answer = stream.current_message_snapshot
    if answer.stop_reason is None:
        raise httpx2.RemoteProtocolError("the stream ended before the answer did")
    tokens = _tokens(answer.usage)
    whole = answer.stop_reason not in CUT  # else half an input is what one expects, and nothing is done with it
    if whole and not all(_is_json(text) for text in inputs.values()):
        return Reply(blocks=(), stop_reason=BAD_JSON, stop_details="", tokens=tokens, request_id=request_id)
    details = answer.stop_details
    parts = (part.to_dict(mode="json", warnings=False) for part in answer.content)
    return Reply(
        blocks=tuple(block for part in parts if (block := _repeatable(part))),
        stop_reason=clean(str(answer.stop_reason), 40),
        stop_details=clean(f"{details.category or ''} {details.explanation or ''}", _CHARACTERS) if details else "",
        tokens=tokens,
        request_id=request_id,
    )


def _is_json(text: str) -> bool:
    try:
        json.loads(text or "{}")
    except ValueError:
        return False
    return True


def _repeatable(block: Block) -> Block | None:
    """The block as a later request may hold it: with the API's own fields only, and no empty text."""
    match block.get("type"):
        case "text":
            text = str(block.get("text", "")).encode("utf-8", "replace").decode()
            return {"type": "text", "text": text} if text.strip() else None
        case "tool_use":
            return _tool_use(block)
        case "thinking":
            return {key: block.get(key, "") for key in ("type", "thinking", "signature")}
        case "redacted_thinking":
            return {key: block.get(key, "") for key in ("type", "data")}
        case _:
            return None


def _tool_use(block: Block) -> Block:
    if not (isinstance(block.get("id"), str) and isinstance(block.get("name"), str)):
        raise httpx2.RemoteProtocolError("a tool call without a name or an id")
    given = block.get("input")  # what is no object cannot be repeated; that it was none shows when it is read
    return {
        "type": "tool_use",
        "id": block["id"],
        "name": block["name"],
        "input": given if isinstance(given, dict) else {},
    }


def _tokens(usage: anthropic.types.Usage) -> Tokens:
    written = _count(usage.cache_creation_input_tokens)
    parts = usage.cache_creation
    hour = min(written, _count(parts.ephemeral_1h_input_tokens)) if parts else written  # without parts: the dearer
    return Tokens(
        input=_count(usage.input_tokens),
        cache_write_5m=written - hour,
        cache_write_1h=hour,
        cache_read=_count(usage.cache_read_input_tokens),
        output=_count(usage.output_tokens),
    )


def _count(value: object) -> int:
    """The SDK builds its values without checking them; a local server may count strangely or not at all."""
    return value if isinstance(value, int) and 0 <= value < 10**9 else 0


def _spent(stream: MessageStream[None] | None) -> Tokens:
    """What a stream had counted when it broke."""
    if stream is None:
        return Tokens()
    try:
        return _tokens(stream.current_message_snapshot.usage)
    except (AssertionError, AttributeError):  # it broke before its first event, or that event was no such thing
        return Tokens()


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds; a date is not worth the code: our own wait serves as well."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * unit
        except (KeyError, ValueError):
            continue
        if math.isfinite(seconds) and seconds >= 0:
            return seconds
    return None
