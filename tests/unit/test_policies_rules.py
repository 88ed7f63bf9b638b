"""Each rule lets honest programs pass and finds what it is for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from policies.contract import Contract
from policies.interface import Finding
from policies.size import Size
from policies.syntax import MAX_CHAIN, MAX_PARSED_BYTES, Syntax
from policies.text import Text

REAL = (Path(__file__).parents[2] / "train.py").read_bytes()
HONEST = [
    REAL,
    b"import prepare\nprepare.evaluate_bpb(1, 2, 3)\n",
    b"from prepare import MAX_SEQ_LEN, evaluate_bpb\nprint(evaluate_bpb(1, 2, 3), MAX_SEQ_LEN)\n",
    b"import prepare as p\nT = p.Tokenizer.from_directory()\nbpb = p.evaluate_bpb(1, T, 3)\n",
    "import prepare\n# naïve – ±1\nx = '→ é'\nprint(f'é {x!r} {{é}}')\nprepare.evaluate_bpb(1, 2, 3)\n".encode(),
    b"from prepare import evaluate_bpb as e\ntable = [" + b"1.5, " * 700 + b"]\ne(1, 2, 3)\n",
]


@pytest.mark.parametrize("rule", [Text(), Size(), Syntax(), Contract()])
@pytest.mark.parametrize("program", HONEST)
def test_honest_programs_pass(rule: Text | Size | Syntax | Contract, program: bytes) -> None:
    assert list(rule.check(program, b"")) == []


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
    finding = one(Text().check(patch, b""), "text")
    assert message in finding.message
    assert finding.line == line


def test_a_cookie_counts_in_the_first_two_lines_only() -> None:
    assert not Text().check(b"\n\n# coding: latin-1\n", b"")


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
    finding = one(Size().check(patch, b""), "size")
    assert message in finding.message
    assert finding.line == line


def test_a_long_list_of_expressions_is_a_program() -> None:
    assert not Size().check(b"x = [" + b"f(1), " * 2000 + b"]\n", b"")


def test_the_limits_of_size_are_exact() -> None:
    assert not Size().check(b"x = '" + b"a" * 4_094 + b"'\n", b"")
    assert not Size(max_bytes=10).check(b"#" * 10, b"")
    assert Size(max_bytes=9).check(b"#" * 10, b"")


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
    finding = one(Syntax().check(patch, b""), "syntax")
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
    assert len(Syntax().check(bomb, b"")) <= 1
    assert len(Contract().check(bomb, b"")) == 1  # it refuses, too, when it is the only rule
    assert len(Size(max_bytes=10**6).check(bomb, b"")) <= 1


def test_honest_depth_and_chains_pass() -> None:
    assert not Syntax().check(b"x = " + b"[" * 49 + b"]" * 49 + b"\n", b"")
    assert not Syntax().check(b"x = 1" + b" + 1" * (MAX_CHAIN // 2) + b"\n", b"")
    assert not Syntax().check(b"x = [" + b"a.b + 1, " * 2000 + b"]\n", b"")
    finding = one(Syntax().check(b"x = 1" + b" + 1" * (MAX_CHAIN + 1) + b"\n", b""), "syntax")
    assert "chains more than 400 operators" in finding.message
    assert Syntax(max_depth=3).check(b"x = ((((1))))\n", b"")


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
    assert message in one(Contract().check(patch, b""), "contract").message
