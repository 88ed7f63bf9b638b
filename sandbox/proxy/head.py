"""A request's head as bytes, before the parser sees it: what two readers might read in two ways is refused."""

from __future__ import annotations

import re

from sandbox.proxy.refusal import Refused

HEAD_BYTES = 16 * 1024
END = b"\r\n\r\n"
_REQUEST = re.compile(rb"(GET|POST|DELETE) (/[!-~]*) HTTP/1\.1")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~]*)")
_SINGLE_LENGTH = re.compile(rb"0|[1-9][0-9]{0,9}")


def check(head: bytes) -> None:
    """Look at a head that ends with an empty line.

    Raises:
        Refused: a bare CR or LF, a folded line, a header that stands twice, two framings, an upgrade, another version.
    """
    lines = head.removesuffix(END).split(b"\r\n")
    if any(b"\n" in line or b"\r" in line for line in lines):
        raise Refused("the head has a bare CR or LF", 400)
    if _REQUEST.fullmatch(lines[0]) is None:
        raise Refused("the request line is not a plain GET, POST or DELETE of a path in HTTP/1.1")
    fields = _fields(lines[1:])
    _check_framing(fields)
    if b"expect" in fields:
        raise Refused("Expect is not answered here", 400)
    # The client asks for "tcp" where it attaches; nothing is upgraded here, the stream is sent as the answer's body.
    if fields.get(b"upgrade", b"tcp") != b"tcp":
        raise Refused("no protocol is upgraded here", 400)


def _fields(lines: list[bytes]) -> dict[bytes, bytes]:
    fields: dict[bytes, bytes] = {}
    for line in lines:
        found = _FIELD.fullmatch(line)
        if found is None:
            raise Refused("a line of the head is folded or malformed", 400)
        name = found[1].lower()
        if name in fields:
            raise Refused("a header stands twice", 400)
        fields[name] = found[2].strip()
    return fields


def _check_framing(fields: dict[bytes, bytes]) -> None:
    length, coding = fields.get(b"content-length"), fields.get(b"transfer-encoding")
    if length is not None and coding is not None:
        raise Refused("Content-Length and Transfer-Encoding do not go together", 400)
    if length is not None and _SINGLE_LENGTH.fullmatch(length) is None:
        raise Refused("Content-Length is no plain number", 400)
    if coding is not None and coding != b"chunked":
        raise Refused("the only transfer coding is chunked", 400)
