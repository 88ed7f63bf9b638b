"""Runs any command, a coding agent say, in a scratch folder and takes the train.py it leaves there.

The command runs with the rights of the daemon's user and may do whatever that user may: this is a convenience, not a
boundary. Wrap it (a container, another user) when it is not to be trusted. What it proposes is checked, sandboxed and
scored like every other proposal. The folder holds copies: train.py, prepare.py, program.md and notebook.md. The
hypothesis is the text of hypothesis.txt, if the command wrote one, else the last line that it printed.
"""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from pydantic import Field

from daemon.model import MAX_HYPOTHESIS_CHARACTERS, Patch, Proposal, UserError
from daemon.proposers.interface import Context, Options, ProposalFailed, parse
from daemon.text import clean
from policies.interface import PLAIN_MODE, TRAIN_PY, Named

NAME = "command"
MAX_FILE_BYTES = 1024 * 1024  # far above what a trial takes: whether it is too long is for the policies to say
MAX_OUTPUT_BYTES = 64 * 1024


class CommandOptions(Options):
    """``[proposer.options]`` for ``name = "command"``: the program with its arguments, and its patience."""

    command: Annotated[list[str], Field(min_length=1)]
    timeout_seconds: Annotated[float, Field(gt=0, le=86_400)] = 1800.0


def build(options: Mapping[str, object]) -> CommandProposer:
    """Raises: UserError when there is no such program."""
    parsed = parse(NAME, CommandOptions, options)
    program = shutil.which(parsed.command[0], path=os.environ.get("PATH"))
    if program is None:
        raise UserError(f"lab.toml: the command {parsed.command[0]!r} of the proposer command is not to be found")
    return CommandProposer(
        command=[program, *parsed.command[1:]], timeout_seconds=parsed.timeout_seconds, lab=Path(parsed.lab)
    )


class CommandProposer:
    """One run of the command a proposal, each in a folder of its own that is removed afterwards."""

    def __init__(self, *, command: list[str], timeout_seconds: float, lab: Path) -> None:
        self._command, self._timeout_seconds, self._lab = command, timeout_seconds, lab

    @property
    def name(self) -> str:
        return NAME

    def propose(self, context: Context) -> Proposal:
        """Run the command and take its train.py.

        Raises:
            ProposalFailed: it ran too long, failed, or left train.py as it was.
        """
        with tempfile.TemporaryDirectory(prefix="autoresearch-") as name:
            folder = Path(name)
            given = self._furnish(folder, context)
            printed = self._run(folder)
            train_py, mode = _taken(folder / TRAIN_PY)
            if train_py == context.train_py:
                raise ProposalFailed("the command left train.py as it was")
            touched = [Named(path=path, mode=PLAIN_MODE) for path in given if _changed(folder / path, given[path])]
            return Proposal(
                hypothesis=_hypothesis(folder, printed),
                patch=Patch(train_py=train_py, base_commit=context.base_commit),
                proposer=NAME,
                files=(Named(path=TRAIN_PY, mode=mode), *touched),
            )

    def _furnish(self, folder: Path, context: Context) -> dict[str, bytes]:
        """Write what the command works on; returns the files beside train.py that it has no business to change."""
        (folder / TRAIN_PY).write_bytes(context.train_py)
        if context.desk is not None:
            (folder / "notebook.md").write_text(context.desk.notebook())
        given = {"program.md": context.program.encode()}
        with suppress(OSError):
            given["prepare.py"] = (self._lab / "prepare.py").read_bytes()
        for path, content in given.items():
            (folder / path).write_bytes(content)
        return given

    def _run(self, folder: Path) -> str:
        with (folder / ".output").open("w+b") as output:
            process = subprocess.Popen(
                self._command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
            try:
                code: int | None = process.wait(self._timeout_seconds)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # whatever it left running
                process.wait()
            output.seek(max(0, output.seek(0, os.SEEK_END) - MAX_OUTPUT_BYTES))
            printed = output.read().decode("utf-8", errors="replace")
        if code is None:
            raise ProposalFailed(f"the command ran for more than {self._timeout_seconds:g} s")
        if code != 0:
            raise ProposalFailed(f"the command exited with {code}: {clean(_last_line(printed), 200)}")
        return printed


def _taken(path: Path) -> tuple[bytes, int]:
    """The bytes of train.py and its mode as git would write it; a link is not followed."""
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            return os.fsencode(path.readlink()), 0o120000
        if not stat.S_ISREG(mode):
            raise ProposalFailed("the command left something in place of train.py that is no file")
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES), 0o100755 if mode & stat.S_IXUSR else PLAIN_MODE
    except OSError as error:
        raise ProposalFailed(f"the command left no readable train.py ({error.strerror})") from error


def _changed(path: Path, before: bytes) -> bool:
    try:
        return path.is_symlink() or path.read_bytes() != before
    except OSError:
        return True


def _hypothesis(folder: Path, printed: str) -> str:
    text = ""
    with suppress(OSError), (folder / "hypothesis.txt").open("rb") as file:
        text = file.read(4 * MAX_HYPOTHESIS_CHARACTERS).decode("utf-8", errors="replace")
    return clean(text.strip() or _last_line(printed) or "a change by a command", MAX_HYPOTHESIS_CHARACTERS)


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
