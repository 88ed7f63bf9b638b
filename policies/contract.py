"""The file ends by handing its model to prepare's evaluation, and leaves prepare as it is."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from policies.interface import Finding

MODULE, EVALUATION = "prepare", "evaluate_bpb"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """``evaluate_bpb`` is imported from ``prepare`` and called; nothing of ``prepare`` is assigned to."""

    name: str = "contract"

    def check(self, patch: bytes, base: bytes) -> Sequence[Finding]:
        del base
        try:
            tree = ast.parse(patch)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return []  # the syntax rule refuses it
        modules, functions = _imported(tree)
        findings = list(self._assignments(tree, modules, functions))
        if not any(_calls_evaluation(node, modules, functions) for node in ast.walk(tree)):
            findings.append(
                self._finding(
                    ast.Module(body=[], type_ignores=[]),
                    f"{EVALUATION} of {MODULE} is never called",
                    f"`from {MODULE} import {EVALUATION}` and call it at the end",
                )
            )
        return findings

    def _assignments(self, tree: ast.AST, modules: set[str], functions: set[str]) -> Iterator[Finding]:
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
                if isinstance(node.value, ast.Name) and node.value.id in modules:
                    yield self._finding(node, f"assigns to {MODULE}.{node.attr}", f"leave {MODULE} as it is")
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del) and node.id in functions:
                yield self._finding(node, f"assigns to {node.id}, which comes from {MODULE}", "another name")

    def _finding(self, node: ast.AST, message: str, instead: str) -> Finding:
        line, column = getattr(node, "lineno", 0), getattr(node, "col_offset", -1) + 1
        return Finding(rule=self.name, line=line, column=column, message=message, instead=instead)


def _imported(tree: ast.AST) -> tuple[set[str], set[str]]:
    """The names that stand for prepare itself, and those that stand for its evaluation."""
    modules: set[str] = set()
    functions: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.asname or alias.name for alias in node.names if alias.name == MODULE}
        elif isinstance(node, ast.ImportFrom) and node.module == MODULE and node.level == 0:
            functions |= {alias.asname or alias.name for alias in node.names if alias.name == EVALUATION}
    return modules, functions


def _calls_evaluation(node: ast.AST, modules: set[str], functions: set[str]) -> bool:
    if not isinstance(node, ast.Call):
        return False
    called = node.func
    if isinstance(called, ast.Name):
        return called.id in functions
    return (
        isinstance(called, ast.Attribute)
        and called.attr == EVALUATION
        and isinstance(called.value, ast.Name)
        and called.value.id in modules
    )
