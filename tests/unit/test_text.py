"""The sanitiser: bounded, printable, and honest text untouched."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.text import CUT, clean

ANYTHING = st.text(st.characters(exclude_categories=()), max_size=300)


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("a\x1b[31mred\x1b[0m", r"a\x1b[31mred\x1b[0m"),
        ("\x9b2J", r"\x9b2J"),
        ("bell\x07 back\x08 del\x7f nul\x00", r"bell\x07 back\x08 del\x7f nul\x00"),
        ("user\u202egnp.exe", r"user\u202egnp.exe"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("tag\U000e0041", r"tag\U000e0041"),
        ("selector\ufe0f\U000e0101", r"selector\ufe0f\U000e0101"),
        ("filler\u3164\u2800", r"filler\u3164\u2800"),
        ("lone \ud800 and byte \udcff", r"lone \ud800 and byte \xff"),
        ("two\nlines\tand tab", "two lines and tab"),
        ("windows\r\nline", "windows line"),
        ("line\u2028separator\x85next\x0bvt", r"line\u2028separator\x85next\x0bvt"),
        ("no\u00a0break", "no break"),
        ("loss 3\rloss 2\rloss 1", "loss 1"),
        ("loss 3\rloss 2\r", "loss 2"),
        ("  padded \n", "padded"),
    ],
)
def test_what_hides_or_moves_is_made_visible(hostile: str, shown: str) -> None:
    assert clean(hostile, 200) == shown


def test_lines_are_kept_on_demand() -> None:
    assert clean("a\tb\nstep 1\rstep 2\n\x1bend", 100, lines=True) == "a\tb\nstep 2\n\\x1bend"


def test_honest_text_of_any_language_stays() -> None:
    honest = "größerer Schritt, 学習率を上げる, скорость, ≤ 3σ, path C:\\x1b"
    assert clean(honest, 200) == honest


def test_too_long_is_cut_at_the_end_or_at_the_beginning() -> None:
    assert clean("abcdef", 4) == "abc" + CUT
    assert clean("abcdef", 4, tail=True) == CUT + "def"
    assert clean("abcd", 4) == "abcd"
    assert clean("abcd", 1) == CUT


def test_no_room_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="limit is 0"):
        clean("x", 0)


@given(ANYTHING, st.integers(1, 80), st.booleans(), st.booleans())
def test_any_text_comes_out_bounded_and_printable(text: str, limit: int, lines: bool, tail: bool) -> None:
    safe = clean(text, limit, lines=lines, tail=tail)
    assert len(safe) <= limit
    assert safe.encode().decode() == safe
    visible = safe.replace("\n", "").replace("\t", "") if lines else safe
    assert visible.isprintable()


@given(ANYTHING, st.booleans())
def test_cleaning_twice_changes_nothing(text: str, lines: bool) -> None:
    once = clean(text, 5000, lines=lines)
    assert clean(once, 5000, lines=lines) == once


@pytest.mark.parametrize("tail", [False, True])
def test_no_more_is_looked_at_than_could_be_shown(tail: bool) -> None:
    """A text that is overwritten again and again shrinks; what stands far away from the shown end is left out."""
    text = "old\r" * 1_000_000 + "\x1b new"
    assert len(clean(text, 50, tail=tail)) <= 50
    assert clean(text, 50, tail=True) == "…\\x1b new"
    assert clean("x" * 10_000_000, 10, tail=tail) in ("xxxxxxxxx…", "…xxxxxxxxx")
