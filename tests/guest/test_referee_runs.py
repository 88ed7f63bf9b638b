"""What a verified graph may still try while it runs."""

import os
import signal

import pytest
import torch
import torch.nn.functional as F
from conftest import LOGITS, node, ref, tensor
from zoo import BATCH, SEQ, VOCAB

from sandbox.guest import graph, sealed, worker
from sandbox.guest.errors import Fault, Invalid
from sandbox.guest.graph import SealedModel

SCALAR = {"scalar": True}
WIDE = tensor(BATCH, SEQ, 8)


def run(forge, tokens):
    return sealed.load(forge.write()).run(tokens)


def creation(op, args, **kwargs):
    return node("x", op, args, tensor(4), **kwargs)


BOMBS = {
    "full": creation("aten.full.default", [[10**12], 1]),
    "zeros": creation("aten.zeros.default", [[10**6, 10**6]]),
    "ones": creation("aten.ones.default", [[2**62, 2**62]]),
    "arange": creation("aten.arange.default", [10**12]),
    "arange by float": creation("aten.arange.default", [1e12]),
    "eye": creation("aten.eye.m", [10**6, 10**6]),
    "linspace": creation("aten.linspace.default", [0, 1, 10**12]),
    "expand": creation("aten.expand.default", [ref("t0"), [10**9, VOCAB, 8]]),
    "repeat": creation("aten.repeat.default", [ref("t0"), [10**5, 10**5]]),
    "repeat a large one": creation("aten.repeat.default", [ref("t0"), [2**12, 2**12]]),
    "interleave": creation("aten.repeat_interleave.self_int", [ref("t0"), 10**11]),
    "pad": creation("aten.constant_pad_nd.default", [ref("t0"), [0, 10**12]]),
    "new_zeros": creation("aten.new_zeros.default", [ref("t0"), [10**12]]),
    "one_hot": creation("aten.one_hot.default", [ref("tokens"), 10**11]),
    "fft": creation("aten.fft_rfft.default", [ref("t0"), 10**11]),
}


@pytest.mark.parametrize("name", BOMBS)
def test_sizes_are_checked_before_memory_is_taken(forge, tokens, name, monkeypatch):
    forge.between(BOMBS[name]).write()
    model = sealed.load(forge.directory)
    monkeypatch.setattr(model._steps[1], "call", lambda *a, **k: pytest.fail("it ran"))
    with pytest.raises(Invalid, match="asks for more than"):
        model.run(tokens)


def test_symbolic_sizes_are_bounded_too(forge, tokens):
    steps = [node("s0", "aten.sym_size.int", [ref("tokens"), 1], SCALAR)]
    steps += [node(f"s{i + 1}", "sym.mul", [ref(f"s{i}"), ref(f"s{i}")], SCALAR) for i in range(3)]
    forge.between(*steps, node("x", "aten.zeros.default", [[ref("s3")]], tensor(4)))
    with pytest.raises(Invalid, match="asks for more than"):
        run(forge, tokens)


def test_integers_do_not_grow_without_end(forge, tokens):
    steps = [node("s0", "aten.sym_size.int", [ref("tokens"), 1], SCALAR)]
    steps += [node(f"s{i + 1}", "sym.mul", [ref(f"s{i}"), ref(f"s{i}")], SCALAR) for i in range(12)]
    forge.between(*steps)
    with pytest.raises(Invalid, match="long integers"):
        run(forge, tokens)


def test_fill_values_are_no_sizes(forge, tokens):
    forge.between(node("x", "aten.full.default", [[4], -3e38], tensor(4)),
                  node("y", "aten.full.default", [[4], {"float": "-inf"}], tensor(4)))  # fmt: skip
    assert run(forge, tokens).shape == (BATCH, SEQ, VOCAB)


@pytest.mark.parametrize(
    "declared", [tensor(BATCH, SEQ, 9), tensor(BATCH, SEQ), tensor(BATCH, SEQ, 8, dtype="float64")]
)
def test_declared_results_are_compared(forge, tokens, declared):
    forge.document["nodes"][0][4] = declared
    with pytest.raises(Invalid, match="node n0 gives"):
        run(forge, tokens)


def test_getitem_takes_only_what_is_there(forge, tokens):
    halves = {"each": [tensor(BATCH, SEQ, 4), tensor(BATCH, SEQ, 4)]}
    forge.between(node("p", "aten.split.Tensor", [ref("n0"), 4, -1], halves),
                  node("q", "getitem", [ref("p"), 1], halves["each"][1]))  # fmt: skip
    assert run(forge, tokens).shape == (BATCH, SEQ, VOCAB)
    for wrong, sentence in ((2, "existing part"), (-1, "existing part"), (True, "existing part")):
        forge.document["nodes"][2][2] = [ref("p"), wrong]
        with pytest.raises(Invalid, match=sentence):
            sealed.load(forge.write())
    forge.document["nodes"][2][2] = [ref("n0"), 0]
    with pytest.raises(Invalid, match="existing part"):
        sealed.load(forge.write())


@pytest.mark.parametrize("bad", [VOCAB, -1, 10**9])
def test_indices_out_of_bounds(forge, tokens, bad):
    forge.between(node("i", "aten.full.default", [[4], bad], tensor(4, dtype="int64"), dtype={"dtype": "int64"}),
                  node("x", "aten.embedding.default", [ref("t0"), ref("i")], tensor(4, 8)))  # fmt: skip
    with pytest.raises(Invalid, match="failed"):
        run(forge, tokens)


def test_a_kernels_message_tells_no_token(forge, tokens):
    """An index that is computed from the rows comes back in the library's message, 63 bits of them at a time."""
    big = node("i", "aten.mul.Tensor", [ref("tokens"), 123457], tensor(BATCH, SEQ, dtype="int64"))
    forge.between(big, node("x", "aten.index.Tensor", [ref("t0"), [ref("j")]], tensor(BATCH * SEQ, 8)))
    forge.document["nodes"].insert(-2, node("j", "aten.reshape.default", [ref("i"), [-1]],
                                            tensor(BATCH * SEQ, dtype="int64")))  # fmt: skip
    with pytest.raises(Invalid, match=r"node x \(aten.index.Tensor\) failed: IndexError: index # is out") as caught:
        run(forge, tokens)
    assert not any(c.isdigit() for c in str(caught.value).partition("failed")[2])
    with pytest.raises(Invalid) as caught:
        worker.in_child(raising(KeyError("index 123457 of 99")), "work", 1000)
    assert str(caught.value) == "KeyError: 'index # of #'"


def attention(name, q, k, v, *more, **kwargs):
    make = [node(n, "aten.zeros.default", [list(s)], tensor(*s)) for n, s in (("q", q), ("k", k), ("v", v))]
    args = [ref("q"), ref("k"), ref("v"), *more]
    return [*make, node("x", "aten.scaled_dot_product_attention.default", args, tensor(*q[:-1], v[-1]), **kwargs)]


ATTENTION = {
    "short keys": (attention("", (1, 1, 4, 16), (1, 1, 8, 16), (1, 1, 4096, 16)), "different lengths"),
    "dropout": (attention("", *[(1, 1, 4, 16)] * 3, None, 0.5), "dropout"),
    "batches": (attention("", (2, 1, 4, 16), (1, 1, 4, 16), (1, 1, 4, 16)), "batch sizes"),
    "heads": (attention("", (1, 4, 4, 16), (1, 3, 4, 16), (1, 3, 4, 16), enable_gqa=True), "heads"),
    "widths": (attention("", (1, 1, 4, 16), (1, 1, 4, 8), (1, 1, 4, 16)), "widths"),
    "mask": (attention("", *[(1, 1, 4, 16)] * 3, ref("n0")), "mask"),
}


@pytest.mark.parametrize("name", ATTENTION)
def test_attention_shapes_that_kernels_take_on_trust(forge, tokens, name):
    steps, sentence = ATTENTION[name]
    forge.between(*steps)
    with pytest.raises(Invalid, match=sentence):
        run(forge, tokens)


def test_this_torch_does_read_past_the_keys():
    """Why the guard is there: keys shorter than values pass the library's own checks on the CPU."""
    q, k, v = torch.zeros(1, 1, 4, 16), torch.zeros(1, 1, 8, 16), torch.zeros(1, 1, 12, 16)
    try:
        F.scaled_dot_product_attention(q, k, v)
    except RuntimeError:
        pytest.skip("this torch checks it; the guard costs nothing")


def test_recurrent_weights_must_fit(forge, tokens):
    weights = [node(f"w{i}", "aten.zeros.default", [list(s)], tensor(*s)) for i, s in
               enumerate(((24, 8), (24, 8), (24,), (23,)))]  # fmt: skip
    state = node("h", "aten.zeros.default", [[1, BATCH, 8]], tensor(1, BATCH, 8))
    args = [ref("n0"), ref("h"), [ref(f"w{i}") for i in range(4)], True, 1, 0.0, False, False, True]
    forge.between(*weights, state, node("g", "aten.gru.input", args, {"each": [WIDE, tensor(1, BATCH, 8)]}))
    with pytest.raises(Invalid, match="weights of other shapes"):
        run(forge, tokens)
    forge.document["nodes"][-2][2][6] = True
    forge.document["nodes"][-2][2][5] = 0.5
    with pytest.raises(Invalid, match="dropout"):
        run(forge, tokens)


def test_batch_statistics_couple_rows(forge, tokens):
    args = [ref("n0"), None, None, None, None, True, 0.1, 1e-5, False]
    forge.between(node("b", "aten.batch_norm.default", args, WIDE))
    with pytest.raises(Invalid, match="training mode"):
        run(forge, tokens)


def test_the_graph_works_on_a_private_copy(forge, tokens):
    """A view of the input must not reach the caller's storage (which may hold targets behind it)."""
    forge.after(node("x", "aten.alias.default", [ref("tokens")], tensor(BATCH, SEQ, dtype="int64")), output="n1")
    model = sealed.load(forge.write())
    seen = []
    last = model._steps[-1]
    call = last.call
    last.call = lambda value: seen.append(value) or call(value)
    storage = torch.zeros(BATCH * SEQ + 99, dtype=torch.int64)
    view = storage[: BATCH * SEQ].view(BATCH, SEQ)
    model.run(view)
    assert seen[0].untyped_storage().data_ptr() != storage.untyped_storage().data_ptr()
    assert seen[0].untyped_storage().nbytes() == BATCH * SEQ * 8


def test_dead_values_are_forgotten(forge, tokens):
    model = sealed.load(forge.write())
    alive = []
    execute = graph._execute
    try:
        graph._execute = lambda step, slots: alive.append(sum(s is not None for s in slots)) or execute(step, slots)
        model.run(tokens)
    finally:
        graph._execute = execute
    assert alive == [3, 3]  # the tokens go after the embedding, which then takes their place


def test_results_of_an_unverified_graph_are_impossible():
    assert SealedModel.__init__.__code__.co_argcount == 3  # a graph and tensors; no path that skips verify


def test_a_childs_death_is_a_verdict():
    with pytest.raises(Invalid, match="work ran out of memory"):
        worker.in_child(lambda: os.kill(os.getpid(), signal.SIGKILL), "work", 10)
    with pytest.raises(Invalid, match="work died of SIGTERM"):
        worker.in_child(lambda: os.kill(os.getpid(), signal.SIGTERM), "work", 10)
    with pytest.raises(Invalid, match="ended with code 7"):
        worker.in_child(lambda: os._exit(7), "work", 10)
    with pytest.raises(Invalid, match="no result"):
        worker.in_child(lambda: b"x" * 11, "work", 10)


def raising(error):
    def work():
        raise error

    return work


def test_a_childs_words_are_carried_and_cleaned():
    with pytest.raises(Invalid, match=r"^no \?\[31m red$"):
        worker.in_child(raising(Invalid("no \x1b[31m\nred")), "work", 1000)
    with pytest.raises(Fault, match="rows"):
        worker.in_child(raising(Fault("rows")), "work", 1000)
    with pytest.raises(Invalid, match="out of memory"):
        worker.in_child(raising(MemoryError()), "work", 1000)
    with pytest.raises(Invalid, match="ZeroDivisionError"):
        worker.in_child(raising(ZeroDivisionError("x")), "work", 1000)
    assert worker.in_child(lambda: b"fine", "work", 4) == b"fine"


def test_dead_values_include_logits_kept(forge, tokens):
    forge.after(node("z", "aten.mul.Tensor", [ref("n1"), 0.0], LOGITS))
    assert torch.equal(run(forge, tokens), torch.zeros(BATCH, SEQ, VOCAB))
