"""Scoring: the rows, the two passes in their own processes, and the sum."""

import argparse
import math
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from . import audit, sealed
from .errors import Fault, Invalid
from .graph import SealedModel
from .loss import check_logits, token_nats
from .worker import in_child

MAX_AUDIT_CUTS = 1_000_000


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


def prepare_torch(device: torch.device) -> None:
    """Set a child up: all allowed cores, determinism, no memory left as it was found."""
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0))))
    # warn_only: some honest CUDA kernels (cumsum) have no deterministic form; the audit's tolerance covers them.
    # The public use_deterministic_algorithms does the same call, but imports the compiler first (1 s, 3 s uncached).
    torch._C._set_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    if not torch.are_deterministic_algorithms_enabled():
        raise Fault("this torch does not take the deterministic mode")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise Fault("no CUDA device is available to the referee")


def batches(inputs: NDArray[Any], size: int) -> Iterator[tuple[slice, torch.Tensor]]:
    """Yield (rows, tokens (size, T) int64); the last batch is filled up with rows from the start."""
    for start in range(0, len(inputs), size):
        chosen = np.arange(start, start + size) % len(inputs)
        yield slice(start, min(start + size, len(inputs))), torch.from_numpy(inputs[chosen].astype(np.int64))


def nats_of(model: SealedModel, inputs: NDArray[Any], targets: NDArray[Any]) -> NDArray[np.float32]:
    """Run the model over inputs (N, T) and return the nats of targets (N, T).

    The targets of a batch are fetched only after its forward pass, and never share storage with the inputs.

    Raises:
        Invalid: the model fails, or its logits are not what they must be.
    """
    graph = model.graph
    nats = np.empty(targets.shape, dtype=np.float32)
    for rows, tokens in batches(inputs, graph.batch_size):
        logits = check_logits(model.run(tokens), (graph.batch_size, graph.seq_len, graph.vocab_size))
        count = rows.stop - rows.start
        wanted = torch.from_numpy(targets[rows].astype(np.int64)).to(logits.device)
        with torch.inference_mode():
            nats[rows] = token_nats(logits[:count], wanted).float().cpu().numpy()
    return nats


def scoring_pass(model: SealedModel, rows: Rows, device: torch.device) -> NDArray[np.float32]:
    """Return the nats (N, T) of every target, computed in a child process."""
    shape = (rows.tokens.shape[0], rows.tokens.shape[1] - 1)

    def work() -> bytes:
        prepare_torch(device)
        return nats_of(model.to(device), rows.tokens[:, :-1], rows.tokens[:, 1:]).tobytes()

    answer = in_child(work, "scoring", 4 * math.prod(shape))
    return np.frombuffer(answer, dtype=np.float32).reshape(shape)


def audit_pass(
    model: SealedModel, rows: Rows, wanted: int, device: torch.device
) -> tuple[audit.Cuts, NDArray[np.float32]]:
    """Return the cuts, drawn in the child itself, and its nats (cuts, T) against the true targets."""
    length = rows.tokens.shape[1] - 1
    cuts = min(wanted, audit.MAX_PASSES * rows.tokens.shape[0], MAX_AUDIT_CUTS)

    def work() -> bytes:
        prepare_torch(device)
        drawn = audit.draw(rows.tokens, cuts, audit.fresh_seed())
        inputs = audit.spoiled_inputs(rows.tokens, drawn, model.graph.vocab_size)
        nats = nats_of(model.to(device), inputs, rows.tokens[drawn.row, 1:])
        return drawn.row.tobytes() + drawn.position.tobytes() + drawn.donor.tobytes() + nats.tobytes()

    answer = in_child(work, "the audit", cuts * (12 + 4 * length))
    whole = np.frombuffer(answer[: 12 * cuts], dtype=np.int32).reshape(3, cuts)
    nats = np.frombuffer(answer[12 * cuts :], dtype=np.float32).reshape(cuts, length)
    return audit.Cuts(row=whole[0], position=whole[1], donor=whole[2]), nats


def score(options: argparse.Namespace) -> dict[str, Any]:
    """Do everything and return the fields of an "ok" verdict.

    Raises:
        Invalid: the candidate breaks a rule.
        Fault: the referee's own rows or device are not usable.
    """
    torch.set_num_threads(1)  # a parent that has started no thread pool can be forked
    device = torch.device(options.device)
    rows = read_rows(options.data, options.split, options.seq_len, options.vocab_size)
    started = time.monotonic()
    model = sealed.load(options.sealed, seq_len=options.seq_len, vocab_size=options.vocab_size)
    loaded = time.monotonic()
    cuts, audited = audit_pass(model, rows, max(1, options.audit_rows), device)
    audited_at = time.monotonic()
    nats = scoring_pass(model, rows, device)
    scored_at = time.monotonic()
    tolerance = audit.HALF if model.half_precision else audit.FLOAT32
    counted = rows.lengths > 0
    found = audit.compare(cuts, audited, nats, counted, tolerance)
    reason = audit.verdict(found, tolerance)
    if reason is not None:
        raise Invalid(reason)
    return {
        **summary(nats, rows, found, audit.power(found.cuts, tolerance)),
        "load_seconds": loaded - started,
        "audit_seconds": audited_at - loaded,
        "score_seconds": scored_at - audited_at,
        "nodes": len(model.graph.nodes),
        "parameters": model.parameters,
        "device": str(device),
    }


def summary(nats: NDArray[np.float32], rows: Rows, found: audit.Findings, power: str) -> dict[str, Any]:
    """Turn nats into bits per byte; the correction applies where a later token could be seen at all."""
    counted = rows.lengths > 0
    bits = math.log(2) * float(rows.lengths.sum())
    bpb = float(nats.astype(np.float64)[counted].sum()) / bits
    exposed = int(counted[:, :-1].sum())
    fields = {k: v for k, v in asdict(found).items() if k != "prefix_share"} | {
        "corrected_bpb": bpb + found.mean_signed_nats * exposed / bits,
        "power": power,
    }
    return {
        "val_bpb": bpb,
        "tokens": int(counted.sum()),
        "bytes": int(rows.lengths.sum()),
        "rows": len(rows.tokens),
        "audit": fields,
    }
