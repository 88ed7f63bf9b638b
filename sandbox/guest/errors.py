"""The three ways in which sealing and refereeing end badly, and the one sanitiser of their sentences."""

REASON_CHARACTERS = 500


class SealError(Exception):
    """The model cannot be sealed; the sentence tells the researcher what to change."""


class Invalid(Exception):  # noqa: N818 (the word of the verdict)
    """The sealed model breaks a rule of the referee: the candidate's fault."""


class Fault(Exception):  # noqa: N818 (the word of the verdict)
    """The referee itself cannot work (its own rows, its own device): nobody is judged."""


def sanitise(text: str, limit: int = REASON_CHARACTERS) -> str:
    """Return `text` as one line of printable ASCII of at most `limit` characters.

    Reasons quote hostile names and library messages; they end in logs, terminals and prompts.
    """
    flat = " ".join(text[: 8 * limit].split())
    clean = "".join(c if " " <= c <= "~" else "?" for c in flat)
    return clean if len(clean) <= limit else clean[: limit - 3] + "..."
