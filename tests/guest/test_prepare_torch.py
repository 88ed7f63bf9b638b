"""What prepare.py does for train.py: batches, the release, the clock, evaluation by hand, sealing in the sandbox."""

from __future__ import annotations

import itertools
import json
import math
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "unit"))
from preparing import environment, load  # noqa: E402 - tests/unit is on the path from here on

prepare = load()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("prepared") / "data"
    assert prepare.main(["--sample", "--data", str(directory)]) == 0
    return directory


@pytest.fixture
def by_hand(data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AUTORESEARCH_DATA", str(data))
    monkeypatch.delenv("AUTORESEARCH_OUT", raising=False)
    monkeypatch.setattr(prepare, "_clock", prepare._Clock())
    return data


@pytest.fixture
def sandboxed(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As in the train container: no manifest, no validation rows, no training tokens yet; returns AUTORESEARCH_OUT."""
    import sandbox.guest
    from sandbox.guest import sealed

    shutil.copytree(data / "common", tmp_path / "data" / "common")
    (tmp_path / "data" / "train").mkdir()
    (tmp_path / "out").mkdir()
    monkeypatch.setenv("AUTORESEARCH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("AUTORESEARCH_OUT", str(tmp_path / "out"))
    monkeypatch.setitem(sys.modules, "autoresearch_guest", sandbox.guest)
    monkeypatch.setitem(sys.modules, "autoresearch_guest.sealed", sealed)
    monkeypatch.setattr(prepare, "_clock", prepare._Clock())
    monkeypatch.setattr(prepare, "_captured", [])
    return tmp_path / "out"


@pytest.fixture
def tokenizer(data: Path):
    return prepare.Tokenizer.from_directory(data / "common")


def release(data: Path, into: Path, budget: dict | None) -> None:
    """Do what the host does: link the tokens, write the budget, link the index last."""
    for path in sorted((data / "train").iterdir()):
        if path.name != "index.json":
            os.link(path, into / path.name)
    if budget is not None:
        (into / "budget.json").write_text(json.dumps(budget))
    os.link(data / "train" / "index.json", into / "index.json")


class Bigram(nn.Module):
    """The smallest language model: the next token by the last."""

    def __init__(self, scale: float = 3.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(prepare.VOCAB_SIZE, 16)
        self.head = nn.Linear(16, prepare.VOCAB_SIZE)
        self.dropout = nn.Dropout(0.5)
        self.scale = scale

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.scale * self.head(self.dropout(self.table(tokens)))


class Branching(Bigram):
    """Decides by data: cannot be captured."""

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return super().forward(tokens) if tokens.sum() > 0 else super().forward(tokens) * 2


# -- batches


def test_training_batches_are_the_packed_rows(by_hand: Path, tokenizer) -> None:
    loader = prepare.make_dataloader(tokenizer, 4, 100, "train")
    packer = prepare.Packer(iter(prepare.TrainDocuments(by_hand / "train")))
    rows = np.empty((4, 101), dtype="<u2")
    for inputs, targets, epoch in itertools.islice(loader, 50):
        assert all(packer.fill(row) for row in rows)
        assert inputs.dtype == targets.dtype == torch.int64
        assert inputs.shape == targets.shape == (4, 100)
        assert inputs.is_contiguous()
        assert targets.is_contiguous()
        assert (inputs.numpy() == rows[:, :-1]).all()
        assert (targets.numpy() == rows[:, 1:]).all()
        assert epoch == 1
        assert (inputs[:, 0] == tokenizer.get_bos_token_id()).all()


def test_batches_already_given_out_do_not_change(by_hand: Path, tokenizer) -> None:
    loader = prepare.make_dataloader(tokenizer, 2, 64, "train")
    kept = [(inputs, inputs.clone()) for inputs, _, _ in itertools.islice(loader, 6)]
    assert all(torch.equal(inputs, copy) for inputs, copy in kept)


def test_epochs_go_on(by_hand: Path, tokenizer) -> None:
    loader = prepare.make_dataloader(tokenizer, 512, 256, "train")
    epochs = [epoch for _, _, epoch in itertools.islice(loader, 20)]
    assert epochs == sorted(epochs)
    assert epochs[0] == 1
    assert epochs[-1] >= 2


def test_validation_batches_are_the_frozen_rows(by_hand: Path, tokenizer) -> None:
    rows = np.fromfile(by_hand / "val" / "rows.bin", dtype="<u2").reshape(-1, 257)
    batches = list(itertools.islice(prepare.make_dataloader(tokenizer, 100, 256, "val"), 5))
    inputs = torch.cat([inputs for inputs, _, _ in batches]).numpy()
    targets = torch.cat([targets for _, targets, _ in batches]).numpy()
    again = np.concatenate((rows, rows))[:500]
    assert (inputs == again[:, :-1]).all()
    assert (targets == again[:, 1:]).all()
    assert [epoch for _, _, epoch in batches] == [1, 1, 1, 1, 2]


@pytest.mark.parametrize(
    ("rows", "length", "split"), [(1, 256, "holdout"), (0, 256, "train"), (1, 0, "train"), (1, 64, "val")]
)
def test_sizes_and_splits_that_make_no_sense(by_hand: Path, tokenizer, rows: int, length: int, split: str) -> None:
    with pytest.raises(ValueError, match=r"split|rows"):
        prepare.make_dataloader(tokenizer, rows, length, split)


# -- by hand


def test_the_clock_by_hand_starts_with_the_first_training_batch(
    by_hand: Path, tokenizer, capsys: pytest.CaptureFixture[str]
) -> None:
    loader = prepare.make_dataloader(tokenizer, 1, 8, "train")
    assert prepare.time_left() == prepare.TIME_BUDGET
    next(loader)
    first = prepare.time_left()
    assert prepare.TIME_BUDGET - 5 < first < prepare.TIME_BUDGET
    next(prepare.make_dataloader(tokenizer, 1, 8, "train"))
    assert prepare.time_left() < first
    assert prepare.READY_MARKER not in capsys.readouterr().out


@pytest.mark.parametrize("missing", ["manifest.json", "train/index.json", "."])
def test_no_data_by_hand_is_one_sentence(data: Path, tmp_path: Path, missing: str) -> None:
    directory = tmp_path / "data"
    shutil.copytree(data, directory)
    shutil.rmtree(directory) if missing == "." else (directory / missing).unlink()
    code = (
        "import prepare\n"
        "tokenizer = prepare.Tokenizer.from_directory()\n"
        "next(prepare.make_dataloader(tokenizer, 1, 8, 'train'))\n"
    )
    environ = environment(AUTORESEARCH_DATA=directory)
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.startswith("prepare.py: ")
    assert done.stderr.count("\n") == 1
    assert "run `python prepare.py --sample` first" in done.stderr


def test_data_of_another_profile_by_hand_is_one_sentence(data: Path) -> None:
    environ = environment(AUTORESEARCH_DATA=data, AUTORESEARCH_PROFILE="gpu")
    code = "import prepare; prepare.Tokenizer.from_directory()"
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "set AUTORESEARCH_PROFILE=cpu" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("batch_size", [16, 100, None])
def test_evaluation_by_hand_is_the_plain_number(by_hand: Path, tokenizer, batch_size: int | None) -> None:
    model = Bigram().train()
    rows = np.fromfile(by_hand / "val" / "rows.bin", dtype="<u2").reshape(-1, 257).astype(np.int64)
    lengths = np.fromfile(by_hand / "common" / "token_bytes.bin", dtype="<u2").astype(np.float64)
    model.eval()
    with torch.no_grad():
        logits = model(torch.from_numpy(rows[:, :-1])).double()
    model.train()
    targets = rows[:, 1:]
    nats = -torch.log_softmax(logits, -1).gather(-1, torch.from_numpy(targets)[..., None])[..., 0].numpy()
    sizes = lengths[targets]
    expected = nats[sizes > 0].sum() / (math.log(2) * sizes.sum())
    assert prepare.evaluate_bpb(model, tokenizer, batch_size) == pytest.approx(expected, abs=1e-5)
    assert model.training


def test_huge_logits_are_no_perfect_score(by_hand: Path, tokenizer) -> None:
    model = Bigram(scale=1e30)
    assert prepare.evaluate_bpb(model, tokenizer, 64) > 1e6


def test_bfloat16_logits_are_scored_in_float32(by_hand: Path, tokenizer) -> None:
    model = Bigram()
    exact = prepare.evaluate_bpb(model, tokenizer, 64)
    assert prepare.evaluate_bpb(model.bfloat16(), tokenizer, 64) == pytest.approx(exact, rel=0.01)


def test_preseal_by_hand_does_nothing(by_hand: Path) -> None:
    prepare.preseal(Branching())


# -- in the sandbox


def child(tmp_path: Path, code: str, **extra: str) -> subprocess.Popen[str]:
    environ = environment(
        AUTORESEARCH_DATA=tmp_path / "data", AUTORESEARCH_OUT=tmp_path / "out", OMP_NUM_THREADS="1", **extra
    )
    return subprocess.Popen([sys.executable, "-u", "-c", code], env=environ, stdout=subprocess.PIPE, text=True)


def test_the_release(data: Path, sandboxed: Path, tmp_path: Path) -> None:
    code = (
        "import prepare\n"
        "tokenizer = prepare.Tokenizer.from_directory()\n"
        "loader = prepare.make_dataloader(tokenizer, 2, 32, 'train')\n"
        "print('left', prepare.time_left())\n"
        "print('step 3', end='')\n"
        "next(loader)\n"
        "print('left', prepare.time_left())\n"
        "next(prepare.make_dataloader(tokenizer, 2, 32, 'train'))\n"
        "print('left', prepare.time_left())\n"
    )
    process = child(tmp_path, code, AUTORESEARCH_TRAIN_SECONDS="100")
    assert process.stdout is not None
    lines: Iterator[str] = iter(process.stdout)
    guard = threading.Timer(120, process.kill)
    guard.start()
    assert [next(lines) for _ in range(3)] == ["left 100.0\n", "step 3\n", f"{prepare.READY_MARKER}\n"]
    assert process.poll() is None
    release(data, tmp_path / "data" / "train", {"train_seconds": 42.0})
    rest = list(lines)
    guard.cancel()
    assert process.wait() == 0
    first, second = (float(line.removeprefix("left ")) for line in rest)
    reserve = prepare.RESERVE_SECONDS
    assert 42.0 - reserve - 30 < second < first <= 42.0 - reserve


def test_tokens_that_are_there_need_no_marker(
    data: Path, sandboxed: Path, tmp_path: Path, tokenizer, capsys: pytest.CaptureFixture[str]
) -> None:
    release(data, tmp_path / "data" / "train", None)
    next(prepare.make_dataloader(tokenizer, 2, 32, "train"))
    assert prepare.READY_MARKER not in capsys.readouterr().out
    assert prepare.time_left() <= prepare.TIME_BUDGET - prepare.RESERVE_SECONDS


def test_the_marker_comes_once(
    data: Path, sandboxed: Path, tmp_path: Path, tokenizer, capsys: pytest.CaptureFixture[str]
) -> None:
    timer = threading.Timer(0.3, release, (data, tmp_path / "data" / "train", {"train_seconds": 9.0}))
    timer.start()
    for _ in range(2):
        next(prepare.make_dataloader(tokenizer, 2, 32, "train"))
    timer.join()
    assert capsys.readouterr().out.split("\n").count(prepare.READY_MARKER) == 1
    assert prepare._clock.budget_seconds == 9.0


def test_no_validation_in_the_sandbox(sandboxed: Path, tokenizer, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        next(prepare.make_dataloader(tokenizer, 2, 256, "val"))
    assert "only the referee has them" in capsys.readouterr().err


def test_seal_and_load(data: Path, sandboxed: Path, tokenizer, capsys: pytest.CaptureFixture[str]) -> None:
    from sandbox.guest import sealed

    model = Bigram()
    prepare.preseal(model)
    assert list(sandboxed.iterdir()) == []
    assert prepare._clock.write_seconds > 0
    captured = prepare._captured[0]
    with torch.no_grad():
        model.table.weight.mul_(2)
    assert math.isnan(prepare.evaluate_bpb(model, tokenizer, prepare.EVAL_BATCH_SIZE))
    assert capsys.readouterr().out.splitlines()[-1] == "sealed"
    assert prepare._captured[0] is captured
    assert sorted(path.name for path in sandboxed.iterdir()) == ["model.json", "model.safetensors"]
    stored = json.loads((sandboxed / "model.json").read_text())
    assert (stored["batch_size"], stored["seq_len"], stored["vocab_size"]) == (16, 256, 2048)
    loaded = sealed.load(sandboxed)
    tokens = torch.randint(0, 2048, (16, 256))
    with torch.no_grad():
        assert torch.equal(loaded.run(tokens), model.eval()(tokens))


def test_a_model_that_changed_since_preseal_is_captured_again(sandboxed: Path, tokenizer) -> None:
    model = Bigram()
    prepare.preseal(model)
    before = prepare._captured[0]
    model.scale = 5.0
    prepare.evaluate_bpb(model, tokenizer, prepare.EVAL_BATCH_SIZE)
    assert prepare._captured[0] is not before


def test_a_model_that_cannot_be_sealed_says_why(sandboxed: Path) -> None:
    with pytest.raises(prepare.SealError) as failed:
        prepare.preseal(Branching())
    assert len(str(failed.value)) > 20
    assert list(sandboxed.iterdir()) == []


def test_the_reserve_counts_the_writing(data: Path, sandboxed: Path, tmp_path: Path, tokenizer) -> None:
    release(data, tmp_path / "data" / "train", {"train_seconds": 50.0})
    prepare._clock.write_seconds = 2.0
    next(prepare.make_dataloader(tokenizer, 2, 32, "train"))
    assert prepare.time_left() <= 50.0 - 1.0 - 4.0


def test_without_the_guest_there_is_a_clear_sentence(sandboxed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "autoresearch_guest", None)
    with pytest.raises(prepare.SealError, match="autoresearch_guest is not installed"):
        prepare.preseal(Bigram())
