"""Runs inside the build of the image, after strip_image.py: empties comments and docstrings, then compiles.

Each line stays where it was, so tracebacks, ``torch.export`` and Triton's reading of sources go on working; every
rewritten file is parsed again and must be the same program. The guest stays as it is, byte for byte, because the
referee reports its own hash. Standard library only; Python 3.11.
"""

from __future__ import annotations

import ast
import compileall
import io
import marshal
import multiprocessing
import os
import py_compile
import re
import sys
import sysconfig
import tokenize
from collections.abc import Iterator
from pathlib import Path

GUEST = "autoresearch_guest"
DOC_CALLS = {"_add_docstr", "add_docstr", "add_docstr_all", "add_newdoc"}
# numpy.ma insists on the return types in numpy's docstrings when it is imported.
READ_BY_NUMPY = re.compile(r"\s*\w+ : (ndarray|any|one ndarray or tuple of ndarrays)")
MEANT_FOR_MACHINES = re.compile(r"#\s*type:|#!|#.*coding[:=]")


class NotTheSame(Exception):  # noqa: N818
    """A source that cannot be blanked without a doubt."""


def main() -> int:
    """Blank and compile the standard library and what is installed beside us."""
    if "no_debug_ranges" not in sys._xoptions:
        sys.exit("strip_sources: run me with -X no_debug_ranges, or every program differs in its columns")
    paths = sysconfig.get_paths()
    trees = [Path(paths["stdlib"]), Path(paths["purelib"])]
    print(f"blanked {_blank_sources(trees)} sources", flush=True)
    return 0 if _compile(trees) else 1


def _blank_sources(trees: list[Path]) -> int:
    guest = trees[-1] / GUEST
    sources = [p for tree in trees for p in _sources(tree) if not p.is_relative_to(guest)]
    with multiprocessing.Pool() as pool:
        return sum(pool.imap_unordered(_blank_file, sources, chunksize=32))


def _sources(tree: Path) -> Iterator[Path]:
    for directory, _, names in os.walk(tree):
        yield from (Path(directory, name) for name in sorted(names) if name.endswith(".py"))


def _blank_file(path: Path) -> bool:
    content = path.read_bytes()
    try:
        blanked = blank(content)
    except (SyntaxError, UnicodeDecodeError, tokenize.TokenError, NotTheSame):
        print(f"left as it is: {path}", flush=True)  # a template, another Python's, or beyond us: never broken
        return False
    if blanked is None:
        return False
    path.write_bytes(blanked)
    return True


def blank(content: bytes) -> bytes | None:
    """The same program with empty comments and docstrings, every line in its place.

    Returns:
        None when there is nothing to take out.

    Raises:
        NotTheSame: what came out would be another program.
        SyntaxError: not Python 3.11.
        UnicodeDecodeError: not UTF-8.
    """
    text = content.decode("utf-8")
    if "\r" in text or text.startswith("\ufeff"):
        raise NotTheSame("line ends that Python's tokenizer and we might count differently")
    tree = ast.parse(text)
    lines = text.split("\n")
    spans = [*_docstrings(tree, lines), *_comments(text)]
    if not spans:
        return None
    for start, end, replacement in sorted(spans, reverse=True):
        (first, begin), (last, stop) = start, end
        lines[first : last + 1] = (lines[first][:begin] + replacement + lines[last][stop:]).split("\n")
    result = "\n".join(lines)
    # The tree's own docstrings were emptied by _docstrings: what is left must be equal, line numbers included.
    if _program(ast.parse(result)) != _program(tree):
        raise NotTheSame("the blanked source compiles to something else")
    return result.encode()


Position = tuple[int, int]
Span = tuple[Position, Position, str]


def _docstrings(tree: ast.AST, lines: list[str]) -> list[Span]:
    """Where documentation stands, and the blank string of as many lines for each; empties it in the tree, too."""
    spans = []
    for constant in _documentation(tree):
        first, last = constant.lineno - 1, (constant.end_lineno or 0) - 1
        blanked = "\n".join([*("" if i in (first, last) else _kept(lines[i]) for i in range(first, last)), ""])
        constant.value, constant.kind = blanked, None
        start = (first, _column(lines[first], constant.col_offset))
        end = (last, _column(lines[last], constant.end_col_offset or 0))
        spans.append((start, end, f'"""{blanked}"""' if blanked else '""'))
    return spans


def _kept(line: str) -> str:
    return line if READ_BY_NUMPY.fullmatch(line) else ""


def _column(line: str, offset_bytes: int) -> int:
    return len(line.encode()[:offset_bytes].decode())


def _documentation(tree: ast.AST) -> Iterator[ast.Constant]:
    """String statements, what is assigned to ``__doc__``, and what the docstring functions of torch and numpy get."""
    seen: set[int] = set()
    for node in ast.walk(tree):
        for constant in _documentation_of(node):
            if id(constant) not in seen:
                seen.add(id(constant))
                yield constant


def _documentation_of(node: ast.AST) -> Iterator[ast.Constant]:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        yield from _texts(node.value)
    if isinstance(node, (ast.Assign, ast.AugAssign)) and "__doc__" in map(_name, _targets(node)):
        yield from _texts(node.value)
    if isinstance(node, ast.Call) and _name(node.func) in DOC_CALLS:
        for argument in node.args:
            yield from (text for text in _texts(argument) if "\n" in str(text.value))
    if isinstance(node, ast.keyword) and node.arg == "doc":
        yield from (text for text in _texts(node.value) if "\n" in str(text.value))


def _targets(node: ast.Assign | ast.AugAssign) -> list[ast.expr]:
    return node.targets if isinstance(node, ast.Assign) else [node.target]


def _name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _texts(node: ast.AST) -> Iterator[ast.Constant]:
    """The plain strings that an expression puts together: by ``+``, in a tuple, or before ``.format(...)``.

    Not the arguments of calls (``getattr(f, "__doc__")``), not what ``%`` fills (a blank takes no arguments), and not
    the pieces of an f-string, which have no place of their own in 3.11's tree.
    """
    match node:
        case ast.Constant(value=str()):
            yield node
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            yield from _texts(left)
            yield from _texts(right)
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            for part in parts:
                yield from _texts(part)
        case ast.Call(func=ast.Attribute(value=text, attr="format")):
            yield from _texts(text)


def _comments(text: str) -> Iterator[Span]:
    if "#" not in text:
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and not MEANT_FOR_MACHINES.match(token.string):
            (row, column), (_, end) = token.start, token.end
            code = token.line[:column].rstrip() if token.line else ""
            yield (row - 1, len(code)), (row - 1, end), ""


def _program(tree: ast.Module) -> bytes:
    """The byte code, line numbers included; columns are not (``-X no_debug_ranges``), for those may change.

    Version 2 of the format has no back references, which differ between two equal programs.
    """
    return marshal.dumps(compile(tree, "blanked", "exec", dont_inherit=True), 2)


def _compile(trees: list[Path]) -> bool:
    """Byte code by hash, never checked against its source: the same bytes from every build.

    A template that never was Python may stay uncompiled; a source that is imported and broken would have been
    refused by :func:`blank`.
    """
    for tree in trees:
        compileall.compile_dir(
            tree,
            quiet=2,
            workers=0,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
    return all(any(tree.rglob("*.pyc")) for tree in trees)


if __name__ == "__main__":
    sys.exit(main())
