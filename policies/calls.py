"""Names, attributes and calls that lead out of the program: to code, files, processes, the interpreter itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from policies import dunders, modules
from policies.environment import is_plain_setting
from policies.interface import Finding, Submission
from policies.program import BUILTINS, Place, Program, alias_pairs, read
from policies.syntax import Unparsable

_REFERENCES = (ast.Name, ast.Attribute)
_LOOKED_AT = (*dunders.LOOKED_AT, *_REFERENCES, ast.Call, ast.Subscript, ast.AugAssign)
_ACCESSORS = frozenset({"getattr", "setattr", "delattr"})
_SOFT = frozenset({"input", "help", "vars", "locals"})  # builtins that a module may honestly reuse the names of
# Attributes of imported things that are meant to be set: the switches of torch. Anything else is a patch.
_SETTABLE = ("torch.backends", "torch._dynamo.config", "torch._inductor.config", "torch._functorch.config")
_ENVIRON = "os.environ"
_ENVIRON_READS = frozenset({"copy", "get", "items", "keys", "values"})
_LOG_SETTINGS = frozenset({"datefmt", "force", "format", "level", "stream", "style"})
_PLAIN = "name the attribute in the code itself; keep things to choose from in a dict or a ModuleList"

Objection = tuple[str, str]  # what is wrong, and what to do instead


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """No name, attribute or call that leads out of the program, however it is reached."""

    refuse: tuple[str, ...] = ()
    allow_environment_writes: bool = True
    unsafe_allow_imports: tuple[str, ...] = ()
    unsafe_allow_names: tuple[str, ...] = ()

    SENTENCE: ClassVar[str] = (
        "Reaches no code, file, process, native library or part of the interpreter beyond what training needs."
    )

    @property
    def name(self) -> str:
        """With the escape hatch in it when that is open, so that every verdict says so."""
        opened = ", ".join(self.unsafe_allow_names)
        return f"calls (unsafe_allow_names: {opened})" if opened else "calls"

    def check(self, submission: Submission) -> Sequence[Finding]:
        try:
            program = read(submission.patch)
        except Unparsable as error:
            message = f"names and calls cannot be looked for: the file {error.message}"
            return [Finding(rule="calls", line=error.line, column=0, message=message, instead=error.instead)]
        aliased = {id(value) for place in program.places for _, value in alias_pairs(place)}
        look = _Look(program, self, frozenset(aliased))
        return [finding for place in program.places if isinstance(place.node, _LOOKED_AT) for finding in look.at(place)]


@dataclass(frozen=True, slots=True)
class _Look:
    program: Program
    rule: Calls
    aliased: frozenset[int]  # expressions that an assignment makes another name for, which is followed

    def at(self, place: Place) -> Iterator[Finding]:
        seen = set()
        for what, instead in self._objections(place):
            if what not in seen:
                seen.add(what)
                line, column = _where(place)
                yield Finding(rule="calls", line=line, column=column, message=what[:200], instead=instead)

    def _objections(self, place: Place) -> Iterator[Objection]:
        node = place.node
        if isinstance(node, dunders.LOOKED_AT):
            yield from dunders.objections(node, place.parent, self._opened_anywhere)
        if isinstance(node, _REFERENCES):
            yield from self._expression(place, node)
        elif isinstance(node, ast.Call):
            yield from self._call(place, node)
        elif isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
            yield from self._subscript(place, node)
        elif isinstance(node, ast.AugAssign):
            yield from self._environment_merge(place, node)

    def _opened(self, path: str) -> bool:
        """Did the operator open an unsafe hatch for this name?"""
        opened = self.rule.unsafe_allow_names + self.rule.unsafe_allow_imports
        plain = path.removeprefix(f"{BUILTINS}.")
        return any(modules.below(plain, top) for top in opened)

    def _opened_anywhere(self, attribute: str) -> bool:
        return self._opened(attribute) or any(top.endswith(f".{attribute}") for top in self.rule.unsafe_allow_names)

    def _expression(self, place: Place, node: ast.Name | ast.Attribute) -> Iterator[Objection]:
        if isinstance(place.parent, ast.Attribute):
            return  # judged with the whole chain that it begins
        rebound = isinstance(node, ast.Name) and node.id in _SOFT and self.program.is_rebound(node.id)
        for path in sorted(self.program.paths(node, place.scope)):
            if rebound or self._opened(modules.canonical(path)):
                continue
            if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
                yield from _patched(path)
            if isinstance(node.ctx, ast.Load):
                yield from self._loaded(place, path)

    def _loaded(self, place: Place, path: str) -> Iterator[Objection]:
        if objection := modules.objection(path):
            yield f"uses {_short(objection[0])}", objection[1]
        elif any(modules.below(modules.canonical(path), refused) for refused in self.rule.refuse):
            yield f"uses {_short(path)}, which this policy refuses", "do without it"
        elif path.removeprefix(f"{BUILTINS}.") in _ACCESSORS and not _is_called(place):
            yield f"passes {path.removeprefix(f'{BUILTINS}.')} on as a value", _PLAIN
        elif modules.is_module(path) and path != "prepare" and self._is_passed_on(place):
            yield f"passes the module {path} on as a value", "use what is needed of it where it is needed"

    def _is_passed_on(self, place: Place) -> bool:
        """Is a module used as more than the beginning of a dotted name, or another name for itself?"""
        node, parent = place.node, place.parent
        if id(node) in self.aliased or isinstance(parent, ast.Expr | ast.Compare | ast.If | ast.While | ast.Assert):
            return False
        if isinstance(parent, ast.UnaryOp | ast.BoolOp | ast.IfExp):
            return False
        return not (isinstance(parent, ast.Call) and _is_lookup(parent) and parent.args[0] is node)

    def _call(self, place: Place, call: ast.Call) -> Iterator[Objection]:
        if isinstance(call.func, ast.Name) and call.func.id in _ACCESSORS:
            yield from self._accessor(place, call, call.func.id)
        callees = self.program.paths(call.func, place.scope)
        if f"{BUILTINS}.type" in callees and len(call.args) + len(call.keywords) > 1:
            yield "makes a class by calling type", "write the class out"
        if any(path.startswith(f"{_ENVIRON}.") for path in callees):
            yield from self._environment_call(call)
        if isinstance(call.func, ast.Attribute) and call.func.attr in ("format", "format_map"):
            yield from self._format(call.func.value)
        if "logging.basicConfig" in callees and not {keyword.arg for keyword in call.keywords} <= _LOG_SETTINGS:
            yield "sets up a log beyond its level, form and stream", "log to the standard output"
        if any(keyword.arg == "allow_pickle" for keyword in call.keywords):
            yield "lets a pickle be read", "leave allow_pickle out"

    def _accessor(self, place: Place, call: ast.Call, function: str) -> Iterator[Objection]:
        if not _is_lookup(call):
            if function == "getattr" and self._reads_own_fields(place, call):
                return
            yield f"{function} with a name that is computed", _PLAIN
            return
        paths = self.program.paths(call, place.scope) if function == "getattr" else ()
        for path in paths:
            if not self._opened(modules.canonical(path)) and (objection := modules.objection(path)):
                yield f"uses {_short(objection[0])}", objection[1]
        if function != "getattr":
            for path in self.program.paths(call.args[0], place.scope):
                yield from _patched(f"{path}.…")

    def _reads_own_fields(self, place: Place, call: ast.Call) -> bool:
        """``getattr(self, field.name)`` where ``field`` runs over ``dataclasses.fields(...)`` and over nothing else."""
        name = call.args[1] if len(call.args) == 2 else None
        if not (isinstance(name, ast.Attribute) and name.attr == "name" and isinstance(name.value, ast.Name)):
            return False
        paths = self.program.paths(call.args[0], place.scope)
        if any(modules.home(path) for path in paths):
            return False
        runs_over = [self._runs_over_fields(other) for other in self.program.places if _binds(other, name.value.id)]
        return bool(runs_over) and all(runs_over)

    def _runs_over_fields(self, place: Place) -> bool:
        loop = place.parent
        if not isinstance(loop, ast.For | ast.comprehension) or loop.target is not place.node:
            return False
        source = loop.iter
        return isinstance(source, ast.Call) and "dataclasses.fields" in self.program.paths(source.func, place.scope)

    def _format(self, template: ast.expr) -> Iterator[Objection]:
        """A template may read attributes. A text is looked at where it stands; one that is computed cannot be."""
        if isinstance(template, ast.BinOp | ast.JoinedStr | ast.Call | ast.Subscript):
            yield "formats with a template that is computed", "use an f-string"

    def _subscript(self, place: Place, node: ast.Subscript) -> Iterator[Objection]:
        for path in self.program.paths(node.value, place.scope):
            if path == _ENVIRON:
                yield from self._environment_write(node.slice)
            elif modules.home(path) not in (None, "prepare"):
                yield from _patched(f"{path}.…")

    def _environment_call(self, call: ast.Call) -> Iterator[Objection]:
        method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        if method == "setdefault" and call.args:
            yield from self._environment_write(call.args[0])
        elif method not in _ENVIRON_READS:
            yield f"changes the environment by {_ENVIRON}.{method[:40]}", "set one variable by its name"

    def _environment_merge(self, place: Place, node: ast.AugAssign) -> Iterator[Objection]:
        if isinstance(node.target, ast.Name) and _ENVIRON in self.program.paths(node.target, place.scope):
            yield f"changes the environment by merging into {_ENVIRON}", "set one variable by its name"

    def _environment_write(self, key: ast.expr) -> Iterator[Objection]:
        if not self.rule.allow_environment_writes:
            yield "sets an environment variable", "use the switches of torch.backends and torch.compile"
        elif not (isinstance(key, ast.Constant) and is_plain_setting(key.value)):
            message = "sets an environment variable that is no plain switch of torch, CUDA or OpenMP"
            yield message, "set only switches such as PYTORCH_CUDA_ALLOC_CONF, by their names"


def _patched(path: str) -> Iterator[Objection]:
    """Setting or deleting an attribute of something imported."""
    path = modules.canonical(path)
    module = modules.home(path)
    if module in (None, "prepare") or path == module or any(modules.below(path, top) for top in _SETTABLE):
        return  # prepare is for the contract rule
    yield f"patches {_short(path.removesuffix('.…'))}", "write a class or a function of your own and use that"


def _binds(place: Place, name: str) -> bool:
    node = place.node
    if isinstance(node, ast.arg):
        return node.arg == name
    return isinstance(node, ast.Name) and node.id == name and not isinstance(node.ctx, ast.Load)


def _is_called(place: Place) -> bool:
    return isinstance(place.parent, ast.Call) and place.parent.func is place.node


def _is_lookup(call: ast.Call) -> bool:
    """``getattr(x, "name")`` and its kin, ``hasattr`` included, with the name written out."""
    function = call.func.id if isinstance(call.func, ast.Name) else ""
    if function not in _ACCESSORS | {"hasattr"} or len(call.args) < 2 or isinstance(call.args[0], ast.Starred):
        return False
    return isinstance(call.args[1], ast.Constant) and isinstance(call.args[1].value, str)


def _where(place: Place) -> tuple[int, int]:
    node = place.node if hasattr(place.node, "lineno") else place.parent
    return getattr(node, "lineno", 0), getattr(node, "col_offset", -1) + 1


def _short(path: str) -> str:
    return path if len(path) <= 80 else f"{path[:79]}…"
