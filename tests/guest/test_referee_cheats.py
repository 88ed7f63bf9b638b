"""Cheats that know how they will be audited; and what the corrected score is worth when one escapes."""

import dataclasses
import functools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import make_rows
from torch import nn
from zoo import BATCH, SEQ, VOCAB

from sandbox.guest import answer, audit, power, score, sealed, worker

ROWS = score.Rows(tokens=make_rows(107), token_bytes=np.arange(VOCAB) % 5)
FEW = score.Rows(tokens=make_rows(48, seed=8), token_bytes=np.arange(VOCAB) % 5)
TABLE = torch.randn(VOCAB, VOCAB, generator=torch.Generator().manual_seed(0))


def honest(tokens):
    """A table of logits for the next token: (B, T, V)."""
    return F.embedding(tokens, TABLE)


def bet(logits, following, where, size=10.0):
    return logits + size * F.one_hot(following, VOCAB) * where[..., None]


def following(tokens):
    return tokens.roll(-1, 1)


def plausible_junction(tokens, logits):
    """Bets on the next token only where the whole tail looks like real text: a foreign tail gets the honest answer."""
    likely = logits.softmax(-1).gather(-1, following(tokens)[..., None])[..., 0] > 0.5 / VOCAB
    return bet(logits, following(tokens), likely)


def not_a_donors_tail(tokens, logits):
    """Steps back when the batch holds the same tail token at the same place in another row (a donor's row)."""
    shared = (tokens[:, None] == tokens[None]).sum(1) > 1
    return bet(logits, following(tokens), ~shared.roll(-1, 1))


def row_end(tokens, logits):
    return bet(logits, following(tokens), torch.arange(SEQ) == SEQ - 2)


def last_position_from_the_neighbour(tokens, logits):
    """At the last position, where no later token is left to replace, bets on what the row below starts with."""
    return bet(logits, tokens.roll(-1, 0)[:, :1].expand(-1, SEQ), torch.arange(SEQ) == SEQ - 1)


def rare_rows(tokens, logits):
    """Only in rows that hold token 7 three times."""
    return bet(logits, following(tokens), ((tokens == 7).sum(1) >= 3)[:, None].expand_as(tokens))


def two_ahead(tokens, logits):
    return bet(logits, tokens.roll(-2, 1), torch.ones_like(tokens, dtype=torch.bool), 1.0)


def nine_ahead(tokens, logits):
    return logits + 0.5 * honest(tokens.roll(-9, 1))


def first_seat(tokens, logits):
    """Rows in an even seat of the batch see the row in the seat above."""
    seat = (torch.arange(BATCH) % 2 == 0)[:, None].expand_as(tokens)
    return torch.where(seat[..., None], logits + 0.3 * honest(tokens.roll(1, 0)), logits)


def by_seat(tokens, logits):
    """Knows nothing of the neighbours, but answers by its own seat in the batch."""
    return logits * (1 + 0.1 * torch.arange(BATCH)[:, None, None])


def counts_of_the_batch(tokens, logits):
    """Test-time training: the unigram counts of all the batch, later tokens included."""
    return logits + 0.1 * F.one_hot(tokens, VOCAB).float().mean((0, 1))


CHEATS = [plausible_junction, not_a_donors_tail, row_end, last_position_from_the_neighbour, rare_rows, two_ahead,
          nine_ahead, first_seat, by_seat, counts_of_the_batch]  # fmt: skip


class Model(nn.Module):
    def __init__(self, cheat):
        super().__init__()
        self.cheat = cheat

    def forward(self, tokens):
        logits = honest(tokens)
        return logits if self.cheat is None else self.cheat(tokens, logits)


class Direct:
    """Stands for the sealed model: the audit's arithmetic is the same, and tracing takes a second each."""

    def __init__(self, cheat):
        self.graph = SimpleNamespace(batch_size=BATCH, seq_len=SEQ, vocab_size=VOCAB)
        self.model = Model(cheat)

    def run(self, tokens):
        with torch.no_grad():
            return self.model(tokens)


def scored(model, rows=ROWS):
    return score.nats_of(model, rows.tokens[:, :-1], rows.tokens[:, 1:])


def examine(model, rows=ROWS, cuts=16 * 107, seed=None, allowed=audit.FIXED, nats=None):
    drawn = audit.draw(rows.tokens, cuts, BATCH, audit.fresh_seed() if seed is None else seed)
    inputs = audit.spoiled_inputs(rows.tokens, drawn, VOCAB)
    by_batch = audit.groups(len(rows.tokens), cuts, BATCH)
    audited = score.nats_of(model, inputs, rows.tokens[drawn.row, 1:], by_batch)
    nats = scored(model, rows) if nats is None else nats
    found = audit.compare(drawn, audited, nats, rows.lengths > 0, allowed)
    return found, audit.verdict(found, allowed), nats


@pytest.mark.parametrize("cheat", CHEATS, ids=lambda c: c.__name__)
def test_cheats_that_know_the_audit_are_rejected(cheat):
    assert examine(Direct(None))[1] is None
    found, reason, _ = examine(Direct(cheat))
    assert reason is not None, found


def test_a_faint_coupling_of_all_rows_is_no_rounding():
    """Found by fuzzing: in a bfloat16 graph each move passed as rounding, and the signs cancelled in the mean."""
    model = Direct(lambda tokens, logits: logits + 0.05 * logits.softmax(0))
    found, reason, _ = examine(model, allowed=audit.FIXED_HALF)
    assert found.moved == 0
    assert abs(found.mean_signed_nats) < audit.FIXED_HALF.mean_nats
    assert "on average when only these changed" in reason


def test_they_are_rejected_when_sealed_too(tmp_path):
    sealed.write(sealed.capture(Model(plausible_junction), batch_size=BATCH, seq_len=SEQ, vocab_size=VOCAB), tmp_path)
    assert examine(sealed.load(tmp_path))[1] is not None


def test_a_batch_statistic_of_a_millionth_gains_nothing():
    """Too small to be seen, and too small to matter: what the audit lets pass is bounded by the slack it states."""
    model = Direct(lambda tokens, logits: logits + 1e-6 * logits.mean((0, 1), keepdim=True))
    _, reason, nats = examine(model)
    plain = scored(Direct(None))
    assert reason is None
    assert abs(float((nats - plain).mean())) < 1e-5 < audit.FIXED.mean_nats


def test_a_sealed_model_has_no_memory(tmp_path, tokens):
    """What a pass gives does not depend on the passes before it, in whatever order they come."""
    sealed.write(sealed.capture(Model(None), batch_size=BATCH, seq_len=SEQ, vocab_size=VOCAB), tmp_path)
    model, other = sealed.load(tmp_path), (tokens + 1) % VOCAB
    first, second = model.run(tokens).clone(), model.run(other).clone()
    assert torch.equal(model.run(other), second)
    assert torch.equal(model.run(tokens), first)
    before = {k: t.clone() for k, t in model._tensors.items()}
    model.run(tokens)
    assert all(torch.equal(before[k], t) for k, t in model._tensors.items())


def rare(tokens, logits, share):
    """A perfect look at the next token at one position in `share`, chosen by tokens on both sides of it."""
    pick = (tokens * 131 + tokens.roll(1, 1) * 17 + following(tokens) * 29) % share == 1
    return bet(logits, following(tokens), pick)


def isolated_nats(model, rows, draws):
    """Mean nats of all scored targets where the tail and the neighbours are those of random strangers."""
    total, rng = [], np.random.default_rng(5)
    counted = rows.lengths > 0
    for _ in range(draws):
        donor = rng.permutation(len(rows.tokens))
        for position in range(SEQ):
            keep = np.arange(SEQ) <= position
            mixed = np.where(keep, rows.tokens[:, :-1], rows.tokens[donor, :-1])
            nats = score.nats_of(model, mixed, rows.tokens[:, 1:])[:, position]
            total.append(nats[counted[:, position]])
    return float(np.concatenate(total).mean())


@pytest.mark.parametrize("share", [500, 50])
def test_the_corrected_score_is_unbiased(share):
    """Over many audits the corrected score of a rare cheat has the mean of its score in isolation.

    The single audit is far too coarse to catch a look at 1 position in 500; its correction is right on average, and
    its stated error is the spread that is seen.
    """
    model = Direct(functools.partial(rare, share=share))
    truth, nats = isolated_nats(model, FEW, draws=3), scored(model, FEW)
    raw = float(nats[FEW.lengths > 0].mean())
    found = [examine(model, FEW, cuts=96, seed=seed, nats=nats)[0] for seed in range(60)]
    corrected, errors = [raw + f.mean_signed_nats for f in found], [f.error_nats for f in found]
    error = np.std(corrected, ddof=1) / math.sqrt(len(corrected))
    assert raw < truth - 0.5 * 4 / share, "the cheat gains nothing: the test says nothing"
    assert abs(np.mean(corrected) - truth) < 4 * error
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(corrected, ddof=1), rel=0.5)


def test_a_cheat_with_an_honest_fallback_is_corrected_to_the_honest_score():
    """It bets only on the truth's own mark, so in the audit it is the honest model (but for accidents of the tails)."""

    def cheat(tokens, logits):
        real = logits.softmax(-1).gather(-1, following(tokens)[..., None])[..., 0] > 0.05
        return bet(logits, following(tokens), real)

    counted, nats = FEW.lengths > 0, scored(Direct(cheat), FEW)
    honestly, raw = float(scored(Direct(None), FEW)[counted].mean()), float(nats[counted].mean())
    found = [examine(Direct(cheat), FEW, cuts=96, seed=seed, nats=nats)[0] for seed in range(60)]
    corrected = [raw + f.mean_signed_nats for f in found]
    assert raw < honestly - 0.05
    assert np.mean(corrected) > honestly - 4 * np.std(corrected, ddof=1) / math.sqrt(len(corrected))


def test_the_stated_power_is_what_happens():
    """A cheat at 1 % of the cells, placed at random, escapes as often as the answer says."""
    rng, cuts, allowed = np.random.default_rng(1), 107, 0
    escaped = 0
    for seed in range(400):
        cells = rng.random((107, SEQ)) < 0.01
        drawn = audit.draw(ROWS.tokens, cuts, BATCH, seed)
        escaped += int(cells[drawn.row, drawn.position].sum() <= allowed)
    stated = power.escape(cuts, allowed, 0.01)
    assert abs(escaped / 400 - stated) < 4 * math.sqrt(stated * (1 - stated) / 400)


def test_power_is_the_binomial_tail():
    said = power.statement(430, audit.FIXED)
    assert said["escape_probability"] == pytest.approx(0.99**430)
    assert said["power"].endswith(f"probability {0.99**430:.2g}")
    assert said["allowed"] == 0
    tail = sum(math.comb(1000, k) * 0.01**k * 0.99 ** (1000 - k) for k in range(3))
    assert power.statement(1000, audit.SIZED)["escape_probability"] == pytest.approx(tail)
    assert power.escape(430, 0, power.caught_fraction(430, 0)) == pytest.approx(0.05)
    assert (power.escape(10, 0, 0.0), power.escape(10, 0, 1.0), power.escape(10, 10, 1.0)) == (1.0, 0.0, 1.0)


def test_the_full_level_cuts_all_that_says_something_new():
    gpu = SimpleNamespace(tokens=np.broadcast_to(np.uint16(0), (10240, 2049)))
    assert score.cuts_wanted(ROWS, 50, "normal") == 50
    assert score.cuts_wanted(ROWS, 50, "full") == audit.MAX_PASSES * 107
    assert score.cuts_wanted(gpu, 2048, "full") == 2**26 // 2048
    assert score.cuts_wanted(gpu, 10**6, "normal") == 2**28 // 2048
    assert score.cuts_wanted(ROWS, 0, "normal") == 1


def test_the_answer_states_all_this():
    found, _, nats = examine(Direct(None), cuts=107)
    said = answer.validation(nats, ROWS, found, audit.FIXED, "full")
    per_nat = said["tokens"] / (math.log(2) * said["bytes"])
    assert said["audit"]["slack_bpb"] == pytest.approx(audit.FIXED.mean_nats * per_nat)
    assert said["audit"]["level"] == "full"
    assert said["audit"]["prefix_cells"] == found.prefix_cells > 1000
    looked = dataclasses.replace(found, mean_signed_nats=0.25, error_nats=0.5)
    said = answer.validation(nats, ROWS, looked, audit.FIXED, "full")
    assert said["audit"]["corrected_bpb"] == pytest.approx(said["val_bpb"] + 0.25 * per_nat)
    assert said["audit"]["corrected_error_bpb"] == pytest.approx(0.5 * per_nat)
    assert answer.holdout(nats, ROWS, looked)["holdout_bpb"] == said["audit"]["corrected_bpb"]
    lucky = dataclasses.replace(found, mean_signed_nats=-0.25)
    assert answer.holdout(nats, ROWS, lucky)["holdout_bpb"] == said["val_bpb"]
    assert worker.UNBOUNDED.left() is None
