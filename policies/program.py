"""A patch as a program: which scope each node stands in, and what a name may stand for (``t`` for ``torch``).

Nothing is run, nothing recurses, and order is ignored: a name stands for everything it is ever given.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

from policies.syntax import parse

BUILTINS = "builtins"
_ROUNDS = 4  # of aliases of aliases that are followed
_MAX_PARTS = 8  # of a dotted path
_MAX_PATHS = 16  # that one name may stand for
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_NAMED_BY_TEXT = (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)  # their ``name`` is bound, and is no node
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_BINDING = (*_DEFINITIONS, ast.Name, ast.Import, ast.ImportFrom, *_NAMED_BY_TEXT, ast.MatchMapping)
_DECLARING = (ast.Global, ast.Nonlocal)
_SIGNS = (ast.expr_context, ast.operator, ast.unaryop, ast.cmpop, ast.boolop)
_ASSIGNMENTS = (ast.Assign, ast.AnnAssign, ast.NamedExpr)
Kind: TypeAlias = Literal["module", "class", "function", "comprehension"]
Pair: TypeAlias = tuple[ast.expr, ast.expr]


@dataclass(slots=True, eq=False)
class Scope:
    """The names bound in one module, class or function, each with the dotted paths it may stand for."""

    kind: Kind
    parent: Scope | None = None
    names: dict[str, set[str]] = field(default_factory=dict)
    elsewhere: dict[str, Scope] = field(default_factory=dict)  # declared global or nonlocal

    def bind(self, name: str, path: str | None = None) -> None:
        paths = self.elsewhere.get(name, self).names.setdefault(name, set())
        if path is not None and len(paths) < _MAX_PATHS:
            paths.add(".".join(path.split(".")[:_MAX_PARTS]))


class Place(NamedTuple):
    """One node with what holds it and the scope it is read in."""

    node: ast.AST
    parent: ast.AST | None
    scope: Scope


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """All nodes of a patch, outer ones first; signs, such as ``+`` or that a name is read, are no nodes here."""

    places: Sequence[Place]
    module: Scope
    memory: dict[int, frozenset[str]] = field(default_factory=dict)  # by id of the node; the tree outlives it

    def paths(self, node: ast.AST, scope: Scope) -> frozenset[str]:
        """What an expression may stand for: ``t.load`` is ``torch.load`` after ``import torch as t``."""
        if (known := self.memory.get(id(node))) is None:
            known = self.memory[id(node)] = self.look_up(node, scope)
        return known

    def look_up(self, node: ast.AST, scope: Scope) -> frozenset[str]:
        """The same without memory, while aliases are still being followed."""
        found: set[str] = set()
        work: list[tuple[ast.AST, list[str]]] = [(node, [])]
        while work and len(found) < _MAX_PATHS:
            expression, after = work.pop()
            while (step := _inner(expression)) is not None:
                expression = step[0]
                after = [*after, step[1]] if len(after) < _MAX_PARTS else [*after[1:], step[1]]
            if isinstance(expression, ast.Name):
                tail = after[::-1]
                found.update(".".join([path, *tail]) for path in self.stands_for(expression.id, scope))
            else:
                work.extend((choice, after) for choice in _choices(expression))
        return frozenset(found)

    def stands_for(self, name: str, scope: Scope) -> set[str]:
        """The paths of a bare name read in a scope; a name that nobody binds is a builtin."""
        found: set[str] = set()
        at: Scope | None = scope.elsewhere.get(name, scope)
        while at is not None:
            visible = at is scope or at.kind != "class"
            if visible and name in at.names:
                found |= at.names[name]
                if at.kind in ("function", "comprehension"):
                    return found
            at = at.parent
        # Bound in the module: it is the builtin still until then, and again after `del`.
        return found | {f"{BUILTINS}.{name}"}

    def is_rebound(self, name: str) -> bool:
        """Does the module itself give this name a meaning of its own?"""
        return name in self.module.names


def _inner(node: ast.AST) -> tuple[ast.AST, str] | None:
    """The object and the name that ``x.name`` or ``getattr(x, "name")`` looks up."""
    if isinstance(node, ast.Attribute):
        return node.value, node.attr
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr"):
        return None
    name = node.args[1] if len(node.args) in (2, 3) else None
    if isinstance(name, ast.Constant) and isinstance(name.value, str):
        return node.args[0], name.value
    return None


def _choices(node: ast.AST) -> list[ast.expr]:
    """The expressions one of which is the value of this one."""
    if isinstance(node, ast.IfExp):
        return [node.body, node.orelse]
    if isinstance(node, ast.BoolOp):
        return node.values
    return [node.value] if isinstance(node, ast.NamedExpr) else []


@lru_cache(maxsize=2)
def read(patch: bytes) -> Program:
    """Read ``patch`` as a program; callers must not change it.

    Raises:
        Unparsable: it cannot be parsed.
    """
    module = Scope("module")
    places = list(_walk(parse(patch), module))
    for place in places:
        _declare(place)
    for place in places:
        _bind(place)
    program = Program(places, module)
    _follow_aliases(program)
    return program


def _walk(tree: ast.Module, module: Scope) -> Iterator[Place]:
    queue = [Place(tree, None, module)]
    while queue:
        place = queue.pop()
        yield place
        queue.extend(_children(place))


def _children(place: Place) -> list[Place]:
    """What stands in a node, the first of it last. Bodies get a scope of their own, defaults and decorators do not."""
    node, scope = place.node, place.scope
    inside: Scope | None = None
    if isinstance(node, _FUNCTIONS):
        inside = Scope("function", scope)
    elif isinstance(node, ast.ClassDef):
        inside = Scope("class", scope)
    elif isinstance(node, _COMPREHENSIONS):
        inside = Scope("comprehension", scope)
    if inside is not None:
        return _split(node, scope, inside)
    return [Place(child, node, scope) for child in children(node)][::-1]


def children(node: ast.AST) -> list[ast.AST]:
    """The nodes in a node, signs left out: more than a third of a tree, and all alike."""
    found: list[ast.AST] = []
    for name in node._fields:
        value = getattr(node, name, None)
        if isinstance(value, list):
            found += [item for item in value if isinstance(item, ast.AST) and not isinstance(item, _SIGNS)]
        elif isinstance(value, ast.AST) and not isinstance(value, _SIGNS):
            found.append(value)
    return found


def _split(node: ast.AST, outside: Scope, inside: Scope) -> list[Place]:
    places = []
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.arguments):
                places += _arguments(child, node, outside, inside)
            elif isinstance(child, ast.AST) and not isinstance(child, _SIGNS):
                within = isinstance(node, _COMPREHENSIONS) or name == "body"
                places.append(Place(child, node, inside if within else outside))
    return places[::-1]


def _arguments(arguments: ast.arguments, function: ast.AST, outside: Scope, inside: Scope) -> list[Place]:
    places = []
    for child in children(arguments):
        if isinstance(child, ast.arg):
            inside.bind(child.arg)
        places.append(Place(child, function, outside))
    return places


def _declare(place: Place) -> None:
    node, scope = place.node, place.scope
    if isinstance(node, _DECLARING):
        target = scope
        while target.parent is not None and (isinstance(node, ast.Global) or target is scope):
            target = target.parent
        while isinstance(node, ast.Nonlocal) and target.kind == "class" and target.parent is not None:
            target = target.parent
        scope.elsewhere.update(dict.fromkeys(node.names, target))


def _bind(place: Place) -> None:
    node, scope = place.node, place.scope
    if not isinstance(node, _BINDING):
        return
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        walrus = isinstance(place.parent, ast.NamedExpr) and place.parent.target is node
        (_around_comprehensions(scope) if walrus else scope).bind(node.id)
    elif isinstance(node, _DEFINITIONS):
        scope.bind(node.name)
    elif isinstance(node, ast.Import):
        for alias in node.names:
            scope.bind(
                alias.asname or alias.name.split(".")[0], alias.name if alias.asname else alias.name.split(".")[0]
            )
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            scope.bind(alias.asname or alias.name, f"{'.' * node.level}{node.module or ''}.{alias.name}")
    elif isinstance(node, _NAMED_BY_TEXT) and node.name:
        scope.bind(node.name)
    elif isinstance(node, ast.MatchMapping) and node.rest:
        scope.bind(node.rest)


def _around_comprehensions(scope: Scope) -> Scope:
    while scope.kind == "comprehension" and scope.parent is not None:
        scope = scope.parent
    return scope


def _follow_aliases(program: Program) -> None:
    """``p = prepare`` and the like, again and again until nothing is new."""
    pairs = [(place, pair) for place in program.places for pair in alias_pairs(place)]
    for _ in range(_ROUNDS):
        before = _size(pairs)
        for place, (target, value) in pairs:
            assert isinstance(target, ast.Name)  # noqa: S101 - alias_pairs gives no other
            scope = _around_comprehensions(place.scope)
            for path in program.look_up(value, place.scope):
                scope.bind(target.id, path)
        if _size(pairs) == before:
            return


def _size(pairs: Sequence[tuple[Place, Pair]]) -> int:
    scopes = {id(scope): scope for place, _ in pairs for scope in (place.scope, *place.scope.elsewhere.values())}
    return sum(len(paths) for scope in scopes.values() for paths in scope.names.values())


def alias_pairs(place: Place) -> Iterator[Pair]:
    """Name and value of what an assignment makes another name for. Not in a class: there it becomes an attribute."""
    node = place.node
    if not isinstance(node, _ASSIGNMENTS):
        return
    if isinstance(node, ast.Assign):
        sides = [(target, node.value) for target in node.targets]
    else:
        sides = [(node.target, node.value)] if node.value is not None else []
    if place.scope.kind == "class":
        return
    for target, value in sides:
        if isinstance(target, ast.Name):
            yield target, value
        elif isinstance(target, ast.Tuple | ast.List) and isinstance(value, ast.Tuple | ast.List):
            both = zip(target.elts, value.elts, strict=False)
            yield from ((name, part) for name, part in both if isinstance(name, ast.Name))
