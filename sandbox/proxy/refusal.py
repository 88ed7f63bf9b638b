"""The one way in which the door says no."""

from __future__ import annotations


class Refused(Exception):  # noqa: N818 - an answer, not an error of the program
    """The request is not passed on; the sentence goes to the client and to the log."""

    def __init__(self, sentence: str, status: int = 403) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.status = status


def shown(text: object, length: int = 120) -> str:
    """Text of a client as it may stand in a log: ASCII, one line, bounded."""
    return ascii(str(text)[:length])[1:-1]
