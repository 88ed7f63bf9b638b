"""Walls that let text through as it is, and labs that do as they are told."""

from __future__ import annotations

import re
import sys
from typing import Any

from walls import Breach, wall

import daemon.console
import daemon.output
import daemon.results
import daemon.text
import daemon.trial
import sandbox.log
from daemon.workspace import Workspace
from daemon.workspace.git import Entry, Git


@wall("no-sanitiser")
def no_sanitiser(breach: Breach) -> None:
    def as_it_is(text: str, *_: Any, **__: Any) -> str:
        return text

    real = daemon.text.clean
    for name, module in list(sys.modules.items()):
        if name.startswith("daemon.") and getattr(module, "clean", None) is real and "selftest" not in name:
            breach.patch.setattr(module, "clean", as_it_is)


@wall("log-decoded-carelessly")
def _(breach: Breach) -> None:
    def whole(self: Any, piece: bytes) -> None:
        self._open += piece

    def text(self: Any) -> str:
        return b"\n".join([*self._lines, bytes(self._open)]).decode(errors="surrogateescape")

    breach.patch.setattr(sandbox.log.BoundedLog, "_extend", whole)
    breach.patch.setattr(sandbox.log.BoundedLog, "text", text)
    no_sanitiser(breach)


@wall("log-kept-whole")
def _(breach: Breach) -> None:
    breach.patch.setattr(sandbox.log, "KEPT_BYTES", 1 << 30)
    breach.patch.setattr(daemon.trial, "LOG_TAIL_CHARACTERS", 1 << 30)
    no_sanitiser(breach)


@wall("formulas-believed")
def _(breach: Breach) -> None:
    breach.patch.setattr(daemon.results, "_FORMULA", re.compile("(?!)"))


@wall("markup-believed")
def _(breach: Breach) -> None:
    for module in (daemon.output, daemon.console):
        breach.patch.setattr(module, "escape", lambda text: text)


# The lab


@wall("obedient-workspace")
def _(breach: Breach) -> None:
    """Writes the file that the proposer names, as the mode that it names."""
    named, mode = breach.attack.about.path, breach.attack.about.mode

    def record(self: Workspace, number: int, patch: Any, message: str, at: str) -> str:
        git = Git(self.lab)
        if "/" in named:
            (self.lab / named).parent.resolve().mkdir(exist_ok=True)
            (self.lab / named).write_bytes(patch.train_py)
            return self.tip()
        kind = "commit" if mode == "160000" else "blob"
        sha = patch.train_py.decode().strip() if kind == "commit" else git.write_blob(patch.train_py).sha
        tree = git.write_tree(git.tree(patch.base_commit) | {named: Entry(mode=mode, kind=kind, sha=sha)})
        return git.write_commit(tree, [patch.base_commit], message, at)

    breach.patch.setattr(Workspace, "record", record)


@wall("obedient-daemon")
def _(breach: Breach) -> None:
    record = Workspace.record

    def obeying(self: Workspace, number: int, patch: Any, message: str, at: str) -> str:
        if "set train_seconds" in message:
            with (self.lab / "lab.toml").open("a") as settings:
                settings.write("# train_seconds = 3000\n")
        return record(self, number, patch, message, at)

    breach.patch.setattr(Workspace, "record", obeying)
