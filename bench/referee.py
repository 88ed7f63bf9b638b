"""Measure the referee against a plain evaluation: the same score, and how much speed the interpreter costs.

    .venv-train/bin/python bench/referee.py [--pairs 7] [--threads 2]

Run alone on the machine. Each pair evaluates the same rows twice in one process, in alternating order: eager
(`model(tokens)` without gradients, float32 cross entropy) and sealed (interpreter, checks, the referee's loss, in
its deterministic mode). Prints one line a model and one JSON object at the end.
"""

import argparse
import json
import math
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sandbox.guest import score, sealed

# name, depth, width, vocabulary, batch, sequence length, rows
MODELS = [("cpu profile", 2, 128, 2048, 8, 256, 160), ("longer", 4, 256, 8192, 4, 1024, 16)]


class Block(nn.Module):
    """Pre-norm attention with RoPE and QK-norm, then a squared-ReLU MLP."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        rows, length, width = x.shape
        h = F.rms_norm(x, (width,))
        q, k, v = (layer(h).view(rows, length, -1, 64) for layer in (self.q, self.k, self.v))
        q, k = (F.rms_norm(self.turn(t, cos, sin), (64,)) for t in (q, k))
        y = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=True)
        x = x + self.o(y.transpose(1, 2).reshape(rows, length, width))
        return x + self.down(F.relu(self.up(F.rms_norm(x, (width,)))).square())

    @staticmethod
    def turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        a, b = x.chunk(2, -1)
        return torch.cat([a * cos + b * sin, b * cos - a * sin], -1)


class GPT(nn.Module):
    """A small language model with a softcap on its logits."""

    def __init__(self, depth: int, width: int, vocab: int, length: int) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(vocab, width), nn.Linear(width, vocab, bias=False)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        angle = torch.outer(torch.arange(length), 10000.0 ** (-torch.arange(32) / 32))[:, None]
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = F.rms_norm(self.embed(tokens), (self.embed.embedding_dim,))
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        return 15 * torch.tanh(self.head(F.rms_norm(x, (x.size(-1),))) / 15)


def eager(model: nn.Module, rows: np.ndarray, batch: int) -> float:
    """Plain evaluation; returns the sum of nats."""
    total = 0.0
    with torch.no_grad():
        for start in range(0, len(rows), batch):
            part = torch.from_numpy(rows[start : start + batch].astype(np.int64))
            logits = model(part[:, :-1].contiguous())
            loss = F.cross_entropy(logits.float().flatten(0, 1), part[:, 1:].flatten(), reduction="none")
            total += float(loss.double().sum())
    return total


def refereed(model: sealed.SealedModel, rows: np.ndarray) -> float:
    """The referee's scoring loop in the referee's mode; returns the sum of nats."""
    torch._C._set_deterministic_algorithms(True, warn_only=True)
    try:
        return float(score.nats_of(model, rows[:, :-1], rows[:, 1:]).astype(np.float64).sum())
    finally:
        torch._C._set_deterministic_algorithms(False, warn_only=False)


def timed(function, *args) -> tuple[float, float]:
    """Return (result, wall seconds)."""
    started = time.perf_counter()
    result = function(*args)
    return result, time.perf_counter() - started


def measure(name: str, depth: int, width: int, vocab: int, batch: int, length: int, count: int, pairs: int) -> dict:
    """Evaluate one model `pairs` times each way; bytes are taken as 3.7 a token."""
    torch.manual_seed(0)
    model = GPT(depth, width, vocab, length).eval()
    rows = np.random.default_rng(0).integers(0, vocab, (count, length + 1)).astype(np.uint16)
    with tempfile.TemporaryDirectory() as folder:
        capture, capture_seconds = timed(
            lambda: sealed.capture(model, batch_size=batch, seq_len=length, vocab_size=vocab)
        )
        _, write_seconds = timed(sealed.write, capture, Path(folder))
        restored, load_seconds = timed(sealed.load, Path(folder))
    eager(model, rows[:batch], batch)
    refereed(restored, rows[:batch])
    ratios, differences, speeds = [], [], []
    for index in range(pairs):
        ways = [(eager, model, rows, batch), (refereed, restored, rows)]
        results = {way[0].__name__: timed(*way) for way in (ways if index % 2 else reversed(ways))}
        ratios.append(results["eager"][1] / results["refereed"][1])
        difference = abs(results["eager"][0] - results["refereed"][0])
        differences.append(difference / (count * length * 3.7 * math.log(2)))
        speeds.append(count * length / results["refereed"][1])
    return {
        "model": name, "nodes": len(restored.graph.nodes), "parameters": restored.parameters,
        "speed_ratio_median": statistics.median(ratios), "speed_ratio_min": min(ratios),
        "difference_bpb_max": max(differences), "referee_tokens_per_second": statistics.median(speeds),
        "capture_seconds": capture_seconds, "write_seconds": write_seconds, "load_seconds": load_seconds,
    }  # fmt: skip


def main() -> None:
    """Measure every model and print."""
    parser = argparse.ArgumentParser(description="Compare the referee with plain eager evaluation.")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    results = [measure(*model, pairs=options.pairs) for model in MODELS]
    for r in results:
        print(f"{r['model']:12} speed {r['speed_ratio_median']:.3f} of eager (min {r['speed_ratio_min']:.3f}), "
              f"difference {r['difference_bpb_max']:.1e} bpb, {r['referee_tokens_per_second']:.0f} tok/s")  # fmt: skip
    print(json.dumps({"threads": options.threads, "pairs": options.pairs, "models": results}))


if __name__ == "__main__":
    main()
