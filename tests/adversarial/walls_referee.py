"""Walls with a broken referee: a copy of the guest, changed in one place, mounted over the one in the image."""

from __future__ import annotations

import shutil
from typing import Any

from specs import REPOSITORY
from walls import Breach, wall

GUEST = REPOSITORY / "sandbox" / "guest"
INSTALLED = "/opt/venv/lib/python3.11/site-packages/autoresearch_guest"


def spoil(breach: Breach, **code: str) -> None:
    """Append code to modules of the referee's guest: the last definition of a name is the one that counts."""
    copy = breach.folder / "guest"
    if not copy.exists():
        shutil.copytree(GUEST, copy, ignore=shutil.ignore_patterns("__pycache__"))
        copy.chmod(0o755)
        mount = {"Type": "bind", "Source": str(copy), "Target": INSTALLED, "ReadOnly": True}
        breach.request("referee", lambda body: body["HostConfig"]["Mounts"].append(mount))
    for module, text in code.items():
        path = copy / f"{module}.py"
        path.write_text(f"{path.read_text()}\n\n{text}")
        path.chmod(0o644)


def substitute(breach: Breach, module: str, old: str, new: str) -> None:
    spoil(breach)
    path = breach.folder / "guest" / f"{module}.py"
    assert old in path.read_text(), f"the guest's {module} has changed: {old!r} is not in it"
    path.write_text(path.read_text().replace(old, new))


NO_AUDIT = "def verdict(*_args: object, **_named: object) -> None:\n    return None\n"


@wall("no-audit")
def _(breach: Breach) -> None:
    spoil(breach, audit=NO_AUDIT)


@wall("any-operation")
def _(breach: Breach) -> None:
    more = """
_strict = table


@cache
def table():
    more = ("as_strided", "empty.memory_format", "from_file", "mul_.Tensor")
    found = dict(_strict())
    for short in more:
        packet, _, overload = short.partition(".")
        call = getattr(getattr(torch.ops.aten, packet), overload or "default")
        name = f"aten.{packet}.{overload or 'default'}"
        relu = found["aten.relu.default"]
        import dataclasses
        found[name] = dataclasses.replace(relu, name=name, call=call, schema=call._schema)
    return found
"""
    strings = "class _Any:\n    def __contains__(self, text):\n        return True\n\n\nSTRINGS = _Any()\n"
    spoil(breach, audit=NO_AUDIT, ops=more, verify=strings)


@wall("no-verification")
def _(breach: Breach) -> None:
    trusting = """
def _trusting(self, value):
    if not (isinstance(value, dict) and set(value) == {"ref"}):
        return None
    slot, spec = self.known.get(value["ref"], (len(self.known) + 1, TensorSpec(dtype=torch.float32, shape=())))
    return Ref(slot), spec


_Reader.look_up = _trusting
"""
    spoil(breach, verify=trusting)


@wall("no-caps")
def _(breach: Breach) -> None:
    substitute(breach, "files", "graph_bytes: int = 16 * 2**20", "graph_bytes: int = 2**40")
    substitute(breach, "files", "nodes: int = 20_000", "nodes: int = 2**40")
    substitute(breach, "files", "references: int = 200_000", "references: int = 2**40")


@wall("any-vocabulary")
def _(breach: Breach) -> None:
    substitute(breach, "sealed", "if vocab_size is not None and graph.vocab_size != vocab_size:", "if False:")
    clamped = (
        "_strict = token_nats\n\n\n"
        "def token_nats(logits, targets):\n    return _strict(logits, targets.clamp(max=logits.size(-1) - 1))\n"
    )
    spoil(breach, loss=clamped)


LOSSES = {
    "loss-by-the-model": "return logits[..., 0].float()",
    "careless-loss": """x = logits.float()
    top = x.amax(-1, keepdim=True)
    total = top + (x - top).exp().sum(-1, keepdim=True).log()
    nats = (total - x.gather(-1, targets.unsqueeze(-1))).squeeze(-1)
    return torch.nan_to_num(nats, nan=0.0, posinf=0.0, neginf=0.0) + 1e-3""",
    "loss-not-normalised": "return -logits.float().gather(-1, targets.unsqueeze(-1)).squeeze(-1)",
    "loss-in-the-models-own-type": """top = logits.amax(-1, keepdim=True)
    total = top + (logits - top).double().exp().sum(-1, keepdim=True).log().to(logits.dtype)
    return (total - logits.gather(-1, targets.unsqueeze(-1))).squeeze(-1).float()""",
}


def _broken_loss(name: str) -> Any:
    def breaks(breach: Breach) -> None:
        unchecked = "def check_logits(logits, shape):\n    return logits\n"
        spoil(breach, loss=f"{unchecked}\n\ndef token_nats(logits, targets):\n    {LOSSES[name]}\n")
        if name == "loss-in-the-models-own-type":
            substitute(breach, "verify", "if not output[1].dtype.is_floating_point:", "if False:")

    return breaks


for _name in LOSSES:
    wall(_name)(_broken_loss(_name))


# What is read from /out

WALLS_OF_FILES = {
    "trusting-files": "def read_plain_file(path, limit):\n    return bytearray(Path(path).read_bytes())\n",
    "careless-offsets": """def read_tensors(data, limits):
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    entries = [_entry(key, entry, limits) for key, entry in header.items()]
    return {key: _tensor(data, 8 + length + start, end - start, *rest) for start, end, key, *rest in entries}
""",
    "reader-as-in-c": """def read_tensors(data, limits):
    import ctypes

    libc = ctypes.CDLL(None)
    libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    memory = ctypes.addressof(ctypes.c_char.from_buffer(data))
    (length,) = struct.unpack_from("<Q", data)
    header, found = json.loads(ctypes.string_at(memory + 8, length)), {}
    header.pop("__metadata__", None)
    for key, entry in header.items():
        (start, end), dtype = entry["data_offsets"], DTYPES[entry["dtype"]]
        size = math.prod(entry["shape"]) * dtype.itemsize % 2**64
        room = libc.malloc(size)
        ctypes.memmove(room, memory + 8 + length + start, end - start)
        copy = bytearray(ctypes.string_at(room, size))
        found[key] = torch.frombuffer(copy, dtype=dtype).reshape(entry["shape"])
        libc.free(room)
    return found
""",
    "careless-json": "def parse_json(data, what, depth=0):\n    return json.loads(data)\n",
    "pickle-accepted": """import io
import pickle

_strict_json, _strict_tensors = parse_json, read_tensors


def parse_json(data, what, depth=32):
    try:
        return _strict_json(data, what, depth)
    except Invalid:
        return torch.load(io.BytesIO(bytes(data)), weights_only=False)


def read_tensors(data, limits):
    try:
        return _strict_tensors(data, limits)
    except Invalid:
        return pickle.loads(bytes(data))
""",
}


def _careless(name: str) -> Any:
    return lambda breach: spoil(breach, files=WALLS_OF_FILES[name])


for _name in WALLS_OF_FILES:
    wall(_name)(_careless(_name))


# What stands behind the reading: whoever parses, verifies and runs can die without taking the verdict along


@wall("referee-in-one-process")
def _(breach: Breach) -> None:
    spoil(breach, worker="def in_child(work, what, limit_bytes, bound=UNBOUNDED):\n    return work()\n")


# Where the referee looks for modules


@wall("referee-works-in-out")
def _(breach: Breach) -> None:
    breach.request("referee", lambda body: body["Env"].append("PYTHONPATH=/out"))


@wall("out-on-the-referees-path")
def _(breach: Breach) -> None:
    """And one that starts Python only when the gate is open."""

    def change(body: dict[str, Any]) -> None:
        wait = "until [ -e /gate/open ]; do sleep 0.1; done; PYTHONPATH=/out exec"
        body["Cmd"] = ["/bin/sh", "-c", f"{wait} {' '.join(body['Cmd'])}"]

    breach.request("referee", change)
