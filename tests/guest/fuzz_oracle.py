"""What a sealed graph is truly worth: its own interpreter, its own loss, and nothing to look at.

Each target is predicted from a run of its own in which everything after its position is random and every other row
of the batch is a stranger. No code of the referee takes part: JSON is read by the standard library, weights by the
safetensors library, operations by their names.
"""

import json
import math
import operator

import numpy as np
import safetensors.torch
import torch

_SCALARS = {f.__name__: f for f in (math.ceil, math.floor, math.trunc, torch.sym_max, torch.sym_min, torch.sym_not,
                                    torch.sym_float, torch.sym_int)}  # fmt: skip


def function(name):
    """Return what an operation's name stands for."""
    if name == "getitem":
        return operator.getitem
    if name.startswith("sym."):
        return _SCALARS.get(name[4:]) or getattr(operator, name[4:])
    _, packet, overload = name.split(".")
    return getattr(getattr(torch.ops.aten, packet), overload)


def value(raw, known):
    """Decode one argument."""
    if isinstance(raw, list):
        return [value(v, known) for v in raw]
    if not isinstance(raw, dict):
        return raw
    ((tag, text),) = raw.items()
    if tag == "ref":
        return known[text]
    if tag == "float":
        return float(text)
    return torch.device("cpu") if tag == "device" else getattr(torch, text)


def load(text, blob):
    """Return the document and its tensors; a boolean is whether its byte is not 0."""
    tensors = {k: t.view(torch.uint8) != 0 if t.dtype is torch.bool else t
               for k, t in safetensors.torch.load(blob).items()}  # fmt: skip
    return json.loads(text), tensors


def logits(document, tensors, tokens):
    """Run the graph: (B, T) -> (B, T, V)."""
    known = {"tokens": tokens.clone()} | {name: tensors[key] for name, key in document["tensors"].items()}
    with torch.no_grad():
        for name, op, args, kwargs, _ in document["nodes"]:
            known[name] = function(op)(*value(args, known), **{k: value(v, known) for k, v in kwargs.items()})
    return known[document["output"]["ref"]]


def isolated_bpb(document, tensors, rows, token_bytes, seed=0):
    """Return bits per byte of rows (N, T + 1), each target predicted in isolation."""
    rng = np.random.default_rng(seed)
    count, length = len(rows), rows.shape[1] - 1
    cells = [(r, p) for r in range(count) for p in range(length)]
    rng.shuffle(cells)
    nats = total = 0.0
    batch = document["batch_size"]
    for start in range(0, len(cells), batch):
        chosen = cells[start : start + batch]
        junk = rng.choice(rows.ravel(), (batch, length))  # a token of no row may be NaN, and harm nobody
        for slot, (row, position) in enumerate(chosen):
            junk[slot, : position + 1] = rows[row, : position + 1]
        wide = logits(document, tensors, torch.from_numpy(junk)).double()
        shares = torch.log_softmax(wide, -1)
        for slot, (row, position) in enumerate(chosen):
            target = int(rows[row, position + 1])
            if token_bytes[target]:
                nats -= float(shares[slot, position, target])
                total += int(token_bytes[target])
    return nats / (math.log(2) * total)
