"""How fast this place is: a fixed small piece of work, and one line of JSON.

    python -P -m autoresearch_guest.benchmark [--device cpu|cuda]

The work never depends on a candidate, so that a slow answer says something of the machine: throttled, shared, or not
the one that it was. Matrix products tell of the cores or the GPU, copies of the memory.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import sanitise
from .referee import own_sha256

VERSION = 1
ROUNDS = 12
MAX_SECONDS = 20.0  # of measuring; a place this slow is told by fewer rounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The sizes of one round. ``side`` of the square matrices, ``words`` of 4 bytes in what is copied."""

    side: int
    products: int
    words: int
    copies: int


CPU = Work(side=512, products=8, words=2**23, copies=1)
CUDA = Work(side=8192, products=24, words=2**28, copies=24)


def measure(device: str) -> dict[str, Any]:
    """Work for about a second; the medians over the rounds, a round to warm up not counted."""
    import torch

    torch.set_num_threads(max(1, len(os.sched_getaffinity(0))))
    cuda = device.startswith("cuda")
    work, kind = (CUDA, torch.bfloat16) if cuda else (CPU, torch.float32)
    one = torch.full((work.side, work.side), 1 / work.side, dtype=kind, device=device)
    product, source = torch.empty_like(one), torch.zeros(work.words, dtype=torch.float32, device=device)
    copied = torch.empty_like(source)
    finished: Callable[[], None] = torch.cuda.synchronize if cuda else _nothing

    def multiply() -> None:
        for _ in range(work.products):
            torch.mm(one, one, out=product)

    def copy() -> None:
        for _ in range(work.copies):
            copied.copy_(source)

    began = time.monotonic()
    products, copies = _seconds_of(multiply, finished), _seconds_of(copy, finished)
    return {
        "ops_per_second": 2 * work.side**3 * work.products / statistics.median(products),
        "bytes_per_second": 8 * work.words * work.copies / statistics.median(copies),
        "rounds": min(len(products), len(copies)),
        "seconds": time.monotonic() - began,
    }


def _nothing() -> None:
    """On a CPU the call has ended when it returns."""


def _seconds_of(act: Callable[[], None], finished: Callable[[], None]) -> list[float]:
    act()
    finished()
    taken: list[float] = []
    while not taken or (len(taken) < ROUNDS and sum(taken) < MAX_SECONDS / 2):
        began = time.monotonic()
        act()
        finished()
        taken.append(time.monotonic() - began)
    return taken


def answer(device: str) -> dict[str, Any]:
    """The line: measured, or why it could not be."""
    try:
        return {"status": "ok", **measure(device), "device": device}
    except Exception as error:  # noqa: BLE001
        # No candidate is near: whatever is wrong here is the machine's or ours, and the host wants to hear it.
        return {"status": "fault", "reason": sanitise(f"{type(error).__name__}: {error}")}


def main(arguments: list[str] | None = None) -> int:
    """Print exactly one line on the real standard output."""
    parser = argparse.ArgumentParser(prog="benchmark", description="Measure this place; prints one line of JSON.")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    options = parser.parse_args(arguments)
    sys.stdout.flush()
    stdout = os.dup(1)
    os.dup2(2, 1)  # libraries that print do so on stderr
    told = answer(options.device)
    with os.fdopen(stdout, "w", encoding="ascii") as out:
        out.write(json.dumps({"version": VERSION, **told, "referee_sha256": own_sha256()}, allow_nan=False) + "\n")
    return 0 if told["status"] == "ok" else 3


if __name__ == "__main__":
    sys.exit(main())
