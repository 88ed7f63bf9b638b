"""The referee as the host starts it: one process, a gate, one line of JSON."""

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import zoo
from zoo import BATCH, SEQ, VOCAB

from sandbox.guest import referee, sealed

ROOT = Path(__file__).parents[2]
FIELDS = {"version", "status", "val_bpb", "tokens", "bytes", "rows", "audit", "load_seconds", "audit_seconds",
          "score_seconds", "confirm_seconds", "nodes", "parameters", "device", "sealed_sha256", "kept",
          "referee_sha256"}  # fmt: skip
AUDIT = {"level", "rows", "cuts", "moved", "allowed", "prefix_cells", "prefix_moved", "max_abs_nats", "mean_abs_nats",
         "mean_signed_nats", "corrected_bpb", "corrected_error_bpb", "slack_bpb", "fraction", "escape_probability",
         "caught_fraction", "power"}  # fmt: skip
MAX_LINE = 4096  # what the host reads


def start(folder, data, *more):
    command = [sys.executable, "-P", "-m", "sandbox.guest.referee", "--sealed", folder, "--data", data,
               "--seq-len", SEQ, "--vocab-size", VOCAB, "--audit-rows", 86, *more]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "PASSIVE"}
    return subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)


def verdict(process):
    """Return the one line and the exit code."""
    out, err = process.communicate(timeout=300)
    assert out.count(b"\n") == 1, (out, err)
    assert len(out) <= MAX_LINE
    return json.loads(out), process.returncode


def seal(name, folder):
    torch.manual_seed(0)
    model = zoo.make_zoo()[name]()
    sealed.write(sealed.capture(model, batch_size=BATCH, seq_len=SEQ, vocab_size=VOCAB), folder)
    return model.eval()


def in_process_bpb(model, data):
    """Plain evaluation by the familiar formula."""
    rows = np.fromfile(data / "val" / "rows.bin", dtype="<u2").reshape(-1, SEQ + 1).astype(np.int64)
    lengths = torch.from_numpy(np.fromfile(data / "common" / "token_bytes.bin", dtype="<u2").astype(np.int64))
    nats = total = 0.0
    with torch.no_grad():
        for row in torch.from_numpy(rows):
            loss = F.cross_entropy(model(row[None, :-1]).float()[0], row[1:], reduction="none")
            counted = lengths[row[1:]]
            nats += float(loss.double()[counted > 0].sum())
            total += float(counted.sum())
    return nats / (math.log(2) * total)


@pytest.mark.parametrize("name", ["gpt", "masked_moe"])
def test_an_honest_model_gets_its_true_score(name, tmp_path, data):
    folder = tmp_path / "out"
    folder.mkdir()
    model = seal(name, folder)
    found, code = verdict(start(folder, data))
    assert code == 0
    assert set(found) == FIELDS
    assert set(found["audit"]) == AUDIT
    assert found["status"] == "ok"
    assert found["val_bpb"] == pytest.approx(in_process_bpb(model, data), abs=1e-5)
    assert (found["rows"], found["audit"]["cuts"], found["audit"]["moved"]) == (43, 86, 0)
    assert found["audit"]["max_abs_nats"] <= 1e-5
    assert found["referee_sha256"] == referee.own_sha256()
    assert (found["sealed_sha256"], found["kept"]) == (sealed.read(folder).sha256, None)


def test_the_gate_holds_torch_back(tmp_path, data, forge):
    gate = tmp_path / "gate"
    gate.mkdir()
    process = start(forge.write(), data, "--gate", gate)
    time.sleep(1.5)
    assert process.poll() is None
    assert "libtorch" not in Path(f"/proc/{process.pid}/maps").read_text()
    (gate / "open").touch()
    found, code = verdict(process)
    assert (found["status"], code) == ("ok", 0)


@pytest.mark.parametrize(
    ("below", "level", "cuts"), [("1e9", "full", 100), ("0.001", "normal", 86), (None, "normal", 86)]
)
def test_what_could_become_the_champion_is_audited_again(tmp_path, data, forge, below, level, cuts):
    gate = tmp_path / "gate"
    gate.mkdir()
    if below is not None:
        (gate / "confirm").write_text(below)
    (gate / "open").touch()
    found, code = verdict(start(forge.write(), data, "--gate", gate, "--confirm-rows", "100"))
    assert (found["status"], code) == ("ok", 0)
    assert (found["audit"]["level"], found["audit"]["cuts"]) == (level, cuts)
    assert (found["confirm_seconds"] > 0.01) == (level == "full")


def test_invalid_is_a_verdict(tmp_path, data, forge):
    forge.document["nodes"][0][1] = "aten.\x1b[31m\u202eempty\n.default"
    found, code = verdict(start(forge.write(), data))
    assert (found["status"], code) == ("invalid", 0)
    assert set(found) == {"version", "status", "reason", "referee_sha256"}
    assert "is not allowed" in found["reason"]
    assert all(" " <= c <= "~" for c in found["reason"])


def test_nothing_sealed_is_invalid(tmp_path, data):
    (tmp_path / "empty").mkdir()
    found, code = verdict(start(tmp_path / "empty", data))
    assert (found["status"], code) == ("invalid", 0)
    assert "model.json cannot be opened" in found["reason"]


HARM = {"missing": "rows.bin cannot be read", "odd size": "does not hold rows of",
        "token outside": "outside the vocabulary", "byte table": "token_bytes.bin has 1 entries"}  # fmt: skip


@pytest.mark.parametrize("harm", HARM)
def test_our_own_data_is_our_own_fault(data, forge, harm):
    rows = data / "val" / "rows.bin"
    if harm == "missing":
        rows.unlink()
    elif harm == "odd size":
        rows.write_bytes(rows.read_bytes()[:-2])
    elif harm == "token outside":
        rows.write_bytes(np.full(SEQ + 1, VOCAB, dtype="<u2").tobytes())
    else:
        (data / "common" / "token_bytes.bin").write_bytes(b"\x01\x00")
    found, code = verdict(start(forge.write(), data))
    assert (found["status"], code) == ("fault", 3)
    assert HARM[harm] in found["reason"]


def test_memory_that_runs_out_is_the_candidates_affair(data, forge):
    """Ten live tensors of 4 GiB under a 6 GiB address space: the child fails, the parent still answers."""
    big = {"dtype": "float32", "shape": [2**30]}
    for i in range(10):
        forge.document["nodes"].append([f"b{i}", "aten.full.default", [[2**30], 1.5], {}, big])
    forge.document["nodes"].append(["c", "aten.cat.default", [[{"ref": f"b{i}"} for i in range(10)]], {}, big])
    forge.write()
    process = subprocess.Popen(
        ["/bin/sh", "-c", "ulimit -v 6000000; exec \"$0\" \"$@\"", sys.executable, "-P", "-m", "sandbox.guest.referee",
         "--sealed", str(forge.directory), "--data", str(data), "--seq-len", str(SEQ), "--vocab-size", str(VOCAB),
         "--audit-rows", "43"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    found, code = verdict(process)
    assert (found["status"], code) == ("invalid", 0)
    assert "memory" in found["reason"] or "failed" in found["reason"]
