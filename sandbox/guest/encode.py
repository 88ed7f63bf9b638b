"""From an exported program to the nodes of model.json, with reasons that name the researcher's own line."""

import re
import traceback
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx
from torch.export.graph_signature import InputKind, OutputKind

from . import ops, refused
from .errors import SealError, sanitise
from .verify import DTYPES, MEMORY_FORMATS

_OUR_FILES = str(Path(__file__).parent)
_TORCH_FILES = str(Path(torch.__file__).parent)

_WORDS = (
    ("data-dependent", "branches on the value of a tensor; use torch.where or masks instead of if and .item()"),
    ("data dependent", "branches on the value of a tensor; use torch.where or masks instead of if and .item()"),
    ("GuardOnDataDependent", "branches on the value of a tensor; use torch.where or masks"),
    ("aten._local_scalar_dense", "reads the value of a tensor; use torch.where or masks instead of .item()"),
    ("flex_attention", "uses FlexAttention, which cannot be sealed; use F.scaled_dot_product_attention "
                       "while torch.compiler.is_exporting()"),
)  # fmt: skip


def _is_users(filename: str) -> bool:
    return not filename.startswith((_TORCH_FILES, _OUR_FILES, "<")) and "importlib" not in filename


def _user_line(frames: list[tuple[str, int, str]]) -> str:
    """Name the last frame that is the researcher's own."""
    own = [f for f in frames if _is_users(f[0])]
    if not own:
        return ""
    filename, line, source = own[-1]
    return f"{Path(filename).name} line {line}" + (f" ({source.strip()})" if source.strip() else "")


def node_line(node: fx.Node) -> str:
    """Return "train.py line 57 (x = ...)" for a traced node, or an empty string."""
    trace = node.meta.get("stack_trace") or ""
    frames = re.findall(r'File "([^"]+)", line (\d+), in [^\n]*(?:\n([^\n]*))?', trace)
    return _user_line([(f, int(n), s) for f, n, s in frames])


def explain(error: BaseException) -> str:
    """Turn an exception of torch.export into one sentence."""
    frames = [(f.filename, f.lineno or 0, f.line or "") for f in traceback.extract_tb(error.__traceback__)]
    where, text = _user_line(frames), f"{type(error).__name__}: {error}"
    reported = re.findall(r'File "([^"]+)", line (\d+), in [^\n]*\n([^\n]*)', str(error))
    if not where:
        where = _user_line([(f, int(n), s) for f, n, s in reported])
    what = next((words for mark, words in _WORDS if mark in text), None)
    if what is None:
        what = f"cannot be traced: {text}"
    return sanitise(f"{where or 'the model'} {what}")


def encode(program: Any) -> tuple[dict[str, Any], dict[str, tuple[str, Tensor]]]:
    """Return (tensors, nodes, output) of the document, and where each used tensor comes from.

    Raises:
        SealError: the program mutates state, returns something else than logits, or uses a forbidden operation.
    """
    signature = program.graph_signature
    _refuse_effects(signature)
    names: dict[fx.Node, str] = {}
    sources: dict[str, tuple[str, Tensor]] = {}
    live = _live_nodes(program.graph)
    specs = {s.arg.name: s for s in signature.input_specs}
    for node in program.graph.nodes:
        if node.op == "placeholder" and node in live:
            spec = specs[node.name]
            if spec.kind is InputKind.USER_INPUT:
                names[node] = "tokens"
            else:
                names[node] = f"t{len(sources)}"
                sources[names[node]] = (spec.target, _stored(program, spec))
    calls = [n for n in program.graph.nodes if n.op == "call_function" and n in live]
    names |= {node: f"n{index}" for index, node in enumerate(calls)}
    nodes = [_node(node, names) for node in calls]
    (output,) = next(n for n in program.graph.nodes if n.op == "output").args[0]
    body = {
        "tensors": {name: name for name in sources},
        "nodes": nodes,
        "output": {"ref": names[output]},
    }
    return body, sources


def _stored(program: Any, spec: Any) -> Tensor:
    value = program.state_dict.get(spec.target)
    value = program.constants.get(spec.target) if value is None else value
    if not isinstance(value, Tensor) or isinstance(value, torch._subclasses.FakeTensor):
        raise SealError(f"the model keeps {spec.target}, which is not a plain tensor")
    return value


def _refuse_effects(signature: Any) -> None:
    kinds = [s.kind for s in signature.output_specs]
    for spec in signature.output_specs:
        if spec.kind is OutputKind.BUFFER_MUTATION or spec.kind is OutputKind.PARAMETER_MUTATION:
            raise SealError(f"forward changes {spec.target}, which the model keeps; a sealed model has no memory: "
                            "do so in training only (if self.training:)")  # fmt: skip
        if spec.kind is OutputKind.USER_INPUT_MUTATION:
            raise SealError("forward changes its tokens in place; work on a copy")
    if kinds != [OutputKind.USER_OUTPUT]:
        raise SealError("model(tokens) must return one tensor of logits and nothing else")
    for spec in signature.input_specs:
        if spec.kind is InputKind.CUSTOM_OBJ or spec.kind is InputKind.TOKEN:
            raise SealError("the model uses an object that is not a tensor")


def _live_nodes(graph: fx.Graph) -> set[fx.Node]:
    """Nodes that the output depends on; assertions and dead code are left out of the sealed model."""
    live: set[fx.Node] = set()
    todo = [n for n in graph.nodes if n.op == "output"]
    while todo:
        node = todo.pop()
        if node not in live:
            live.add(node)
            todo += node.all_input_nodes
    return live


def _op_name(node: fx.Node) -> str:
    target = node.target
    if isinstance(target, torch._ops.OpOverload):
        name = str(target)
        return ops.RENAMED.get(name, name)
    name = getattr(target, "__name__", str(target))
    return "getitem" if name == "getitem" else f"sym.{name}"


def _node(node: fx.Node, names: dict[fx.Node, str]) -> list[Any]:
    name = _op_name(node)
    if name not in ops.table():
        where = node_line(node) or "the model"
        shown = name.removeprefix("sym.")
        for mark, words in _WORDS:
            if mark in shown:
                raise SealError(sanitise(f"{where} {words}"))
        raise SealError(sanitise(f"{where} uses {shown}, which a sealed model may not contain: "
                                 f"{refused.why(shown)}"))  # fmt: skip
    schema = ops.table()[name].schema
    kinds = {} if schema is None else {a.name: str(a.real_type) for a in schema.arguments}
    order = list(kinds.values())
    args = [_value(a, order[i] if i < len(order) else "", names, node) for i, a in enumerate(node.args)]
    kwargs = {k: _value(v, kinds.get(k, ""), names, node) for k, v in node.kwargs.items() if _matters(k, v)}
    return [names[node], name, args, kwargs, _result(node)]


def _matters(key: str, value: Any) -> bool:
    """Leave out what says nothing about the values: layout, pinning, copies in the background."""
    return key not in ("layout", "pin_memory", "non_blocking") and value is not None


def _value(value: Any, kind: str, names: dict[fx.Node, str], node: fx.Node) -> Any:
    if isinstance(value, fx.Node):
        return {"ref": names[value]}
    if kind.startswith("Optional["):
        return None if value is None else _value(value, kind[9:-1], names, node)
    if kind.startswith("List["):
        items = value if isinstance(value, (list, tuple)) else [value]
        return [_value(v, kind[5:-1], names, node) for v in items]
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if isinstance(value, torch.device):
        return {"device": "model"}
    if isinstance(value, torch.memory_format):
        text = str(value).removeprefix("torch.")
        return {"memory_format": text if text in MEMORY_FORMATS else "preserve_format"}
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return {"float": str(value)}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise SealError(f"{node_line(node) or 'the model'} passes a {type(value).__name__}, which cannot be sealed")


def _size(size: Any) -> int | None:
    """Return a size as an integer, or None where it depends on the data."""
    if isinstance(size, int):
        return size
    return size.node.maybe_as_int()


def _tensor(value: Tensor, node: fx.Node) -> dict[str, Any]:
    dtype = str(value.dtype).removeprefix("torch.")
    if dtype not in DTYPES:
        raise SealError(f"{node_line(node) or 'the model'} makes a tensor of {dtype}, which cannot be sealed")
    return {"dtype": dtype, "shape": [_size(s) for s in value.shape]}


def _result(node: fx.Node) -> dict[str, Any]:
    value = node.meta.get("val")
    if isinstance(value, Tensor):
        return _tensor(value, node)
    if isinstance(value, (list, tuple)) and all(isinstance(v, Tensor) for v in value):
        return {"each": [_tensor(v, node) for v in value]}
    return {"scalar": True}
