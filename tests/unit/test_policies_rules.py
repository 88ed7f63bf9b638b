"""Each rule lets honest programs pass and finds what it is for."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.calls import Calls
from policies.config import load
from policies.contract import Contract
from policies.history import History, identity
from policies.imports import Imports
from policies.interface import Finding, Named, Submission, Tried
from policies.scope import Scope
from policies.secrets import Secrets
from policies.size import Size
from policies.syntax import MAX_CHAIN, MAX_PARSED_BYTES, Syntax
from policies.text import Text

REAL = (Path(__file__).parents[2] / "train.py").read_bytes()
DEFAULT = (Path(__file__).parents[2] / "policies" / "default.yaml").read_text()
HONEST = [
    REAL,
    b"import prepare\nprepare.evaluate_bpb(1, 2, 3)\n",
    b"from prepare import MAX_SEQ_LEN, evaluate_bpb\nprint(evaluate_bpb(1, 2, 3), MAX_SEQ_LEN)\n",
    b"import prepare as p\nT = p.Tokenizer.from_directory()\nbpb = p.evaluate_bpb(1, T, 3)\n",
    "import prepare\n# naïve – ±1\nx = '→ é'\nprint(f'é {x!r} {{é}}')\nprepare.evaluate_bpb(1, 2, 3)\n".encode(),
    b"from prepare import evaluate_bpb as e\ntable = [" + b"1.5, " * 700 + b"]\ne(1, 2, 3)\n",
]


def submit(patch: bytes) -> Submission:
    return Submission(patch=patch, base=b"")


@pytest.mark.parametrize("rule", [Text(), Size(), Syntax(), Contract()])
@pytest.mark.parametrize("program", HONEST)
def test_honest_programs_pass(rule: Text | Size | Syntax | Contract, program: bytes) -> None:
    assert list(rule.check(submit(program))) == []


def one(findings: Sequence[Finding], rule: str) -> Finding:
    assert len(findings) == 1, findings
    assert findings[0].rule == rule
    assert findings[0].message
    assert findings[0].instead
    return findings[0]


@pytest.mark.parametrize(
    ("patch", "line", "message"),
    [
        (b"\xef\xbb\xbfx = 1\n", 1, "byte order mark"),
        (b"x = 1\ny = '\xff'\n", 2, "byte 0xff is not UTF-8"),
        (b"# -*- coding: utf-7 -*-\n", 1, "coding cookie"),
        (b"#!/usr/bin/python\n# vim: set fileencoding=latin-1 :\n", 2, "coding cookie"),
        (b"x = 1\n\0\n", 2, "U+0000"),
        (b"x = 1\ry = 2\n", 1, "U+000D"),
        (b"x = 1\r\n", 1, "U+000D"),
        (b"x = 1\n\x0cy = 2\n", 2, "U+000C"),
        (b"x = 1  # \x1b[31m\n", 1, "U+001B"),
        ("x = 1  # \u202e evil\n".encode(), 1, "U+202E"),
        ("x = 'a\u200bb'\n".encode(), 1, "U+200B"),
        ("x = 1  # \u2028y = 2\n".encode(), 1, "U+2028"),
        ("x = 'a\ufe0f'\n".encode(), 1, "U+FE0F"),
        ("x = '\U000e0041'\n".encode(), 1, "U+E0041"),
        ("x = 'a\u00adb\u200b'\n".encode(), 1, "U+00AD"),
        ("x = 'a\u3164'\n".encode(), 1, "U+3164"),
        ("x = '\ue000'\n".encode(), 1, "U+E000"),
        ("x = 1\né = 2\n".encode(), 2, "not ASCII"),
        ("ｅｘｅｃ('1')\n".encode(), 1, "not ASCII"),
        ("x = f'{ｅｘｅｃ}'\n".encode(), 1, "not ASCII"),
        ("x = rF'''{ {1: 2}[é] }'''\n".encode(), 1, "not ASCII"),
        ("x = '''é\n".encode(), 0, "cannot be split into tokens"),
    ],
)
def test_text(patch: bytes, line: int, message: str) -> None:
    finding = one(Text().check(submit(patch)), "text")
    assert message in finding.message
    assert finding.line == line


def test_a_cookie_counts_in_the_first_two_lines_only() -> None:
    assert not Text().check(submit(b"\n\n# coding: latin-1\n"))


@pytest.mark.parametrize(
    ("patch", "line", "message"),
    [
        (b"#" * 65_537, 0, "has 65537 bytes; 65536 are allowed"),
        (b"x = 1\ny = '" + b"a" * 4_095 + b"'\n", 2, "a literal of 4097 characters"),
        (b"x = 0x" + b"f" * 4_095 + b"\n", 1, "a literal of 4097 characters"),
        (b"x = (" + b"'" + b"a" * 1000 + b"'\n" + b"'" + b"b" * 3500 + b"')\n", 1, "a literal of 4500 characters"),
        (b"x = [" + b"1, " * 2000 + b"]\n", 1, "a literal of 6002 characters"),
        (b"x = {\n" + b"1: -2.5,\n" * 2000 + b"}\n", 1, "a literal of 18003 characters"),
        (b"x = ((1, [2]), " + b"'ab', " * 2000 + b")\n", 1, "a literal of 12012 characters"),
        (b"x = f'" + b"a" * 5000 + b"{1}'\n", 1, "a literal of 50"),
    ],
)
def test_size(patch: bytes, line: int, message: str) -> None:
    finding = one(Size().check(submit(patch)), "size")
    assert message in finding.message
    assert finding.line == line


def test_a_long_list_of_expressions_is_a_program() -> None:
    assert not Size().check(submit(b"x = [" + b"f(1), " * 2000 + b"]\n"))


def test_the_limits_of_size_are_exact() -> None:
    assert not Size().check(submit(b"x = '" + b"a" * 4_094 + b"'\n"))
    assert not Size(max_bytes=10).check(submit(b"#" * 10))
    assert Size(max_bytes=9).check(submit(b"#" * 10))


@pytest.mark.parametrize(
    ("patch", "line", "message"),
    [
        (b"x = 1\ndef f(:): pass\n", 2, "not valid Python"),
        (b"x = (1\n", 2, "not valid Python"),
        (b"x = '''1\n", 1, "not valid Python"),
        (b"if 1:\n    x = 1\n  y = 2\n", 3, "not valid Python"),
        (b"x = 1\0\n", 0, ""),
        (b"x = " + b"9" * 5000, 1, "not valid Python"),
        (b"x = 1\n" * (MAX_PARSED_BYTES // 6 + 1), 0, "bytes"),
        (b"x = " + b"[" * 51 + b"]" * 51, 1, "nests more than 50 levels"),
        (b"".join(b" " * i + b"if 1:\n" for i in range(52)) + b" " * 52 + b"x = 1\n", 52, "nests more than 50 levels"),
    ],
)
def test_syntax(patch: bytes, line: int, message: str) -> None:
    finding = one(Syntax().check(submit(patch)), "syntax")
    assert message in finding.message
    assert finding.line == line or not message


@pytest.mark.parametrize(
    "bomb",
    [
        b"x = " + b"(" * 30_000 + b"1" + b")" * 30_000,
        b"x = " + b"-" * 60_000 + b"1",
        b"x = " + b"not " * 15_000 + b"1",
        b"x = a" + b".a" * 30_000,
        b"x = 1" + b" + 1" * 15_000,
        b"x = " + b"lambda: " * 8_000 + b"1",
        b"x = " + b"lambda a, b: " * 5_000 + b"1",
        b"x = " + b"1 if 1 else " * 5_000 + b"1",
        b"x = a" + b"[0, 1]" * 9_000,
        b"if 1: pass\n" + b"elif 1: pass\n" * 4_800,
        b"x = f'{" + b"(" * 9_000 + b"1" + b")" * 9_000 + b"}'",
        b"with " + b"a as b, " * 8_000 + b"c: pass",
    ],
    ids=[
        "brackets",
        "signs",
        "not",
        "dots",
        "sums",
        "lambdas",
        "wide",
        "ternaries",
        "index",
        "elif",
        "fstring",
        "with",
    ],
)
def test_a_nesting_bomb_costs_one_refusal(bomb: bytes) -> None:
    assert len(Syntax().check(submit(bomb))) <= 1
    assert len(Contract().check(submit(bomb))) == 1  # it refuses, too, when it is the only rule
    assert len(Size(max_bytes=10**6).check(submit(bomb))) <= 1


def test_honest_depth_and_chains_pass() -> None:
    assert not Syntax().check(submit(b"x = " + b"[" * 49 + b"]" * 49 + b"\n"))
    assert not Syntax().check(submit(b"x = 1" + b" + 1" * (MAX_CHAIN // 2) + b"\n"))
    assert not Syntax().check(submit(b"x = [" + b"a.b + 1, " * 2000 + b"]\n"))
    finding = one(Syntax().check(submit(b"x = 1" + b" + 1" * (MAX_CHAIN + 1) + b"\n")), "syntax")
    assert "chains more than 400 operators" in finding.message
    assert Syntax(max_depth=3).check(submit(b"x = ((((1))))\n"))


CALL = b"prepare.evaluate_bpb(1, 2, 3)\n"


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        (b"x = 1\n", "not imported from prepare"),
        (b"from prepare import *\nevaluate_bpb(1, 2, 3)\n", "not imported"),
        (b"from .prepare import evaluate_bpb\nevaluate_bpb(1, 2, 3)\n", "not imported"),
        (b"from mine import evaluate_bpb\nevaluate_bpb(1, 2, 3)\n", "not imported"),
        (b"import prepare.x\n", "not imported"),
        (b"import prepare\nprepare.evaluate_bpb\n", "never called"),
        (b"import prepare\nother.evaluate_bpb(1)\nevaluate_bpb(1)\n", "never called"),
        (b"from prepare import evaluate_bpb as e\nevaluate_bpb(1)\n", "never called"),
        (b"import prepare\nprepare.EVAL_TOKENS = 1\n" + CALL, "assigns to an attribute of prepare"),
        (b"import prepare\nprepare.EVAL_TOKENS += 1\n" + CALL, "assigns to an attribute of prepare"),
        (b"import prepare\ndel prepare.EVAL_TOKENS\n" + CALL, "assigns to an attribute of prepare"),
        (b"import prepare\nx, prepare.a = 1, 2\n" + CALL, "assigns to an attribute of prepare"),
        (b"import prepare\nfor prepare.a in []: pass\n" + CALL, "assigns to an attribute of prepare"),
        (b"import prepare\nprepare.Tokenizer.encode = 1\n" + CALL, "assigns to an attribute of prepare"),
        (b"import prepare\nprepare.__dict__['a'] = 1\n" + CALL, "assigns to an attribute of prepare"),
        (b"import prepare\nsetattr(prepare, 'a', 1)\n" + CALL, "assigns to an attribute of prepare"),
        (b"import prepare as q\nq.a = 1\nq.evaluate_bpb(1)\n", "assigns to an attribute of prepare"),
        (b"import prepare\nprepare = 1\n" + CALL, "another meaning"),
        (b"from prepare import evaluate_bpb\ndef evaluate_bpb(*a): pass\nevaluate_bpb(1)\n", "another meaning"),
        (b"from prepare import evaluate_bpb\nevaluate_bpb = print\nevaluate_bpb(1)\n", "another meaning"),
        (b"x = (\n", "the evaluation cannot be looked for"),
    ],
)
def test_contract(patch: bytes, message: str) -> None:
    assert message in one(Contract().check(submit(patch)), "contract").message


def named(*files: tuple[str, int]) -> Submission:
    return Submission(patch=REAL, base=b"", files=tuple(Named(path=path, mode=mode) for path, mode in files))


@pytest.mark.parametrize(
    ("submission", "message"),
    [
        (named(), "no file at all"),
        (named(("prepare.py", 0o100644)), "names the file 'prepare.py'"),
        (named(("./train.py", 0o100644)), "only train.py may be changed"),
        (named(("../train.py", 0o100644)), "only train.py may be changed"),
        (named(("/lab/train.py", 0o100644)), "only train.py may be changed"),
        (named(("Train.py", 0o100644)), "only train.py may be changed"),
        (named(("train.py ", 0o100644)), "only train.py may be changed"),
        (named(("trаin.py", 0o100644)), "names the file 'tr\\u0430in.py'"),
        (named((".git/hooks/post-commit", 0o100644)), "only train.py may be changed"),
        (named((".gitattributes", 0o100644)), "only train.py may be changed"),
        (named(("a\n\x1b[31m", 0o100644)), r"'a\n\x1b[31m'"),
        (named(("train.py", 0o100755)), "an executable file"),
        (named(("train.py", 0o120000)), "a symlink"),
        (named(("train.py", 0o160000)), "a submodule"),
        (named(("train.py", 0o040000)), "a folder"),
        (named(("train.py", 0o104755)), "of mode 104755"),
        (named(("train.py", 0o100664)), "of mode 100664"),
        (named(("train.py", 0)), "of mode 0"),
        (named(("train.py", 0o100644), ("train.py", 0o100644)), "names train.py 2 times"),
    ],
)
def test_scope(submission: Submission, message: str) -> None:
    finding = one(Scope().check(submission), "scope")
    assert message in finding.message
    assert finding.message.isascii() and finding.message.isprintable()


def test_scope_allows_the_plain_file_and_sees_the_one_beside_it() -> None:
    assert not Scope().check(submit(REAL))
    both = named(("train.py", 0o100644), ("prepare.py", 0o100755))
    assert len(Scope().check(both)) == 2


SAME = [
    b"x = 1\n",
    b"x=1",
    b"\n\n# why\nx = 1  # because\n\n",
    b"'''A docstring.'''\nx = (1)\n",
    b"x \\\n  = 1; pass\n...\n'a remark'\n",
    b"x = 0x1\n",
]
OTHER = [
    b"x = 2\n", b"y = 1\n", b"x = 1.0\n", b"x = True\n", b"x = '1'\n", b"x: int = 1\n", b"x = 1\nx = 1\n", b"x = +1\n",
    b"x = 1,\n", b"x = [1]\n", b"x == 1\n", b"x = b'1'\n", b"", b"if 1: x = 1\n", b"def f(): x = 1\n", b"x = -1\n",
]  # fmt: skip


@pytest.mark.parametrize("patch", SAME)
def test_the_same_program_has_the_same_fingerprint(patch: bytes) -> None:
    assert identity(patch).fingerprint == identity(SAME[0]).fingerprint != ""
    finding = one(History().check(Submission(patch=patch, base=SAME[0])), "history")
    assert "changes nothing but white space" in finding.message
    assert not History().check(Submission(patch=patch, base=b"y = 0\n"))


def test_another_program_has_another() -> None:
    assert len({identity(patch).fingerprint for patch in [SAME[0], *OTHER]}) == len(OTHER) + 1


@pytest.mark.parametrize(
    ("patch", "nodes"), [(b"", 1), (b"# x\n", 1), (b"x = 1\n", 5), (b"x = [1, 2]\n", 8), (b"(", 0)]
)
def test_the_nodes_of_a_program_are_counted_without_layout_and_docstrings(patch: bytes, nodes: int) -> None:
    assert identity(patch).nodes == nodes
    assert identity(b'"""Why."""\n\n' + patch).nodes == nodes


@settings(deadline=None)
@given(st.lists(st.sampled_from([b"x", b"1", b"(", b")", b"+", b"\n", b" ", b"'a'", b"def f():", b"[", b"]", b","])))
def test_only_the_same_tree_has_the_same_fingerprint(parts: list[bytes]) -> None:
    patch = b"".join(parts)
    try:
        tree = ast.dump(ast.parse(patch))
    except SyntaxError:
        return
    again = ast.parse(ast.unparse(ast.parse(patch)))
    if ast.dump(again) == tree:  # else unparse put in another form of the same
        assert identity(patch).fingerprint == identity(ast.unparse(again).encode()).fingerprint


def test_history_names_the_experiment_and_its_outcome() -> None:
    tried = {identity(b"x = 1\n").fingerprint: Tried(experiment=17, outcome="discard")}
    finding = one(History().check(Submission(patch=b"# again\nx = 1\n", base=b"x = 0\n", tried=tried)), "history")
    assert "experiment 17" in finding.message and "discard" in finding.message
    assert not History().check(Submission(patch=b"x = 2\n", base=b"x = 0\n", tried=tried))
    assert "does not parse" in one(History().check(submit(b"x = (")), "history").message
    assert not History().check(submit(b"x = 0\n"))  # a baseline replaces nothing


def test_changed_lines_are_counted_against_the_base() -> None:
    base = b"".join(b"a%d = 1\n" % number for number in range(100))
    rule = Size(max_changed_lines=10)
    assert not rule.check(Submission(patch=base.replace(b"= 1", b"= 2", 5), base=base))
    found = one(rule.check(Submission(patch=base.replace(b"= 1", b"= 2", 6), base=base)), "size")
    assert "changes 12 lines; 10 are allowed" in found.message
    assert not rule.check(Submission(patch=b"\n".join(reversed(base.split(b"\n"))), base=base))  # moved, not changed
    assert not rule.check(submit(base))  # a baseline


def test_all_literals_together() -> None:
    rule = Size(max_literal_characters=4000, max_total_literal_characters=100, max_literal_information_bytes=4000)
    assert not rule.check(submit(b"x = '" + b"a" * 50 + b"'\ny = '" + b"a" * 50 + b"'\n"))
    assert "literals of 101 characters" in one(rule.check(submit(b"x = '" + b"a" * 101 + b"'\n")), "size").message
    assert not rule.check(submit(b"'''" + b"a" * 500 + b"'''\ndef f():\n    '''" + b"a" * 500 + b"'''\n"))  # docstrings
    assert rule.check(submit(b"f(" + b"[1, 2, 3]," * 12 + b")\n"))
    assert rule.check(submit(b"f(" + b"1234567890," * 12 + b")\n"))
    assert not rule.check(submit(b"f(" + b"12345," * 100 + b")\n"))
    assert rule.check(submit(b"f'{x}" + b"a" * 101 + b"'\n"))


@pytest.mark.parametrize(
    "honest",
    [
        b"key = 'a key of the dictionary'",
        b"token = '<|endoftext|>'",
        b"key = 'layers.0.query.weight'",
        b"api_key = None",
        b"password = ''",
        b"tokens_key = 'abcdefghijklmnopqrst'",
        b"# sk-learn-like-schedule-here",
        b"x = 'https://arxiv.org/abs/2505.16932'",
        b"hash = 'q8Zr2Xv7Lm4Nc9Kd1Ts6'",
    ],
)
def test_what_looks_like_a_secret_but_is_none(honest: bytes) -> None:
    assert not Secrets().check(submit(honest + b"\n"))


HATCHES = [
    ("import torch\ntorch.save({}, 'x')", {"unsafe_allow_names": ("torch.save",)}),
    ("x.__dict__", {"unsafe_allow_names": ("__dict__",)}),
    ("import torch\ntorch.ops.load_library('x')", {"unsafe_allow_names": ("torch.ops.load_library",)}),
    ("open('x')", {"unsafe_allow_names": ("open",)}),
    ("import subprocess\nsubprocess.run([])", {"unsafe_allow_imports": ("subprocess",)}),
]


@pytest.mark.parametrize(("lines", "opened"), HATCHES)
def test_a_hatch_opens_what_it_names_and_no_more(lines: str, opened: dict[str, tuple[str, ...]]) -> None:
    assert Calls().check(submit(lines.encode()))
    assert not Calls(**opened).check(submit(lines.encode()))  # type: ignore[arg-type]
    assert Calls(**opened).check(submit(lines.encode() + b"\neval('1')\n"))  # type: ignore[arg-type]


def test_a_finding_says_where() -> None:
    (finding,) = Calls().check(submit(b"x = 1\ny = [eval]\n"))
    assert (finding.line, finding.column, finding.message) == (2, 6, "uses eval")
    (finding,) = Imports().check(submit(b"import torch,\\\n  socket\n"))
    assert (finding.line, finding.message) == (2, "imports socket")


PIECES = """
import from as torch os prepare load eval getattr x y = ( ) [ ] { } . , : ; def class lambda return for in if else with
try except match case _ * ** := -> 1 'a' f'{x}' __class__ global nonlocal del async yield not and is
"""
WORDS = [*PIECES.split(), "\n"]


@given(st.lists(st.sampled_from(WORDS), max_size=40))
@settings(max_examples=150, deadline=None)
def test_no_rule_ever_raises_and_each_answers_the_same_twice(words: list[str]) -> None:
    submission = Submission(patch=" ".join(words).encode(), base=REAL)
    for rule in load(DEFAULT):
        assert list(rule.check(submission)) == list(rule.check(submission))


@given(
    st.sampled_from(REAL.decode().split("\n")), st.sampled_from(["", "eval('1')", "import os as prepare", "(", "\\"])
)
@settings(max_examples=15, deadline=None)
def test_no_rule_raises_on_a_mutilated_real_file(line: str, instead: str) -> None:
    submission = Submission(patch=REAL.replace(line.encode() or b"\n", instead.encode()), base=REAL)
    for rule in load(DEFAULT):
        list(rule.check(submission))
