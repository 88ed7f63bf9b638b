"""The honest corpus: train.py with one idea changed, the way experiments of a night change it.

Each file of variants/ begins with its hypothesis, then, where it is not to be scored, with what is expected instead;
pairs of blocks follow, what to find and what to write in its place:

    Hypothesis: one sentence.
    Expected: crash, because …

    @@ find
    text that stands in train.py exactly once
    @@ write
    what takes its place (nothing: the text goes, with its line end)

`python tests/honest/honest_corpus.py NAME` prints the whole program.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

VARIANTS = Path(__file__).parent / "variants"
BASE = Path(__file__).resolve().parents[2] / "train.py"
SCORED = "scored"
# What a quick run trains: one of each kind of mechanism that sealing treats in its own way.
HANDFUL = frozenset({"recomputed_activation", "moe_sparse", "averaged_model_copy", "moe_expert_choice"})
_HEAD = re.compile(r"Hypothesis: (?P<hypothesis>.+)\n(?:Expected: (?P<expected>\w+), because (?P<reason>.+)\n)?\n")
_BLOCK = re.compile(r"^@@ (find|write)\n", re.MULTILINE)


class BrokenVariant(ValueError):
    """A variant cannot be read, or does not fit train.py any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One experiment. ``expected`` is ``scored``, or the status of a trial that ends otherwise, for ``reason``."""

    name: str
    hypothesis: str
    expected: str
    reason: str
    edits: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return self.name

    def program(self, base: str) -> bytes:
        """The whole new train.py, as a proposer sends it.

        Raises:
            BrokenVariant: a text to find is not in ``base`` exactly once.
        """
        for old, new in self.edits:
            found = base.count(old)
            if found != 1:
                raise BrokenVariant(f"{self.name}: found {found} times instead of once in train.py:\n{old}")
            base = base.replace(old, new)
        return base.encode()


def load() -> tuple[Variant, ...]:
    """All variants, by name."""
    return tuple(parse(path.stem, path.read_text("utf-8")) for path in sorted(VARIANTS.glob("*.edits")))


def parse(name: str, text: str) -> Variant:
    """Read one file of variants/.

    Raises:
        BrokenVariant: it has another form.
    """
    head = _HEAD.match(text)
    if head is None:
        raise BrokenVariant(f"{name}: does not begin with `Hypothesis:`, an `Expected:` or none, and an empty line")
    before, *blocks = _BLOCK.split(text[head.end() :])
    kinds, texts = blocks[0::2], blocks[1::2]
    if before or not kinds or kinds != ["find", "write"] * (len(kinds) // 2):
        raise BrokenVariant(f"{name}: `@@ find` and `@@ write` do not take turns")
    return Variant(
        name=name,
        hypothesis=head["hypothesis"],
        expected=head["expected"] or SCORED,
        reason=head["reason"] or "",
        edits=tuple(_edit(*pair) for pair in zip(texts[0::2], texts[1::2], strict=True)),
    )


def _edit(old: str, new: str) -> tuple[str, str]:
    """Without their last line end, so that a text may also stop within a line; what is removed takes its own along."""
    return (old.removesuffix("\n"), new.removesuffix("\n")) if new else (old, new)


def base() -> str:
    """The repository's train.py."""
    return BASE.read_text("utf-8")


if __name__ == "__main__":
    (wanted,) = sys.argv[1:]
    sys.stdout.buffer.write(next(v for v in load() if v.name == wanted).program(base()))
