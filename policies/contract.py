"""The file must end in prepare's own evaluation, and must leave prepare as it is."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from policies.interface import Finding
from policies.syntax import Unparsable, parse

MODULE, EVALUATION = "prepare", "evaluate_bpb"
_SETTERS = frozenset({"setattr", "delattr"})
_INSTEAD_IMPORT = f"write `import {MODULE}` and call `{MODULE}.{EVALUATION}(model, tokenizer, batch_size)` at the end"
_INSTEAD_LEAVE = f"{MODULE}.py is fixed for everyone; use other names of your own"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """Imports ``evaluate_bpb`` from prepare (or prepare itself), calls it, and assigns to no name of prepare."""

    @property
    def name(self) -> str:
        return "contract"

    def check(self, patch: bytes, base: bytes) -> Sequence[Finding]:  # noqa: ARG002 - judged by itself
        try:
            tree = parse(patch)
        except Unparsable as error:
            return [self._finding(error.line, f"the evaluation cannot be looked for: the file {error.message}")]
        names = _imports(tree)
        if not names.modules and not names.evaluations:
            return [self._finding(0, f"{EVALUATION} is not imported from {MODULE}")]
        findings = [
            self._finding(n.lineno, what, n.col_offset + 1, _INSTEAD_LEAVE) for n, what in _touched(tree, names)
        ]
        if not any(isinstance(node, ast.Call) and _is_evaluation(node.func, names) for node in ast.walk(tree)):
            findings.append(self._finding(0, f"{MODULE}.{EVALUATION} is never called"))
        return findings

    def _finding(self, line: int, message: str, column: int = 0, instead: str = _INSTEAD_IMPORT) -> Finding:
        return Finding(rule=self.name, line=line, column=column, message=message, instead=instead)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Names:
    """What the file calls prepare, its evaluation, and anything else it imports from there."""

    modules: set[str] = field(default_factory=set)
    evaluations: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)

    @property
    def all(self) -> set[str]:
        return self.modules | self.evaluations | self.others


def _imports(tree: ast.Module) -> _Names:
    names = _Names()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.modules.update(alias.asname or alias.name for alias in node.names if alias.name == MODULE)
        elif isinstance(node, ast.ImportFrom) and node.module == MODULE and not node.level:
            for alias in node.names:
                group = names.evaluations if alias.name == EVALUATION else names.others
                group.add(alias.asname or alias.name)
    return names


def _is_evaluation(function: ast.expr, names: _Names) -> bool:
    if isinstance(function, ast.Attribute):
        return function.attr == EVALUATION and _is_module(function.value, names)
    return isinstance(function, ast.Name) and function.id in names.evaluations


def _is_module(node: ast.expr, names: _Names) -> bool:
    return isinstance(node, ast.Name) and node.id in names.modules


Located = ast.expr | ast.stmt | ast.arg


def _touched(tree: ast.Module, names: _Names) -> Iterator[tuple[Located, str]]:
    """Every place that assigns to, deletes or shadows a name of prepare."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            if _reaches_module(node.value, names):
                yield node, f"assigns to an attribute of {MODULE}"
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load) and node.id in names.all:
            yield node, f"gives {node.id}, which comes from {MODULE}, another meaning"
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name in names.all:
            yield node, f"gives {node.name}, which comes from {MODULE}, another meaning"
        elif isinstance(node, ast.Call) and _sets_attribute(node, names):
            yield node, f"assigns to an attribute of {MODULE}"


def _reaches_module(node: ast.expr, names: _Names) -> bool:
    """Is this prepare, or something inside it: ``prepare``, ``prepare.Tokenizer``, ``prepare.__dict__[...]``?"""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return isinstance(node, ast.Name) and node.id in names.all


def _sets_attribute(call: ast.Call, names: _Names) -> bool:
    named = isinstance(call.func, ast.Name) and call.func.id in _SETTERS
    return named and bool(call.args) and _reaches_module(call.args[0], names)
