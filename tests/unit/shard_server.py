"""A local server that serves shards as the hub does (redirect, size, sha256, ETag, ranges) and misbehaves on demand."""

from __future__ import annotations

import hashlib
import re
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RESOLVE = "/datasets/karpathy/climbmix-400b-shuffle/resolve/main/"
STORAGE = "/storage/"


@dataclass(kw_only=True)
class Seen:
    """One request, as it arrived."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass(kw_only=True)
class Shop:
    """What is served, and what goes wrong.

    faults: file name -> what happens to its next GETs from the storage, in order; then all goes well. Each is one of
    "cut" (half the body, then the connection breaks), "garbage" (the right number of wrong bytes), "long" (bytes too
    many), "no-range" (the whole file whatever was asked), "wrong-range" (a 206 from another place),
    or a status: "429", "503", "416".
    linked: whether the hub tells size and sha256; strong: whether the storage sends an ETag that If-Range may use;
    head: whether HEAD is known at all.
    """

    files: dict[str, bytes]
    faults: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    retry_after: str = "0"
    linked: bool = True
    strong: bool = True
    head: bool = True
    seen: list[Seen] = field(default_factory=list)
    endpoint: str = ""

    def gets(self, name: str) -> list[Seen]:
        """The GETs that the storage got for a file."""
        return [seen for seen in self.seen if seen.method == "GET" and seen.path == STORAGE + name]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    shop: Shop

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._note()
        if not self.shop.head:
            return self._answer(405)
        if self.path.startswith(RESOLVE):
            return self._redirect(self.path.removeprefix(RESOLVE))
        body = self.shop.files.get(self.path.removeprefix(STORAGE))
        return self._answer(404) if body is None else self._answer(200, {"Content-Length": str(len(body))})

    def do_GET(self) -> None:
        self._note()
        if self.path.startswith(RESOLVE):
            return self._redirect(self.path.removeprefix(RESOLVE))
        name = self.path.removeprefix(STORAGE)
        if name not in self.shop.files:
            return self._answer(404)
        faults = self.shop.faults[name]
        return self._serve(self.shop.files[name], faults.pop(0) if faults else "")

    def _note(self) -> None:
        self.shop.seen.append(Seen(method=self.command, path=self.path, headers=dict(self.headers)))

    def _redirect(self, name: str) -> None:
        body = self.shop.files.get(name)
        if body is None:
            return self._answer(404)
        linked = {"X-Linked-Size": str(len(body)), "X-Linked-Etag": f'"{hashlib.sha256(body).hexdigest()}"'}
        return self._answer(302, {"Location": STORAGE + name} | (linked if self.shop.linked else {}))

    def _serve(self, body: bytes, fault: str) -> None:
        if fault.isdigit():
            return self._answer(int(fault), {"Retry-After": self.shop.retry_after})
        etag = ("" if self.shop.strong else "W/") + f'"{hashlib.md5(body).hexdigest()}"'
        start = self._start(fault, etag)
        if start >= len(body):
            return self._answer(416, {"Content-Range": f"bytes */{len(body)}"})
        if fault == "garbage":
            body = b"<html>" + b"?" * (len(body) - 6)
        if fault == "long":
            body += b"more"
        sent = body[start:]
        headers = {"ETag": etag, "Content-Length": str(len(sent))}
        if start:
            place = start + 1 if fault == "wrong-range" else start
            headers["Content-Range"] = f"bytes {place}-{len(body) - 1}/{len(body)}"
        self._answer(206 if start else 200, headers, sent[: len(sent) // 2] if fault == "cut" else sent)
        if fault == "cut":
            self.close_connection = True
        return None

    def _start(self, fault: str, etag: str) -> int:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        stale = self.headers.get("If-Range", etag) != etag
        return 0 if not asked or stale or fault == "no-range" else int(asked[1])

    def _answer(self, code: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.send_response(code)
        for name, value in ({"Content-Length": "0"} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving(shop: Shop) -> Iterator[Shop]:
    """Serve on a free port of this machine while the block runs; `shop.endpoint` is what HF_ENDPOINT should be."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"shop": shop}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    shop.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield shop
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
