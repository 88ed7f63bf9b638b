"""The engine's side: every request is written here from scratch, one connection each."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import h11

from sandbox.proxy.refusal import Refused

PIECE_BYTES = 64 * 1024
LOOK_UP_BYTES = 8 * 1024 * 1024
LOOK_UP_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the engine is sent."""

    method: str
    target: str
    body: bytes | None = None
    is_stream: bool = False  # raw bytes until one side ends it
    takes_long: bool = False


class Answer:
    """The engine's answer, read piece by piece."""

    def __init__(self, connection: h11.Connection, reader: asyncio.StreamReader) -> None:
        self._connection = connection
        self._reader = reader
        self.status = 0
        self.content_type = b"application/json"

    async def begin(self) -> None:
        event = await self._event()
        while isinstance(event, h11.InformationalResponse):
            event = await self._event()
        if not isinstance(event, h11.Response):
            raise Refused("the engine closed the connection", 502)
        self.status = event.status_code
        self.content_type = dict(event.headers).get(b"content-type", self.content_type)

    async def pieces(self) -> AsyncIterator[bytes]:
        while True:
            event = await self._event()
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            else:
                return

    async def _event(self) -> Any:
        while True:
            event = self._connection.next_event()
            if event is not h11.NEED_DATA:
                return event
            self._connection.receive_data(await self._reader.read(PIECE_BYTES))


class Upstream:
    """The engine behind its unix socket."""

    def __init__(self, path: str) -> None:
        self._path = path

    @asynccontextmanager
    async def ask(self, request: Request) -> AsyncIterator[Answer]:
        """Send one request; the connection closes with the context.

        Raises:
            Refused: 502, the engine is not there or spoke no HTTP.
        """
        try:
            reader, writer = await asyncio.open_unix_connection(self._path)
        except OSError as error:
            raise Refused(f"the engine does not answer ({error.strerror})", 502) from error
        try:
            connection = h11.Connection(h11.CLIENT)
            writer.write(_written(connection, request))
            await writer.drain()
            answer = Answer(connection, reader)
            await answer.begin()
            yield answer
        except h11.RemoteProtocolError as error:
            raise Refused("the engine's answer is no HTTP", 502) from error
        finally:
            writer.transport.abort()

    async def look_up(self, target: str) -> tuple[int, Any]:
        """Status and content of a GET of our own.

        Raises:
            Refused: 502 or 504, no answer, too long an answer, or none in JSON.
        """
        try:
            async with asyncio.timeout(LOOK_UP_SECONDS), self.ask(Request(method="GET", target=target)) as answer:
                content = bytearray()
                async for piece in answer.pieces():
                    content += piece
                    if len(content) > LOOK_UP_BYTES:
                        raise Refused("the engine's answer is too long", 502)
                return answer.status, json.loads(content) if content else None
        except TimeoutError as error:
            raise Refused("the engine took too long", 504) from error
        except ValueError as error:
            raise Refused("the engine's answer is no JSON", 502) from error


def _written(connection: h11.Connection, request: Request) -> bytes:
    headers = [("Host", "docker"), ("Connection", "close")]
    if request.body is not None:
        headers += [("Content-Type", "application/json"), ("Content-Length", str(len(request.body)))]
    elif request.method == "POST":
        headers.append(("Content-Length", "0"))
    sent = connection.send(h11.Request(method=request.method, target=request.target, headers=headers)) or b""
    if request.body:
        sent += connection.send(h11.Data(data=request.body)) or b""
    return sent + (connection.send(h11.EndOfMessage()) or b"")
