"""A score cannot be forged through the logits, whatever they are."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import LOGITS, node, ref, tensor
from hypothesis import given, settings
from hypothesis import strategies as st
from zoo import BATCH, SEQ, VOCAB

from sandbox.guest import loss, score, sealed
from sandbox.guest.errors import Invalid

SHAPE = (BATCH, SEQ, VOCAB)
TARGETS = torch.randint(0, VOCAB, (BATCH, SEQ), generator=torch.Generator().manual_seed(3))


def nats(logits):
    return loss.token_nats(loss.check_logits(logits, SHAPE), TARGETS)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_agrees_with_cross_entropy(dtype):
    logits = (5 * torch.randn(SHAPE)).to(dtype)
    expected = F.cross_entropy(logits.double().flatten(0, 1), TARGETS.flatten(), reduction="none").view(BATCH, SEQ)
    assert torch.allclose(nats(logits).double(), expected, atol=1e-5, rtol=1e-5)


def test_chunks_change_nothing(monkeypatch):
    logits = torch.randn(SHAPE)
    whole = nats(logits)
    monkeypatch.setattr(loss, "CHUNK_ELEMENTS", 1)
    assert torch.equal(nats(logits), whole)


@pytest.mark.parametrize("size", [1e30, -1e30, 3e38, -3e38, 1e20])
def test_logits_so_large_that_log_sum_vanishes(size):
    """`x - (max + log(sum))` gives 0 nats here, a perfect score; a constant row is worth log V."""
    assert torch.allclose(nats(torch.full(SHAPE, size)), torch.tensor(math.log(VOCAB)))
    naive = torch.full(SHAPE, size) - (size + torch.tensor(float(VOCAB)).log())
    assert naive.abs().max() == 0


def test_a_large_wrong_bet_is_no_score():
    logits = torch.full(SHAPE, -3e38)
    logits.scatter_(-1, ((TARGETS + 1) % VOCAB)[..., None], 3e38)
    with pytest.raises(Invalid, match="not finite"):
        nats(logits)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("everywhere", [True, False])
def test_nan_and_inf(value, everywhere):
    logits = torch.full(SHAPE, value) if everywhere else torch.randn(SHAPE)
    logits[1, 2, 3] = value
    with pytest.raises(Invalid, match="not summing to one"):
        nats(logits)


def test_minus_infinity_may_mask_but_not_the_target():
    logits = torch.randn(SHAPE)
    logits.scatter_(-1, ((TARGETS + 1) % VOCAB)[..., None], float("-inf"))
    assert torch.isfinite(nats(logits)).all()
    logits[0, 0, TARGETS[0, 0]] = float("-inf")
    with pytest.raises(Invalid, match="not finite"):
        nats(logits)
    with pytest.raises(Invalid):
        nats(torch.full(SHAPE, float("-inf")))


@pytest.mark.parametrize("logits", [
    torch.zeros(SHAPE, dtype=torch.int64), torch.zeros(SHAPE, dtype=torch.bool),
    torch.zeros(SHAPE, dtype=torch.complex64), torch.zeros(BATCH, SEQ), torch.zeros(BATCH, SEQ, VOCAB + 1),
    torch.zeros(BATCH, SEQ, 1), torch.zeros(1, SEQ, VOCAB), torch.zeros(SHAPE).to_sparse(), [1.0], None,
])  # fmt: skip
def test_other_things_than_logits(logits):
    with pytest.raises(Invalid):
        nats(logits)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(width=32, allow_nan=True, allow_infinity=True), min_size=4, max_size=4),
       st.integers(0, 3))  # fmt: skip
def test_never_better_than_the_truth(values, target):
    """Whatever four logits say: the nats are those of a normalised distribution, or there is no score."""
    logits = torch.tensor(values, dtype=torch.float32).view(1, 1, 4)
    try:
        got = loss.token_nats(logits, torch.tensor([[target]])).item()
    except Invalid:
        return
    exact = F.cross_entropy(logits.double().view(1, 4), torch.tensor([target])).item()
    assert got == pytest.approx(exact, abs=1e-5, rel=1e-5)


def test_rows_are_filled_up_and_counted_once(forge):
    """43 rows are no multiple of the batch; every row is scored, once, in order."""
    model = sealed.load(forge.write())
    rows = np.random.default_rng(0).integers(0, VOCAB, (43, SEQ + 1)).astype("<u2")
    got = score.nats_of(model, rows[:, :-1], rows[:, 1:])
    weights = forge.weights
    logits = F.linear(weights["embed"][torch.from_numpy(rows[:, :-1].astype(np.int64))], weights["head"])
    targets = torch.from_numpy(rows[:, 1:].astype(np.int64))
    expected = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(43, SEQ)
    assert np.allclose(got, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("values", ["1e30", "nan", "inf"])
def test_through_the_graph(forge, tokens, values):
    size = 1e30 if values == "1e30" else {"float": values}
    forge.after(node("f", "aten.full_like.default", [ref("n1"), size], LOGITS))
    model = sealed.load(forge.write())
    rows = np.zeros((4, SEQ + 1), dtype="<u2")
    if values == "1e30":
        assert np.allclose(score.nats_of(model, rows[:, :-1], rows[:, 1:]), math.log(VOCAB))
    else:
        with pytest.raises(Invalid):
            score.nats_of(model, rows[:, :-1], rows[:, 1:])


def test_integer_logits_are_refused_by_the_verifier(forge):
    whole = tensor(BATCH, SEQ, VOCAB, dtype="int64")
    forge.after(node("f", "aten._to_copy.default", [ref("n1")], whole, dtype={"dtype": "int64"}))
    with pytest.raises(Invalid, match="not floating point"):
        sealed.load(forge.write())
