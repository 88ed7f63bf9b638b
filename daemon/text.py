"""The one sanitiser for text that crossed the wall: logs, hypotheses, reasons, messages of the referee."""

from __future__ import annotations

CUT = "…"
_LOOKED_AT = 16  # times the limit

# Printable by Unicode's book, yet blank or gluing in a terminal or a browser: they can hide text or
# make two different texts look the same. str.isprintable() lets all of these pass.
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_VARIATION_SELECTORS = (range(0x180B, 0x1810), range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0))


def clean(text: str, limit: int, *, lines: bool = False, tail: bool = False) -> str:
    r"""Return ``text`` safe to print, store, tabulate and quote: at most ``limit`` characters of valid UTF-8.

    Control characters, ANSI escapes, bidi and zero-width characters and lone surrogates become visible
    escapes such as ``\x1b`` or ``\u202e``. Of a line that was overwritten with ``\r`` the last state stays.
    Newlines and tabs are kept when ``lines`` is set, else they become single spaces. What is too long is
    cut at its end, or at its beginning when ``tail`` is set, and ``…`` stands for the part cut away.
    A backslash stays as it is, so an escape proves nothing about the original; it is only harmless.

    Raises:
        ValueError: ``limit`` is less than 1.
    """
    if limit < 1:
        raise ValueError(f"limit is {limit}; a text needs room for at least 1 character")
    cut = len(text) > _LOOKED_AT * limit
    if cut:  # a hostile text may have millions of characters; what cannot be shown is not looked at
        text = text[-_LOOKED_AT * limit :] if tail else text[: _LOOKED_AT * limit]
    if not (text.isascii() and text.isprintable()):
        text = "".join(map(_visible, _collapse(text)))
    if not lines:
        text = " ".join(part for part in text.replace("\t", " ").split("\n") if part).strip()
    if len(text) <= limit and not cut:
        return text
    return CUT + text[max(0, len(text) - limit + 1) :] if tail else text[: limit - 1] + CUT


def _collapse(text: str) -> str:
    """Keep of every line what a terminal would show last, so that a progress bar is one line."""
    if "\r" not in text:
        return text
    return "\n".join(_last_state(line) for line in text.split("\n"))


def _last_state(line: str) -> str:
    return next((state for state in reversed(line.split("\r")) if state), "")


def _visible(character: str) -> str:
    if character in "\n\t":
        return character
    if character.isprintable() and not _hidden(character):
        return character
    return " " if character.isspace() and character not in _BREAKS else _escape(ord(character))


# isspace() is true of these too, but they move the cursor or break the line.
_BREAKS = frozenset("\v\f\r\x1c\x1d\x1e\x1f\x85\u2028\u2029")


def _hidden(character: str) -> bool:
    if character < "\u034f":
        return False
    return character in _INVISIBLE or any(ord(character) in selectors for selectors in _VARIATION_SELECTORS)


def _escape(code: int) -> str:
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was not UTF-8, carried by errors="surrogateescape"
        return f"\\x{code - 0xDC00:02x}"
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
