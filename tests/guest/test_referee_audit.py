"""Looking ahead and looking sideways are caught; honest models are not."""

import argparse

import numpy as np
import pytest
import torch
import zoo
from conftest import make_rows
from torch import nn
from zoo import BATCH, SEQ, VOCAB

from sandbox.guest import answer, audit, score, sealed, worker
from sandbox.guest.errors import Invalid

ROWS = score.Rows(tokens=make_rows(107), token_bytes=np.arange(VOCAB) % 5)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def in_process(monkeypatch):
    """Run both passes here (the fork has its own test) on one thread."""
    monkeypatch.setattr(score, "in_child", lambda work, what, limit, bound: work())
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
    folder.mkdir(exist_ok=True)
    sealed.write(sealed.capture(model, batch_size=BATCH, seq_len=SEQ, vocab_size=VOCAB), folder)
    return sealed.read(folder)


def examine(files, cuts=428, rows=ROWS):
    """Return what the audit finds, its verdict, the nats of the score, and the tolerance."""
    bench = score.Bench(files=files, rows=rows, device=CPU, bound=worker.UNBOUNDED)
    facts = score.facts_pass(bench)
    drawn, audited = score.audit_pass(bench, facts, cuts)
    nats = score.scoring_pass(bench)
    allowed = audit.tolerance(half=facts.half, sized=facts.sized)
    found = audit.compare(drawn, audited, nats, rows.lengths > 0, allowed)
    return found, audit.verdict(found, allowed), nats, allowed


CHEATS = [(Peek, "looks ahead"), (PeekAtOnePercent, "looks ahead"), (PeekWherePlausible, "looks ahead"),
          (PeekFar, "looks ahead"), (SlightlyEverywhere, "nats a token on average"), (Sideways, "other rows"),
          (BatchMean, "other rows")]  # fmt: skip


@pytest.mark.parametrize(("kind", "sentence"), CHEATS, ids=lambda c: getattr(c, "__name__", ""))
def test_cheats_are_rejected(kind, sentence, tmp_path):
    found, reason, *_ = examine(seal(kind(), tmp_path), cuts=1712)
    assert reason is not None
    assert sentence in reason
    assert found.cuts == 1712


@pytest.mark.parametrize(
    "name", ["gpt", "autocast", "bf16", "masked_moe", "topk_moe", "gru", "conv", "cumsum", "plain"]
)
def test_honest_models_do_not_move(name, tmp_path):
    torch.manual_seed(0)
    found, reason, *_ = examine(seal(zoo.make_zoo()[name](), tmp_path), cuts=214)
    assert reason is None
    assert found.moved == 0
    assert found.max_abs_nats <= 1e-5, "an honest model moved"


def test_an_honest_table_does_not_move_at_all(tmp_path):
    found, reason, *_ = examine(seal(Honest(), tmp_path))
    assert (reason, found.moved, found.max_abs_nats, found.mean_signed_nats) == (None, 0, 0.0, 0.0)
    assert (found.rows, found.cuts) == (107, 428)


def test_an_honest_score_needs_no_correction(tmp_path):
    found, _, nats, allowed = examine(seal(Honest(), tmp_path))
    said = answer.validation(nats, ROWS, found, allowed, "normal")
    assert said["audit"]["corrected_bpb"] == said["val_bpb"]
    assert said["audit"]["corrected_error_bpb"] == 0


def test_cuts_are_secret_even_and_apart():
    drawn = [audit.draw(ROWS.tokens, 428, BATCH, audit.fresh_seed()) for _ in range(2)]
    assert not np.array_equal(drawn[0].position, drawn[1].position)
    assert all(np.bincount(d.row, minlength=107).tolist() == [4] * 107 for d in drawn)
    many = audit.draw(ROWS.tokens, 1000, BATCH, 1)
    assert many.position.min() == 0
    assert many.position.max() == SEQ - 1
    assert not np.array_equal(many.row[:107], np.arange(107))


def test_everything_after_the_cut_is_foreign():
    cuts = audit.draw(ROWS.tokens, 428, BATCH, 5)
    inputs = audit.spoiled_inputs(ROWS.tokens, cuts, VOCAB)
    for i, (row, position) in enumerate(zip(cuts.row, cuts.position, strict=True)):
        assert np.array_equal(inputs[i, : position + 1], ROWS.tokens[row, : position + 1])
        assert position == SEQ - 1 or inputs[i, position + 1] != ROWS.tokens[row, position + 1]
        assert np.array_equal(inputs[i, position + 1 :], ROWS.tokens[cuts.donor[i], position + 1 : SEQ])


def test_rows_that_are_all_alike_still_change_after_the_cut():
    rows = np.zeros((4, SEQ + 1), dtype="<u2")
    cuts = audit.draw(rows, 8, BATCH, 1)
    inputs = audit.spoiled_inputs(rows, cuts, VOCAB)
    assert all(inputs[i, p + 1] == 1 for i, p in enumerate(cuts.position) if p < SEQ - 1)


def test_passes_are_capped():
    assert len(audit.draw(ROWS.tokens, 10**9, BATCH, 1).row) == audit.MAX_PASSES * 107


@pytest.mark.parametrize("batch", [1, BATCH, 64, 107, 1000])
def test_no_batch_of_the_audit_holds_the_truth_of_its_cuts(batch):
    """Else a graph could look up, by its prefix, how a row really goes on, and repeat in the audit what it scored."""
    cuts = audit.draw(ROWS.tokens, 321, batch, 9)
    seen = 0
    for group in audit.groups(107, 321, batch):
        rows, donors = cuts.row[group], cuts.donor[group]
        assert len(set(rows)) == len(rows) <= max(1, min(batch, 53))
        assert not set(rows) & set(donors)
        seen += len(rows)
    assert seen == 321


def test_a_row_is_never_cut_twice_at_one_place():
    cuts = audit.draw(ROWS.tokens, 16 * 107, BATCH, 3)
    assert len(set(zip(cuts.row.tolist(), cuts.position.tolist(), strict=True))) == 16 * 107


def test_what_fills_a_batch_comes_from_the_batch():
    from sandbox.guest.rows import batches

    inputs = np.arange(10)[:, None] * np.ones((1, SEQ))
    got = [b[:, 0].tolist() for _, b in batches(inputs, 4, iter([slice(0, 3), slice(3, 7), slice(7, 8)]))]
    assert got == [[0, 1, 2, 0], [3, 4, 5, 6], [7, 7, 7, 7]]


def test_a_rejected_model_is_invalid(tmp_path, data):
    (tmp_path / "s").mkdir()
    seal(Peek(), tmp_path / "s")
    options = argparse.Namespace(sealed=tmp_path / "s", data=data, split="val", seq_len=SEQ, vocab_size=VOCAB,
                                 audit_rows=43, audit_level="normal", max_seconds=0, memory_mib=0, keep=None,
                                 keep_mib=1, device="cpu")  # fmt: skip
    with pytest.raises(Invalid, match="43 secret cuts"):
        score.score(options)


def test_each_rule_of_the_verdict_stands_alone():
    quiet = {"rows": 400, "cuts": 400, "moved": 0, "prefix_cells": 1000, "prefix_moved": 0, "max_abs_nats": 0.0,
             "mean_abs_nats": 0.0, "mean_signed_nats": 0.0, "error_nats": 0.0}  # fmt: skip
    for change, sentence in (({}, None), ({"moved": 1}, "1 of 400"), ({"prefix_moved": 1}, "before the cuts"),
                             ({"mean_signed_nats": 2e-4}, "on average"), ({"mean_signed_nats": -2e-4}, "on average"),
                             ({"mean_signed_nats": 9e-5}, None), ({"mean_abs_nats": 2e-4}, "other rows")):  # fmt: skip
        reason = audit.verdict(audit.Findings(**(quiet | change)), audit.FIXED)
        assert (reason is None) if sentence is None else (sentence in reason)


def test_a_looser_tolerance_must_be_earned(tmp_path):
    """A bfloat16 value that nobody reads, or a size that follows the data, changes which rounding is excused."""
    for half in (False, True):
        for sized in (False, True):
            allowed = audit.tolerance(half=half, sized=sized)
            assert (allowed.share == 0.0) is not sized
            assert (allowed.nats == 0.05) is half
    assert audit.FIXED.mean_nats < audit.SIZED.mean_nats < audit.FIXED_HALF.mean_nats < audit.SIZED_HALF.mean_nats


class PeekFloor(Honest):
    """A forged excuse: a dead bfloat16 branch with a data-dependent size, and a peek at 3 % of the positions."""

    def cheat(self, logits, tokens):
        excuse = logits.bfloat16().nonzero().sum() * 0
        return self.bet(logits, tokens.roll(-1, 1), (tokens * 7 + tokens.roll(1, 1)) % 33 == 3) + excuse


def test_a_forged_excuse_does_not_hide_a_gain(tmp_path):
    _, reason, _, allowed = examine(seal(PeekFloor(), tmp_path), cuts=1712)
    assert allowed == audit.SIZED_HALF
    assert reason is not None
