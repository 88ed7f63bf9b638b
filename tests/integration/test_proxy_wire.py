"""Attacks on the proxy's reading of HTTP, and calls that no trial makes. The engine is real, and sees none of them."""

from __future__ import annotations

import json
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from proxied import API, Proxy, allow_text, running
from specs import a_spec

ID = "0" * 64
GET = f"GET {API}/info HTTP/1.1\r\nHost: docker\r\n"


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    root = tmp_path_factory.mktemp("wire")
    with running(root, allow_text(a_spec(root, lab_id=uuid.uuid4().hex[:8]))) as proxy:
        yield proxy


def test_an_honest_request_is_answered(proxy: Proxy) -> None:
    assert proxy.send(f"{GET}\r\n".encode()).json()["OSType"] == "linux"
    assert proxy.call("GET", "/version").json()["ApiVersion"]


CALLS = [
    ("POST", "/build?t=x"), ("POST", "/images/create?fromImage=busybox"), ("POST", "/images/load"),
    ("POST", "/images/autoresearch-train:cpu/push"), ("POST", "/images/autoresearch-train:cpu/tag?repo=x"),
    ("DELETE", "/images/autoresearch-train:cpu"), ("GET", "/images/json"), ("GET", "/images/get?names=x"),
    ("POST", "/commit?container=x"), ("POST", f"/containers/{ID}/exec"), ("POST", f"/exec/{ID}/start"),
    ("GET", f"/containers/{ID}/export"), ("PUT", f"/containers/{ID}/archive?path=/"),
    ("GET", f"/containers/{ID}/archive?path=/"), ("HEAD", f"/containers/{ID}/archive?path=/"),
    ("GET", f"/containers/{ID}/attach/ws"), ("POST", f"/containers/{ID}/rename?name=x"),
    ("POST", f"/containers/{ID}/restart"), ("POST", f"/containers/{ID}/pause"), ("GET", f"/containers/{ID}/top"),
    ("GET", f"/containers/{ID}/logs?stdout=1"), ("POST", "/containers/prune"), ("POST", "/volumes/prune"),
    ("POST", "/networks/create"), ("GET", "/networks"), ("GET", "/plugins"), ("POST", "/plugins/pull?remote=x"),
    ("POST", "/swarm/init"), ("GET", "/swarm"), ("GET", "/secrets"), ("POST", "/secrets/create"),
    ("POST", "/configs/create"), ("POST", "/services/create"), ("GET", "/nodes"), ("GET", "/events"),
    ("GET", "/system/df"), ("POST", "/session"), ("POST", "/grpc"), ("POST", "/auth"), ("GET", "/distribution/x/json"),
    ("GET", "/_ping"), ("GET", "/debug/pprof/heap"), ("OPTIONS", "/info"), ("CONNECT", "/info"), ("TRACE", "/info"),
    ("GET", f"/volumes/{ID}"), ("PUT", f"/volumes/{ID}"), ("GET", "/images/autoresearch-base:bookworm/json"),
    ("POST", f"/containers/{ID}/kill?signal=SIGSTOP"), ("POST", f"/containers/{ID}/wait?condition=removed"),
    ("POST", f"/containers/{ID}/start?checkpoint=x"), ("DELETE", f"/containers/{ID}?link=1"),
    ("POST", f"/containers/{ID}/attach?stdin=1&stdout=1&stderr=1&stream=1"),
    ("POST", f"/containers/{ID}/attach?stdout=1&stderr=1&stream=1&logs=1"),
    ("DELETE", f"/containers/{ID}?force=1&force=0"), ("GET", "/info?x=1"), ("GET", f"/containers/{ID}/json?size=1"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_a_call_that_no_trial_makes_is_refused(method: str, path: str, proxy: Proxy) -> None:
    answer = proxy.call(method, API + path)
    assert answer.status == 403, answer
    assert "refused" in proxy.log.read_text()


TARGETS = [
    "/info", "/v1.24/info", "/v1.40/info", "/v1.041/info", "/v1.41.0/info", "/v1.100/info", "/v2.41/info",
    "/V1.41/info",
    "//v1.41/info", "/v1.41//info", "/v1.41/v1.41/info", "/v1.41/info/", "/v1.41/./info", "/v1.41/version/../info",
    "/v1.41/%69nfo", "/v1.41%2finfo", "/%76ersion", "/v1.41/INFO", "/v1.41/info%00", "/v1.41/info%20", "/v1.41/info#x",
    "/v1.41/info;x=1", "/v1.41/info?", "http://docker/v1.41/info", "http://docker/info", "*", "docker:80", "\\info",
    f"{API}/containers/{ID}/../../info", f"{API}/containers/../images/json", f"{API}/containers/%2e%2e/info",
    f"{API}/containers/%252e%252e/info", f"{API}/containers/x%2f..%2f..%2finfo/json", f"{API}/containers/../json",
    f"{API}/containers/.hidden/json", f"{API}/containers//json", f"{API}/containers/x/json?", f"{API}/info\t",
    f"{API}/containers/%EF%BC%8E/json", f"{API}/containers/" + "a" * 129 + "/json", f"{API}/info?%00", f"{API}/info?a",
]  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
def test_a_path_in_another_dress_is_refused(target: str, proxy: Proxy) -> None:
    allowed = (200,) if target.endswith(("/info?",)) else (400, 403)  # an empty query is no query
    if target.endswith("/x/json?"):
        allowed = (404,)
    assert proxy.call("GET", target).status in allowed


SMUGGLED = f"GET {API}/images/json HTTP/1.1\r\nHost: docker\r\n\r\n"
WIRE = {
    "two lengths": f"{GET}Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello",
    "the same length twice": f"{GET}Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "a list of lengths": f"{GET}Content-Length: 0, 0\r\n\r\n",
    "a signed length": f"{GET}Content-Length: +0\r\n\r\n",
    "a hexadecimal length": f"{GET}Content-Length: 0x0\r\n\r\n",
    "a length and a coding": f"{GET}Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a coding and a length": f"{GET}Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
    "two codings": f"{GET}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a coding in disguise": f"{GET}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "a coding before a space": f"{GET}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a coding in capitals": f"{GET}Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n",
    "a folded header": f"{GET}Content-Length:\r\n 0\r\n\r\n",
    "a folded coding": f"{GET}X: y\r\n\tTransfer-Encoding: chunked\r\n\r\n",
    "bare line feeds": GET.replace("\r\n", "\n") + "\r\n\r\n",
    "a bare line feed in a header": f"{GET}X: a\nContent-Length: 4\r\n\r\n",
    "a bare carriage return": f"{GET}X: a\rContent-Length: 4\r\n\r\n",
    "a NUL in a header": f"{GET}X: a\x00b\r\n\r\n",
    "a header without a colon": f"{GET}Content-Length 4\r\n\r\n",
    "a header without a name": f"{GET}: x\r\n\r\n",
    "no host": f"GET {API}/info HTTP/1.1\r\n\r\n",
    "HTTP/1.0": GET.replace("1.1\r", "1.0\r") + "\r\n",
    "HTTP/0.9": f"GET {API}/info\r\n\r\n",
    "HTTP/2 by prior knowledge": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "h2c": f"{GET}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAA\r\n\r\n",
    "a websocket": f"{GET}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAA\r\n\r\n",
    "to be continued": f"{GET}Expect: 100-continue\r\nContent-Length: 0\r\n\r\n",
    "a second request behind": f"{GET}\r\n{SMUGGLED}",
    "a second request as a body": f"{GET}Content-Length: {len(SMUGGLED)}\r\n\r\n{SMUGGLED}",
    "a second request behind a chunked body": f"{GET}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}",
    "a chunk with an extension and a bare feed": f"{GET}Transfer-Encoding: chunked\r\n\r\n0;\n{SMUGGLED}\r\n\r\n",
    "a chunk of negative size": f"{GET}Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
    "trailers": f"{GET}Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 4\r\n\r\n",
    "a head without end": GET + "X: " + "a" * 40_000 + "\r\n\r\n",
    "ten thousand headers": GET + "".join(f"X{i}: y\r\n" for i in range(10_000)) + "\r\n",
    "TLS": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "empty lines first": f"\r\n\r\n{GET}\r\n",
}


@pytest.mark.parametrize("attack", WIRE)
def test_a_request_that_two_readers_read_in_two_ways_is_refused(attack: str, proxy: Proxy) -> None:
    try:
        answer = proxy.send(WIRE[attack].encode("latin-1"))
    except (BrokenPipeError, ConnectionResetError):
        return  # refused while we were still talking
    assert answer.status in (400, 403, 431), answer
    assert "OSType" not in answer.text
    assert '"RepoTags"' not in answer.text


def test_a_body_without_end_is_cut(proxy: Proxy) -> None:
    head = f"POST {API}/volumes/create HTTP/1.1\r\nHost: docker\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(proxy.socket))
        client.sendall(head.encode())
        sent = 0
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while sent < 1 << 30:
                client.sendall(chunk)
                sent += len(chunk)
    assert sent < 1 << 22


def test_who_sends_a_byte_at_a_time_is_cut_off_and_holds_nobody_up(proxy: Proxy) -> None:
    with socket.socket(socket.AF_UNIX) as slow:
        slow.connect(str(proxy.socket))
        slow.settimeout(30)
        begun = time.monotonic()
        answer = b""
        for byte in GET.encode() * 3:
            try:
                slow.sendall(bytes([byte]))
            except BrokenPipeError:
                break
            assert proxy.call("GET", "/version").status == 200
            time.sleep(0.3)
        answer = slow.recv(65536)
    assert b" 408 " in answer
    assert time.monotonic() - begun < 20


def test_connections_are_counted(proxy: Proxy) -> None:
    with ExitStack() as stack:
        for _ in range(64):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(str(proxy.socket))
        time.sleep(0.5)
        with suppress(ConnectionResetError):  # what it said may be lost, since it did not read what we said
            assert proxy.call("GET", "/version").status == 503
        assert "too many connections" in proxy.log.read_text()
    time.sleep(0.5)
    assert proxy.call("GET", "/version").status == 200


def test_the_proxys_memory_stays_small_and_its_log_is_one_line_a_refusal(proxy: Proxy) -> None:
    before = len(proxy.log.read_text().splitlines())
    nasty = f"{API}/images/\x1b[31m\xe9\xe9".encode("latin-1")
    proxy.send(b"GET " + nasty + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    proxy.call("GET", f"{API}/images/%1b%0a%0d{'x' * 4000}")
    new = proxy.log.read_text().splitlines()[before:]
    assert len(new) == 2
    assert all(line.isprintable() and len(line) < 400 for line in new)
    resident = Path(f"/proc/{proxy.process.pid}/status").read_text().split("VmRSS:")[1].split()[0]
    assert int(resident) < 100 * 1024


def test_a_refusal_says_why_in_one_sentence(proxy: Proxy) -> None:
    message = json.loads(proxy.call("POST", f"{API}/containers/{ID}/exec").text)["message"]
    assert message.startswith("docker proxy: ")
    assert "not among the calls" in message
