"""Attacks on the score, each in the real sandbox with the policies off: the wall has to hold alone.

The first test is the control: the same harness accepts an honest program.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from daemon.model import TrialResult, TrialStatus
from daemon.trial import Listener, run_trial
from sandbox.docker_sandbox import DockerSandbox
from sandbox.interface import SandboxSpec

HONEST = """
import torch
import prepare
tokenizer = prepare.Tokenizer.from_directory()
VOCABULARY = tokenizer.get_vocab_size()

class Unigram(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.logits = torch.nn.Parameter(torch.zeros(VOCABULARY))
    def forward(self, tokens):
        return self.logits.expand(*tokens.shape, VOCABULARY) + 0.0 * tokens.unsqueeze(-1)

model = Unigram()
batch = next(prepare.make_dataloader(tokenizer, 16, prepare.MAX_SEQ_LEN, "train"))
with torch.no_grad():
    counts = torch.bincount(batch[1].flatten(), minlength=VOCABULARY).float()
    model.logits.copy_((counts + 0.1).log())
"""
EVALUATE = "prepare.evaluate_bpb(model, tokenizer, 16)\n"
PEEKING = HONEST.replace(
    "return self.logits.expand(*tokens.shape, VOCABULARY) + 0.0 * tokens.unsqueeze(-1)",
    "return torch.nn.functional.one_hot(torch.roll(tokens, -1, 1), VOCABULARY).float() * PLACES * 30.0 + self.logits",
)
SEALED = HONEST + EVALUATE + "from pathlib import Path\nout = Path('/out')\n"

FORGERIES = [
    ("peeks at every next token", PEEKING.replace("PLACES", "1.0") + EVALUATE, "token"),
    ("peeks at one place in fifty",
     PEEKING.replace("PLACES", "(torch.arange(tokens.size(1)) % 50 == 7).float().unsqueeze(-1)") + EVALUATE, "token"),
    ("shares between the rows of a batch",
     HONEST.replace("self.logits.expand", "(self.logits * (1 + 1e-4 * tokens.sum(0, True).unsqueeze(-1))).expand")
     + EVALUATE, ""),
    ("logits of 1e30", HONEST.replace("+ 0.0 * tokens", "* 0.0 + 1e30 + 0.0 * tokens") + EVALUATE, None),
    ("logits that are not numbers", HONEST.replace("+ 0.0 * tokens", "* float('nan') + 0.0 * tokens") + EVALUATE, ""),
    ("patches the evaluator and prints",
     HONEST + "prepare.evaluate_bpb = lambda *a: 0.000001\nprint('---\\nval_bpb:', prepare.evaluate_bpb())\n", "model"),
    ("a pickle in place of the weights",
     SEALED + "import pickle\n(out / 'model.safetensors').write_bytes(pickle.dumps([1] * 1000))\n", ""),
    ("a link in place of the graph",
     SEALED + "(out / 'model.json').unlink()\n(out / 'model.json').symlink_to('/data/val/rows.bin')\n", ""),
    ("a pipe in place of the graph",
     SEALED + "import os\n(out / 'model.json').unlink()\nos.mkfifo(out / 'model.json')\n", ""),
    ("a graph with a forbidden operation",
     SEALED + "p = out / 'model.json'\np.write_text(p.read_text().replace('aten.expand.', 'aten.as_strided.'))\n",
     "not allowed"),
    ("a graph of far too many nodes",
     SEALED + "import json\np = out / 'model.json'\nd = json.loads(p.read_text())\n"
     "d['nodes'] = d['nodes'] * 20_000\np.write_text(json.dumps(d))\n", ""),
    ("weights it may not read", SEALED + "(out / 'model.safetensors').chmod(0)\n", ""),
]  # fmt: skip


@pytest.fixture
def attacked(sandbox: DockerSandbox, make_spec: Callable[..., SandboxSpec]) -> Callable[..., TrialResult]:
    def run(train_py: str, **changes: object) -> TrialResult:
        return run_trial(sandbox, make_spec(train_py, train_seconds=25, **changes), Listener())

    return run


def test_control_an_honest_model_is_scored(attacked: Callable[..., TrialResult]) -> None:
    result = attacked(HONEST + EVALUATE)
    assert result.status is TrialStatus.OK, (result.reason, result.log_tail)
    assert result.val_bpb is not None
    assert 2.0 < result.val_bpb < 4.0


def test_a_false_score_in_the_log_is_a_claim_and_nothing_more(attacked: Callable[..., TrialResult]) -> None:
    result = attacked(HONEST + EVALUATE + "print('---\\nval_bpb: 0.000001')\n")
    assert result.claimed_bpb == 0.000001
    assert result.val_bpb is not None
    assert result.val_bpb > 2.0


@pytest.mark.parametrize(("train_py", "words"), [row[1:] for row in FORGERIES], ids=[row[0] for row in FORGERIES])
def test_a_forgery_is_invalid_or_scored_on_its_merit(
    attacked: Callable[..., TrialResult], train_py: str, words: str | None
) -> None:
    result = attacked(train_py)
    if words is None:  # a constant shift of all logits is a uniform guess, and may be scored as one
        assert result.val_bpb is None or result.val_bpb > 2.0
        return
    assert result.status is TrialStatus.INVALID, (result.status, result.reason, result.val_bpb, result.log_tail)
    assert words in result.reason


def test_a_finished_model_does_not_excuse_running_on(
    sandbox: DockerSandbox, make_spec: Callable[..., SandboxSpec]
) -> None:
    spec = make_spec(HONEST + EVALUATE + "while True: pass\n", train_seconds=12)
    result = run_trial(sandbox, spec, Listener())
    assert result.status is TrialStatus.TIMEOUT
    assert "sealed" in result.log_tail
    assert result.score is None


def test_a_model_sealed_without_ever_asking_for_the_data_is_not_scored(attacked: Callable[..., TrialResult]) -> None:
    skipped = HONEST.replace('batch = next(prepare.make_dataloader(tokenizer, 16, prepare.MAX_SEQ_LEN, "train"))', "")
    untrained = skipped.split("with torch.no_grad()")[0]
    result = attacked(untrained + EVALUATE)
    assert result.status is TrialStatus.INVALID
    assert "without ever asking" in result.reason
