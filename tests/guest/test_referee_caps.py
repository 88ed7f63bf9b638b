"""Every cap, at its boundary: what is just allowed passes, one more is refused by a sentence that names the cap."""

import json
import time

import pytest
import torch
from conftest import node, ref, tensor
from zoo import BATCH, SEQ, VOCAB

from sandbox.guest import files, guards, sealed
from sandbox.guest.errors import Invalid
from sandbox.guest.files import Limits


def loads(forge, **limits):
    return sealed.load(forge.directory, limits=Limits(**limits), seq_len=SEQ, vocab_size=VOCAB)


def at_the_boundary(forge, name, used, sentence):
    """With the cap at what is used the model passes; one less refuses it, and the sentence holds the number."""
    loads(forge, **{name: used})
    with pytest.raises(Invalid, match=sentence) as caught:
        loads(forge, **{name: used - 1})
    assert str(used - 1) in str(caught.value)


def test_nodes(forge):
    forge.write()
    at_the_boundary(forge, "nodes", 2, "at most 1 nodes, not 2")


def test_references(forge):
    forge.write()  # embedding: 2, linear: 2, output: 1
    at_the_boundary(forge, "references", 5, "too many references; allowed are")


def test_items_of_one_list(forge):
    forge.between(node("c", "aten.cat.default", [[ref("n0")] * 7, 1], tensor(BATCH, 7 * SEQ, 8))).write()
    at_the_boundary(forge, "items", 7, "argument tensors of aten.cat.default are 7 items; allowed are")


def test_parts_of_one_result(forge):
    parts = {"each": [tensor(BATCH, SEQ, 1)] * 8}
    forge.between(node("s", "aten.split.Tensor", [ref("n0"), 1, 2], parts)).write()
    at_the_boundary(forge, "items", 8, "the parts of a result are 8 items; allowed are")


def test_bytes_of_the_graph(forge):
    size = (forge.write() / "model.json").stat().st_size
    at_the_boundary(forge, "graph_bytes", size, "model.json has .* bytes; allowed are 1 to")


def test_bytes_of_the_weights(forge):
    size = (forge.write() / "model.safetensors").stat().st_size
    at_the_boundary(forge, "weight_bytes", size, "model.safetensors has .* bytes; allowed are 1 to")


def test_bytes_of_the_header(forge):
    blob = (forge.write() / "model.safetensors").read_bytes()
    at_the_boundary(forge, "header_bytes", int.from_bytes(blob[:8], "little"), "header claims .* bytes; allowed are")


def test_tensors_of_the_file_and_of_the_graph(forge):
    forge.write()
    at_the_boundary(forge, "tensors", 2, "header has 2 tensors; allowed are")
    forge.document["tensors"]["t2"] = "head"
    forge.write()
    with pytest.raises(Invalid, match="at most 2 tensors, not 3"):
        loads(forge, tensors=2)


def test_parameters(forge):
    forge.write()
    at_the_boundary(forge, "parameters", 2 * VOCAB * 8, "weights have .* parameters; allowed are")


def test_elements_of_a_weight(forge):
    forge.weights["spare"] = torch.zeros(BATCH * SEQ * VOCAB + 5)
    forge.write()
    at_the_boundary(forge, "elements", BATCH * SEQ * VOCAB + 5, "tensor spare has more than")


def test_elements_of_a_declared_result(forge):
    forge.write()
    at_the_boundary(forge, "elements", BATCH * SEQ * VOCAB, "a declared result has more than")


def test_elements_of_a_result_whose_size_follows_the_data(forge, tokens):
    forge.between(node("x", "aten.nonzero.default", [ref("n0")], tensor(None, 3, dtype="int64"))).write()
    found = 3 * BATCH * SEQ * 8
    assert loads(forge, elements=found + 8192).run(tokens).shape == (BATCH, SEQ, VOCAB)
    forge.document["vocab_size"], limit = VOCAB, BATCH * SEQ * VOCAB
    forge.between(node("y", "aten.cat.default", [[ref("x")] * 4], tensor(None, 3, dtype="int64"))).write()
    with pytest.raises(Invalid, match=f"node y gives more than {limit} elements"):
        loads(forge, elements=limit).run(tokens)


@pytest.mark.parametrize("where", ["weights", "graph"])
def test_dimensions(forge, where):
    if where == "weights":
        forge.weights["spare"] = torch.zeros([1] * 5)
    else:
        forge.between(node("x", "aten.ones.default", [[1] * 5], tensor(*[1] * 5)))
    forge.write()
    at_the_boundary(forge, "rank", 5, "has 5 dimensions; allowed are")


def test_depth(forge):
    text = (forge.write() / "model.json").read_bytes()
    at_the_boundary(forge, "depth", files.nesting(text), "model.json is nested too deeply: 5 levels; allowed are")


@pytest.mark.parametrize(("text", "levels"), [
    (b"{}", 1), (b"[[[]]]", 3), (b'"[[["', 0), (b'["\\"[[[[", [1]]', 2), (b'["\\\\", [[]]]', 3), (b"", 0),
    (b"]]]][", 0),
    (b'{"a": ["[", {"b": []}]}', 4), (b'["' + b"\\" * 9 + b'"[[[', 1),
])  # fmt: skip
def test_nesting_is_counted_without_parsing(text, levels):
    assert files.nesting(text) == levels


@pytest.mark.parametrize("end", [b"", b"\\", b'"', b"x"])
def test_no_text_is_read_twice(end):
    """Two megabytes of quotes that nobody closes take one pass, not a pass for each quote."""
    for unit in (b'\\"', b'"', b'"\\', b"\\", b'a"', b'"a\\"'):
        began = time.monotonic()
        files.nesting(b'"' + unit * (2**21 // len(unit)) + end)
        assert time.monotonic() - began < 60


def test_no_nesting_reaches_what_recurses(forge):
    for depth in (17, 900, 980, 5000, 10**6):
        text = json.dumps(forge.document).replace('"float32"', "[" * depth + "]" * depth, 1)
        forge.write(text)
        with pytest.raises(Invalid, match="nested too deeply"):
            loads(forge)


@pytest.mark.parametrize("shape", [[0, 2**39], [0, 2**39, 2**39, 2**39], [2**39] * 11 + [0], [0, 0, 2**33]])
def test_a_size_of_zero_hides_no_overflow(forge, shape):
    """torch multiplies sizes into strides; this raised in the referee itself, and nobody was judged."""
    forge.write()
    blob = (forge.directory / "model.safetensors").read_bytes()
    length = int.from_bytes(blob[:8], "little")
    table = json.loads(blob[8 : 8 + length])
    table["none"] = {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}
    raw = json.dumps(table).encode()
    (forge.directory / "model.safetensors").write_bytes(len(raw).to_bytes(8, "little") + raw + blob[8 + length :])
    with pytest.raises(Invalid, match="tensor none has more than"):
        loads(forge)


def test_windows_of_poolings_and_convolutions(forge, tokens):
    """2^32 + 1 passed the library's own check on a row of four, and ran on for as long as it was let."""
    row = node("r", "aten.reshape.default", [ref("n0"), [BATCH, SEQ, 8]], tensor(BATCH, SEQ, 8))
    for bad in (2**32 + 1, guards.MAX_WINDOW + 1, -(2**40)):
        forge.document["nodes"] = forge.document["nodes"][-2:]
        pool = node("p", "aten.max_pool1d.default", [ref("r"), [bad]], tensor(BATCH, SEQ, 1))
        forge.document["nodes"] = [forge.document["nodes"][0], row, pool, forge.document["nodes"][1]]
        with pytest.raises(Invalid, match="window, stride or padding beyond 65536"):
            sealed.load(forge.write()).run(tokens)
        forge.document["nodes"] = [forge.document["nodes"][0], forge.document["nodes"][-1]]
    guards.windows([torch.zeros(1), [guards.MAX_WINDOW], True, "same"], {})


def test_numbers_where_guards_expect_tensors(forge, tokens):
    """A schema's Tensor takes a Python number too; the guards must not trip over one."""
    one = tensor(1)
    for op, args in (("aten.scaled_dot_product_attention.default", [1.5, ref("n0"), ref("n0")]),
                     ("aten.scaled_dot_product_attention.default", [ref("n0"), ref("n0"), ref("n0"), True]),
                     ("aten.gru.input", [1.0, ref("n0"), [2.0], False, 1, 0.0, False, False, True]),
                     ("aten.repeat.default", [3, [4]])):  # fmt: skip
        declared = {"each": [one, one]} if "gru" in op else one
        forge.document["nodes"] = [
            forge.document["nodes"][0],
            node("x", op, args, declared),
            forge.document["nodes"][-1],
        ]
        with pytest.raises(Invalid) as caught:
            sealed.load(forge.write()).run(tokens)
        assert "AttributeError" not in str(caught.value)


def test_recurrent_states_must_fit(forge, tokens):
    weights = [node(f"w{i}", "aten.zeros.default", [list(s)], tensor(*s)) for i, s in
               enumerate(((32, 8), (32, 8), (32,), (32,)))]  # fmt: skip
    for shapes in (((1, BATCH, 8),), ((1, BATCH, 8), (1, 1, 8)), ((2, BATCH, 8),) * 2, ((1, SEQ, 8),) * 2):
        states = [node(f"h{i}", "aten.zeros.default", [list(s)], tensor(*s)) for i, s in enumerate(shapes)]
        args = [ref("n0"), [ref(s[0]) for s in states], [ref(w[0]) for w in weights], True, 1, 0.0, False, False, True]
        each = {"each": [tensor(BATCH, SEQ, 8), tensor(1, BATCH, 8), tensor(1, BATCH, 8)]}
        nodes = forge.document["nodes"]
        forge.document["nodes"] = [nodes[0], *weights, *states, node("g", "aten.lstm.input", args, each), nodes[-1]]
        with pytest.raises(Invalid, match="states of other shapes"):
            sealed.load(forge.write()).run(tokens)
