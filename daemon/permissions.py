"""Who may write a lab's files. Whoever can, steers a process that speaks to the Docker engine: nobody but its user."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Iterator
from pathlib import Path

LAB_FILES = ("train.py", "prepare.py", "program.md", "lab.toml", "policy.yaml", ".git", ".autoresearch")


def complaints(lab: Path, user: int | None = None) -> Iterator[str]:
    """One sentence for each file of the lab that is not this user's, or that others may write."""
    owner = os.geteuid() if user is None else user
    for path in (lab, *(lab / name for name in LAB_FILES)):
        try:
            found = path.stat()
        except FileNotFoundError:
            continue
        if found.st_uid != owner:
            yield (
                f"{path} belongs to user {found.st_uid} and this process runs as user {owner}; "
                f"run it as the lab's owner, or `chown -R {owner} {lab}`"
            )
        elif found.st_mode & 0o002 or (found.st_mode & 0o020 and not _private_group(owner, found.st_gid)):
            yield f"{path} may be written by others than its owner; `chmod go-w {path}`"


def _private_group(user: int, group: int) -> bool:
    """Does the group hold this one user, as Debian and Ubuntu make one for each?"""
    try:
        person, members = pwd.getpwuid(user), grp.getgrgid(group)
    except KeyError:
        return False
    return members.gr_name == person.pw_name and person.pw_gid == group and not set(members.gr_mem) - {person.pw_name}
