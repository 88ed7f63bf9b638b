"""A small Messages API over loopback, for the real SDK to talk to: streams, tools, failures on request, cache accounts.

It answers by a function of the request (``server.answer``), refuses what the real one refuses, remembers every request,
and counts cached tokens as the provider does: by the longest prefix of blocks that an earlier request had marked.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from messages_protocol import BYTES_PER_TOKEN, Cache, Json, block_events, canonical, problem, texts


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer of the server.

    ``status`` other than 200 sends an error; ``cut_after`` events resets the connection (or closes it, with
    ``cleanly``); ``error_after`` events sends an error event; ``raw`` replaces the stream's body by these bytes;
    ``seconds`` go by before the first byte, ``pings`` follow with ``ping_seconds`` before each.
    """

    blocks: Sequence[Json] = ()
    stop_reason: str = ""
    stop_details: Json | None = None
    status: int = 200
    error: str = "api_error"
    words: str = "the server is having a bad day"
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    cleanly: bool = False
    error_after: int | None = None
    raw: bytes | None = None
    seconds: float = 0.0
    pings: int = 1
    ping_seconds: float = 0.0
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request as it came. ``cached``, ``written`` and ``fresh`` are its prompt tokens."""

    number: int
    headers: dict[str, str]
    body: bytes
    json: Json
    cached: int
    written: int
    written_1h: int
    fresh: int

    @property
    def key(self) -> str:
        """The SDK has sent it in either of two headers, by its version."""
        return self.headers.get("x-api-key") or self.headers.get("authorization", "").removeprefix("Bearer ")

    @property
    def prefix(self) -> bytes:
        """What stands before the conversation: tools and system, as they came."""
        return canonical([self.json.get("tools", []), self.json.get("system", [])])

    @property
    def last_turn(self) -> str:
        """All text of the last message."""
        return "\n".join(texts(self.json["messages"][-1]["content"]))

    @property
    def errors(self) -> list[str]:
        """The tool results of the last message that are errors."""
        return ["\n".join(texts([b])) for b in self.json["messages"][-1]["content"] if b.get("is_error")]


class MessagesServer:
    """``with MessagesServer() as server: server.url``; ``key`` set means that any other key is refused."""

    def __init__(self, answer: Callable[[Request], Answer] | Sequence[Answer] = (), key: str = "") -> None:
        self.answer = answer if callable(answer) else script(answer)
        self.key = key
        self.requests: list[Request] = []
        self.invalid: list[str] = []  # why a request was refused as the real API would
        self.cache = Cache()
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> MessagesServer:
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def receive(self, headers: dict[str, str], body: bytes) -> tuple[Request, Answer]:
        with self._lock:
            parsed = json.loads(body)
            if wrong := problem(parsed):
                self.invalid.append(wrong)
                return self._remember(headers, body, parsed, (0, 0, 0, 0)), Answer(
                    status=400, error="invalid_request_error", words=wrong
                )
            request = self._remember(headers, body, parsed, self.cache.account(parsed))
        if self.key and request.key != self.key:
            return request, Answer(status=401, error="authentication_error", words="invalid x-api-key")
        return request, self.answer(request)

    def _remember(self, headers: dict[str, str], body: bytes, parsed: Json, counts: Sequence[int]) -> Request:
        cached, written, written_1h, fresh = counts
        request = Request(
            number=len(self.requests),
            headers=headers,
            body=body,
            json=parsed,
            cached=cached,
            written=written,
            written_1h=written_1h,
            fresh=fresh,
        )
        self.requests.append(request)
        return request


def script(answers: Sequence[Answer]) -> Callable[[Request], Answer]:
    """Answer in this order, and break down after the last."""
    left = iter(answers)
    return lambda _request: next(left, Answer(status=500, words="the script is at its end"))


def events(request: Request, answer: Answer) -> Iterator[tuple[str, Json]]:
    """The stream of an answer."""
    usage = {
        "input_tokens": request.fresh,
        "cache_read_input_tokens": request.cached,
        "cache_creation_input_tokens": request.written,
        "cache_creation": {
            "ephemeral_1h_input_tokens": request.written_1h,
            "ephemeral_5m_input_tokens": request.written - request.written_1h,
        },
        "output_tokens": 1,
    }
    start = {"id": f"msg_{request.number}", "type": "message", "role": "assistant", "content": [], "usage": usage}
    yield "message_start", {"message": start | {"model": request.json["model"], "stop_reason": None}}
    for index, block in enumerate(answer.blocks):
        yield from block_events(index, block, f"toolu_{request.number}_{index}")
    uses = any(block["type"] == "tool_use" for block in answer.blocks)
    delta = {"stop_reason": answer.stop_reason or ("tool_use" if uses else "end_turn"), "stop_sequence": None}
    spent = 1 + len(canonical(list(answer.blocks))) // BYTES_PER_TOKEN
    yield "message_delta", {"delta": delta | {"stop_details": answer.stop_details}, "usage": {"output_tokens": spent}}
    yield "message_stop", {}


def _handler(server: MessagesServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"  # the end of the body is the end of the connection

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            request, answer = server.receive({k.lower(): v for k, v in self.headers.items()}, body)
            time.sleep(answer.seconds)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._head(request, answer)
                self._body(request, answer)

        def _head(self, request: Request, answer: Answer) -> None:
            self.send_response(answer.status)
            self.send_header("content-type", "text/event-stream" if answer.status == 200 else "application/json")
            self.send_header("request-id", answer.request_id or f"req_{request.number}")
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()

        def _body(self, request: Request, answer: Answer) -> None:
            error = {"type": "error", "error": {"type": answer.error, "message": answer.words}}
            if answer.status != 200:
                self.wfile.write(json.dumps(error).encode())
            elif answer.raw is not None:
                self.wfile.write(answer.raw)
            else:
                self._stream(request, answer, error)

        def _stream(self, request: Request, answer: Answer, error: Json) -> None:
            for _ in range(answer.pings):
                time.sleep(answer.ping_seconds)
                self._event("ping", {})
            for number, (name, data) in enumerate(events(request, answer)):
                if number == answer.error_after:
                    return self._event("error", error)
                if number == answer.cut_after:
                    return None if answer.cleanly else self._reset()
                self._event(name, data)
            return None

        def _event(self, name: str, data: Json) -> None:
            self.wfile.write(f"event: {name}\ndata: {json.dumps({'type': name} | data)}\n\n".encode())
            self.wfile.flush()

        def _reset(self) -> None:
            import socket
            import struct

            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

        def log_message(self, *_: object) -> None:
            pass

    return Handler
