"""A new train.py onto a branch of people, as one commit; git's hooks and filters never run, nothing is checked out."""

from __future__ import annotations

import re
import stat
from pathlib import Path

from daemon.files import write_atomically
from daemon.model import UserError
from daemon.workspace.git import IDENTITY, Entry, Git, WorkspaceError

TRAIN_PY = "train.py"
_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+@/-]{0,200}")
_OWN = "autoresearch/"


class Branch:
    """A branch of people's, with a train.py, as it stands now."""

    def __init__(self, git: Git, name: str) -> None:
        """Raises UserError: there is no such branch, it is ours, it has no train.py, or another folder has it."""
        if not _BRANCH.fullmatch(name) or name.startswith(_OWN) or ".." in name:
            raise UserError(f"{name!r} cannot be promoted to; name a branch of your own, such as main")
        self._git, self.name, self._ref = git, name, f"refs/heads/{name}"
        tip = git.resolve(self._ref)
        if tip is None:
            raise UserError(f"there is no branch {name}; name another one with --branch")
        self.tip, self._files = tip, git.tree(tip)
        entry = self._files.get(TRAIN_PY)
        if entry is None or entry.kind != "blob" or not entry.mode.startswith("100"):
            raise UserError(f"the branch {name} has no file train.py")
        self.entry = entry
        self.checked_out = self._is_checked_out()

    def train_py(self) -> bytes:
        return self._git.run("cat-file", "blob", self.entry.sha)

    def changed_by(self) -> str:
        """The newest commit of the branch that changed train.py."""
        return self._git.text("rev-list", "--max-count=1", self.tip, "--", TRAIN_PY)

    def commit(self, train_py: bytes, text: str) -> str:
        """Put ``train_py`` onto the branch, and into the work tree where the branch is checked out; the new commit.

        The file comes first and the branch last, so that a kill between them leaves what a second try takes up.

        Raises:
            UserError: train.py has changes in the work tree that are not committed.
            WorkspaceError: git failed, or the branch moved meanwhile; the work tree is as it was.
        """
        blob = self._git.write_blob(train_py)
        entry = Entry(mode=self.entry.mode, kind="blob", sha=blob.sha)
        new = self._git.write_commit(
            self._git.write_tree(self._files | {TRAIN_PY: entry}), [self.tip], text, None, self._author()
        )
        if not self.checked_out:
            self._git.update_ref(self._ref, new, self.tip)
            return new
        self._check_clean(entry, train_py)
        try:
            self._put(entry, train_py)
            self._git.update_ref(self._ref, new, self.tip)
        except (WorkspaceError, OSError):
            self._put(self.entry, self.train_py())
            raise
        return new

    def _put(self, entry: Entry, content: bytes) -> None:
        file = self._git.lab / TRAIN_PY
        write_atomically(file, content, mode=stat.S_IMODE(file.stat().st_mode))
        self._git.stage({TRAIN_PY: entry})

    def _check_clean(self, new: Entry, train_py: bytes) -> None:
        """Each of the index and the file holds what the branch has, or what it will have: a try that was killed."""
        file = self._git.lab / TRAIN_PY
        index = self._git.index([TRAIN_PY]).get(TRAIN_PY)
        clean = index in (self.entry, new) and file.is_file() and not file.is_symlink()
        if not clean or file.read_bytes() not in (self.train_py(), train_py):
            raise UserError(
                f"{file} has uncommitted changes; commit them or `git restore --staged --worktree train.py`"
            )

    def _author(self) -> tuple[str, str]:
        name, address = (self._git.maybe("config", key) for key in ("user.name", "user.email"))
        return name or IDENTITY[0], address or IDENTITY[1]

    def _is_checked_out(self) -> bool:
        """Raises UserError where another folder has the branch: moving it would belie the files there."""
        place = ""
        for line in self._git.text("worktree", "list", "--porcelain").split("\n"):
            what, _, value = line.partition(" ")
            if what == "worktree":
                place = value
            elif what == "branch" and value == self._ref:
                if Path(place) == self._git.lab:
                    return True
                raise UserError(f"{place} has {self.name} checked out; `git switch --detach` there first")
        return False
