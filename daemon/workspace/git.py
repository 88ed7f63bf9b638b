"""Git commands that start no other program, and the plumbing made of them.

A lab's git directory, configuration and attributes are not trusted to be harmless: hooks, filters,
fsmonitor, textconv and external diffs are programs that git starts. Here none of them runs: what can be
switched off by name is (``_CONFIG``); filters, whose names are anybody's choice, apply to work trees,
which no command here reads but the one that writes the index (:meth:`Git.stage`).
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from daemon.model import OurFault, UserError
from daemon.text import clean

if TYPE_CHECKING:
    from git import Git as GitPython

IDENTITY = ("autoresearchd", "autoresearchd@localhost")
GIT_SECONDS = 60
ABSENT = ""  # as an old value: the ref must not exist

# Given on the command line, so that they win over every configuration file.
_CONFIG = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.fsync=all",
    "i18n.commitEncoding=UTF-8",
    "protocol.allow=never",
)
_ENVIRONMENT = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_COMMITTER_NAME": IDENTITY[0],
    "GIT_COMMITTER_EMAIL": IDENTITY[1],
    "LC_ALL": "C",
}
# Those of `git rev-parse --local-env-vars` that would send git to another repository.
_REDIRECTING = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
)
_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


class WorkspaceError(OurFault):
    """Git did not do what was asked of it."""


class NotALab(UserError):  # noqa: N818 - says what the folder is, in the user's words
    """The folder is no lab."""


class _Failed(WorkspaceError):  # noqa: N818 - the same, with git's exit status
    def __init__(self, command: str, status: int, stderr: str) -> None:
        said = clean(stderr, 500) or f"it ended with status {status}"
        super().__init__(f"git {command} failed: {said}")
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of a tree or of the index."""

    mode: str
    kind: str
    sha: str


class Git:
    """The repository whose top is ``lab``. Every method may raise WorkspaceError."""

    def __init__(self, lab: Path) -> None:
        """Raises NotALab or UserError: no repository has its top there, or git will not touch it."""
        self.lab = lab
        self._git = _git_in(lab)
        if not (lab / ".git").exists():
            raise NotALab(f"{lab} is not a git repository; `autoresearch init {lab}` makes a lab")
        try:
            top = self.text("rev-parse", "--show-toplevel")
        except _Failed as failed:
            raise _distrusted(lab, failed) from failed
        if Path(top) != lab:
            raise NotALab(f"the git repository in {lab} has its work tree elsewhere ({top or 'nowhere'})")

    @staticmethod
    def create(lab: Path) -> Git:
        """An empty repository, without the hooks that a template could bring."""
        run(_git_in(lab), "init", "--quiet", "--template=", "--initial-branch=main")
        return Git(lab)

    def run(self, command: str, *arguments: str, stdin: bytes | None = None, **environment: str) -> bytes:
        return run(self._git, command, *arguments, stdin=stdin, **environment)

    def text(self, command: str, *arguments: str) -> str:
        return self.run(command, *arguments).decode("utf-8", errors="surrogateescape").removesuffix("\n")

    def maybe(self, command: str, *arguments: str) -> str | None:
        """The answer of a command that ends with status 1 when there is none."""
        try:
            return self.text(command, *arguments)
        except _Failed as failed:
            if failed.status == 1:
                return None
            raise

    def resolve(self, name: str) -> str | None:
        """The commit that a ref names, or None."""
        return self.maybe("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")

    def head(self) -> str:
        """The commit checked out. Raises NotALab: there is none yet."""
        head = self.resolve("HEAD")
        if head is None:
            raise NotALab(f"the git repository {self.lab} has no commit yet")
        return head

    def tree(self, commit: str) -> dict[str, Entry]:
        """The files and folders at the top of a commit, by name."""
        return dict(_entry(line) for line in self._lines("ls-tree", "-z", "--full-tree", sha(commit)))

    def index(self, names: Sequence[str]) -> dict[str, Entry]:
        """What the index holds of these names; a file in conflict shows as one of its stages."""
        lines = self._lines("ls-files", "-z", "--stage", "--", *names)
        return dict(_staged(line) for line in lines)

    def stage(self, entries: Mapping[str, Entry]) -> None:
        """Add entries to the index, beside what is staged there.

        Writing the index compares files as young as the index itself with their blobs, and so runs their
        filters [seen]: each one that is configured is set to nothing.
        """
        keys = (self.maybe("config", "--name-only", "-z", "--get-regexp", r"^filter\.") or "").split("\0")
        drivers = {key.rpartition(".")[0] for key in keys if key}
        off = {f"{driver}.{what}": "" for driver in sorted(drivers) for what in ("clean", "smudge", "process")}
        off |= {f"{driver}.required": "false" for driver in drivers}
        environment = {"GIT_CONFIG_COUNT": str(len(off))}
        for number, (key, value) in enumerate(off.items()):
            environment |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        lines = "".join(f"{entry.mode} {entry.sha} 0\t{name}\0" for name, entry in entries.items())
        self.run("update-index", "--add", "-z", "--index-info", stdin=lines.encode(), **environment)

    def write_blob(self, content: bytes) -> Entry:
        name = self.run("hash-object", "-w", "--no-filters", "--stdin", stdin=content).decode().strip()
        return Entry(mode="100644", kind="blob", sha=name)

    def write_tree(self, entries: Mapping[str, Entry]) -> str:
        lines = (f"{entry.mode} {entry.kind} {entry.sha}\t{name}\0" for name, entry in entries.items())
        content = "".join(lines).encode("utf-8", errors="surrogateescape")
        return self.run("mktree", "-z", stdin=content).decode().strip()

    def write_commit(
        self, tree: str, parents: Sequence[str], message: str, at: str | None, author: tuple[str, str] = IDENTITY
    ) -> str:
        """A commit object; with ``at`` (ISO 8601) the same arguments give the same commit."""
        names = {"GIT_AUTHOR_NAME": author[0], "GIT_AUTHOR_EMAIL": author[1]}
        names |= {"GIT_COMMITTER_NAME": author[0], "GIT_COMMITTER_EMAIL": author[1]}
        if at is not None:
            seconds = f"@{int(datetime.fromisoformat(at).timestamp())} +0000"
            names |= {"GIT_AUTHOR_DATE": seconds, "GIT_COMMITTER_DATE": seconds}
        options = [option for parent in parents for option in ("-p", sha(parent))]
        content = message.encode("utf-8", errors="replace")
        return self.run("commit-tree", "--no-gpg-sign", *options, tree, stdin=content, **names).decode().strip()

    def update_ref(self, ref: str, new: str, old: str, *, follow: bool = False) -> None:
        """Compare-and-swap a ref; ``follow`` moves the branch that HEAD stands for instead of HEAD."""
        options = () if follow else ("--no-deref",)
        self.run("update-ref", "-m", "autoresearchd", *options, ref, sha(new), old)

    def _lines(self, command: str, *arguments: str) -> list[str]:
        return [line for line in self.text(command, *arguments).split("\0") if line]


def run(git: GitPython, command: str, *arguments: str, stdin: bytes | None = None, **environment: str) -> bytes:
    """Run one git command with the guards on and return its output.

    Its own session keeps a Ctrl-C at the terminal from ending git halfway.
    """
    from git.exc import GitCommandError, GitCommandNotFound

    guards = [argument for setting in _CONFIG for argument in ("-c", setting)]
    with ExitStack() as stack:
        source = None
        if stdin is not None:
            source = stack.enter_context(tempfile.TemporaryFile())
            source.write(stdin)
            source.seek(0)
        try:
            return git.execute(
                [git.GIT_PYTHON_GIT_EXECUTABLE or "git", "--no-pager", *guards, command, *arguments],
                istream=source,
                stdout_as_string=False,
                strip_newline_in_stdout=False,
                kill_after_timeout=GIT_SECONDS,
                env=environment,
                start_new_session=True,
            )
        except (GitCommandError, GitCommandNotFound, OSError) as error:
            raise _failure(command, error) from error


def sha(name: str) -> str:
    """``name`` if it is a full object name: anything else could be an option or an expression to git."""
    if not _SHA.fullmatch(name):
        raise WorkspaceError(f"{clean(name, 80)!r} is not the full name of a commit")
    return name


def _git_in(lab: Path) -> GitPython:
    if redirecting := [name for name in _REDIRECTING if name in os.environ]:
        raise UserError(f"{', '.join(redirecting)} would send git to another repository; unset it and try again")
    try:
        from git import Git as GitPython
    except ImportError as error:  # GitPython looks for the program when it is imported
        raise UserError("git is not installed; `apt install git` brings it") from error
    git = GitPython(str(lab))
    # The ceiling keeps git from taking a repository above a damaged one for ours.
    git.update_environment(**_ENVIRONMENT, GIT_CEILING_DIRECTORIES=str(lab.parent))
    return git


def _failure(command: str, error: Exception) -> WorkspaceError:
    stderr = getattr(error, "stderr", "") or str(error)
    status = getattr(error, "status", -1)
    said = stderr.strip().removeprefix("stderr:").strip().strip("'") if isinstance(stderr, str) else repr(stderr)
    return _Failed(command, status if isinstance(status, int) else -1, said)


def _distrusted(lab: Path, failed: WorkspaceError) -> UserError:
    if "dubious ownership" in str(failed):
        return UserError(
            f"git refuses {lab}, which belongs to another user; run as that user, or trust it with "
            f"`git config --global --add safe.directory {lab}`"
        )
    return NotALab(f"{lab} is not a git repository that git can read: {failed}")


def _entry(line: str) -> tuple[str, Entry]:
    facts, _, name = line.partition("\t")
    mode, kind, object_name = facts.split(" ")
    return name, Entry(mode=mode, kind=kind, sha=object_name)


def _staged(line: str) -> tuple[str, Entry]:
    facts, _, name = line.partition("\t")
    mode, object_name, stage = facts.split(" ")
    return name, Entry(mode=mode, kind="blob" if stage == "0" else "conflict", sha=object_name)
