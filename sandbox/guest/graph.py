"""The sealed graph as values, its verification, and the plain loop that runs it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from . import guards
from .errors import Invalid
from .ops import Op


@dataclass(frozen=True, slots=True)
class Ref:
    """The value in a numbered slot: 0 holds the tokens, then come the weights, then one slot a node."""

    slot: int


@dataclass(frozen=True, slots=True)
class TheDevice:
    """Stands where the traced graph named a device; bound to the referee's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """A declared tensor; None is a size that depends on the data."""

    dtype: torch.dtype
    shape: tuple[int | None, ...]

    def check(self, value: Any, name: str, elements_limit: int) -> None:
        """Raises: Invalid: `value` is not what was declared, or larger than anything may be."""
        if not isinstance(value, Tensor) or value.layout is not torch.strided:
            raise Invalid(f"node {name} does not give a plain tensor")
        if value.numel() > elements_limit:
            raise Invalid(f"node {name} gives more than {elements_limit} elements")
        same = len(self.shape) == value.dim() and all(
            d is None or d == s for d, s in zip(self.shape, value.shape, strict=True)
        )
        if not same or value.dtype is not self.dtype:
            raise Invalid(f"node {name} gives {value.dtype} {tuple(value.shape)}, declared {self.dtype} {self.shape}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ManySpec:
    """A tuple or list of tensors."""

    parts: tuple[TensorSpec, ...]

    def check(self, value: Any, name: str, elements_limit: int) -> None:
        """Raises: Invalid: `value` is not what was declared."""
        if not isinstance(value, (list, tuple)) or len(value) != len(self.parts):
            raise Invalid(f"node {name} does not give {len(self.parts)} tensors")
        for part, item in zip(self.parts, value, strict=True):
            part.check(item, name, elements_limit)


@dataclass(frozen=True, slots=True)
class ScalarSpec:
    """A symbolic size, or what arithmetic made of one."""

    def check(self, value: Any, name: str, _elements_limit: int) -> None:
        """Raises: Invalid: `value` is not a number."""
        if not isinstance(value, (int, float)):
            raise Invalid(f"node {name} does not give a number")


Spec = TensorSpec | ManySpec | ScalarSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One verified operation; arguments hold constants, `Ref`s and `TheDevice`."""

    name: str
    op: Op
    args: list[Any]
    kwargs: dict[str, Any]
    out: Spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A verified graph: every reference points backwards, every operation is on the list."""

    batch_size: int
    seq_len: int
    vocab_size: int
    tensor_keys: list[str]
    nodes: list[Node]
    output: int
    elements_limit: int


@dataclass(slots=True)
class _Step:
    """A node made ready for the loop: where references go in, what may be forgotten afterwards."""

    call: Any
    args: list[Any]
    kwargs: dict[str, Any]
    fills: list[tuple[int, int]]
    nested: list[tuple[int, list[Any]]]
    named: list[tuple[str, Any]]
    guard: guards.Guard | None
    forget: list[int]


def _has_ref(value: Any) -> bool:
    return isinstance(value, Ref) or (isinstance(value, list) and any(map(_has_ref, value)))


def _bind(value: Any, device: torch.device) -> Any:
    if isinstance(value, list):
        return [_bind(v, device) for v in value]
    return device if isinstance(value, TheDevice) else value


def _slots(value: Any) -> list[int]:
    if isinstance(value, Ref):
        return [value.slot]
    return [s for v in value for s in _slots(v)] if isinstance(value, list) else []


def _last_uses(graph: Graph) -> dict[int, list[int]]:
    """node index -> slots that no later node reads (weights and the output live on)."""
    first = 1 + len(graph.tensor_keys)
    last = {first + index: index for index in range(len(graph.nodes))}
    for index, node in enumerate(graph.nodes):
        for slot in _slots([node.args, list(node.kwargs.values())]):
            last[slot] = index
    forget: dict[int, list[int]] = {}
    for slot, index in last.items():
        if slot != graph.output and (slot >= first or slot == 0):
            forget.setdefault(index, []).append(slot)
    return forget


class SealedModel:
    """A verified graph with its weights; `run` maps tokens (B, T) int64 to logits (B, T, vocab_size)."""

    def __init__(self, graph: Graph, tensors: dict[str, Tensor]) -> None:
        self.graph = graph
        self._tensors = tensors
        self.to(torch.device("cpu"))

    @property
    def parameters(self) -> int:
        """Number of stored elements: weights and constants, shared ones once."""
        return sum(t.numel() for t in self._tensors.values())

    def _specs(self) -> list[TensorSpec]:
        every = [s for n in self.graph.nodes for s in (n.out.parts if isinstance(n.out, ManySpec) else [n.out])]
        return [s for s in every if isinstance(s, TensorSpec)]

    @property
    def sized(self) -> bool:
        """Whether the size of any value depends on the data, so that kernels see other shapes from batch to batch."""
        return any(size is None for spec in self._specs() for size in spec.shape)

    @property
    def half_precision(self) -> bool:
        """Whether any value is bfloat16 or float16, so that rounding is to be expected."""
        return any(spec.dtype in (torch.bfloat16, torch.float16) for spec in self._specs())

    def to(self, device: torch.device) -> "SealedModel":
        """Move the weights and bind the graph's device; returns self."""
        self.device = device
        self._tensors = {k: t.to(device) for k, t in self._tensors.items()}
        forget = _last_uses(self.graph)
        self._steps = [self._step(node, forget.get(i, [])) for i, node in enumerate(self.graph.nodes)]
        return self

    def _step(self, node: Node, forget: list[int]) -> _Step:
        args, kwargs = _bind(node.args, self.device), {k: _bind(v, self.device) for k, v in node.kwargs.items()}
        return _Step(
            call=node.op.call,
            args=args,
            kwargs=kwargs,
            fills=[(i, a.slot) for i, a in enumerate(args) if isinstance(a, Ref)],
            nested=[(i, a) for i, a in enumerate(args) if isinstance(a, list) and _has_ref(a)],
            named=[(k, v) for k, v in kwargs.items() if _has_ref(v)],
            guard=guards.for_op(node.op.name, node.op.growing, self.graph.elements_limit),
            forget=forget,
        )

    def run(self, tokens: Tensor) -> Tensor:
        """Interpret the graph on a private copy of `tokens`.

        Raises:
            Invalid: an operation fails, or gives another shape or dtype than declared (sizes may follow the data, so
                every pass is compared).
        """
        graph = self.graph
        if tuple(tokens.shape) != (graph.batch_size, graph.seq_len):
            raise ValueError(f"tokens have shape {tuple(tokens.shape)}")
        slots: list[Any] = [None] * (1 + len(graph.tensor_keys) + len(graph.nodes))
        slots[0] = tokens.to(self.device, torch.int64, copy=True).contiguous()
        slots[1 : 1 + len(graph.tensor_keys)] = [self._tensors[k] for k in graph.tensor_keys]
        with torch.inference_mode():
            self._loop(slots)
        return slots[graph.output]

    def _loop(self, slots: list[Any]) -> None:
        slot = 1 + len(self.graph.tensor_keys)
        node_index = 0
        try:
            for node_index, step in enumerate(self._steps):
                slots[slot + node_index] = value = _execute(step, slots)
                node = self.graph.nodes[node_index]
                node.out.check(value, node.name, self.graph.elements_limit)
                del value
                for dead in step.forget:
                    slots[dead] = None
        except Invalid:
            raise
        except (RuntimeError, ValueError, TypeError, IndexError, ArithmeticError, NotImplementedError,
                AssertionError, MemoryError) as error:  # fmt: skip
            # Whatever a kernel says about hostile shapes and values is the candidate's affair.
            node = self.graph.nodes[node_index]
            raise Invalid(f"node {node.name} ({node.op.name}) failed: {_first_line(error)}") from None


def _execute(step: _Step, slots: Sequence[Any]) -> Any:
    args, kwargs = step.args.copy(), step.kwargs
    for position, slot in step.fills:
        args[position] = slots[slot]
    for position, items in step.nested:
        args[position] = _fill(items, slots)
    if step.named:
        kwargs = kwargs | {key: _fill(value, slots) for key, value in step.named}
    if step.guard is not None:
        step.guard(args, kwargs)
    return step.call(*args, **kwargs)


def _fill(value: Any, slots: Sequence[Any]) -> Any:
    if isinstance(value, Ref):
        return slots[value.slot]
    return [_fill(v, slots) for v in value] if isinstance(value, list) else value


def _first_line(error: BaseException) -> str:
    """What a kernel says, without its numbers: an index out of bounds may be computed from tokens nobody may learn."""
    text = str(error).strip()
    first = re.sub(r"[0-9]+", "#", text.splitlines()[0])[:200] if text else "no message"
    return f"{type(error).__name__}: {first}"
