"""What the tests of prepare.py share: the file itself under its cpu profile, a plain packer to compare with."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "data" / "sample" / "kjv.parquet"


def load(profile: str = "cpu") -> ModuleType:
    """Import prepare.py under a profile, as a module of its own, whatever the machine's default is."""
    name = f"prepare_{profile}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, ROOT / "prepare.py")
        assert spec and spec.loader
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        with mock.patch.dict(os.environ, {"AUTORESEARCH_PROFILE": profile}):
            os.environ.pop("AUTORESEARCH_TRAIN_SECONDS", None)
            spec.loader.exec_module(module)
    return sys.modules[name]


def environment(**extra: str | Path) -> dict[str, str]:
    """The environment for a child that runs prepare.py: the cpu profile, nothing else of ours but `extra`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AUTORESEARCH_", "HF_"))}
    return kept | {"AUTORESEARCH_PROFILE": "cpu", "PYTHONPATH": str(ROOT)} | {k: str(v) for k, v in extra.items()}


def manifest(directory: Path) -> dict:
    return json.loads((directory / "manifest.json").read_text())


def write_parquet(path: Path, texts: list[str | None], column: str = "text", row_group: int = 200) -> None:
    pq.write_table(pa.table({column: texts}), path, row_group_size=row_group)


def sample_texts() -> list[str]:
    return pq.read_table(SAMPLE)["text"].to_pylist()


def pack_with_lists(stream: Iterator[list[int]], capacity: int, size: int, refill: int) -> Iterator[list[int]]:
    """The published packing in its plainest form; ends, without the last row, when the stream does."""
    buffer: list[list[int]] = []
    while True:
        row: list[int] = []
        while len(row) < capacity:
            while len(buffer) < size:
                batch = [document for _, document in zip(range(refill), stream, strict=False)]
                if not batch:
                    break
                buffer.extend(batch)
            if not buffer:
                return
            room = capacity - len(row)
            best = -1
            for i, document in enumerate(buffer):
                if len(document) <= room and (best < 0 or len(document) > len(buffer[best])):
                    best = i
            if best < 0:
                best = min(range(len(buffer)), key=lambda i: len(buffer[i]))
            row += buffer.pop(best)[:room]
        yield row


def arrays(documents: list[list[int]]) -> Iterator[np.ndarray]:
    return (np.array(document, dtype="<u2") for document in documents)
