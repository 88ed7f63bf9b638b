"""From a hostile model.json to a verified `Graph`: nothing is looked up that is not in our own tables."""

import re
from dataclasses import dataclass, field
from typing import Any

import torch

from . import ops, refused
from .errors import Invalid
from .files import KEY, NAME, Limits, check_shape, is_size
from .graph import Graph, ManySpec, Node, Ref, ScalarSpec, Spec, TensorSpec, TheDevice

FORMAT, VERSION = "autoresearch-sealed", 1

FIELDS = frozenset(("format", "version", "batch_size", "seq_len", "vocab_size", "inputs", "tensors", "nodes", "output"))

DTYPES = {
    str(d).removeprefix("torch."): d
    for d in (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16,
              torch.int8, torch.uint8, torch.bool, torch.complex64, torch.complex128)
}  # fmt: skip

MEMORY_FORMATS = {"contiguous_format": torch.contiguous_format, "preserve_format": torch.preserve_format}

FLOATS = {"inf": float("inf"), "-inf": float("-inf"), "nan": float("nan")}

STRINGS = frozenset(
    ("none", "tanh", "trunc", "floor", "constant", "reflect", "replicate", "circular", "sum", "mean", "prod", "amax",
     "amin", "xy", "ij", "same", "valid", "backward", "forward", "ortho", "left", "right")
)  # fmt: skip

EINSUM = re.compile(r"[A-Za-z,.\-> ]{1,120}\Z")


@dataclass(slots=True, kw_only=True)
class _Reader:
    """Reads nodes in order; `known` holds what stands before the node at hand."""

    limits: Limits
    known: dict[str, tuple[int, Spec | None]] = field(default_factory=dict)
    references: int = 0

    def define(self, name: Any, spec: Spec | None) -> None:
        if not isinstance(name, str) or not NAME.match(name):
            raise Invalid("a name in the graph is not an identifier")
        if name in self.known:
            raise Invalid(f"the name {name} is used twice")
        self.known[name] = (len(self.known), spec)

    def look_up(self, value: Any) -> tuple[Ref, Spec | None] | None:
        """Resolve {"ref": name}; None when `value` is no reference."""
        if not (isinstance(value, dict) and set(value) == {"ref"}):
            return None
        self.references += 1
        if self.references > self.limits.references:
            raise Invalid(f"the graph has too many references; allowed are {self.limits.references}")
        name = value["ref"]
        if not isinstance(name, str) or name not in self.known:
            raise Invalid(f"a reference to {_shown(name)} leads nowhere (or forwards)")
        slot, spec = self.known[name]
        return Ref(slot), spec

    def spec(self, value: Any) -> Spec:
        if value == {"scalar": True}:
            return ScalarSpec()
        if isinstance(value, dict) and set(value) == {"each"} and isinstance(value["each"], list):
            self.count(value["each"], "the parts of a result")
            return ManySpec(parts=tuple(self.tensor_spec(v) for v in value["each"]))
        return self.tensor_spec(value)

    def tensor_spec(self, value: Any) -> TensorSpec:
        if not isinstance(value, dict) or set(value) != {"dtype", "shape"}:
            raise Invalid("a node declares no proper result")
        dtype, shape = _dtype(value["dtype"]), value["shape"]
        if not isinstance(shape, list) or not all(size is None or is_size(size) for size in shape):
            raise Invalid("a node declares an impossible shape")
        check_shape(shape, self.limits, "a declared result")
        return TensorSpec(dtype=dtype, shape=tuple(shape))

    def count(self, items: list[Any], what: str) -> None:
        if len(items) > self.limits.items:
            raise Invalid(f"{what} are {len(items)} items; allowed are {self.limits.items}")

    def argument(self, value: Any, kind: str, where: str) -> Any:
        """Decode one argument of the schema type `kind`."""
        if kind.startswith("Optional["):
            return None if value is None else self.argument(value, kind[9:-1], where)
        if kind.startswith("List["):
            if not isinstance(value, list):
                raise Invalid(f"{where} wants a list")
            self.count(value, where)
            return [self.argument(v, kind[5:-1], where) for v in value]
        found = self.look_up(value)
        if found is not None:
            return self.reference(*found, kind, where)
        decoded = _constant(value, kind)
        if decoded is _WRONG:
            raise Invalid(f"{where} wants {kind}")
        return decoded

    def reference(self, ref: Ref, spec: Spec | None, kind: str, where: str) -> Ref:
        is_scalar = isinstance(spec, ScalarSpec)
        fits = (kind == "Tensor" and not isinstance(spec, ManySpec)) or (
            kind in ("int", "float", "number", "bool") and is_scalar
        )
        if not fits:
            raise Invalid(f"{where} wants {kind} and is given another kind of value")
        return ref

    def node(self, value: Any) -> Node:
        if not isinstance(value, list) or len(value) != 5:
            raise Invalid("a node is not [name, op, args, kwargs, out]")
        name, op_name, args, kwargs, out = value
        op = ops.table().get(op_name) if isinstance(op_name, str) else None
        if op is None:
            reason = refused.why(op_name) if isinstance(op_name, str) else "it has no name"
            raise Invalid(f"the operation {_shown(op_name)} is not allowed: {reason}")
        if not isinstance(args, list) or not isinstance(kwargs, dict):
            raise Invalid(f"the arguments of {op.name} are malformed")
        spec = self.spec(out)
        if op.schema is not None:
            args, kwargs = self.call(op, args, kwargs)
            _check_result(op, spec)
        elif kwargs:
            raise Invalid(f"{op.name} takes no named arguments")
        else:
            args = self.getitem(args, spec) if op.name == "getitem" else self.scalars(op, args, spec)
        self.define(name, spec)
        return Node(name=name, op=op, args=args, kwargs=kwargs, out=spec)

    def call(self, op: ops.Op, args: list[Any], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Match arguments with the operation's own schema."""
        formal = op.schema.arguments
        positional = [a for a in formal if not a.kwarg_only]
        if len(args) > len(positional):
            raise Invalid(f"{op.name} is given too many arguments")
        types = {a.name: str(a.real_type) for a in formal[len(args) :]}
        given = {a.name for a in positional[: len(args)]} | set(kwargs)
        missing = [a.name for a in formal if not a.has_default_value() and a.name not in given]
        if missing or not set(kwargs) <= set(types):
            raise Invalid(f"{op.name} is given the wrong arguments")
        decoded = [
            self.argument(v, str(a.real_type), f"argument {a.name} of {op.name}")
            for a, v in zip(positional, args, strict=False)
        ]
        return decoded, {k: self.argument(v, types[k], f"argument {k} of {op.name}") for k, v in kwargs.items()}

    def getitem(self, args: list[Any], spec: Spec) -> list[Any]:
        found = self.look_up(args[0]) if len(args) == 2 else None
        if found is None or not isinstance(found[1], ManySpec) or not is_size(args[1], len(found[1].parts)):
            raise Invalid("getitem does not pick an existing part")
        if found[1].parts[args[1]] != spec:
            raise Invalid("getitem declares another result than its part")
        return [found[0], args[1]]

    def scalars(self, op: ops.Op, args: list[Any], spec: Spec) -> list[Any]:
        if not isinstance(spec, ScalarSpec) or not 1 <= len(args) <= 2:
            raise Invalid(f"{op.name} is given the wrong arguments")
        return [self.argument(v, "number", f"an argument of {op.name}") for v in args]


_WRONG = object()


def _shown(name: Any) -> str:
    """Quote a hostile name; what is no text is not printed (it may be megabytes, nested)."""
    return repr(name[:100]) if isinstance(name, str) else f"a {type(name).__name__}"


def _dtype(name: Any) -> torch.dtype:
    dtype = DTYPES.get(name) if isinstance(name, str) else None
    if dtype is None:
        raise Invalid(f"the dtype {_shown(name)} is not allowed")
    return dtype


def _tagged(value: dict[str, Any], kind: str) -> Any:
    """Decode {"tag": text}: what JSON has no word for."""
    ((tag, text),) = value.items() if len(value) == 1 else ((None, None),)
    if tag == "dtype" and kind == "ScalarType":
        return _dtype(text)
    if tag == "device" and kind == "Device" and text == "model":
        return TheDevice()
    if tag == "memory_format" and kind == "MemoryFormat" and isinstance(text, str):
        return MEMORY_FORMATS.get(text, _WRONG)
    if tag == "float" and kind in ("float", "number", "Tensor") and isinstance(text, str):
        return FLOATS.get(text, _WRONG)
    return _WRONG


def _constant(value: Any, kind: str) -> Any:
    """Decode a constant for a slot of type `kind`; `_WRONG` when it does not belong there."""
    if isinstance(value, dict):
        return _tagged(value, kind)
    if isinstance(value, bool):
        return value if kind in ("bool", "number", "Tensor") else _WRONG
    if isinstance(value, int):
        fits = kind in ("int", "float", "number", "Tensor") and abs(value) < 2**63
        return value if fits else _WRONG
    if isinstance(value, float):
        return value if kind in ("float", "number", "Tensor") else _WRONG
    if isinstance(value, str) and kind == "str":
        return value if value in STRINGS or EINSUM.match(value) else _WRONG
    return _WRONG


def _check_result(op: ops.Op, spec: Spec) -> None:
    kinds = [str(r.type) for r in op.schema.returns]
    if kinds == ["Tensor"]:
        fits = isinstance(spec, TensorSpec)
    elif kinds == ["int"]:
        fits = isinstance(spec, ScalarSpec)
    else:
        fits = isinstance(spec, ManySpec) and (kinds == ["List[Tensor]"] or len(spec.parts) == len(kinds))
    if not fits:
        raise Invalid(f"{op.name} declares a result of another kind")


def _sizes(document: dict[str, Any]) -> tuple[int, int, int]:
    found = tuple(document[k] for k in ("batch_size", "seq_len", "vocab_size"))
    if not all(is_size(v, 2**24) and v > 0 for v in found):
        raise Invalid("batch_size, seq_len and vocab_size must be positive integers")
    return found


def verify(document: Any, tensor_names: set[str], limits: Limits) -> Graph:
    """Check a parsed model.json against every rule of the format.

    Args:
        tensor_names: the keys that the weights file offers.

    Raises:
        Invalid: with the first rule that it breaks.
    """
    if not isinstance(document, dict) or set(document) != FIELDS:
        raise Invalid("model.json has not the fields of a sealed model")
    if document["format"] != FORMAT or type(document["version"]) is not int or document["version"] != VERSION:
        raise Invalid(f"model.json is not of format {FORMAT} version {VERSION}")
    batch_size, seq_len, vocab_size = _sizes(document)
    tensors, nodes = document["tensors"], document["nodes"]
    if document["inputs"] != ["tokens"] or not isinstance(tensors, dict) or not isinstance(nodes, list):
        raise Invalid("a sealed model has one input, tokens, a table of tensors and a list of nodes")
    if len(tensors) > limits.tensors:
        raise Invalid(f"a sealed model has at most {limits.tensors} tensors, not {len(tensors)}")
    if len(nodes) > limits.nodes:
        raise Invalid(f"a sealed model has at most {limits.nodes} nodes, not {len(nodes)}")
    reader = _Reader(limits=limits)
    reader.define("tokens", None)
    for name, key in tensors.items():
        if not isinstance(key, str) or not KEY.match(key) or key not in tensor_names:
            raise Invalid(f"the weights lack the tensor of {name}")
        reader.define(name, None)
    verified = [reader.node(n) for n in nodes]
    output = reader.look_up(document["output"])
    want = (batch_size, seq_len, vocab_size)
    if output is None or not isinstance(output[1], TensorSpec) or output[1].shape != want:
        raise Invalid(f"the output is not one tensor of logits {want}")
    if not output[1].dtype.is_floating_point:
        raise Invalid(f"the logits are {output[1].dtype}, not floating point")
    return Graph(batch_size=batch_size, seq_len=seq_len, vocab_size=vocab_size, tensor_keys=list(tensors.values()),
                 nodes=verified, output=output[0].slot, elements_limit=limits.elements)  # fmt: skip
