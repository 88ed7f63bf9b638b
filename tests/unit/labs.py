"""Git repositories to test with: a lab, and one full of traps."""

from __future__ import annotations

import subprocess
from pathlib import Path

from daemon.workspace import Workspace

FILES = {
    "train.py": b"LR = 1\n",
    "prepare.py": b"MAX_SEQ_LEN = 256\n",
    "program.md": b"be bold\n",
    "lab.toml": b'profile = "cpu"\n',
    "policy.yaml": b"rules: []\n",
    ".gitignore": b".autoresearch/\n",
}
HOOKS = (
    "pre-commit",
    "commit-msg",
    "post-commit",
    "post-checkout",
    "post-index-change",
    "reference-transaction",
)


TRAPS = {
    "clean": ("filter.a=trap.clean", "cat"),
    "smudge": ("filter.a=trap.smudge", "cat"),
    "textconv": ("diff.trap.textconv", 'cat "$1"'),
    "fsmonitor": ("core.fsmonitor", "exit 1"),
    "gpg": ("gpg.program", "exit 1"),
}


def git(lab: Path, *arguments: str) -> str:
    """Plain git, as a person in the lab would run it, with nothing switched off."""
    return subprocess.run(
        ["git", "-c", "user.name=A Person", "-c", "user.email=a@person", *arguments],
        cwd=lab,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def make_lab(folder: Path) -> Path:
    Workspace.init(folder, FILES, "A new lab")
    return folder


def set_traps(lab: Path) -> Path:
    """Make every program that git could start write its name into the file returned."""
    sprung = lab / ".git" / "sprung"
    (lab / ".git" / "hooks").mkdir(exist_ok=True)
    for hook in HOOKS:
        _trap(lab / ".git" / "hooks" / hook, f"hook:{hook}", sprung)
    for name, (setting, passes_on) in TRAPS.items():
        git(lab, "config", setting, str(_trap(lab / ".git" / f"trap-{name}", name, sprung, passes_on)))
    (lab / ".git" / "info").mkdir(exist_ok=True)
    (lab / ".git" / "info" / "attributes").write_text("* filter=a=trap diff=trap\n")
    (lab / ".gitattributes").write_text("* filter=a=trap diff=trap\n")
    return sprung


def _trap(file: Path, name: str, sprung: Path, then: str = ":") -> Path:
    file.write_text(f"#!/bin/sh\necho {name} >> {sprung}\n{then}\n")
    file.chmod(0o755)
    return file


def external_diff(lab: Path, sprung: Path) -> Path:
    return _trap(lab / ".git" / "trap-external", "external", sprung)
