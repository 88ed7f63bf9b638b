"""Policies in a child: real children, real limits. Whatever a patch does to its child costs it one refusal."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from daemon.checker import MAX_REQUEST_BYTES, Checker, check_once
from daemon.model import OurFault, UserError
from policies.config import load
from policies.engine import check
from policies.interface import Named, Submission, Tried, Verdict

ROOT = Path(__file__).parents[2]
REAL = (ROOT / "train.py").read_bytes()
DEFAULT = (ROOT / "policies" / "default.yaml").read_text()
PLAIN = Submission(patch=REAL, base=b"")
CALL = b"\nimport prepare\nprepare.evaluate_bpb(1, 2, 3)\n"


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
    with Checker(DEFAULT, check_seconds=30) as checker:
        yield checker


def acting(judge: str) -> Sequence[str]:
    """A worker with its limits and its frames as they are, and this in place of the policies."""
    program = (
        "import os, signal, subprocess, sys, time\n"
        "from daemon.check_worker import main\nfrom policies.interface import Verdict\n"
        f"def judge(submission):\n    {judge}\n    return Verdict(rules=('r',), findings=())\n"
        "main(lambda policy: judge)\n"
    )
    return ("-c", program)


def only(verdict: Verdict) -> str:
    assert verdict.rules == ("checker",)
    (finding,) = verdict.findings
    assert finding.rule == "checker" and finding.instead
    return finding.message


def ends(pid: int) -> bool:
    """Is a process that is nobody's child of ours gone within a while, or waiting to be reaped?"""
    stat = Path(f"/proc/{pid}/stat")
    for _ in range(100):
        if not stat.exists() or stat.read_text().split()[2] == "Z":
            return True
        time.sleep(0.05)
    return False


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize(
    "submission",
    [
        PLAIN,
        Submission(patch=REAL + b"eval('1')\n", base=REAL),
        Submission(patch=REAL, base=REAL),
        Submission(patch=b"\xff\x00", base=b""),
        Submission(patch=b"", base=b""),
        Submission(patch=REAL, base=b"", files=(Named(path="prepare.py", mode=0o120000),)),
        Submission(patch=REAL, base=b"", files=(Named(path="\udcff\x1b", mode=-1),)),
        Submission(
            patch=REAL, base=b"", tried={check(PLAIN, load(DEFAULT)).fingerprint: Tried(experiment=3, outcome="crash")}
        ),
    ],
    ids=range(8),
)
def test_the_child_answers_what_the_rules_say(checker: Checker, submission: Submission) -> None:
    assert checker.check(submission) == check(submission, load(DEFAULT))


def test_the_same_child_answers_again(checker: Checker) -> None:
    checker.check(PLAIN)
    pid = checker.pid
    assert checker.check(PLAIN).allowed
    assert checker.pid == pid is not None


@pytest.mark.parametrize(
    "bomb",
    [
        b"x = " + b"(" * 60_000,
        b"x = " + b"-" * 60_000 + b"1",
        b"if 1:" * 10_000,
        b"x = " + b"[[[[[[1],2],3],4],5],6]," * 2_500,
        b"a" + b".a" * 30_000,
        b"x = " + b"9" * 60_000,
        b"x = 9 ** 9 ** 9 ** 9",
        b"x = '" + b"\\N{DIGIT ONE}" * 5_000 + b"'",
        b"-----BEGIN " * 5_000,
        b"eyJ-" * 16_000,
        b"sk-" * 20_000,
        b"a://" * 16_000,
        b"{" * 30_000 + b"[" * 30_000,
        b"x = '" + b"{." * 30_000 + b"'",
        b"# \xe2\x80\x8b" * 12_000,
        b"\n" * 65_000,
        b"a=b=" * 16_000 + b"1",
        b"\n".join(b"a%d = a%d" % (i, i + 1) for i in range(3_500)),
        b"import torch as t\n" + b"t = t.t\n" * 8_000,
        b"x = 1\n" * 400_000,
    ],
    ids=range(20),
)
def test_a_bomb_costs_one_refusal(checker: Checker, bomb: bytes) -> None:
    verdict = checker.check(Submission(patch=bomb + CALL, base=REAL))
    assert not verdict.allowed or bomb.startswith((b"\n", b"x = 9 **", b"a"))
    assert checker.check(PLAIN).allowed


@pytest.mark.parametrize(
    ("judge", "why"),
    [
        ("time.sleep(600)", "did not end within 1 s"),
        ("time.sleep(12)", "did not end within 1 s"),  # it would answer then, if anybody still waited
        ("while True: pass", "did not end within 1 s"),
        ("signal.pthread_sigmask(signal.SIG_BLOCK, {15, 2}); time.sleep(600)", "did not end within 1 s"),
        ("os._exit(0)", "ended without an answer"),
        ("os.abort()", "ended without an answer"),
        ("raise ValueError", "ended without an answer"),
        ("bytearray(2**40)", "ended without an answer"),
        ("x = [bytearray(2**26) for _ in range(100)]", "ended without an answer"),
        ("os.write(1, b'\\0\\0\\0\\3{}}'); time.sleep(600)", "gave an answer that cannot be read"),
        ("os.write(1, b'\\0\\0\\0\\2[]'); time.sleep(600)", "gave an answer that cannot be read"),
        ("os.write(1, b'\\0\\0\\0\\2{}'); time.sleep(600)", "gave an answer that cannot be read"),
        ("os.write(1, b'\\xff\\xff\\xff\\xff'); time.sleep(600)", "answered with more than"),
        ("os.write(1, b'\\0\\0\\1'); time.sleep(600)", "did not end within 1 s"),
        ("return Verdict(rules=('r',), findings=(), fingerprint='../x')", "gave an answer that cannot be read"),
        ("return Verdict(rules=('r',), findings=(), saved_nodes='many')", "gave an answer that cannot be read"),
    ],
)
def test_a_child_that_fails_refuses_and_the_next_check_has_a_new_one(judge: str, why: str) -> None:
    judge = f"if submission.patch == b'good': return Verdict(rules=('r',), findings=())\n    {judge}"
    seconds = 1 if "did not end" in why else 30
    with Checker("", check_seconds=seconds, worker=acting(judge)) as checker:
        first = checker.pid
        assert first is not None
        assert why in only(checker.check(Submission(patch=b"bad", base=b"")))
        assert is_gone(first)
        assert checker.check(Submission(patch=b"good", base=b"")) == Verdict(rules=("r",), findings=())
        assert checker.pid != first


def test_processor_time_is_limited_even_when_nobody_waits_for_the_answer() -> None:
    worker = [sys.executable, "-I", *acting("while True: pass"), "1", str(2**30)]
    child = subprocess.Popen(worker, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert child.stdin is not None
    for content in (b'{"policy": ""}', b'{"patch": "", "base": "", "files": [], "tried": {}}'):
        child.stdin.write(len(content).to_bytes(4, "big") + content)
    child.stdin.flush()
    assert child.wait(timeout=60) < 0  # a signal: the limit of processor time


def test_what_one_check_used_is_not_held_against_the_next() -> None:
    judge = "t = time.process_time()\n    while time.process_time() < t + 0.8: pass"
    with Checker("", check_seconds=20, worker=acting(judge)) as checker:
        pid = checker.pid
        for _ in range(4):
            assert checker.check(PLAIN).allowed
        assert checker.pid == pid


def test_a_child_that_leaves_children_behind_takes_them_along(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    judge = f"os.write(os.open({str(note)!r}, 1), str(subprocess.Popen(['sleep', '600']).pid).encode())"
    note.touch()
    # Without its limit on the size of files, else it could not tell us whom it left behind.
    program = acting(f"{judge}; time.sleep(600)")[1].replace("main(lambda", "import daemon.check_worker as w\n"
                                                             "w._limit = lambda m: None\nmain(lambda")  # fmt: skip
    with Checker("", check_seconds=3, worker=("-c", program)) as checker:
        only(checker.check(PLAIN))
    assert ends(int(note.read_text()))


def test_the_child_can_write_no_file(tmp_path: Path) -> None:
    judge = f"fd = os.open({str(tmp_path / 'x')!r}, os.O_WRONLY | os.O_CREAT); os.write(fd, b'x')"
    with Checker("", check_seconds=20, worker=acting(judge)) as checker:
        assert "ended without an answer" in only(checker.check(PLAIN))


def test_the_child_knows_nothing_of_the_daemons_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    judge = "return Verdict(rules=tuple(os.environ), findings=())"
    with Checker("", check_seconds=20, worker=acting(judge)) as checker:
        assert set(checker.check(PLAIN).rules) <= {"LC_ALL", "LC_CTYPE"}


def test_text_of_the_child_is_sanitised() -> None:
    judge = (
        "from policies.interface import Finding\n"
        "    return Verdict(rules=('\\x1b[31m',), findings=(Finding(rule='r', line=1, column=1, "
        "message='\\x1b]0;x\\n\\u202e' + 'a' * 9999, instead='\\x00'),))"
    )
    with Checker("", check_seconds=20, worker=acting(judge)) as checker:
        (finding,) = checker.check(PLAIN).findings
    assert finding.message.isprintable() and len(finding.message) <= 500
    assert finding.instead == "\\x00"


def test_closing_ends_the_child_and_a_later_check_starts_another() -> None:
    checker = Checker(DEFAULT, check_seconds=30)
    pid = checker.pid
    checker.close()
    checker.close()
    assert pid is not None and is_gone(pid) and checker.pid is None
    assert checker.check(PLAIN).allowed
    checker.close()


def test_the_child_ends_with_its_parent() -> None:
    program = (
        "import os, sys; from daemon.checker import Checker\n"
        "checker = Checker('rules: {}'); print(checker.pid, flush=True); os._exit(0)"
    )
    pid = int(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout)
    assert ends(pid)


def test_a_wrong_policy_is_the_users_mistake() -> None:
    with pytest.raises(UserError, match=r"unknown key rules\.sizes"):
        Checker("rules: {sizes: {}}")


def test_no_rules_refuse() -> None:
    off = "rules:\n" + "".join(f"  {rule.name}: {{enabled: false}}\n" for rule in load(DEFAULT))
    assert not check_once(off, PLAIN).allowed


@pytest.mark.parametrize(
    "worker", [("-c", "raise SystemExit(1)"), ("-m", "daemon.nowhere"), ("-c", "print('hello' * 99)")]
)
def test_a_child_that_cannot_start_is_our_fault(worker: Sequence[str]) -> None:
    with pytest.raises(OurFault, match="policy checker cannot be started"):
        Checker(DEFAULT, worker=worker)


def test_a_child_that_cannot_start_again_is_our_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    checker = Checker(DEFAULT)
    checker.close()
    monkeypatch.setattr(checker, "_command", ["/nonexistent"])
    with pytest.raises(OurFault):
        checker.check(PLAIN)


def test_an_endless_patch_is_not_even_sent(checker: Checker) -> None:
    assert "too large" in only(checker.check(Submission(patch=b"#" * MAX_REQUEST_BYTES, base=b"")))


def test_it_works_from_any_folder(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()  # must not be taken for ours
    (tmp_path / "policies" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong one')")
    program = (
        "from daemon.checker import check_once\nfrom policies.interface import Submission\n"
        "print(check_once('rules: {}', Submission(patch=b'x', base=b'')).rules)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert "contract" in done.stdout, done.stderr


def test_the_daemon_itself_loads_no_rules_for_it() -> None:
    program = (
        "import sys, daemon.checker; print([m for m in sys.modules if m.startswith('policies.')], 'ast' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("['policies.interface']")
