"""A change is carried over whole, or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.rebase import rebase

BASE = b"a = 1\nb = 2\nc = 3\nd = 4\ne = 5\n"


def test_changes_apart_from_each_other_are_both_there() -> None:
    onto, patch = BASE.replace(b"a = 1", b"a = 10"), BASE.replace(b"e = 5", b"e = 50\nf = 6")
    assert rebase(patch, BASE, onto) == b"a = 10\nb = 2\nc = 3\nd = 4\ne = 50\nf = 6\n"


@pytest.mark.parametrize(
    ("onto", "patch"),
    [
        (BASE.replace(b"2", b"20"), BASE.replace(b"2", b"21")),  # the same line
        (BASE.replace(b"2", b"20"), BASE.replace(b"2", b"20")),  # the same change: nothing would be left to try
        (BASE.replace(b"2", b"20"), BASE.replace(b"3", b"30")),  # the next line
        (BASE.replace(b"b = 2\n", b""), BASE.replace(b"b = 2\n", b"b = 2\nbb = 2\n")),
        (b"", BASE + b"f = 6\n"),
    ],
)
def test_what_meets_is_a_conflict(onto: bytes, patch: bytes) -> None:
    assert rebase(patch, BASE, onto) is None


FILES = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"d\n", b"\n"]), max_size=12).map(b"".join)


@given(FILES, FILES)
def test_onto_its_own_base_it_is_itself(base: bytes, patch: bytes) -> None:
    assert rebase(patch, base, base) == patch


@given(FILES, FILES, FILES)
def test_it_does_not_matter_who_was_first(base: bytes, one: bytes, other: bytes) -> None:
    assert rebase(one, base, other) == rebase(other, base, one)
