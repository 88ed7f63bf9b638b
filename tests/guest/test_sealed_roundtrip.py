"""What goes in comes out, bit for bit."""

import json

import pytest
import torch
import zoo
from safetensors import safe_open
from zoo import BATCH, SEQ, VOCAB

from sandbox.guest import sealed

SIZES = {"batch_size": BATCH, "seq_len": SEQ, "vocab_size": VOCAB}


def build(name):
    torch.manual_seed(0)
    return zoo.make_zoo()[name]()


@pytest.mark.parametrize("name", sorted(zoo.make_zoo()))
def test_the_zoo_comes_back_bit_for_bit(name, tmp_path, tokens):
    model = build(name).train()
    capture = sealed.capture(model, **SIZES)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.01)  # training goes on after preseal
    sealed.write(capture, tmp_path)
    restored = sealed.load(tmp_path, seq_len=SEQ, vocab_size=VOCAB)
    with torch.no_grad():
        expected = model.eval()(tokens)
    assert torch.equal(restored.run(tokens), expected)
    assert torch.equal(restored.run(tokens), expected), "a second pass differs"


class Normalised(torch.nn.Module):
    """What PyTorch exports as native halves: batch normalisation by stored statistics, and weight normalisation."""

    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(VOCAB, 16)
        self.batch = torch.nn.BatchNorm1d(16)
        normed = torch.nn.utils.parametrizations.weight_norm
        self.rows = normed(torch.nn.Linear(16, 16))
        self.whole = normed(torch.nn.Linear(16, VOCAB), dim=None)

    def forward(self, tokens):
        x = self.embed(tokens)
        x = self.batch(x.transpose(1, 2)).transpose(1, 2)
        return self.whole(self.rows(x).relu())


def test_native_normalisations_are_sealed_as_plain_arithmetic(tmp_path, tokens):
    torch.manual_seed(0)
    model = Normalised()
    for _ in range(3):
        model(tokens)  # the running statistics move
    sealed.write(sealed.capture(model, **SIZES), tmp_path)
    restored = sealed.load(tmp_path, seq_len=SEQ, vocab_size=VOCAB)
    with torch.no_grad():
        torch.testing.assert_close(restored.run(tokens), model.eval()(tokens))


def test_capture_leaves_the_model_as_it_was():
    model = build("gpt").train()
    model.mixers[1].eval()
    before = {k: (v.data_ptr(), v.clone()) for k, v in model.state_dict().items()}
    attributes = {n: set(vars(m)) for n, m in model.named_modules()}
    state = torch.random.get_rng_state()
    sealed.capture(model, **SIZES)
    assert model.training
    assert model.attention[0].training
    assert not model.mixers[1].training
    assert torch.equal(torch.random.get_rng_state(), state)
    assert {n: set(vars(m)) for n, m in model.named_modules()} == attributes
    for name, value in model.state_dict().items():
        assert value.data_ptr() == before[name][0]
        assert torch.equal(value, before[name][1])
        assert value.requires_grad == before[name][1].requires_grad


def test_tied_weights_are_stored_once(tmp_path):
    sealed.write(sealed.capture(build("tied"), **SIZES), tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        keys = list(file.keys())
    assert sum(k in ("embed.weight", "head.weight") for k in keys) == 1
    names = json.loads((tmp_path / "model.json").read_text())["tensors"]
    assert set(names.values()) == set(keys)


def test_weights_that_become_tied_or_views_are_right(tmp_path, tokens):
    model = build("gpt")
    capture = sealed.capture(model, **SIZES)
    model.head.weight = model.embed.weight
    sealed.write(capture, tmp_path)
    with torch.no_grad():
        assert torch.equal(sealed.load(tmp_path).run(tokens), model.eval()(tokens))


def test_replaced_parameters_are_read_where_they_are_now(tmp_path, tokens):
    model = build("gpt")
    capture = sealed.capture(model, **SIZES)
    torch.manual_seed(7)
    model.load_state_dict(zoo.GPT().state_dict(), assign=True)
    sealed.write(capture, tmp_path)
    with torch.no_grad():
        assert torch.equal(sealed.load(tmp_path).run(tokens), model.eval()(tokens))


def test_a_changed_shape_is_refused_at_writing(tmp_path):
    model = build("gpt")
    capture = sealed.capture(model, **SIZES)
    model.head.weight = torch.nn.Parameter(torch.zeros(VOCAB, 16))
    with pytest.raises(sealed.SealError, match="changed its shape"):
        sealed.write(capture, tmp_path)
    assert not list(tmp_path.iterdir())


def test_is_current_sees_what_the_graph_bakes_in():
    model = build("gpt")
    capture = sealed.capture(model, **SIZES)
    assert sealed.is_current(capture, model, BATCH)
    assert sealed.is_current(capture, torch.compile(model, backend="eager"), BATCH)
    assert not sealed.is_current(capture, model, BATCH + 1)
    assert not sealed.is_current(capture, build("gpt"), BATCH)
    with torch.autocast("cpu"):
        assert not sealed.is_current(capture, model, BATCH)
    model.attention[0].window = 4
    assert not sealed.is_current(capture, model, BATCH)


def test_no_pickle_and_no_leftovers(tmp_path):
    sealed.write(sealed.capture(build("gpt"), **SIZES), tmp_path)
    sealed.write(sealed.capture(build("gpt"), **SIZES), tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.json", "model.safetensors"]
    json.loads((tmp_path / "model.json").read_text(), parse_constant=pytest.fail)


def test_odd_module_names_do_not_collide(tmp_path, tokens):
    class Odd(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.parts = torch.nn.ModuleDict({"a b": torch.nn.Embedding(VOCAB, VOCAB),
                                              "a_b": torch.nn.Embedding(VOCAB, VOCAB)})  # fmt: skip

        def forward(self, tokens):
            return self.parts["a b"](tokens) - self.parts["a_b"](tokens)

    model = Odd()
    sealed.write(sealed.capture(model, **SIZES), tmp_path)
    with torch.no_grad():
        assert torch.equal(sealed.load(tmp_path).run(tokens), model(tokens))


def test_plain_tensor_attributes_and_complex_buffers(tmp_path, tokens):
    class Table(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.embed = torch.nn.Embedding(VOCAB, VOCAB)
            self.plain = torch.randn(VOCAB)
            self.register_buffer("turn", torch.polar(torch.ones(VOCAB // 2), torch.randn(VOCAB // 2)))

        def forward(self, tokens):
            x = self.embed(tokens) + self.plain + torch.tensor([1.5])
            pairs = torch.view_as_complex(x.view(*x.shape[:-1], -1, 2)) * self.turn
            return torch.view_as_real(pairs).flatten(2).masked_fill(x > 9, float("-inf"))

    model = Table()
    capture = sealed.capture(model, **SIZES)
    model.plain = torch.randn(VOCAB)
    sealed.write(capture, tmp_path)
    with torch.no_grad():
        assert torch.equal(sealed.load(tmp_path).run(tokens), model(tokens))
