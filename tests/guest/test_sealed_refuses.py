"""A model that cannot be sealed says so in seconds, in one sentence that names the line."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from zoo import BATCH, SEQ, VOCAB

from sandbox.guest import sealed


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(VOCAB, VOCAB)
        self.register_buffer("count", torch.zeros(VOCAB))

    def forward(self, tokens):
        return self.change(self.embed(tokens))


class Buffer(Base):
    def change(self, x):
        self.count += 1
        return x + self.count


class Branch(Base):
    def change(self, x):
        return x if x.sum() > 0 else -x


class Item(Base):
    def change(self, x):
        return x * x.max().item()


class Random(Base):
    def change(self, x):
        return x + torch.randn_like(x)


class Dropout(Base):
    def change(self, x):
        return F.dropout(x, 0.5, training=True)


class Bernoulli(Base):
    def change(self, x):
        return x * torch.bernoulli(torch.full_like(x, 0.5))


class Strided(Base):
    def change(self, x):
        return x.as_strided(x.shape, x.stride(), 1)


class Empty(Base):
    def change(self, x):
        return x + torch.empty(VOCAB)


class Tuple(Base):
    def change(self, x):
        return x, x


class TokensInPlace(Base):
    def forward(self, tokens):
        tokens.add_(1).remainder_(VOCAB)
        return self.embed(tokens)


class ShortVocabulary(Base):
    def change(self, x):
        return x[..., :-1]


class IntegerLogits(Base):
    def change(self, x):
        return x.round().long()


class BatchStatistics(Base):
    def change(self, x):
        return F.batch_norm(x.transpose(1, 2), None, None, training=True).transpose(1, 2)


class Flex(Base):
    def change(self, x):
        from torch.nn.attention.flex_attention import flex_attention

        q = x.view(BATCH, SEQ, 1, VOCAB).transpose(1, 2)
        return flex_attention(q, q, q).transpose(1, 2).reshape(x.shape)


class Broken(Base):
    def change(self, x):
        return x @ torch.zeros(3, 3)


CASES = [
    (Buffer, "changes count"),
    (Branch, r"line \d+.*branches on the value"),
    (Item, r"line \d+.*aten.item.*keep the computation in tensors"),
    (Random, r"line \d+.*randn_like.*random"),
    (Dropout, r"line \d+.*dropout is active"),
    (Bernoulli, r"line \d+.*bernoulli.*random"),
    (Strided, r"line \d+.*as_strided.*slicing"),
    (Empty, r"line \d+.*empty.*zeros"),
    (Tuple, "one tensor of logits"),
    (TokensInPlace, "tokens in place"),
    (ShortVocabulary, "the output is not one tensor of logits"),
    (IntegerLogits, "not floating point"),
    (BatchStatistics, "couple its rows"),
    (Flex, "FlexAttention"),
    (Broken, r"line \d+ \(return x @ torch.zeros"),
]


@pytest.mark.parametrize(("kind", "sentence"), CASES, ids=lambda c: getattr(c, "__name__", ""))
def test_refusals_name_line_and_remedy(kind, sentence, capfd):
    model = kind()
    before = set(vars(model))
    with pytest.raises(sealed.SealError, match=sentence) as caught:
        sealed.capture(model, batch_size=BATCH, seq_len=SEQ, vocab_size=VOCAB)
    text = str(caught.value)
    assert capfd.readouterr() == ("", ""), "capture prints"
    assert "\n" not in text
    assert len(text) <= 500
    assert model.training
    assert set(vars(model)) == before
    assert not [v for v in model.state_dict().values() if isinstance(v, torch._subclasses.FakeTensor)]


def test_a_cache_filled_by_tracing_is_taken_back(tmp_path, tokens):
    class Caches(Base):
        def change(self, x):
            if not hasattr(self, "table"):
                self.table = torch.arange(VOCAB) * 1.0
            return x * self.table

    model = Caches()
    sealed.write(sealed.capture(model, batch_size=BATCH, seq_len=SEQ, vocab_size=VOCAB), tmp_path)
    assert not hasattr(model, "table")
    with torch.no_grad():
        assert torch.equal(sealed.load(tmp_path).run(tokens), model(tokens))
