"""The API key: where it comes from, and that it goes nowhere."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from dataclasses import replace
from pathlib import Path

import pytest

from daemon import credentials
from daemon.credentials import KeySource, withdraw
from daemon.model import UserError

CANARY = "sk-canary-" + "x7Qp" * 8


def key_of(source: KeySource) -> str | None:
    key = source.key()
    return key.get_secret_value() if key is not None else None


def test_the_variable_is_taken_out_of_the_environment() -> None:
    environment = {"ANTHROPIC_API_KEY": CANARY, "ANTHROPIC_API_KEY_FILE": "", "PATH": "/bin"}
    source = withdraw(environment)
    assert environment == {"PATH": "/bin"}
    assert key_of(source) == CANARY


def test_no_key_is_no_mistake() -> None:
    assert withdraw({}).key() is None
    assert str(withdraw({})) == "nowhere"


def test_a_credential_comes_before_a_file_and_a_file_before_the_variable(tmp_path: Path) -> None:
    (tmp_path / "anthropic_api_key").write_text("from-systemd\n")
    file = tmp_path / "key"
    file.write_text("from-file\n")
    file.chmod(0o600)
    environment = {"ANTHROPIC_API_KEY": "from-variable", "ANTHROPIC_API_KEY_FILE": str(file)}
    assert key_of(withdraw({**environment, "CREDENTIALS_DIRECTORY": str(tmp_path)})) == "from-systemd"
    assert key_of(withdraw(dict(environment))) == "from-file"
    assert "file" in str(withdraw(dict(environment)))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "key"
    file.write_text(CANARY)
    file.chmod(mode)
    with pytest.raises(UserError, match="chmod 600") as caught:
        KeySource(file=file).key()
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\n", b"two words", b"caf\xc3\xa9", b"a\nb", b"x" * 5000, b"\x00"])
def test_what_is_no_key_is_named_without_being_quoted(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(UserError, match="is no key"):
        KeySource(file=file).key()


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        KeySource(file=tmp_path / "none").key()


def test_neither_a_repr_nor_a_traceback_shows_it() -> None:
    source = withdraw({credentials.VARIABLE: CANARY})
    assert CANARY not in f"{source} {source!r} {replace(source)!r} {source.key()!r}"
    try:
        raise RuntimeError(f"failed with {source!r} and {source.key()}")
    except RuntimeError:
        assert CANARY not in traceback.format_exc()


def test_the_memory_that_proc_shows_is_overwritten() -> None:
    program = (
        "import os, pathlib; from daemon.credentials import withdraw; source = withdraw(); "
        "print(pathlib.Path('/proc/self/environ').read_bytes(), 'ANTHROPIC_API_KEY' in os.environ); "
        "print(len(source.key().get_secret_value()))"
    )
    environment = {**os.environ, "ANTHROPIC_API_KEY": CANARY}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert CANARY not in done.stdout
    assert done.stdout.splitlines()[0].endswith("False")
    assert done.stdout.splitlines()[1] == str(len(CANARY))
