"""What a killed process of this lab left on disk, cleared away at the next start. The lab's lock is held."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from daemon.files import TEMPORARY, clear_temporary
from daemon.lab import Lab
from daemon.retention import OURS_IN_THE_LAB, git_runs_in

GIT_SECONDS = 10.0  # how long a git that outlived its daemon is waited for
OUR_REFS = ("refs/experiments", "refs/heads/autoresearch")


def clear(lab: Lab) -> list[str]:
    """Remove folders of runs, temporary files whose writer is dead, and locks on refs that nobody but this lab moves.

    Returns the names of what went.

    Raises:
        OSError: something could not be removed.
    """
    gone = []
    for path in _runs(lab):
        shutil.rmtree(path)
        gone.append(f"run {path.name}")
    gone += [path.name for path in _temporaries(lab) if clear_temporary(path)]
    locks = list(_locks(lab))
    if locks and _is_git_quiet(lab.directory):
        for path in locks:
            path.unlink(missing_ok=True)
            gone.append(path.name)
    return gone


def _runs(lab: Lab) -> list[Path]:
    return [path for path in lab.runs_dir.iterdir() if path.is_dir() and not path.is_symlink()]


def _temporaries(lab: Lab) -> Iterator[Path]:
    yield from (path for path in lab.directory.iterdir() if OURS_IN_THE_LAB.fullmatch(path.name))
    for folder in (lab.state, lab.state / "inbox"):
        if folder.is_dir():
            yield from (path for path in folder.iterdir() if TEMPORARY.fullmatch(path.name))


def _locks(lab: Lab) -> Iterator[Path]:
    """A git that is killed leaves its lock on the ref, and no later git moves that ref, ever."""
    folder = lab.workspace.common_folder()
    for refs in OUR_REFS:
        yield from (folder / refs).rglob("*.lock")


def _is_git_quiet(lab: Path) -> bool:
    """A git that the killed process began goes on by itself, and is soon done."""
    until = time.monotonic() + GIT_SECONDS
    while git_runs_in(lab):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True
