"""The Messages API as far as the test server needs it: blocks, what is refused, what is cached, what is streamed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

BYTES_PER_TOKEN = 4
MIN_CACHED_TOKENS = 1024
LOOK_BACK_BLOCKS = 20
LIFETIME_SECONDS = {"5m": 300.0, "1h": 3600.0}
Json = dict[str, Any]


def say(text: str) -> Json:
    return {"type": "text", "text": text}


def think(text: str) -> Json:
    return {"type": "thinking", "thinking": text, "signature": "c2ln"}


def use(name: str, /, **arguments: object) -> Json:
    return {"type": "tool_use", "name": name, "input": arguments}


def texts(content: Any) -> Iterator[str]:
    for block in content if isinstance(content, list) else [say(content)]:
        if block["type"] == "text":
            yield block["text"]
        elif block["type"] == "tool_result":
            yield from texts(block["content"])


def canonical(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def bare(block: Json) -> Json:
    return {key: value for key, value in block.items() if key != "cache_control"}


def blocks_of(parsed: Json) -> list[Json]:
    """All blocks in the order in which the provider reads them: tools, system, messages."""
    system = parsed.get("system", [])
    system = [say(system)] if isinstance(system, str) else system
    found = [*parsed.get("tools", []), *system]
    for message in parsed["messages"]:
        content = message["content"]
        blocks = [say(content)] if isinstance(content, str) else content
        found += [block | {"role": message["role"]} for block in blocks]
    return found


_KEYS = {"model", "max_tokens", "messages", "system", "tools", "stream", "output_config", "temperature"}


def problem(parsed: Json) -> str:
    """What the real API would refuse, of what a client of ours could get wrong; empty for a sound request."""
    if unknown := set(parsed) - _KEYS:
        return f"unknown fields {sorted(unknown)}"  # tool_choice too: current models refuse to be forced
    if not parsed.get("messages") or parsed["messages"][0]["role"] != "user":
        return "the first message must be of the user"
    marks = [block["cache_control"].get("ttl", "5m") for block in blocks_of(parsed) if "cache_control" in block]
    if len(marks) > 4 or sorted(marks) != marks:
        return f"cache marks {marks}: at most 4, and an hour before five minutes"
    if any(b["type"] == "text" and not b["text"].strip() for m in parsed["messages"] for b in m["content"]):
        return "empty text"
    return _unanswered(parsed["messages"])


def _unanswered(messages: Sequence[Json]) -> str:
    waiting: list[str] = []
    for message in messages:
        results = [b["tool_use_id"] for b in message["content"] if b["type"] == "tool_result"]
        if message["role"] == "user" and results != waiting:
            return f"tool results {results} do not answer the calls {waiting}"
        waiting = [b["id"] for b in message["content"] if b["type"] == "tool_use"]
    return f"calls {waiting} without a result" if waiting else ""


class Cache:
    """The provider's prompt cache. ``now`` is its clock, in seconds."""

    def __init__(self) -> None:
        self.now = 0.0
        self._kept: dict[str, float] = {}

    def account(self, parsed: Json) -> tuple[int, int, int, int]:
        """Cached, written, of these for an hour, and fresh tokens; remembers what this request wrote."""
        blocks = blocks_of(parsed)
        sizes = [len(canonical(bare(block))) / BYTES_PER_TOKEN for block in blocks]
        ends = [sum(sizes[: at + 1]) for at in range(len(blocks))]
        digest, keys = hashlib.sha256(parsed["model"].encode()), []
        for block in blocks:
            digest.update(canonical(bare(block)))
            keys.append(digest.hexdigest())
        marks = [(at, b["cache_control"].get("ttl", "5m")) for at, b in enumerate(blocks) if "cache_control" in b]
        marks = [(at, ttl) for at, ttl in marks if ends[at] >= MIN_CACHED_TOKENS]
        hits = [b for at, _ in marks for b in range(at, max(-1, at - LOOK_BACK_BLOCKS), -1) if self._lives(keys[b])]
        cached, upto, hour = (ends[max(hits)] if hits else 0.0), 0.0, 0.0
        upto = cached
        for at, ttl in marks:
            hour += max(0.0, ends[at] - upto) if ttl == "1h" else 0.0
            upto = max(upto, ends[at])
            self._kept[keys[at]] = max(self._kept.get(keys[at], 0.0), self.now + LIFETIME_SECONDS[ttl])
        total = ends[-1] if ends else 0.0
        return int(cached), int(upto) - int(cached), int(hour), int(total) - int(upto)

    def _lives(self, key: str) -> bool:
        return self._kept.get(key, -1.0) >= self.now


def block_events(index: int, block: Json, call_id: str) -> Iterator[tuple[str, Json]]:
    kind = block["type"]
    empty = {"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}, "tool_use": {"input": {}}}[kind]
    named = {"id": call_id, "name": block["name"]} if kind == "tool_use" else {}
    yield "content_block_start", {"index": index, "content_block": {"type": kind} | named | empty}
    whole = block["text"] if kind == "text" else block.get("thinking", "")
    text = json.dumps(block["input"]) if kind == "tool_use" else whole
    text = block.get("raw", text[: len(text) // 2] if block.get("cut") else text)
    field_name = {"text": "text", "thinking": "thinking", "tool_use": "partial_json"}[kind]
    delta_name = {"text": "text_delta", "thinking": "thinking_delta", "tool_use": "input_json_delta"}[kind]
    size = max(1, len(text) // 3)
    for part in (text[at : at + size] for at in range(0, len(text), size)):
        yield "content_block_delta", {"index": index, "delta": {"type": delta_name, field_name: part}}
    if kind == "thinking":
        delta = {"type": "signature_delta", "signature": block["signature"]}
        yield "content_block_delta", {"index": index, "delta": delta}
    yield "content_block_stop", {"index": index}
