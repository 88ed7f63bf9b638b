"""The referee's own data: evaluation rows and the byte length of every token."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .errors import Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Evaluation rows (N, T + 1) and the byte length of every token (V,)."""

    tokens: NDArray[np.uint16]
    token_bytes: NDArray[np.int64]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Byte lengths of the targets, (N, T)."""
        return self.token_bytes[self.tokens[:, 1:]]


def _read_uint16(path: Path) -> NDArray[np.uint16]:
    try:
        return np.frombuffer(path.read_bytes(), dtype="<u2")
    except (OSError, ValueError) as error:
        raise Fault(f"{path.name} cannot be read: {error}") from None


def read_rows(data: Path, split: str, seq_len: int, vocab_size: int) -> Rows:
    """Read the split's rows and the byte table.

    Raises:
        Fault: they are missing, have another size, or name tokens outside the vocabulary.
    """
    token_bytes = _read_uint16(data / "common" / "token_bytes.bin").astype(np.int64)
    flat = _read_uint16(data / split / "rows.bin")
    if len(token_bytes) != vocab_size:
        raise Fault(f"token_bytes.bin has {len(token_bytes)} entries, not {vocab_size}")
    if seq_len < 2 or len(flat) == 0 or len(flat) % (seq_len + 1):
        raise Fault(f"rows.bin of {split} does not hold rows of {seq_len + 1} tokens")
    if int(flat.max()) >= vocab_size:
        raise Fault(f"rows.bin of {split} names a token outside the vocabulary")
    rows = Rows(tokens=flat.reshape(-1, seq_len + 1), token_bytes=token_bytes)
    if int(rows.lengths.sum()) == 0:
        raise Fault(f"rows.bin of {split} has no text")
    return rows


def batches(inputs: NDArray[Any], size: int, groups: Iterator[slice]) -> Iterator[tuple[slice, torch.Tensor]]:
    """Yield (rows, tokens (size, T) int64) for each group of at most `size` rows, filled up with its own rows again.

    What fills a batch must not bring in other rows: the audit's batches hold what they hold for a reason.
    """
    for group in groups:
        chosen = group.start + np.arange(size) % (group.stop - group.start)
        yield group, torch.from_numpy(inputs[chosen].astype(np.int64))


def in_order(count: int, size: int) -> Iterator[slice]:
    """Yield the rows from the first to the last, `size` at a time."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
