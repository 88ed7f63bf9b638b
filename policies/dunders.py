"""Names with double underscores, and other names that are refused wherever they stand."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

from policies.modules import ATTRIBUTES

_OPERATORS = (
    "abs add and bool call contains delitem divmod enter eq exit float floordiv ge getitem gt iadd iand imul index int "
    "invert ior isub iter itruediv ixor le len lshift lt matmul missing mod mul ne neg next or pos pow radd rand repr "
    "reversed rfloordiv rlshift rmatmul rmod rmul ror round rpow rrshift rshift rsub rtruediv rxor setitem str sub "
    "truediv xor format"
)
_LIFE = "init new post_init init_subclass set_name hash getattr setattr delattr torch_function torch_dispatch"
# What may be read of an object: methods that operators and statements call anyway, and how it is called.
_READABLE = frozenset(f"__{name}__" for name in f"{_OPERATORS} init new post_init init_subclass".split())
_READABLE |= {"__name__", "__qualname__", "__version__", "__len__"}
# By super() an object reaches only its own parents' methods: there the others may be called as well.
_BY_SUPER = frozenset(f"__{name}__" for name in _LIFE.split()) | {"__getstate__", "__setstate__"}
_BARE = frozenset({"__name__", "__debug__"}) | frozenset(f"__{name}__" for name in f"{_OPERATORS} {_LIFE}".split())
_NOT_DEFINED = {
    "__del__": "end what has to end where it was begun, with `with` or `finally`",
    "__getattribute__": "define __getattr__, or plain methods",
    **dict.fromkeys(("__reduce__", "__reduce_ex__", "__class__"), "leave it out: nothing is pickled"),
    **dict.fromkeys(("__instancecheck__", "__subclasscheck__", "__subclasshook__"), "use a plain base class"),
    **dict.fromkeys(("__builtins__", "__import__", "__loader__", "__spec__", "__path__", "__file__"), "leave it out"),
    **dict.fromkeys(("__build_class__", "__prepare__", "__mro_entries__"), "write a plain class"),
}
_ESCAPE_WORDS = "base bases builtins class closure code dict func getattribute globals import "
_ESCAPE_WORDS += "loader mro reduce reduce_ex self spec subclasses traceback wrapped"
_ESCAPES = frozenset(f"__{name}__" for name in _ESCAPE_WORDS.split())
_FIELD = re.compile(r"\{[^{}\s]{0,200}?[.\[][^{}]{0,200}?__")
_PLAIN = "use the object's public names"

LOOKED_AT = (
    ast.Attribute, ast.Name, ast.FunctionDef, ast.AsyncFunctionDef, ast.MatchClass, ast.Constant, ast.BinOp, ast.Call
)  # fmt: skip
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

Objection = tuple[str, str]


def objections(node: ast.AST, parent: ast.AST | None, opened: Callable[[str], bool]) -> Iterator[Objection]:
    """What is wrong with the names in one node; ``opened`` says which the operator allows all the same."""
    for name, what, instead in _named(node):
        if not opened(name) and not (name == "__class__" and _asks_its_name(parent)):
            yield what, instead


def _asks_its_name(parent: ast.AST | None) -> bool:
    """``self.__class__.__name__``, for a message."""
    return isinstance(parent, ast.Attribute) and parent.attr in ("__name__", "__qualname__")


def _named(node: ast.AST) -> Iterator[tuple[str, str, str]]:
    if isinstance(node, ast.Attribute):
        yield from _attribute(node.attr, node.value)
    elif isinstance(node, ast.Name):
        yield from _bare(node)
    elif isinstance(node, _FUNCTIONS) and node.name in _NOT_DEFINED:
        yield node.name, f"defines {node.name}", _NOT_DEFINED[node.name]
    elif isinstance(node, ast.MatchClass):
        for name in node.kwd_attrs:
            yield from _attribute(name, node.cls)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield from _text(node.value)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        yield from _joined(node)
    elif isinstance(node, ast.Call):
        yield from _by_text(node)


def _attribute(name: str, of: ast.AST) -> Iterator[tuple[str, str, str]]:
    if name in ATTRIBUTES:
        yield name, f"uses the attribute {name}", ATTRIBUTES[name]
    elif _is_dunder(name) and name not in _READABLE and not (name in _BY_SUPER and _is_parent(of)):
        yield name, f"uses the attribute {name[:60]}", _PLAIN


def _is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _is_parent(node: ast.AST) -> bool:
    """``super()``, or ``object`` itself, by which a frozen dataclass sets its own fields."""
    if isinstance(node, ast.Call):
        node = node.func
        return isinstance(node, ast.Name) and node.id == "super"
    return isinstance(node, ast.Name) and node.id == "object"


def _bare(node: ast.Name) -> Iterator[tuple[str, str, str]]:
    if not _is_dunder(node.id):
        return
    if not isinstance(node.ctx, ast.Load) and (node.id in _NOT_DEFINED or node.id in _ESCAPES):
        yield node.id, f"sets {node.id}", _NOT_DEFINED.get(node.id, "leave it out")
    elif isinstance(node.ctx, ast.Load) and node.id not in _BARE:
        yield node.id, f"uses the name {node.id[:60]}", "leave it out: a program need not look at itself"


def _text(text: str) -> Iterator[tuple[str, str, str]]:
    if text in _ESCAPES:
        yield text, f"holds the name {text} as a text", _PLAIN
    elif _FIELD.search(text):
        yield text[:60], "a format template that reads an attribute with double underscores", "use an f-string"


def _joined(node: ast.BinOp) -> Iterator[tuple[str, str, str]]:
    """``"__cla" + "ss__"``: two texts that make one when added."""
    parts = (node.left, node.right)
    texts = [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    if len(texts) == 2:
        yield from _text("".join(texts))


def _by_text(call: ast.Call) -> Iterator[tuple[str, str, str]]:
    """``getattr(x, "__class__")`` is ``x.__class__``."""
    if isinstance(call.func, ast.Name) and call.func.id in ("getattr", "setattr", "delattr") and len(call.args) > 1:
        name = call.args[1].value if isinstance(call.args[1], ast.Constant) else None
        if isinstance(name, str):
            yield from _attribute(name, call.args[0])
