"""What a patch touched: names of literals, functions, methods and classes whose meaning differs from the base."""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import lru_cache

from policies.syntax import Unparsable, parse

MAX_NAMES = 12
UNREADABLE = "(not readable)"
IMPORTS, MODULE = "imports", "module code"
_CHUNK = re.compile(rb"^(?=[A-Za-z_])", re.MULTILINE)


def touched(base: bytes, patch: bytes) -> tuple[str, ...]:
    """Names of what differs, in the order of the file, at most ``MAX_NAMES``; empty where only layout differs.

    ``GPT.forward`` is a method, ``GPT`` the rest of its class. Only stretches of the file that differ as text are
    parsed: of a night's thousand patches most differ from their base in a line or two.
    """
    before, after = _chunks(base), _chunks(patch)
    try:
        old, new = _parts(_without(before, after)), _parts(_without(after, before))
    except (Unparsable, RecursionError):  # a stretch began inside a string or a statement: look at the whole
        try:
            old, new = _parts(base), _parts(patch)
        except (Unparsable, RecursionError):  # the parser bears longer chains of operators than ast.dump does
            return (UNREADABLE,)
    names = [name for name in (*new, *old) if old.get(name) != new.get(name)]
    return tuple(dict.fromkeys(names))[:MAX_NAMES]


@lru_cache(maxsize=8)
def _chunks(source: bytes) -> tuple[bytes, ...]:
    """The file, cut before each line that begins with a word: one top-level statement each, as a rule."""
    return tuple(_CHUNK.split(source.replace(b"\r\n", b"\n")))


def _without(some: tuple[bytes, ...], others: tuple[bytes, ...]) -> bytes:
    """The chunks of ``some`` that ``others`` lacks, in their order."""
    spare = Counter(others)
    kept = []
    for chunk in some:
        if spare[chunk] > 0:
            spare[chunk] -= 1
        else:
            kept.append(chunk)
    return b"".join(kept)


def _parts(source: bytes) -> dict[str, list[str]]:
    """What each name of a program stands for, comments and layout left out."""
    found: dict[str, list[str]] = defaultdict(list)
    _collect(parse(source).body, found)
    return found


def _collect(body: Iterable[ast.stmt], found: dict[str, list[str]]) -> None:
    for node in body:
        match node:
            case ast.Import() | ast.ImportFrom():
                found[IMPORTS].append(ast.dump(node))
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found[name].append(ast.dump(node))
            case ast.ClassDef():
                _collect_class(node, found)
            case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
                for name in _assigned(node) or [MODULE]:
                    found[name].append(ast.dump(node))
            case ast.If(test=test, body=then, orelse=otherwise):
                found[MODULE].append(ast.dump(test))
                _collect([*then, *otherwise], found)
            case ast.Expr(value=ast.Constant()):
                pass  # a docstring does nothing
            case _:
                found[MODULE].append(ast.dump(node))


def _collect_class(node: ast.ClassDef, found: dict[str, list[str]]) -> None:
    rest = [ast.dump(part) for part in (*node.decorator_list, *node.bases, *node.keywords)]
    for part in node.body:
        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
            found[f"{node.name}.{part.name}"].append(ast.dump(part))
        elif not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant)):
            rest.append(ast.dump(part))
    found[node.name].extend(rest)


def _assigned(node: ast.stmt) -> list[str]:
    names = (part for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store))
    return list(dict.fromkeys(name.id for name in names))
