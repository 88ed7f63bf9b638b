"""Text that crossed the wall meets ``daemon.text.clean`` before any terminal, file, log or prompt.

Two rules over the syntax trees of the daemon. Modules that merely carry values may pass such text on, and have no way
to show it. Everywhere else each mention of such text stands inside ``clean(...)``, is only tested or compared, or is
handed to a value under its own name.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from specs import REPOSITORY

DAEMON = REPOSITORY / "daemon"
# Attributes that may hold what a candidate, a proposer or an engine wrote.
HOSTILE = frozenset({"hypothesis", "lesson", "reason", "log_tail", "log", "message", "instead", "detail", "stderr"})
# They make numbers of it, or a strictly validated value, in which no free text is left unclean.
PARSERS = frozenset({"claims", "_read_referee"})
# They move values between the wall, the ledger and the loop.
CARRIERS = frozenset({"model.py", "phases.py", "decide/outcomes.py", "decide/rules.py", "ledger/records.py"})
OUTLETS = frozenset({"print", "echo", "write", "write_text", "write_bytes", "write_atomically", "rule", "annotate"})
SANITISERS = frozenset({"unicodedata", "isprintable", "translate", "unicode_escape", "backslashreplace"})
OUR_OWN = frozenset({"math"})  # math.log is no log


def modules() -> list[str]:
    return sorted(str(path.relative_to(DAEMON)) for path in DAEMON.rglob("*.py"))


def tree_of(name: str) -> ast.Module:
    return ast.parse((DAEMON / name).read_text())


def unclean(tree: ast.Module) -> list[int]:
    """Lines where hostile text is mentioned outside ``clean(...)``."""
    found: list[int] = []
    _visit(tree, found)
    return found


def _visit(node: ast.AST, found: list[int]) -> None:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"clean"} | PARSERS:
        return
    if isinstance(node, ast.Attribute) and node.attr in HOSTILE and not _is_our_own(node):
        found.append(node.lineno)
    for field, value in ast.iter_fields(node):
        if field in ("test", "annotation", "returns"):  # a test shows nothing; neither does a type
            _visit_inside_a_test(value, found)
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _merely_looks(child) and not _carries(child):
                _visit(child, found)


def _is_our_own(node: ast.Attribute) -> bool:
    """``math.log``, and setting an attribute rather than reading it."""
    named = isinstance(node.value, ast.Name) and node.value.id in OUR_OWN
    return named or not isinstance(node.ctx, ast.Load)


def _visit_inside_a_test(node: object, found: list[int]) -> None:
    """``if reason:`` looks; ``if show(reason):`` calls."""
    if isinstance(node, ast.AST):
        for call in (part for part in ast.walk(node) if isinstance(part, ast.Call)):
            _visit(call, found)


def _merely_looks(node: ast.AST) -> bool:
    """A comparison, ``not x`` or a call's own name: ``x.log.rpartition`` is looked at where its result goes."""
    return isinstance(node, ast.Compare) and not any(isinstance(part, ast.Call) for part in ast.walk(node))


def _carries(node: ast.AST) -> bool:
    """``Value(reason=other.reason)``: passed on whole, under its own name."""
    return isinstance(node, ast.keyword) and isinstance(node.value, ast.Attribute) and node.value.attr == node.arg


@pytest.mark.parametrize("name", [name for name in modules() if name not in CARRIERS])
def test_text_from_the_wall_is_cleaned_where_it_is_used(name: str) -> None:
    assert unclean(tree_of(name)) == [], f"daemon/{name}: pass it through daemon.text.clean"


@pytest.mark.parametrize("name", sorted(CARRIERS))
def test_those_that_carry_it_cannot_show_it(name: str) -> None:
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            assert called not in OUTLETS, f"daemon/{name}:{node.lineno} shows something"


@pytest.mark.parametrize("name", [name for name in modules() if name != "text.py"])
def test_there_is_one_sanitiser(name: str) -> None:
    for node in ast.walk(tree_of(name)):
        words = {getattr(node, key, None) for key in ("attr", "id", "value", "module", "name")}
        assert not {word for word in words if isinstance(word, str)} & SANITISERS, f"daemon/{name}:{node.lineno}"


@pytest.mark.parametrize(
    "leak",
    [
        "print(experiment.hypothesis)",
        "console.print(f'#{number} {outcome.reason}')",
        "text = result.log_tail[-100:]",
        "json.dumps({'reason': result.reason})",
        "_json({'reason': outcome.reason if outcome else None})",
        "raise UserError(f'it failed: {outcome.reason}')",
        "return finding.message + finding.instead",
        "show(x) if show(result.reason) else None",
        "Proposal(hypothesis=other.reason)",
    ],
)
def test_a_leak_is_noticed(leak: str) -> None:
    assert unclean(ast.parse(leak if not leak.startswith("return") else f"def f():\n    {leak}"))


@pytest.mark.parametrize(
    "honest",
    [
        "console.print(escape(clean(outcome.reason, 500)))",
        "if experiment.trials[-1].log_tail: pass",
        "Proposal(hypothesis=other.hypothesis)",
        "math.log(2)",
        "same = a.reason == b.reason",
    ],
)
def test_what_is_harmless_passes(honest: str) -> None:
    assert not unclean(ast.parse(honest))


def test_every_module_is_looked_at() -> None:
    assert {"output.py", "console.py", "results.py", "loop.py"} <= set(modules())
    assert all((DAEMON / name).is_file() for name in CARRIERS), "a carrier was renamed"
    assert Path(DAEMON / "text.py").is_file()
