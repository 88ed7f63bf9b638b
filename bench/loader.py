"""How much faster the memory-mapped loader is than one that tokenises on the fly and packs Python lists.

    AUTORESEARCH_PROFILE=gpu python bench/loader.py

Both give rows of T + 1 tokens, T = 2048, in batches of 128, from the project's sample text: the chapters in their
stored order, joined until a document has about 920 tokens of a vocabulary of 8,192. Both run in this process and
alternate; what is compared is the median over pairs of tokens per second. First the rows of both are compared bit for
bit. The plain loader tokenises with eight threads of tiktoken, 128 documents at a time, as published loaders do. The
fast loader's one-time tokenising is not counted (that is its point) but is printed. Run it alone.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ["AUTORESEARCH_PROFILE"] = "gpu"  # vocabulary 8,192, documents as they are
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

import prepare

BATCH_ROWS, SEQ_LEN = 128, 2048
TOKENS_A_DOCUMENT = 720  # asked for; whole chapters come out at about 920


def plain_rows(texts: list[str], tokenizer: prepare.Tokenizer) -> Iterator[np.ndarray]:
    """The straightforward loader: yield one row, (T + 1,), after the other, for ever."""
    stream, bos, buffer = itertools.cycle(texts), tokenizer.get_bos_token_id(), []
    while True:
        row: list[int] = []
        while len(row) < SEQ_LEN + 1:
            while len(buffer) < prepare.PACKING_BUFFER:
                batch = list(itertools.islice(stream, prepare.PACKING_REFILL))
                buffer.extend(tokenizer.encode(batch, prepend=bos))
            row.extend(_take(buffer, SEQ_LEN + 1 - len(row)))
        yield np.array(row, dtype=np.uint16)


def _take(buffer: list[list[int]], room: int) -> list[int]:
    """Remove the longest document that fits, else the shortest, cropped; the earliest on ties."""
    best, best_length = -1, 0
    for i, document in enumerate(buffer):
        if best_length < len(document) <= room:
            best, best_length = i, len(document)
    if best < 0:
        best = min(range(len(buffer)), key=lambda i: len(buffer[i]))
    return buffer.pop(best)[:room]


def fast_rows(directory: Path) -> Iterator[np.ndarray]:
    """The loader of prepare.py: the same rows out of the memory map."""
    packer = prepare.Packer(iter(prepare.TrainDocuments(directory)))
    while True:
        row = np.empty(SEQ_LEN + 1, dtype="<u2")
        packer.fill(row)
        yield row


def documents(texts: list[str], tokenizer: prepare.Tokenizer) -> list[str]:
    """Join neighbours until each document has about the wanted number of tokens."""
    joined, part, size = [], [], 0
    for text, ids in zip(texts, tokenizer.encode(texts), strict=True):
        if part and size + len(ids) / 2 > TOKENS_A_DOCUMENT:
            joined.append("\n\n".join(part))
            part, size = [], 0
        part.append(text)
        size += len(ids)
    return [*joined, "\n\n".join(part)]


def store(texts: list[str], tokenizer: prepare.Tokenizer, directory: Path) -> int:
    """Write the texts as one training shard, as prepare.py does; return the number of tokens."""
    tokens = list(prepare._token_documents(texts, tokenizer))
    starts = [0, *itertools.accumulate(map(len, tokens))]
    np.concatenate(tokens).tofile(directory / "train_00000.bin")
    np.array(starts[:-1], dtype="<u8").tofile(directory / "train_00000.idx")
    shard = {"tokens": "train_00000.bin", "documents": "train_00000.idx"}
    (directory / "index.json").write_text(json.dumps({"version": 1, "shards": [shard]}))
    return starts[-1]


def tokens_per_second(rows: Iterator[np.ndarray], batches: int) -> float:
    """Draw whole batches and turn each into int64 inputs and targets, as training needs them."""
    started = time.perf_counter()
    for _ in range(batches):
        batch = np.stack([next(rows) for _ in range(BATCH_ROWS)]).astype(np.int64)
        np.ascontiguousarray(batch[:, :-1]), np.ascontiguousarray(batch[:, 1:])
    return batches * BATCH_ROWS * SEQ_LEN / (time.perf_counter() - started)


def same_rows(one: Iterator[np.ndarray], other: Iterator[np.ndarray], rows: int) -> bool:
    return all(np.array_equal(next(one), next(other)) for _ in range(rows))


def measure(plain: Callable, fast: Callable, pairs: int) -> list[tuple[float, float]]:
    """Return (plain, fast) tokens per second for each pair; both loaders are warm, with full buffers."""
    slow_rows, quick_rows = plain(), fast()
    next(slow_rows), next(quick_rows)
    return [(tokens_per_second(slow_rows, 4), tokens_per_second(quick_rows, 100)) for _ in range(pairs)]


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare the two loaders.")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--compare-rows", type=int, default=4 * BATCH_ROWS, help="rows to compare bit for bit")
    options = parser.parse_args()
    source = prepare.sample_source()
    texts = [text for span in source.spans["train"] for text in prepare._span_documents(span)]
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        prepare._write_json(directory / "tokenizer.json", prepare._train_tokenizer(iter(texts)))
        tokenizer = prepare.Tokenizer.from_directory(directory)
        texts = documents(texts, tokenizer)
        started = time.perf_counter()
        total = store(texts, tokenizer, directory)
        seconds = time.perf_counter() - started
        print(f"{len(texts)} documents of {total / len(texts):.0f} tokens; tokenised once in {seconds:.1f} s")
        same = same_rows(plain_rows(texts, tokenizer), fast_rows(directory), options.compare_rows)
        print(f"rows compared: {options.compare_rows}; the same bit for bit: {'yes' if same else 'NO'}")
        pairs = measure(lambda: plain_rows(texts, tokenizer), lambda: fast_rows(directory), options.pairs)
    slow, quick = (statistics.median(speeds) for speeds in zip(*pairs, strict=True))
    ratios = sorted(fast / plain for plain, fast in pairs)
    print(f"T={SEQ_LEN} B={BATCH_ROWS}, {len(pairs)} pairs, medians in M tokens/s")
    print(f"plain {slow / 1e6:.2f}, fast {quick / 1e6:.1f}")
    print(f"ratio: median {statistics.median(ratios):.0f} (from {ratios[0]:.0f} to {ratios[-1]:.0f})")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
