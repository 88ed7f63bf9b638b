"""Shared pieces of the guest's tests: a sealed model written by hand, a data directory, a few cheats."""

import copy
import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the guest's tests run with the training environment")

ROOT = Path(__file__).parents[2]
for folder in (ROOT, Path(__file__).parent):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from zoo import BATCH, SEQ, VOCAB  # noqa: E402


@pytest.fixture(autouse=True, scope="session")
def _single_thread():
    torch.set_num_threads(1)


def tensor(*shape, dtype="float32"):
    """A declared result."""
    return {"dtype": dtype, "shape": list(shape)}


def node(name, op, args, out, **kwargs):
    """One node of model.json."""
    return [name, op, args, kwargs, out]


def ref(name):
    """A reference."""
    return {"ref": name}


LOGITS = tensor(BATCH, SEQ, VOCAB)

DOCUMENT = {
    "format": "autoresearch-sealed",
    "version": 1,
    "batch_size": BATCH,
    "seq_len": SEQ,
    "vocab_size": VOCAB,
    "inputs": ["tokens"],
    "tensors": {"t0": "embed", "t1": "head"},
    "nodes": [
        node("n0", "aten.embedding.default", [ref("t0"), ref("tokens")], tensor(BATCH, SEQ, 8)),
        node("n1", "aten.linear.default", [ref("n0"), ref("t1")], LOGITS),
    ],
    "output": ref("n1"),
}


def weights():
    """The weights that DOCUMENT names."""
    generator = torch.Generator().manual_seed(0)
    return {
        "embed": torch.randn(VOCAB, 8, generator=generator),
        "head": torch.randn(VOCAB, 8, generator=generator),
    }


class Forge:
    """Writes a sealed model in which something is wrong."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.document = copy.deepcopy(DOCUMENT)
        self.weights = weights()

    def between(self, *nodes):
        """Put nodes before the last one."""
        self.document["nodes"][-1:-1] = nodes
        return self

    def after(self, *nodes, output=None):
        """Put nodes at the end and return the last as the output."""
        self.document["nodes"] += nodes
        self.document["output"] = ref(output or nodes[-1][0])
        return self

    def write(self, text: str | None = None) -> Path:
        """Write both files; `text` replaces model.json."""
        save_file(self.weights, self.directory / "model.safetensors")
        (self.directory / "model.json").write_text(text if text is not None else json.dumps(self.document))
        return self.directory


@pytest.fixture
def forge(tmp_path):
    folder = tmp_path / "sealed"
    folder.mkdir()
    return Forge(folder)


@pytest.fixture
def tokens():
    return torch.randint(0, VOCAB, (BATCH, SEQ), generator=torch.Generator().manual_seed(1))


def make_rows(count: int, seed: int = 2) -> np.ndarray:
    """Evaluation rows (count, SEQ + 1)."""
    return np.random.default_rng(seed).integers(0, VOCAB, (count, SEQ + 1)).astype("<u2")


@pytest.fixture
def data(tmp_path):
    """A data directory with 43 rows; token 0 has no bytes."""
    folder = tmp_path / "data"
    (folder / "common").mkdir(parents=True)
    (folder / "val").mkdir()
    make_rows(43).tofile(folder / "val" / "rows.bin")
    (np.arange(VOCAB) % 5).astype("<u2").tofile(folder / "common" / "token_bytes.bin")
    return folder
