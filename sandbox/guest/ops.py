"""The operations a sealed model may contain, by name: what allowed.py lists, as torch has it."""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from .allowed import FAMILIES, GETITEM_REASON, GROWING, SYMBOLIC_REASON

# What the traced op is sealed as: the same function without a promise about strides.
RENAMED = {
    "aten.view.default": "aten.reshape.default",
    "aten._unsafe_view.default": "aten.reshape.default",
    "aten.view_copy.default": "aten.reshape.default",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """One allowed operation: `kind` is its class, `reason` why it is safe, `schema` None for integer arithmetic."""

    name: str
    kind: str
    call: Callable[..., Any]
    schema: Any
    growing: bool
    reason: str


_INTEGER_LIMIT = 2**63


def _bounded(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap scalar arithmetic: a chain of squarings would otherwise grow an integer without end."""

    def call(*args: Any) -> Any:
        result = function(*args)
        if isinstance(result, (int, float)) and abs(result) < _INTEGER_LIMIT:
            return result
        raise ValueError("a symbolic size left the range of long integers")

    call.__name__ = function.__name__
    return call


SCALAR_FUNCTIONS: dict[str, Callable[..., Any]] = {
    f"sym.{function.__name__}": function
    for function in (
        operator.add, operator.sub, operator.mul, operator.floordiv, operator.truediv, operator.mod, operator.neg,
        operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge, operator.and_, operator.or_,
        math.ceil, math.floor, math.trunc, torch.sym_max, torch.sym_min, torch.sym_not, torch.sym_float, torch.sym_int,
    )
}  # fmt: skip


def _aten(short: str, kind: str, reason: str) -> Op | None:
    """Look one of our own names up; None where this torch lacks it."""
    packet_name, _, overload = short.partition(".")
    packet = getattr(torch.ops.aten, packet_name, None)
    call = getattr(packet, overload or "default", None)
    if call is None:
        return None
    if any(a.alias_info is not None and a.alias_info.is_write for a in call._schema.arguments):
        raise AssertionError(f"{short} writes to its arguments and does not belong on the list")
    name = f"aten.{packet_name}.{overload or 'default'}"
    return Op(name=name, kind=kind, call=call, schema=call._schema, growing=short in GROWING, reason=reason)


@cache
def table() -> dict[str, Op]:
    """Every allowed operation by the name that stands in model.json."""
    every = (_aten(name, f.kind, f.reason) for f in FAMILIES for name in f.names.split())
    found = {op.name: op for op in every if op is not None}
    for name, function in SCALAR_FUNCTIONS.items():
        found[name] = _scalar(name, _bounded(function), SYMBOLIC_REASON)
    found["getitem"] = _scalar("getitem", operator.getitem, GETITEM_REASON)
    return found


def _scalar(name: str, call: Callable[..., Any], reason: str) -> Op:
    return Op(name=name, kind="symbolic", call=call, schema=None, growing=False, reason=reason)
