"""Whatever is printed, the host keeps little of it and sees the marker only where it stands alone."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from sandbox.interface import READY_MARKER
from sandbox.log import KEPT_BYTES, LINE_BYTES, BoundedLog

MARKER = READY_MARKER.encode()


def fed(*chunks: bytes) -> BoundedLog:
    log = BoundedLog()
    for chunk in chunks:
        log.feed(chunk)
    return log


def test_the_marker_is_seen_across_chunks() -> None:
    assert fed(b"hello\n" + MARKER[:5], MARKER[5:], b"\n").ready


def test_the_marker_inside_a_line_is_text() -> None:
    assert not fed(b"say " + MARKER + b"\n").ready
    assert not fed(MARKER).ready


def test_a_progress_line_costs_one_line() -> None:
    log = fed(*(b"\rstep %05d | loss 2.0" % step for step in range(10_000)), b"\ndone\n")
    assert log.text() == "step 09999 | loss 2.0\ndone"


def test_an_endless_line_is_cut_and_counted() -> None:
    log = fed(*[b"x" * 65536] * 100)
    assert len(log.text()) == LINE_BYTES
    assert log.total_bytes == 6_553_600


def test_a_million_newlines_fit() -> None:
    assert len(fed(b"\n" * 1_000_000).text()) <= KEPT_BYTES


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert fed(b"\xff\xfe\x00ok\n").text().endswith("ok")


@given(st.lists(st.binary(max_size=300), max_size=50))
def test_memory_is_bounded_for_any_input(chunks: list[bytes]) -> None:
    log = fed(*chunks)
    assert len(log.text().encode()) <= 3 * (KEPT_BYTES + LINE_BYTES)
    assert log.total_bytes == sum(map(len, chunks))


@given(st.binary(max_size=2000), st.lists(st.integers(0, 2000), max_size=10))
def test_how_the_output_is_cut_into_chunks_does_not_matter(content: bytes, cuts: list[int]) -> None:
    content = content.replace(b"\r", b"")
    edges = sorted({0, len(content), *(cut for cut in cuts if cut < len(content))})
    pieces = [content[a:b] for a, b in itertools.pairwise(edges)]
    assert fed(*pieces).text() == fed(content).text()
