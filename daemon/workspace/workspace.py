"""A lab's branch, its experiments as commits, and what differs in its work tree.

No file of a candidate is ever checked out: objects are made of bytes, and refs move by compare-and-swap.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from daemon.files import write_atomically
from daemon.model import Experiment, Patch, UserError
from daemon.text import clean
from daemon.workspace.git import ABSENT, IDENTITY, Entry, Git, NotALab, WorkspaceError, sha
from sandbox.faultpoints import reach

# program.md is not among them: it steers a running lab, and its every version is on the ledger.
LAB_FILES = ("train.py", "prepare.py", "lab.toml", "policy.yaml")
MAX_SUBJECT_CHARACTERS = 100
MAX_MESSAGE_CHARACTERS = 4000
_HEAD_TRAILER = "Ledger-Head: "
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """One commit of the champion branch. ``at`` is ISO 8601."""

    commit: str
    at: str
    subject: str


def commit_message(experiment: Experiment, ledger_head: str) -> str:
    """The message of an experiment's commit: one line of hypothesis, what came of it, and trailers."""
    outcome = experiment.outcome
    decision = f"{outcome.decision.value}: {clean(outcome.reason, 500)}" if outcome else experiment.phase.value
    score = f"{experiment.val_bpb:.6f}" if experiment.val_bpb is not None else "none"
    return (
        f"{clean(experiment.hypothesis, MAX_SUBJECT_CHARACTERS) or 'no hypothesis'}\n\n"
        f"{decision}\nval_bpb: {score}\narena: {experiment.arena}\n\n"
        f"Experiment: {experiment.number}\n{_HEAD_TRAILER}{ledger_head}\n"
    )


def ledger_head_of(message: str) -> str | None:
    """The ledger's hash in the trailers of an experiment's commit, or None."""
    trailers = message.rstrip("\n").rpartition("\n\n")[2].split("\n")
    return next((line.removeprefix(_HEAD_TRAILER) for line in trailers if line.startswith(_HEAD_TRAILER)), None)


class Workspace:
    """The git side of one lab. Every method may raise WorkspaceError: git failed, which is no candidate's doing."""

    def __init__(self, lab: Path, tag: str) -> None:
        """Open the lab for the branch ``autoresearch/<tag>``; nothing is written.

        Raises:
            NotALab: no git repository with a committed train.py lies there.
            UserError: the tag cannot name a branch, git is missing, or git distrusts the folder's owner.
        """
        if not _TAG.fullmatch(tag):
            raise UserError(f"{tag!r} cannot name a branch: use up to 64 letters, digits, - and _")
        self.lab = lab.resolve()
        self.branch = f"autoresearch/{tag}"
        self._ref = f"refs/heads/{self.branch}"
        self._git = Git(self.lab)
        if "train.py" not in self._git.tree(self._git.head()):
            raise NotALab(f"{lab} has no committed train.py; `autoresearch init DIR` makes a lab")

    @staticmethod
    def init(lab: Path, files: Mapping[str, bytes], message: str) -> list[str]:
        """Make ``lab`` a git repository with ``files``, by name at its top, and return the names written.

        In a repository that is there already, files that exist stay as they are.

        Raises:
            UserError: the folder holds things but is no repository, or all the files are there already.
        """
        lab = lab.resolve()
        git = Git(lab) if (lab / ".git").exists() else _create(lab)
        head = git.resolve("HEAD")
        committed = git.tree(head) if head else {}
        missing = [name for name in files if name not in committed and not os.path.lexists(lab / name)]
        if not missing:
            raise UserError(f"{lab} is a lab already: all of its files are there")
        if ".gitignore" in files and ".gitignore" not in missing:
            _exclude(git, files[".gitignore"])
        _commit_files(git, head, {name: files[name] for name in missing}, message)
        return missing

    def start_branch(self) -> str:
        """Make the branch at the lab's HEAD unless it exists; return the commit it stands on.

        Raises:
            UserError: somebody has it checked out, or a branch called ``autoresearch`` is in its way.
        """
        if checked_out := self._checked_out():
            raise UserError(checked_out)
        if self._git.resolve("refs/heads/autoresearch"):
            raise UserError(
                f"a branch called autoresearch is in the way of {self.branch}; "
                "`git branch -m autoresearch another-name` moves it"
            )
        if self._git.resolve(self._ref) is None:
            self._git.update_ref(self._ref, self._git.head(), ABSENT)
        return self.tip()

    def common_folder(self) -> Path:
        """Where git keeps the refs and objects of the lab and of its work trees."""
        return self.lab / self._git.text("rev-parse", "--git-common-dir")

    def tip(self) -> str:
        """The commit that the branch stands on."""
        tip = self._git.resolve(self._ref)
        if tip is None:
            raise WorkspaceError(f"the branch {self.branch} is gone")
        return tip

    def read(self, commit: str, path: str = "train.py") -> bytes:
        """The bytes of a file at the top of a commit, as committed."""
        entry = self._git.tree(commit).get(path)
        if entry is None or entry.kind != "blob" or not entry.mode.startswith("100"):
            raise WorkspaceError(f"commit {commit[:10]} has no file {path}")
        return self._git.run("cat-file", "blob", entry.sha)

    def dirty(self) -> list[str]:
        """The lab's own files that git tracks and that differ from HEAD, in the index or on disk.

        Bytes are compared here, not by git: its status may start a filter or fsmonitor.
        """
        head, index = self._git.tree(self._git.head()), self._git.index(LAB_FILES)
        return [name for name in LAB_FILES if self._changed(name, head.get(name), index.get(name))]

    def record(self, experiment_number: int, patch: Patch, message: str, at: str) -> str:
        """Keep a patch as a commit on its base under ``refs/experiments/<n>``; return the commit.

        ``at`` (ISO 8601) dates it, so that doing it again, after a kill, gives the same commit.

        Raises:
            WorkspaceError: another commit is recorded for this experiment.
        """
        base = self._git.tree(patch.base_commit)
        tree = self._git.write_tree(base | {"train.py": self._git.write_blob(patch.train_py)})
        message = clean(message, MAX_MESSAGE_CHARACTERS, lines=True).rstrip("\n") + "\n"
        commit = self._git.write_commit(tree, [patch.base_commit], message, at)
        reach("git.objects")
        ref = f"refs/experiments/{experiment_number:d}"
        present = self._git.resolve(ref)
        if present is None:
            self._git.update_ref(ref, commit, ABSENT)
        elif present != commit:
            raise WorkspaceError(f"{ref} is {present[:10]} already, another commit than {commit[:10]}")
        reach("git.recorded")
        return commit

    def advance(self, commit: str, expected_tip: str) -> None:
        """Move the branch from ``expected_tip`` to ``commit``; nothing happens when it stands there already.

        Raises:
            WorkspaceError: the branch stands elsewhere, or somebody has it checked out by now.
        """
        if self.tip() == commit:
            return
        if checked_out := self._checked_out():
            raise WorkspaceError(checked_out)
        self._git.update_ref(self._ref, commit, sha(expected_tip))
        reach("git.advanced")

    def diff(self, base: str, commit: str) -> str:
        """The change of train.py from one commit to another as a unified diff; text from the wall, not cleaned."""
        # diff-tree, unlike diff, runs no program and paints nothing unless asked to; said once more all the same.
        flags = ("--no-ext-diff", "--no-textconv", "--no-color", "--no-renames", "--text", "-p", "-r")
        return self._git.run("diff-tree", *flags, sha(base), sha(commit), "--", "train.py").decode(
            "utf-8", errors="replace"
        )

    def log(self, limit: int) -> list[LogEntry]:
        """The newest ``limit`` commits of the branch, newest first."""
        form = "--format=%H%x00%cI%x00%s"
        lines = self._git.run("rev-list", f"--max-count={limit:d}", form, self.tip()).decode("utf-8", errors="replace")
        rows = [line.split("\0", 2) for line in lines.split("\n") if "\0" in line]
        return [LogEntry(commit=row[0], at=row[1], subject=clean(row[2], MAX_SUBJECT_CHARACTERS)) for row in rows]

    def recorded(self) -> dict[int, str]:
        """The commit of every experiment under ``refs/experiments``."""
        lines = (
            self._git.run("for-each-ref", "--format=%(objectname) %(refname)", "refs/experiments").decode().split("\n")
        )
        pairs = (line.split(" refs/experiments/") for line in lines if line)
        return {int(number): commit for commit, number in pairs if number.isdecimal()}

    def ledger_heads(self) -> dict[int, str]:
        """The ledger's hash that each experiment's commit carries, for those that carry one."""
        form = "--format=%(refname)%00%(contents)%00%00"
        answer = self._git.run("for-each-ref", form, "refs/experiments").decode("utf-8", errors="replace")
        pairs = (part.split("\0", 1) for part in answer.split("\0\0\n") if "\0" in part)
        found = ((ref.rpartition("/")[2], ledger_head_of(message)) for ref, message in pairs)
        return {int(number): head for number, head in found if head and number.isdecimal()}

    def _changed(self, name: str, head: Entry | None, index: Entry | None) -> bool:
        if head is None and index is None:
            return False  # not tracked
        file = self.lab / name
        if head != index or head is None or file.is_symlink() or not file.is_file():
            return True
        return file.read_bytes() != self._git.run("cat-file", "blob", head.sha)

    def _checked_out(self) -> str | None:
        """The sentence for whoever has the branch checked out: moving it would belie their files."""
        lines = self._git.text("worktree", "list", "--porcelain").split("\n")
        if f"branch {self._ref}" not in lines:
            return None
        place = next(
            line.partition(" ")[2]
            for line in lines[lines.index(f"branch {self._ref}") :: -1]
            if line.startswith("worktree ")
        )
        return f"{place} has {self.branch} checked out, which is about to move; `git switch main` there first"


def _create(lab: Path) -> Git:
    if lab.exists() and (not lab.is_dir() or any(lab.iterdir())):
        raise UserError(f"{lab} is not empty and not a git repository; name a new folder")
    lab.mkdir(parents=True, exist_ok=True)
    return Git.create(lab)


def _commit_files(git: Git, head: str | None, files: Mapping[str, bytes], message: str) -> None:
    """Put files on disk, into the index and into a commit on ``head``; what else is staged stays staged."""
    blobs = {name: git.write_blob(content) for name, content in files.items()}
    for name, content in files.items():
        write_atomically(git.lab / name, content)
    git.stage(blobs)
    tree = git.write_tree((git.tree(head) if head else {}) | blobs)
    author = (git.maybe("config", "user.name") or IDENTITY[0], git.maybe("config", "user.email") or IDENTITY[1])
    commit = git.write_commit(tree, [head] if head else [], message, None, author)
    git.update_ref("HEAD", commit, head or ABSENT, follow=True)


def _exclude(git: Git, patterns: bytes) -> None:
    """Ignore what the lab's own .gitignore would, in a repository that has a .gitignore of its own."""
    path = git.lab / git.text("rev-parse", "--git-path", "info/exclude")
    path.parent.mkdir(exist_ok=True)
    present = path.read_bytes() if path.exists() else b""
    if patterns not in present:
        write_atomically(path, present + patterns)
