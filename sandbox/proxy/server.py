"""The client's side: one request a connection, read in full and within a time before anything is done about it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

import h11

from sandbox.proxy import head
from sandbox.proxy.calls import recognise
from sandbox.proxy.guard import Guard
from sandbox.proxy.refusal import Refused, shown
from sandbox.proxy.strict_json import canonical
from sandbox.proxy.upstream import PIECE_BYTES, Answer, Request, Upstream

BODY_BYTES = 64 * 1024  # a create body with its seccomp profile is a tenth of it
READ_SECONDS = 10.0
ANSWER_SECONDS = 120.0
CONNECTIONS = 64
LINGER_SECONDS, LINGER_PIECES = 1.0, 16
_RAW_STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: close\r\n\r\n"
_log = logging.getLogger("sandbox.proxy")


class Server:
    """Answers connections, of which there may be so many at once."""

    def __init__(self, guard: Guard, upstream: Upstream, *, longest_seconds: float, read_seconds: float = READ_SECONDS):
        self._guard = guard
        self._upstream = upstream
        self._longest_seconds = longest_seconds
        self._read_seconds = read_seconds
        self._open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its first byte to its end."""
        self._open += 1
        what = "a request"
        try:
            if self._open > CONNECTIONS:
                raise Refused("too many connections", 503)
            connection, method, target, body = await self._read(reader)
            what = f"{shown(method, 16)} {shown(target)}"
            call = recognise(method, target)
            async with self._guard.permitted(call, body) as request:
                await self._pass_on(request, connection, reader, writer)
        except Refused as refused:
            await self._refuse(writer, refused, what)
            if self._open <= CONNECTIONS:
                await _linger(reader)
        except (OSError, TimeoutError, h11.ProtocolError):
            return  # one of the two sides is gone, or too slow
        finally:
            self._open -= 1
            writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> tuple[h11.Connection, str, str, bytes]:
        try:
            async with asyncio.timeout(self._read_seconds):
                return await _request(reader)
        except TimeoutError as error:
            raise Refused("the request did not arrive in time", 408) from error
        except h11.RemoteProtocolError as error:
            raise Refused(f"the request is no HTTP/1.1 ({shown(error, 60)})", 400) from error

    async def _pass_on(
        self, request: Request, connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        seconds = self._longest_seconds if request.takes_long else ANSWER_SECONDS
        answering = asyncio.ensure_future(self._answer(request, connection, writer))
        # A byte more than one request is as good as an end: it is never read as a second one.
        leaving = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait({answering, leaving}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                answering.result()
        finally:
            for task in (answering, leaving):
                task.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)

    async def _answer(self, request: Request, connection: h11.Connection, writer: asyncio.StreamWriter) -> None:
        begun = False
        try:
            async with self._upstream.ask(request) as answer:
                begun = True
                if request.is_stream and answer.status in (200, 101):
                    await _stream(answer, writer)
                else:
                    await _reframe(answer, connection, writer)
        except Refused as refused:
            if begun:  # too late for a sentence: it would stand in the middle of the engine's own
                raise ConnectionAbortedError(refused.sentence) from refused
            raise

    async def _refuse(self, writer: asyncio.StreamWriter, refused: Refused, what: str) -> None:
        if refused.status != 404:
            _log.warning("refused %s: %s", what, refused.sentence)
        body = canonical(
            {"message": f"docker proxy: {refused.sentence}" if refused.status != 404 else refused.sentence}
        )
        start = f"HTTP/1.1 {refused.status} Refused\r\nContent-Type: application/json\r\n"
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(self._read_seconds):
                writer.write(f"{start}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
                await writer.drain()


async def _linger(reader: asyncio.StreamReader) -> None:
    """Read on for a moment: closed with bytes unread, a socket takes the answer back."""
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            for _ in range(LINGER_PIECES):
                if not await reader.read(PIECE_BYTES):
                    return


async def _request(reader: asyncio.StreamReader) -> tuple[h11.Connection, str, str, bytes]:
    raw = await _head_and_more(reader)
    head.check(raw[: raw.index(head.END) + len(head.END)])
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=head.HEAD_BYTES)
    connection.receive_data(raw)
    begun = connection.next_event()
    if not isinstance(begun, h11.Request):
        raise Refused("the request is incomplete", 400)
    body = await _body(connection, reader)
    if connection.trailing_data[0]:
        raise Refused("more than one request on a connection", 400)
    return connection, begun.method.decode("ascii"), begun.target.decode("ascii"), body


async def _head_and_more(reader: asyncio.StreamReader) -> bytes:
    """What has come in, once a whole head is among it."""
    raw = b""
    while head.END not in raw:
        piece = await reader.read(head.HEAD_BYTES)
        raw += piece
        if not piece:
            raise Refused("the request is incomplete", 400)
        if len(raw) > head.HEAD_BYTES and head.END not in raw[: head.HEAD_BYTES]:
            raise Refused("the head is too long", 431)
    return raw


async def _body(connection: h11.Connection, reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(PIECE_BYTES))
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > BODY_BYTES:
                raise Refused(f"the body is longer than {BODY_BYTES} bytes", 413)
        elif isinstance(event, h11.EndOfMessage) and not list(event.headers):
            return bytes(body)
        else:
            raise Refused("the body is incomplete or has trailers", 400)


async def _stream(answer: Answer, writer: asyncio.StreamWriter) -> None:
    writer.write(_RAW_STREAM)
    async for piece in answer.pieces():
        writer.write(piece)
        await writer.drain()


async def _reframe(answer: Answer, connection: h11.Connection, writer: asyncio.StreamWriter) -> None:
    headers = [(b"Content-Type", answer.content_type), (b"Connection", b"close")]
    writer.write(connection.send(h11.Response(status_code=answer.status, headers=headers)) or b"")
    await writer.drain()
    async for piece in answer.pieces():
        writer.write(connection.send(h11.Data(data=piece)) or b"")
        await writer.drain()
    writer.write(connection.send(h11.EndOfMessage()) or b"")
    await writer.drain()
