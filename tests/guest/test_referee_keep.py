"""What is judged is what is kept, and what is kept is what the holdout scores."""

import hashlib
import os
import re
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ref, tensor
from test_referee_end_to_end import start, verdict
from zoo import BATCH, SEQ, VOCAB

from sandbox.guest import keep, referee, score, sealed, worker
from sandbox.guest.errors import Fault, Invalid

HOLDOUT = {"version", "status", "split", "holdout_bpb", "tokens", "bytes", "rows", "cuts", "sealed_sha256",
           "referee_sha256"}  # fmt: skip


@pytest.fixture
def options(forge, data):
    (data / "holdout").mkdir()
    np.random.default_rng(9).integers(0, VOCAB, (17, SEQ + 1)).astype("<u2").tofile(data / "holdout" / "rows.bin")
    return lambda *more: referee.parse([
        "--sealed", str(forge.directory), "--data", str(data), "--seq-len", str(SEQ), "--vocab-size", str(VOCAB),
        "--audit-rows", "43", *map(str, more)])  # fmt: skip


@pytest.fixture
def kept(tmp_path):
    folder = tmp_path / "kept"
    folder.mkdir()
    return folder


def test_kept_from_the_command_and_scored_on_the_holdout(forge, data, options, kept):
    found, code = verdict(start(forge.write(), data, "--keep", kept, "--audit-level", "full"))
    assert (found["status"], code, found["audit"]["level"]) == ("ok", 0, "full")
    assert found["audit"]["cuts"] == 16 * 43
    for name, key in (("model.json", "graph_sha256"), ("model.safetensors", "weights_sha256")):
        content = (kept / name).read_bytes()
        assert content == (forge.directory / name).read_bytes()
        assert found["kept"][key] == hashlib.sha256(content).hexdigest()
        assert (kept / name).stat().st_mode & 0o777 == 0o644
    assert found["kept"]["bytes"] == sum(p.stat().st_size for p in kept.iterdir())
    assert sorted(p.name for p in kept.iterdir()) == ["model.json", "model.safetensors"]
    later, code = verdict(start(kept, data, "--split", "holdout"))
    assert (later["status"], code) == ("ok", 0)
    assert set(later) == HOLDOUT
    assert later["sealed_sha256"] == found["sealed_sha256"]
    assert later["rows"] == 17
    assert later["holdout_bpb"] != found["val_bpb"]


def test_the_bytes_that_were_judged_are_kept_whatever_happens_to_the_files(forge, options, kept, monkeypatch):
    forge.write()
    judged = sealed.read(forge.directory)
    real = score.scoring_pass

    def swapped(bench):
        for name in ("model.json", "model.safetensors"):
            (forge.directory / name).write_bytes(b"something else")
        return real(bench)

    monkeypatch.setattr(score, "scoring_pass", swapped)
    found, _ = referee.judge(options("--keep", kept))
    assert found["status"] == "ok"
    assert (kept / "model.json").read_bytes() == judged.graph
    assert (kept / "model.safetensors").read_bytes() == judged.weights


def test_nothing_is_kept_of_what_is_not_ok(forge, options, kept):
    forge.after(["x", "aten.roll.default", [ref("n1"), [1], [1]], {}, forge.document["nodes"][1][4]]).write()
    forge.document["nodes"][-1][2][1] = [-1]
    forge.write()
    found, _ = referee.judge(options("--keep", kept))
    assert found["status"] == "invalid"
    assert not list(kept.iterdir())


@pytest.mark.parametrize("harm", ["taken", "link", "absent", "file"])
def test_a_directory_that_cannot_take_it_is_our_fault(forge, options, kept, harm, tmp_path):
    forge.write()
    if harm == "taken":
        (kept / "model.json").write_text("the model of yesterday")
    elif harm == "link":
        (kept / "model.safetensors").symlink_to(tmp_path / "elsewhere")
    else:
        kept.rmdir()
        if harm == "file":
            kept.touch()
    found, code = referee.judge(options("--keep", kept))
    assert (found["status"], code) == ("fault", 3), found
    assert "kept" in found["reason"]
    assert not (tmp_path / "elsewhere").exists()
    if harm == "taken":
        assert [p.name for p in kept.iterdir()] == ["model.json"]
        assert (kept / "model.json").read_text() == "the model of yesterday"


def test_what_was_begun_is_taken_away_when_the_disk_is_full(forge, kept, monkeypatch):
    files = sealed.read(forge.write())
    real = os.fsync

    def full(descriptor):
        if Path(os.readlink(f"/proc/self/fd/{descriptor}")).name == "model.json":
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Fault, match="No space left"):
        keep.keep(files, kept)
    assert not list(kept.iterdir())


def test_a_model_too_large_to_be_kept_is_refused_before_any_work(forge, options, kept, monkeypatch):
    forge.weights["unused"] = torch.zeros(2**18 + 1)
    forge.write()
    monkeypatch.setattr(score, "facts_pass", lambda bench: pytest.fail("it was parsed"))
    found, _ = referee.judge(options("--keep", kept, "--keep-mib", 1))
    assert found["status"] == "invalid"
    assert re.search(r"has \d+ bytes; a model that is kept may have 1 MiB", found["reason"])


def test_the_holdout_says_nothing_of_its_rows(forge, options):
    forge.document["nodes"][0][2] = [ref("t0"), ref("n9")]
    forge.document["nodes"].insert(0, ["n9", "aten.mul.Tensor", [ref("tokens"), 99], {},
                                       tensor(BATCH, SEQ, dtype="int64")])  # fmt: skip
    forge.write()
    found, code = referee.judge(options("--split", "holdout"))
    assert (found, code) == ({"status": "invalid", "reason": "the sealed model does not pass on the holdout"}, 0)
    assert "failed" in referee.judge(options())[0]["reason"]


def test_the_holdout_keeps_nothing(options, kept):
    with pytest.raises(SystemExit):
        options("--split", "holdout", "--keep", kept)


def test_a_slow_graph_ends_with_a_verdict(forge, options):
    big = tensor(1200, 1200)
    forge.document["nodes"].append(["b0", "aten.ones.default", [[1200, 1200]], {}, big])
    forge.document["nodes"] += [[f"b{i}", "aten.mm.default", [ref(f"b{i - 1}"), ref("b0")], {}, big]
                                for i in range(1, 1000)]  # fmt: skip
    forge.write()
    began = time.monotonic()
    found, _ = referee.judge(options("--max-seconds", 2))
    assert found["status"] == "invalid"
    assert "did not end within the 2 seconds" in found["reason"]
    assert time.monotonic() - began < 60


def test_a_hungry_graph_ends_with_a_verdict_and_without_the_kernels_help(forge, options):
    big = tensor(2**28)
    forge.document["nodes"] += [[f"b{i}", "aten.full.default", [[2**28], 1.5], {}, big] for i in range(4)]
    forge.document["nodes"].append(
        ["c", "aten.stack.default", [[ref(f"b{i}") for i in range(4)]], {}, tensor(4, 2**28)]
    )
    forge.write()
    found, _ = referee.judge(options("--memory-mib", 700))
    assert found["status"] == "invalid"
    assert "memory" in found["reason"]


def test_a_child_that_never_answers_is_ended():
    began = time.monotonic()
    with pytest.raises(Invalid, match=r"work did not end within the 0\.5 seconds"):
        worker.in_child(lambda: time.sleep(60) or b"", "work", 10, worker.bounds(0.5, 0))
    assert time.monotonic() - began < 20


def test_the_parent_never_parses(forge, options, monkeypatch):
    """Whatever the bytes do to the process that reads them, the one with the verdict has not looked."""
    forge.write()
    parent = os.getpid()
    real = sealed.parse

    def watched(*args, **kwargs):
        if os.getpid() == parent:
            pytest.fail("the parent parsed a hostile file")
        return real(*args, **kwargs)

    monkeypatch.setattr(sealed, "parse", watched)
    assert referee.judge(options())[0]["status"] == "ok"
    monkeypatch.setattr(sealed, "parse", lambda *args, **kwargs: os.kill(os.getpid(), 11))
    found, code = referee.judge(options())
    assert (found, code) == ({"status": "invalid", "reason": "loading died of SIGSEGV"}, 0)


@pytest.mark.parametrize(("below", "is_kept"), [(None, True), (1e9, True), (0.1, False)])
def test_where_the_host_names_a_score_only_a_better_one_is_kept(forge, options, kept, below, is_kept):
    forge.write()
    asked = options("--keep", kept)
    asked.confirm_below = below
    found, _ = referee.judge(asked)
    assert found["status"] == "ok"
    assert sorted(p.name for p in kept.iterdir()) == (["model.json", "model.safetensors"] if is_kept else [])
    assert (found["kept"] is not None) == is_kept


def test_the_children_of_the_referee_write_no_files(forge, options, kept, monkeypatch):
    """They run what a candidate made; the folder for kept models lies on a disk of the host."""
    real = score.nats_of

    def writes(*given, **named):
        with pytest.raises(OSError, match="too large"), (kept / "flood").open("wb", buffering=0) as file:
            file.write(b"x")
        return real(*given, **named)

    monkeypatch.setattr(score, "nats_of", writes)
    found, _ = referee.judge(options("--keep", forge.write() and kept))
    assert found["status"] == "ok", found
    assert (kept / "flood").stat().st_size == 0
    assert (kept / "model.safetensors").stat().st_size > 0
