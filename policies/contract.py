"""The file must end in prepare's own evaluation, and must leave prepare as it is."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from policies.interface import Finding, Submission
from policies.modules import below
from policies.program import Place, Program, Scope, alias_pairs, read
from policies.syntax import Unparsable

MODULE, EVALUATION = "prepare", "evaluate_bpb"
NAMES: tuple[str, ...] = (
    "BOS_TOKEN",
    "EVAL_BATCH_SIZE",
    "EVAL_TOKENS",
    "MAX_SEQ_LEN",
    "PROFILE",
    "SPECIAL_TOKENS",
    "SealError",
)
NAMES += ("TIME_BUDGET", "Tokenizer", "VOCAB_SIZE", "evaluate_bpb", "make_dataloader", "preseal", "time_left")
_REFERENCES = (ast.Name, ast.Attribute, ast.Call)
_TARGETS = (ast.Attribute, ast.Subscript)
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_IMPORTS = (ast.Import, ast.ImportFrom)
_NAMED_BY_TEXT = (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)
_LOOKED_AT = (*_REFERENCES, *_TARGETS, *_DEFINITIONS, *_IMPORTS, *_NAMED_BY_TEXT, ast.arg, ast.MatchMapping)
_CHANGERS = frozenset({"setattr", "delattr"})
_INSTEAD_IMPORT = f"write `import {MODULE}` and call `{MODULE}.{EVALUATION}(model, tokenizer, batch_size)` at the end"
_INSTEAD_LEAVE = f"{MODULE}.py is fixed for everyone; use other names of your own"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """Imports ``evaluate_bpb`` from prepare (or prepare itself), calls it, uses only ``names``, and changes nothing."""

    names: tuple[str, ...] = NAMES

    SENTENCE: ClassVar[str] = (
        f"Calls {MODULE}.{EVALUATION}, uses only the names of {MODULE} that are meant for it, and changes none of them."
    )

    @property
    def name(self) -> str:
        return "contract"

    def check(self, submission: Submission) -> Sequence[Finding]:
        try:
            program = read(submission.patch)
        except Unparsable as error:
            return [_finding(None, f"the evaluation cannot be looked for: the file {error.message}", line=error.line)]
        ours = _imports(program)
        if not ours:
            return [_finding(None, f"{EVALUATION} is not imported from {MODULE}")]
        look = _Look(program, ours, {id(value) for place in program.places for _, value in alias_pairs(place)})
        found: dict[int, Finding] = {}  # one a line: `prepare.x = 1` is one mistake, however it can be described
        for place in program.places:
            if isinstance(place.node, _LOOKED_AT):
                for what in (*look.touched(place), *self._others(look, place)):
                    found.setdefault(place.node.lineno, _finding(place.node, what, _INSTEAD_LEAVE))
        if not any(look.is_evaluation(place) for place in program.places):
            found[0] = _finding(None, f"{MODULE}.{EVALUATION} is never called")
        return list(found.values())

    def _others(self, look: _Look, place: Place) -> Iterator[str]:
        """Names of prepare that are its own affair: what it imports itself, its files, its private functions."""
        for path in sorted(look.used(place)):
            name = path.split(".")[1] if "." in path else ""
            if name and name not in self.names:
                yield f"uses {MODULE}.{name[:60]}, which is not for train.py"


def _finding(node: ast.AST | None, message: str, instead: str = _INSTEAD_IMPORT, line: int = 0) -> Finding:
    line, column = getattr(node, "lineno", line), getattr(node, "col_offset", -1) + 1
    return Finding(rule="contract", line=line, column=column, message=message, instead=instead)


def _imports(program: Program) -> frozenset[str]:
    """What the file calls prepare and the names it imports from there, by any import that gives the evaluation."""
    names = set()
    for place in program.places:
        node = place.node
        if isinstance(node, ast.Import):
            names |= {alias.asname or alias.name for alias in node.names if alias.name == MODULE}
        elif isinstance(node, ast.ImportFrom) and node.module == MODULE and not node.level:
            names |= {alias.asname or alias.name for alias in node.names if alias.name != "*"}
    return frozenset(names)


@dataclass(frozen=True, slots=True)
class _Look:
    program: Program
    ours: frozenset[str]  # names that stand for prepare or for something of it
    aliased: set[int]

    def is_evaluation(self, place: Place) -> bool:
        node = place.node
        return isinstance(node, ast.Call) and f"{MODULE}.{EVALUATION}" in self._paths(node.func, place.scope)

    def used(self, place: Place) -> set[str]:
        node = place.node
        if isinstance(node, ast.ImportFrom) and node.module == MODULE and not node.level:
            return {f"{MODULE}.{alias.name}" for alias in node.names}
        if isinstance(node, _REFERENCES) and not isinstance(place.parent, ast.Attribute):
            return self._paths(node, place.scope)
        return set()

    def touched(self, place: Place) -> Iterator[str]:
        """Every way in which this node assigns to, deletes, shadows or hands around a name of prepare."""
        node = place.node
        if isinstance(node, _TARGETS) and not isinstance(node.ctx, ast.Load):
            if self._reaches(node.value, place.scope):
                yield f"assigns to an attribute of {MODULE}"
        elif isinstance(node, ast.Call) and self._changes(node, place.scope):
            yield f"assigns to an attribute of {MODULE}"
        elif isinstance(node, ast.Name) and self._is_handed_on(place, node):
            yield f"passes {MODULE} on as a value"
        for name in _bound(node):
            if name in self.ours and not self._is_import_of_it(node, name):
                yield f"gives {name}, which comes from {MODULE}, another meaning"

    def _paths(self, node: ast.AST, scope: Scope) -> set[str]:
        return {path for path in self.program.paths(node, scope) if below(path, MODULE)}

    def _reaches(self, node: ast.AST, scope: Scope) -> bool:
        """Is this prepare, or something inside it: ``prepare``, ``prepare.Tokenizer``, ``prepare.__dict__[...]``?"""
        while isinstance(node, _TARGETS):
            node = node.value
        return bool(self._paths(node, scope))

    def _changes(self, call: ast.Call, scope: Scope) -> bool:
        named = isinstance(call.func, ast.Name) and call.func.id in _CHANGERS
        return named and bool(call.args) and self._reaches(call.args[0], scope)

    def _is_handed_on(self, place: Place, node: ast.Name) -> bool:
        """``p = prepare``, ``vars(prepare)``, ``f(prepare)``: prepare itself, not one of its names."""
        if not isinstance(node.ctx, ast.Load) or isinstance(place.parent, ast.Attribute):
            return False
        return MODULE in self._paths(node, place.scope)

    def _is_import_of_it(self, node: ast.AST, name: str) -> bool:
        if isinstance(node, ast.Import):
            return any((alias.asname or alias.name) == name and alias.name == MODULE for alias in node.names)
        return isinstance(node, ast.ImportFrom) and node.module == MODULE


def _bound(node: ast.AST) -> list[str]:
    """Names to which this node gives a meaning."""
    if isinstance(node, ast.Name):
        return [] if isinstance(node.ctx, ast.Load) else [node.id]
    if isinstance(node, _DEFINITIONS):
        return [node.name]
    if isinstance(node, ast.arg):
        return [node.arg]
    if isinstance(node, _IMPORTS):
        return [alias.asname or alias.name.split(".")[0] for alias in node.names]
    if isinstance(node, _NAMED_BY_TEXT):
        return [node.name] if node.name else []
    return [node.rest] if isinstance(node, ast.MatchMapping) and node.rest else []
