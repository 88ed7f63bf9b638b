"""Mutations of real sealed models: of the graph as JSON, of the bytes of both files, and between models.

Everything is drawn from the `Random` that is handed in, so that a seed names a mutant. Nothing here asks what the
referee would say.
"""

import copy
import json
import os
import struct

from sandbox.guest import allowed

CANARY = f"/tmp/autoresearch-fuzz-canary-{os.getpid():08d}/secret.bin"  # every run watches its own

OPS = [f"aten.{n if '.' in n else n + '.default'}" for f in allowed.FAMILIES for n in f.names.split()]
FORBIDDEN = [
    "aten.as_strided.default", "aten.empty.memory_format", "aten.empty_like.default", "aten.new_empty.default",
    "aten.from_file.default", "aten._local_scalar_dense.default", "aten.rand_like.default", "aten.set_.source_Tensor",
    "aten.resize.default", "aten.add_.Tensor", "aten.embedding_bag.default", "aten.put.default", "aten.__class__",
    "os.system", "sym.eval", "sym.__import__", "getitem.__class__", "prims.add.default", "", "aten..",
    "ａten.add.Tensor",
]  # fmt: skip
INTS = [0, 1, -1, 2, 3, 7, 12, 64, 2**31 - 1, -(2**31), 2**31, 2**32 + 1, 2**62, 2**63 - 1, -(2**63), 2**63, 10**30]
FLOATS = [0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, 1e30, -1e30, 3e38, 1e308]
DTYPES = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "uint8", "bool", "complex64", "qint8",
          CANARY]  # fmt: skip
ODD = [None, True, False, "", "tanh", "none", "\u202e\x1b[31m", "\ud800", CANARY, [], {}, [[]], [1, [2]], {"ref": 1},
       {"ref": "nowhere"}, {"ref": CANARY}, {"float": "nan"}, {"float": "-inf"}, {"dtype": "float16"},
       {"device": "cpu"},       {"device": "model"}, {"dtype": CANARY}, {"scalar": True},
       "ij,jk->ik", "__import__('os')"]  # fmt: skip
RAW = ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000, "[" * 2000, '{"a":' * 300, "-0", "1.5", "\x00", "\\", '"']


def pick_node(rng, document):
    nodes = document.get("nodes")
    good = [n for n in nodes if isinstance(n, list) and len(n) == 5] if isinstance(nodes, list) else []
    return rng.choice(good) if good else None


def names_of(document):
    tensors = document.get("tensors")
    return ["tokens", *(tensors if isinstance(tensors, dict) else ()),
            *(n[0] for n in document["nodes"] if isinstance(n, list) and n and isinstance(n[0], str))]  # fmt: skip


def constant(rng):
    return rng.choice([rng.choice(INTS), rng.choice(FLOATS), copy.deepcopy(rng.choice(ODD)), rng.randrange(-3, 13)])


def spots(value, found=None):
    """Every (container, key) under a node's arguments."""
    found = [] if found is None else found
    if isinstance(value, (list, dict)):
        for key in range(len(value)) if isinstance(value, list) else list(value):
            found.append((value, key))
            spots(value[key], found)
    return found


def swap_op(rng, document, others):
    if node := pick_node(rng, document):
        node[1] = rng.choice(FORBIDDEN if rng.random() < 0.2 else OPS)


def change_argument(rng, document, others):
    node = pick_node(rng, document)
    places = spots([node[2], node[3]]) if node else []
    if places:
        where, key = rng.choice(places)
        where[key] = constant(rng)


def nudge(rng, document, others):
    """Change a number or a truth a little: this is what still runs."""
    every = [s for n in document["nodes"] if isinstance(n, list) and len(n) == 5 for s in spots([n[2], n[3]])]
    plain = [(w, k) for w, k in every if isinstance(w[k], (bool, int, float))]
    if plain:
        where, key = rng.choice(plain)
        old = where[key]
        where[key] = (not old) if isinstance(old, bool) else old + rng.choice([-2, -1, 1, 2, 0.5, -old, 1e-3])


def redirect(rng, document, others):
    every = [s for n in document["nodes"] if isinstance(n, list) and len(n) == 5 for s in spots([n[2], n[3]])]
    refs = [(w, k) for w, k in every if k == "ref"]
    if refs:
        where, key = rng.choice(refs)
        where[key] = rng.choice(names_of(document))


def declare(rng, document, others):
    node = pick_node(rng, document)
    if node is None or not isinstance(node[4], dict):
        return
    if rng.random() < 0.2:
        node[4] = rng.choice([{"scalar": True}, {"each": [copy.deepcopy(node[4])]}, {"each": []}, {}, [], None])
    elif "shape" in node[4] and isinstance(node[4]["shape"], list):
        shape = node[4]["shape"]
        choice = rng.randrange(5)
        if choice == 0:
            node[4]["dtype"] = rng.choice(DTYPES)
        elif choice == 1:
            node[4]["shape"] = [None] * len(shape)
        elif choice == 2 and shape:
            shape[rng.randrange(len(shape))] = rng.choice([None, *INTS, 1.0, True])
        elif choice == 3:
            shape.append(rng.choice([1, 0, None, 2**39]))
        elif shape:
            shape.pop()


def structure(rng, document, others):
    nodes = document["nodes"]
    if not isinstance(nodes, list) or not nodes:
        return
    at, to = rng.randrange(len(nodes)), rng.randrange(len(nodes))
    choice = rng.randrange(6)
    if choice == 0:
        del nodes[at]
    elif choice == 1:
        nodes.insert(to, copy.deepcopy(nodes[at]))
    elif choice == 2:
        nodes[at], nodes[to] = nodes[to], nodes[at]
    elif choice == 3 and isinstance(nodes[at], list) and nodes[at]:
        nodes[at][0] = rng.choice([*names_of(document), "fresh", "", "a b", "__class__", "\u00e9", 3, "x" * 300])
    elif choice == 4 and isinstance(nodes[at], list) and len(nodes[at]) == 5 and isinstance(nodes[at][2], list):
        args = nodes[at][2]
        args.insert(rng.randrange(len(args) + 1), constant(rng)) if rng.random() < 0.5 or not args else args.pop()
    elif isinstance(nodes[at], list) and len(nodes[at]) == 5 and isinstance(nodes[at][3], dict):
        nodes[at][3][rng.choice(["out", "dtype", "dim", "self", "alpha", "is_causal", "\x00"])] = constant(rng)


def head(rng, document, others):
    field = rng.choice(list(document) or ["format"])
    choice = rng.randrange(4)
    if choice == 0:
        document[field] = constant(rng)
    elif choice == 1:
        del document[field]
    elif choice == 2:
        document[rng.choice(["extra", "__proto__", "code"])] = constant(rng)
    elif isinstance(document.get("tensors"), dict) and document["tensors"]:
        names = list(document["tensors"])
        document["tensors"][rng.choice(names)] = rng.choice(
            [*document["tensors"].values(), CANARY, "../x", 3, "tokens"]
        )


def splice_graph(rng, document, others):
    """Nodes of another model in place of a run of ours."""
    nodes, foreign = document["nodes"], rng.choice(others)["nodes"]
    start, length = rng.randrange(len(nodes) + 1), rng.randrange(1, 8)
    first = rng.randrange(len(foreign))
    nodes[start : start + rng.randrange(length + 1)] = copy.deepcopy(foreign[first : first + length])


def rewire(document, old, new, start):
    """Let every later node that read `old` read `new`."""
    for node in (n for n in document["nodes"][start:] if isinstance(n, list) and len(n) == 5):
        for where, key in spots([node[2], node[3]]):
            if key == "ref" and where[key] == old:
                where[key] = new
    if document.get("output") == {"ref": old}:
        document["output"] = {"ref": new}


def look(rng, document, others):
    """Insert an operation that keeps shapes and mixes places: the honest ones, and the ways to look ahead."""
    nodes = document["nodes"]
    sites = [(i, n) for i, n in enumerate(nodes) if isinstance(n, list) and len(n) == 5 and isinstance(n[4], dict)
             and isinstance(n[4].get("shape"), list) and len(n[4]["shape"]) >= 2
             and all(isinstance(s, int) for s in n[4]["shape"])]  # fmt: skip
    if not sites:
        return
    index, site = rng.choice(sites)
    name, out = site[0], site[4]
    if not isinstance(name, str):
        return
    x, dim = {"ref": name}, rng.randrange(len(out["shape"]))
    op, args = rng.choice([
        ("aten.roll.default", [x, [rng.choice([-1, 1, -3])], [dim]]), ("aten.flip.default", [x, [dim]]),
        ("aten.cumsum.default", [x, dim]), ("aten.softmax.int", [x, dim]), ("aten.cummax.default", [x, dim]),
        ("aten.mul.Scalar", [x, rng.choice([0.0, -1.0, 1e30, 1e-30])]), ("aten.tril.default", [x]),
        ("aten.triu.default", [x]), ("aten.nan_to_num.default", [x]), ("aten.clone.default", [x]),
        ("aten.slice_scatter.default", [x, x, dim, 0, 2**62]), ("aten.logcumsumexp.default", [x, dim]),
    ])  # fmt: skip
    fresh = f"z{rng.randrange(10**6)}"
    new = [[fresh, op, args, {}, copy.deepcopy(out)]]
    if op == "aten.cummax.default":
        each = [copy.deepcopy(out), {"dtype": "int64", "shape": list(out["shape"])}]
        new = [[fresh + "p", op, args, {}, {"each": each}], [fresh, "getitem", [{"ref": fresh + "p"}, 0], {}, each[0]]]
    if rng.random() < 0.6:  # a little of it only
        scaled = [fresh + "s", "aten.mul.Scalar", [{"ref": fresh}, rng.choice([1.0, 0.1, 1e-3, 1e-5])], {}, out]
        mixed = [fresh + "m", "aten.add.Tensor", [x, {"ref": fresh + "s"}], {}, copy.deepcopy(out)]
        new += [copy.deepcopy(scaled), mixed]
    nodes[index + 1 : index + 1] = new
    rewire(document, name, new[-1][0], index + 1 + len(new))


GRAPH = ((look, 7), (nudge, 4), (redirect, 3), (swap_op, 3), (change_argument, 3), (declare, 2), (structure, 2),
         (head, 1), (splice_graph, 1))  # fmt: skip


def mutate_text(rng, text, foreign):
    """Bytes of model.json."""
    data, at = bytearray(text), rng.randrange(len(text) + 1)
    choice = rng.randrange(6)
    if choice == 0:
        del data[at:]
    elif choice == 1 and data:
        data[at % len(data)] ^= 1 << rng.randrange(8)
    elif choice == 2:
        data[at:at] = rng.choice(RAW).encode()
    elif choice == 3:
        start = rng.randrange(len(foreign))
        data[at : at + rng.randrange(200)] = foreign[start : start + rng.randrange(200)]
    elif choice == 4:
        data[at:at] = data[at : at + rng.randrange(300)]
    else:
        data[at : at + rng.randrange(4)] = rng.randbytes(rng.randrange(5))
    return bytes(data)


def mutate_weights(rng, blob, foreign):
    """Bytes of model.safetensors: its header as JSON, its length, its data."""
    (length,) = struct.unpack_from("<Q", blob)
    table, data = json.loads(blob[8 : 8 + length]), bytearray(blob[8 + length :])
    choice = rng.randrange(7)
    if choice == 0:
        out = bytearray(blob)
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
        return bytes(out)
    if choice == 1:
        return blob[: rng.randrange(len(blob))]
    if choice == 2:
        return struct.pack("<Q", rng.choice([0, 1, length + 1, length - 1, 2**32, 2**63, 2**64 - 1])) + blob[8:]
    if choice == 3:
        return foreign
    if choice == 4 and data:
        at = rng.randrange(len(data))
        data[at : at + 4] = rng.choice(
            [b"\x00\x00\x80\x7f", b"\x00\x00\xc0\x7f", b"\xff\xff\x7f\x7f", rng.randbytes(4)]
        )
        return blob[: 8 + length] + bytes(data)
    key = rng.choice(list(table))
    if isinstance(table[key], dict) and "shape" in table[key]:
        field = rng.choice(["dtype", "shape", "data_offsets"])
        table[key][field] = rng.choice([
            rng.choice(["F64", "BF16", "I8", "BOOL", "C64", "F8", 3]), [], [0, 2**39], [2**32, 2**32], [-1],
            [0, 0], [0, 2**40 - 1], table[rng.choice(list(table))].get(field), [1.0], constant(rng)])  # fmt: skip
    raw = json.dumps(table).encode()
    return struct.pack("<Q", len(raw)) + raw + bytes(data)


def mutant(rng, models):
    """Return (what was done, model.json, model.safetensors) for one to three mutations of one of `models`."""
    name = rng.choice(sorted(models))
    other = rng.choice(sorted(models))
    text, weights = models[name]
    others = [json.loads(t) for t, _ in models.values()]
    done = [name]
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        kind = rng.random()
        if kind < 0.08:
            weights = mutate_weights(rng, models[name][1], models[other][1])
            done.append("weights")
        elif kind < 0.16:
            text = mutate_text(rng, text, models[other][0])
            done.append("text")
            break
        else:
            change = rng.choices([g for g, _ in GRAPH], [w for _, w in GRAPH])[0]
            document = json.loads(text)
            if isinstance(document.get("nodes"), list) and document["nodes"]:
                change(rng, document, others)
                text = json.dumps(document).encode()
                done.append(change.__name__)
    return "+".join(done), text, weights
