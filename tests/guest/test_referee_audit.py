"""Looking ahead and looking sideways are caught; honest models are not."""

import argparse
import math

import numpy as np
import pytest
import torch
import zoo
from conftest import make_rows
from torch import nn
from zoo import BATCH, SEQ, VOCAB

from sandbox.guest import audit, score, sealed
from sandbox.guest.errors import Invalid

ROWS = score.Rows(tokens=make_rows(107), token_bytes=np.arange(VOCAB) % 5)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def in_process(monkeypatch):
    """Run both passes here (the fork has its own test) on one thread."""
    monkeypatch.setattr(score, "in_child", lambda work, what, limit: work())
    monkeypatch.setattr(score, "prepare_torch", lambda device: None)


class Honest(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(VOCAB, VOCAB)

    def forward(self, tokens):
        return self.cheat(self.embed(tokens), tokens)

    def cheat(self, logits, tokens):
        return logits

    def bet(self, logits, following, where):
        """Put ten nats on the following token where `where` holds."""
        at = torch.nn.functional.one_hot(following, VOCAB)
        return logits + 10.0 * at * where[..., None]


class Peek(Honest):
    def cheat(self, logits, tokens):
        return self.bet(logits, tokens.roll(-1, 1), torch.ones_like(tokens))


class PeekAtOnePercent(Honest):
    """At positions that a hash of the last two tokens picks."""

    def cheat(self, logits, tokens):
        return self.bet(logits, tokens.roll(-1, 1), (tokens * 7 + tokens.roll(1, 1)) % 97 == 3)


class PeekWherePlausible(Honest):
    """Only where the model itself thinks the next token likely: a foreign tail then looks honest."""

    def cheat(self, logits, tokens):
        following = tokens.roll(-1, 1)
        likely = logits.softmax(-1).gather(-1, following[..., None])[..., 0] > 2.0 / VOCAB
        return self.bet(logits, following, likely)


class PeekFar(Honest):
    """Learns from tokens three ahead."""

    def cheat(self, logits, tokens):
        return logits + 0.3 * self.embed(tokens.roll(-3, 1))


class SlightlyEverywhere(Honest):
    """Too little at each position to count as moved."""

    def cheat(self, logits, tokens):
        at = torch.nn.functional.one_hot(tokens.roll(-1, 1), VOCAB)
        return logits + 0.0007 * at


class Sideways(Honest):
    """Uses the row above."""

    def cheat(self, logits, tokens):
        return logits + 0.3 * self.embed(tokens.roll(1, 0))


class BatchMean(Honest):
    def cheat(self, logits, tokens):
        return logits - 0.1 * logits.mean((0, 1), keepdim=True)


def seal(model, folder):
    sealed.write(sealed.capture(model, batch_size=BATCH, seq_len=SEQ, vocab_size=VOCAB), folder)
    return sealed.load(folder)


def examine(model, cuts=428, rows=ROWS):
    """Return what the audit finds, and its verdict."""
    drawn, audited = score.audit_pass(model, rows, cuts, CPU)
    nats = score.scoring_pass(model, rows, CPU)
    tolerance = audit.HALF if model.half_precision else audit.FLOAT32
    found = audit.compare(drawn, audited, nats, rows.lengths > 0, tolerance)
    return found, audit.verdict(found, tolerance), nats


CHEATS = [(Peek, "looks ahead"), (PeekAtOnePercent, "looks ahead"), (PeekWherePlausible, "looks ahead"),
          (PeekFar, "looks ahead"), (SlightlyEverywhere, "nats a token on average"), (Sideways, "other rows"),
          (BatchMean, "other rows")]  # fmt: skip


@pytest.mark.parametrize(("kind", "sentence"), CHEATS, ids=lambda c: getattr(c, "__name__", ""))
def test_cheats_are_rejected(kind, sentence, tmp_path):
    found, reason, _ = examine(seal(kind(), tmp_path), cuts=1712)
    assert reason is not None
    assert sentence in reason
    assert found.cuts == 1712


@pytest.mark.parametrize(
    "name", ["gpt", "autocast", "bf16", "masked_moe", "topk_moe", "gru", "conv", "cumsum", "plain"]
)
def test_honest_models_do_not_move(name, tmp_path):
    torch.manual_seed(0)
    found, reason, _ = examine(seal(zoo.make_zoo()[name](), tmp_path), cuts=214)
    assert reason is None
    assert found.moved == 0
    assert found.max_abs_nats <= 1e-5, "an honest model moved"


def test_an_honest_table_does_not_move_at_all(tmp_path):
    found, reason, _ = examine(seal(Honest(), tmp_path))
    assert (reason, found.moved, found.max_abs_nats, found.mean_signed_nats) == (None, 0, 0.0, 0.0)
    assert (found.rows, found.cuts) == (107, 428)


def test_the_correction_gives_the_honest_score(tmp_path):
    """Corrected by the mean difference, a cheat's score is its honest one, up to sampling noise."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    rows = score.Rows(tokens=make_rows(400), token_bytes=np.full(VOCAB, 3))
    found, _, nats = examine(seal(Peek(), tmp_path / "a"), cuts=4000, rows=rows)
    cheat = score.summary(nats, rows, found, "")
    found, _, nats = examine(seal(Honest(), tmp_path / "b"), cuts=400, rows=rows)
    honest = score.summary(nats, rows, found, "")
    assert cheat["val_bpb"] < honest["val_bpb"] - 1
    assert honest["audit"]["corrected_bpb"] == honest["val_bpb"]
    # After a cut the cheat bets ten nats on a wrong token; that is worse than honest, never better.
    assert cheat["audit"]["corrected_bpb"] > honest["val_bpb"] - 0.02


def test_cuts_are_secret_even_and_apart():
    drawn = [audit.draw(ROWS.tokens, 428, audit.fresh_seed()) for _ in range(2)]
    assert not np.array_equal(drawn[0].position, drawn[1].position)
    assert all(np.bincount(d.row, minlength=107).tolist() == [4] * 107 for d in drawn)
    many = audit.draw(ROWS.tokens, 1000, 1)
    assert many.position.min() == 0
    assert many.position.max() == SEQ - 2
    assert not np.array_equal(many.row[:107], np.arange(107))


def test_everything_after_the_cut_is_foreign():
    cuts = audit.draw(ROWS.tokens, 428, 5)
    inputs = audit.spoiled_inputs(ROWS.tokens, cuts, VOCAB)
    for i, (row, position) in enumerate(zip(cuts.row, cuts.position, strict=True)):
        assert np.array_equal(inputs[i, : position + 1], ROWS.tokens[row, : position + 1])
        assert inputs[i, position + 1] != ROWS.tokens[row, position + 1]
        assert np.array_equal(inputs[i, position + 1 :], ROWS.tokens[cuts.donor[i], position + 1 : SEQ])


def test_rows_that_are_all_alike_still_change_after_the_cut():
    rows = np.zeros((4, SEQ + 1), dtype="<u2")
    cuts = audit.draw(rows, 8, 1)
    inputs = audit.spoiled_inputs(rows, cuts, VOCAB)
    assert all(inputs[i, p + 1] == 1 for i, p in enumerate(cuts.position))


def test_passes_are_capped():
    assert len(audit.draw(ROWS.tokens, 10**9, 1).row) == audit.MAX_PASSES * 107


def test_power_is_the_binomial_tail():
    assert audit.power(430, audit.FLOAT32).endswith(f"probability {0.99**430:.2g}")
    tail = sum(math.comb(1000, k) * 0.01**k * 0.99 ** (1000 - k) for k in range(3))
    assert audit.power(1000, audit.FLOAT32).endswith(f"probability {tail:.2g}")


def test_a_rejected_model_is_invalid(tmp_path, data):
    (tmp_path / "s").mkdir()
    seal(Peek(), tmp_path / "s")
    options = argparse.Namespace(sealed=tmp_path / "s", data=data, split="val", seq_len=SEQ, vocab_size=VOCAB,
                                 audit_rows=43, device="cpu")  # fmt: skip
    with pytest.raises(Invalid, match="43 secret cuts"):
        score.score(options)


def test_each_rule_of_the_verdict_stands_alone():
    quiet = {"rows": 400, "cuts": 400, "moved": 0, "prefix_share": 0.0, "max_abs_nats": 0.0, "mean_abs_nats": 0.0,
             "mean_signed_nats": 0.0}  # fmt: skip
    for change, sentence in (({}, None), ({"moved": 1}, "1 of 400"), ({"prefix_share": 0.01}, "before the cuts"),
                             ({"mean_signed_nats": 0.001}, "on average")):  # fmt: skip
        reason = audit.verdict(audit.Findings(**(quiet | change)), audit.FLOAT32)
        assert (reason is None) if sentence is None else (sentence in reason)
