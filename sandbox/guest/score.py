"""Scoring: the passes over the rows, each in a process of its own, and the sum.

The parent holds the bytes of the sealed model and never looks into them: every child parses, verifies and runs for
itself, so that whatever a hostile file or graph does to the process that handles it, a verdict comes out.
"""

import argparse
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from . import answer, audit, ops, sealed
from .errors import Fault, Invalid
from .graph import SealedModel
from .keep import keep
from .loss import check_logits, token_nats
from .rows import Rows, batches, in_order, read_rows
from .worker import Bounds, bounds, in_child

# The nats of all cuts cross a pipe: 1 GiB of float32 at most, a quarter of that for the full level.
MAX_AUDIT_TOKENS = 2**28
FULL_AUDIT_TOKENS = 2**26

_FACTS_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Everything that a pass needs: the model's bytes, the rows, where and within what it runs."""

    files: sealed.Files
    rows: Rows
    device: torch.device
    bound: Bounds

    def open(self) -> SealedModel:
        """Parse and verify the model; only ever called in a child."""
        vocab_size, seq_len = len(self.rows.token_bytes), self.rows.tokens.shape[1] - 1
        return sealed.parse(self.files, seq_len=seq_len, vocab_size=vocab_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the parent must know of a verified model."""

    batch_size: int
    half: bool
    sized: bool
    nodes: int
    parameters: int


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


def nats_of(
    model: SealedModel, inputs: NDArray[Any], targets: NDArray[Any], groups: Iterator[slice] | None = None
) -> NDArray[np.float32]:
    """Run the model over inputs (N, T), in order or by `groups`, and return the nats of targets (N, T).

    The targets of a batch are fetched only after its forward pass, and never share storage with the inputs.

    Raises:
        Invalid: the model fails, or its logits are not what they must be.
    """
    graph = model.graph
    nats = np.empty(targets.shape, dtype=np.float32)
    for rows, tokens in batches(inputs, graph.batch_size, groups or in_order(len(inputs), graph.batch_size)):
        logits = check_logits(model.run(tokens), (graph.batch_size, graph.seq_len, graph.vocab_size))
        count = rows.stop - rows.start
        wanted = torch.from_numpy(targets[rows].astype(np.int64)).to(logits.device)
        with torch.inference_mode():
            nats[rows] = token_nats(logits[:count], wanted).float().cpu().numpy()
    return nats


def facts_pass(bench: Bench) -> Facts:
    """Parse and verify the model in a child, and return what the parent must know of it."""

    def work() -> bytes:
        model = bench.open()
        facts = {"batch_size": model.graph.batch_size, "half": model.half_precision, "sized": model.sized,
                 "nodes": len(model.graph.nodes), "parameters": model.parameters}  # fmt: skip
        return json.dumps(facts).encode()

    return Facts(**json.loads(in_child(work, "loading", _FACTS_BYTES, bench.bound)))


def scoring_pass(bench: Bench) -> NDArray[np.float32]:
    """Return the nats (N, T) of every target, computed in a child process."""
    tokens = bench.rows.tokens
    shape = (tokens.shape[0], tokens.shape[1] - 1)

    def work() -> bytes:
        prepare_torch(bench.device)
        return nats_of(bench.open().to(bench.device), tokens[:, :-1], tokens[:, 1:]).tobytes()

    whole = in_child(work, "scoring", 4 * math.prod(shape), bench.bound)
    return np.frombuffer(whole, dtype=np.float32).reshape(shape)


def audit_pass(bench: Bench, facts: Facts, wanted: int) -> tuple[audit.Cuts, NDArray[np.float32]]:
    """Return the cuts, drawn in the child itself, and its nats (cuts, T) against the true targets."""
    tokens = bench.rows.tokens
    count, length = tokens.shape[0], tokens.shape[1] - 1

    def work() -> bytes:
        prepare_torch(bench.device)
        drawn = audit.draw(tokens, wanted, facts.batch_size, audit.fresh_seed())
        model = bench.open().to(bench.device)
        inputs = audit.spoiled_inputs(tokens, drawn, model.graph.vocab_size)
        by_batch = audit.groups(count, wanted, facts.batch_size)
        nats = nats_of(model, inputs, tokens[drawn.row, 1:], by_batch)
        return drawn.row.tobytes() + drawn.position.tobytes() + drawn.donor.tobytes() + nats.tobytes()

    whole = in_child(work, "the audit", wanted * (12 + 4 * length), bench.bound)
    drawn = np.frombuffer(whole[: 12 * wanted], dtype=np.int32).reshape(3, wanted)
    nats = np.frombuffer(whole[12 * wanted :], dtype=np.float32).reshape(wanted, length)
    return audit.Cuts(row=drawn[0], position=drawn[1], donor=drawn[2]), nats


def cuts_wanted(rows: Rows, asked: int, level: str) -> int:
    """How many cuts to make: what was asked, or for the full level as many as say something new."""
    count, length = rows.tokens.shape[0], rows.tokens.shape[1] - 1
    if level == "full":
        asked = max(asked, FULL_AUDIT_TOKENS // length)
    return max(1, min(asked, audit.MAX_PASSES * count, MAX_AUDIT_TOKENS // length))


def score(options: argparse.Namespace) -> dict[str, Any]:
    """Do everything and return the fields of an "ok" verdict.

    Raises:
        Invalid: the candidate breaks a rule.
        Fault: the referee's own rows or device are not usable, or the model cannot be kept.
    """
    torch.set_num_threads(1)  # a parent that has started no thread pool can be forked
    ops.table()  # looked up once, and not by every child
    device = torch.device(options.device)
    on_cpu = device.type == "cpu"
    bound = bounds(options.max_seconds, options.memory_mib if on_cpu else 0, writes_files=not on_cpu)
    rows = read_rows(options.data, options.split, options.seq_len, options.vocab_size)
    bench = Bench(files=sealed.read(options.sealed), rows=rows, device=device, bound=bound)
    _fits(bench.files, options)
    if options.split == "holdout":
        return _discreetly(lambda: _judge(bench, options))
    return _judge(bench, options)


def _fits(files: sealed.Files, options: argparse.Namespace) -> None:
    """Say before the work that the model is too large to be kept; the host's directory is bounded by this."""
    size = len(files.graph) + len(files.weights)
    if options.keep is not None and size > options.keep_mib * 2**20:
        raise Invalid(f"the sealed model has {size} bytes; a model that is kept may have {options.keep_mib} MiB")


def _discreetly(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Let no word about the holdout's rows out: reasons quote positions, counts and what kernels say of tokens."""
    try:
        return work()
    except Invalid:
        raise Invalid("the sealed model does not pass on the holdout") from None


def _passed(
    bench: Bench, cuts: audit.Cuts, audited: NDArray[np.float32], nats: NDArray[np.float32], allowed: audit.Tolerance
) -> audit.Findings:
    """What an audit saw. Raises Invalid when it saw too much."""
    found = audit.compare(cuts, audited, nats, bench.rows.lengths > 0, allowed)
    reason = audit.verdict(found, allowed)
    if reason is not None:
        raise Invalid(reason)
    return found


def _is_wanted(options: argparse.Namespace, bpb: float) -> bool:
    """Is the model to be kept? Where the host named the score below which it could be used, a worse one is not."""
    return options.keep is not None and (options.confirm_below is None or bpb < options.confirm_below)


def _judge(bench: Bench, options: argparse.Namespace) -> dict[str, Any]:
    started = time.monotonic()
    facts = facts_pass(bench)
    loaded = time.monotonic()
    cuts, audited = audit_pass(bench, facts, cuts_wanted(bench.rows, options.audit_rows, options.audit_level))
    audited_at = time.monotonic()
    nats = scoring_pass(bench)
    scored_at = time.monotonic()
    allowed = audit.tolerance(half=facts.half, sized=facts.sized)
    found, level = _passed(bench, cuts, audited, nats, allowed), options.audit_level
    if options.confirm_rows and answer.bpb(nats, bench.rows) < (options.confirm_below or -math.inf):
        again = audit_pass(bench, facts, cuts_wanted(bench.rows, options.confirm_rows, "normal"))
        found, level = _passed(bench, *again, nats, allowed), "full"
    confirmed_at = time.monotonic()
    kept = keep(bench.files, options.keep) if _is_wanted(options, answer.bpb(nats, bench.rows)) else None
    if options.split == "holdout":
        return answer.holdout(nats, bench.rows, found) | {"sealed_sha256": bench.files.sha256}
    return {
        **answer.validation(nats, bench.rows, found, allowed, level),
        "load_seconds": loaded - started,
        "audit_seconds": audited_at - loaded,
        "score_seconds": scored_at - audited_at,
        "confirm_seconds": confirmed_at - scored_at,
        "nodes": facts.nodes,
        "parameters": facts.parameters,
        "device": str(bench.device),
        "sealed_sha256": bench.files.sha256,
        "kept": kept,
    }
