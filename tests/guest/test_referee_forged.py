"""Forged graphs and files: each is refused with a sentence, none is run."""

import json
import os
import pickle
import struct
import time

import pytest
import torch
from conftest import LOGITS, node, ref, tensor
from zoo import BATCH, SEQ, VOCAB

from sandbox.guest import ops, sealed
from sandbox.guest.files import Limits

Invalid = sealed.Invalid
ROWS = tensor(BATCH, SEQ, dtype="int64")


def refuses(forge, sentence, run=None, **limits):
    """The model is refused while loading, or, where `run` gives tokens, at the latest by its first pass."""
    with pytest.raises(Invalid, match=sentence) as caught:
        model = sealed.load(forge.directory, limits=Limits(**limits), seq_len=SEQ, vocab_size=VOCAB)
        if run is not None:
            model.run(run)
    return str(caught.value)


def test_the_unforged_model_is_accepted(forge, tokens):
    assert sealed.load(forge.write(), seq_len=SEQ, vocab_size=VOCAB).run(tokens).shape == (BATCH, SEQ, VOCAB)


FORBIDDEN = [
    ("aten.as_strided.default", [ref("tokens"), [BATCH, SEQ], [SEQ, 1], 1]),
    ("aten.as_strided_copy.default", [ref("tokens"), [BATCH, SEQ], [SEQ, 1], 1]),
    ("aten._reshape_alias.default", [ref("tokens"), [BATCH, SEQ], [SEQ + 1, 1]]),
    ("aten.empty.memory_format", [[BATCH, SEQ]]),
    ("aten.new_empty.default", [ref("tokens"), [BATCH, SEQ]]),
    ("aten.empty_like.default", [ref("tokens")]),
    ("aten.resize.default", [ref("tokens"), [BATCH, 2 * SEQ]]),
    ("aten._unsafe_view.default", [ref("tokens"), [BATCH, SEQ]]),
    ("aten._unsafe_index.Tensor", [ref("tokens"), [ref("tokens")]]),
    ("aten.rand_like.default", [ref("n0")]),
    ("aten.bernoulli.default", [ref("n0")]),
    ("aten.multinomial.default", [ref("n0"), 1]),
    ("aten.dropout.default", [ref("n0"), 0.5, True]),
    ("aten.add_.Tensor", [ref("tokens"), 1]),
    ("aten.add.out", [ref("tokens"), 1]),
    ("aten.set_.source_Tensor", [ref("tokens"), ref("tokens")]),
    ("aten.from_file.default", ["/data/val/rows.bin"]),
    ("aten._local_scalar_dense.default", [ref("tokens")]),
    ("aten.item.default", [ref("tokens")]),
    ("aten.native_group_norm.default", [ref("n0"), None, None, 4, 4, 8000, 2, 1e-5]),
    ("aten.__class__.default", []),
    ("aten.add.__init__", []),
    ("__class__", []),
    ("aten", []),
    ("aten.add", []),
    ("prims.add.default", [ref("n0"), ref("n0")]),
    ("sym.eval", ["1"]),
    ("sym.pow", [10, 10]),
    ("os.system", ["true"]),
    ("getitem.__class__", []),
]


@pytest.mark.parametrize(("name", "args"), FORBIDDEN, ids=[f[0] for f in FORBIDDEN])
def test_operations_off_the_list(forge, name, args):
    forge.between(node("evil", name, args, ROWS)).write()
    assert "is not allowed" in refuses(forge, "the operation")


def test_no_listed_operation_writes_or_is_random():
    random = {"aten.scaled_dot_product_attention.default", "aten.gru.input", "aten.lstm.input"}  # guarded
    for op in ops.table().values():
        if op.schema is not None:
            assert not op.schema.is_mutable, op.name
            assert torch.Tag.nondeterministic_seeded not in op.call.tags or op.name in random, op.name
            assert not any(w in op.name for w in ("empty", "strided", "resize", "_unsafe", "rand", "set_")), op.name
    short = {n.removeprefix("aten.").removesuffix(".default") for n in ops.table()}
    assert short >= ops.GROWING


GRAPHS = {
    "dangling": (lambda d: d["nodes"][1].__setitem__(2, [ref("n0"), ref("t9")]), "leads nowhere"),
    "forward": (lambda d: d["nodes"][0].__setitem__(2, [ref("n1"), ref("tokens")]), "leads nowhere"),
    "cycle": (lambda d: d["nodes"][0].__setitem__(2, [ref("n0"), ref("tokens")]), "leads nowhere"),
    "twice": (lambda d: d["nodes"][1].__setitem__(0, "n0"), "used twice"),
    "name of a weight": (lambda d: d["nodes"][1].__setitem__(0, "t0"), "used twice"),
    "not a name": (lambda d: d["nodes"][1].__setitem__(0, "a.b"), "not an identifier"),
    "name is a list": (lambda d: d["nodes"][1].__setitem__(0, ["n1"]), "not an identifier"),
    "ref is a list": (lambda d: d["nodes"][1].__setitem__(2, [{"ref": ["n0"]}, ref("t1")]), "leads nowhere"),
    "list for tensor": (lambda d: d["nodes"][1].__setitem__(2, [[ref("n0")], ref("t1")]), "wants Tensor"),
    "too many": (lambda d: d["nodes"][1].__setitem__(2, [ref("n0")] * 9), "too many"),
    "too few": (lambda d: d["nodes"][1].__setitem__(2, [ref("n0")]), "wrong arguments"),
    "unknown keyword": (lambda d: d["nodes"][1].__setitem__(3, {"out": ref("n0")}), "wrong arguments"),
    "twice given": (lambda d: d["nodes"][1].__setitem__(3, {"weight": ref("t1")}), "wrong arguments"),
    "short node": (lambda d: d["nodes"][1].pop(), "is not .name"),
    "unhashable op": (lambda d: d["nodes"][1].__setitem__(1, {}), "not allowed"),
    "no result": (lambda d: d["nodes"][1].__setitem__(4, None), "no proper result"),
    "other kind of result": (lambda d: d["nodes"][1].__setitem__(4, {"each": [LOGITS]}), "another kind"),
    "negative size": (lambda d: d["nodes"][0].__setitem__(4, tensor(-1, 8)), "impossible shape"),
    "huge size": (lambda d: d["nodes"][0].__setitem__(4, tensor(2**20, 2**20)), "more than"),
    "overflowing size": (lambda d: d["nodes"][0].__setitem__(4, tensor(2**63)), "impossible shape"),
    "size is true": (lambda d: d["nodes"][0].__setitem__(4, tensor(True)), "impossible shape"),
    "odd dtype": (lambda d: d["nodes"][0].__setitem__(4, tensor(4, dtype="qint8")), "dtype"),
    "wrong vocabulary": (lambda d: d.__setitem__("vocab_size", VOCAB - 1), "output is not one tensor"),
    "vocabulary true": (lambda d: d.__setitem__("vocab_size", True), "positive integers"),
    "batch 0": (lambda d: d.__setitem__("batch_size", 0), "positive integers"),
    "version": (lambda d: d.__setitem__("version", 2), "version"),
    "version 1.0": (lambda d: d.__setitem__("version", 1.0), "version"),
    "more fields": (lambda d: d.__setitem__("extra", 1), "fields"),
    "two inputs": (lambda d: d.__setitem__("inputs", ["tokens", "targets"]), "one input"),
    "output is the input": (lambda d: d.__setitem__("output", ref("tokens")), "output is not"),
    "output is nothing": (lambda d: d.__setitem__("output", None), "output is not"),
    "missing weight": (lambda d: d["tensors"].__setitem__("t1", "nothing"), "weights lack"),
    "weight is a path": (lambda d: d["tensors"].__setitem__("t1", "../../etc/passwd"), "weights lack"),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_malformed_graphs(forge, name):
    change, sentence = GRAPHS[name]
    change(forge.document)
    forge.write()
    refuses(forge, sentence)


ARGUMENTS = [
    ("aten.transpose.int", [ref("n0"), [1], 2], "wants int"),
    ("aten.transpose.int", [ref("n0"), True, 2], "wants int"),
    ("aten.transpose.int", [ref("n0"), 1.0, 2], "wants int"),
    ("aten.transpose.int", [ref("n0"), 2**70, 2], "wants int"),
    ("aten.transpose.int", [ref("n0"), ref("n0"), 2], "another kind"),
    ("aten.reshape.default", [ref("n0"), 4], "wants a list"),
    ("aten.reshape.default", [ref("n0"), ["4"]], "wants int"),
    ("aten.sum.dim_IntList", [ref("n0"), [1], "yes"], "wants bool"),
    ("aten.gelu.default", [ref("n0"), "tanh"], "too many"),
    ("aten.add.Tensor", ["n0", ref("n0")], "wants Tensor"),
    ("aten.add.Tensor", [ref("n0"), {"float": "1e5"}], "wants Tensor"),
    ("aten._to_copy.default", [ref("n0"), {"dtype": "float32"}], "too many"),
    ("aten.cat.default", [ref("n0")], "wants a list"),
]


@pytest.mark.parametrize(("op", "args", "sentence"), ARGUMENTS)
def test_arguments_of_another_type(forge, op, args, sentence):
    forge.between(node("x", op, args, tensor(4))).write()
    refuses(forge, sentence)


def test_a_million_nodes(forge):
    one = json.dumps(node("n0", "aten.neg.default", [ref("t0")], tensor(VOCAB, 8)))
    text = json.dumps(forge.document).replace('"nodes": [', '"nodes": [' + (one + ",") * 1_000_000)
    forge.write(text)
    started = time.monotonic()
    refuses(forge, "model.json has .* bytes; allowed are")
    refuses(forge, "at most 20000 nodes", graph_bytes=2**30)
    assert time.monotonic() - started < 240


TEXTS = {
    "pickle": (pickle.dumps({"format": 1}).decode("latin-1"), "not JSON"),
    "not json": ("import os", "not JSON"),
    "deep": ("[" * 1_000_000, "nested too deeply"),
    "deep objects": ('{"a":' * 200_000 + "1" + "}" * 200_000, "nested too deeply"),
    "twice": ('{"format": 1, "format": 2}', "names a key twice"),
    "nan": ('{"format": NaN}', "NaN is not allowed"),
    "infinity": ('{"format": -Infinity}', "-Infinity is not allowed"),
    "overflow": ('{"format": 1e999}', "too large"),
    "digits": ('{"format": ' + "9" * 10_000 + "}", "not JSON"),
    "list": ("[]", "fields"),
    "null": ("null", "fields"),
    "surrogate name": ('{"\\ud800": 1}', "fields"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_json_that_is_none(forge, name):
    text, sentence = TEXTS[name]
    forge.write(text.encode("ascii", "replace").decode())
    refuses(forge, sentence)


def test_bytes_that_are_not_utf8(forge):
    forge.write()
    (forge.directory / "model.json").write_bytes(pickle.dumps(forge.document))
    refuses(forge, "not JSON")


def header(entries, data=b"", length=None):
    """A safetensors file."""
    raw = json.dumps(entries).encode() if not isinstance(entries, bytes) else entries
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def entry(shape, start, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


WEIGHTS = {
    "pickle": (pickle.dumps([1, 2, 3] * 100), "header claims"),
    "short": (b"\x01\x00", "too short"),
    "header of 100 MB": (header({}, length=100 * 2**20), "header claims"),
    "header of 2^64": (header({}, length=2**64 - 1), "header claims"),
    "not json": (header(b"{hello"), "not JSON"),
    "deep": (header(b"[" * 100_000), "nested too deeply"),
    "twice": (header(b'{"a":{},"a":{}}'), "names a key twice"),
    "overlap": (header({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, bytes(12)), "overlaps"),
    "gap": (header({"a": entry([2], 0, 8), "b": entry([2], 12, 20)}, bytes(20)), "overlaps"),
    "same bytes": (header({"a": entry([2], 0, 8), "b": entry([2], 0, 8)}, bytes(8)), "overlaps"),
    "behind the end": (header({"a": entry([200], 0, 800)}, bytes(8)), "behind the end"),
    "tail": (header({"a": entry([2], 0, 8)}, bytes(9)), "does not end"),
    "negative": (header({"a": entry([-2], 0, 8)}, bytes(8)), "impossible shape"),
    "overflow": (header({"a": entry([2**32, 2**32, 2**32], 0, 0)}, bytes(8)), "more than 4294967296 elements"),
    "too large": (header({"a": entry([2**62], 0, 8)}, bytes(8)), "impossible shape"),
    "rank": (header({"a": entry([1] * 40, 0, 4)}, bytes(4)), "has 40 dimensions; allowed are 12"),
    "nothing, but wide": (header({"a": entry([0, 2**39, 2**39], 0, 0)}), "more than 4294967296 elements"),
    "backwards": (header({"a": entry([2], 8, 0)}, bytes(8)), "do not fit"),
    "dtype": (header({"a": entry([2], 0, 8, "PICKLE")}, bytes(8)), "dtype"),
    "dtype list": (header({"a": entry([2], 0, 8, ["F32"])}, bytes(8)), "dtype"),
    "float size": (header({"a": entry([2.0], 0, 8)}, bytes(8)), "impossible shape"),
    "list": (header([]), "not a table"),
    "entry": (header({"a": 3}), "not a tensor"),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_that_are_none(forge, name):
    data, sentence = WEIGHTS[name]
    forge.write()
    (forge.directory / "model.safetensors").write_bytes(data)
    refuses(forge, sentence)


def test_booleans_are_made_zero_or_one(forge):
    forge.write()
    data = header({"mask": entry([4], 0, 4, "BOOL")}, bytes([0, 1, 2, 255]))
    (forge.directory / "model.safetensors").write_bytes(data)
    from sandbox.guest.files import read_plain_file, read_tensors

    data = read_plain_file(forge.directory / "model.safetensors", 1000)
    mask = read_tensors(data, Limits())["mask"]
    assert mask.view(torch.uint8).tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
@pytest.mark.parametrize("kind", ["absent", "symlink", "fifo", "directory", "hardlink", "sparse", "empty", "large"])
def test_files_that_are_not_plain(forge, name, kind, tmp_path):
    path = forge.write() / name
    content = path.read_bytes()
    path.unlink()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(content)
    if kind == "symlink":
        path.symlink_to(elsewhere)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "hardlink":
        path.hardlink_to(elsewhere)
    elif kind in ("sparse", "large", "empty"):
        path.write_bytes(b"" if kind == "empty" else content)
        os.truncate(path, {"sparse": 2**22, "large": 2**42, "empty": 0}[kind])
    sentence = {"absent": "cannot be opened", "symlink": "cannot be opened", "fifo": "not a regular file",
                "directory": "not a regular file", "hardlink": "hard links", "sparse": "sparse",
                "empty": "has 0 bytes", "large": "allowed are"}[kind]  # fmt: skip
    assert name in refuses(forge, sentence)
