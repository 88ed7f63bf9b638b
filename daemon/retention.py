"""What piles up in a lab and may go, how much it holds, and how it goes. The ledger, refs and data never do."""

from __future__ import annotations

import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from daemon.files import TEMPORARY
from daemon.lab import Lab
from daemon.models import of_lab, worth_keeping
from daemon.output import print_json
from daemon.text import clean
from daemon.workspace.git import Git
from sandbox.interface import MiB, SandboxUnavailable

STALE_SECONDS = 3600.0
Kind = Literal["run", "temporary file", "git leftover", "model", "volume", "image"]
OURS_IN_THE_LAB = re.compile(r"\.(train\.py|results\.tsv|progress\.png|experiments\.[a-z]+)\.[a-z0-9_]{8}\.tmp")
_GIT_LOCKS = ("HEAD.lock", "index.lock", "packed-refs.lock", "config.lock", "shallow.lock")
_GIT_TEMPORARY = re.compile(r"tmp_(obj|pack|idx|rev)_\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing that may go. ``size_bytes`` is what it holds on disk; a volume holds memory and counts as 0."""

    kind: Kind
    name: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What went, or would go; and what could not be looked at."""

    items: Sequence[Item]
    notes: Sequence[str]

    @property
    def size_bytes(self) -> int:
        return sum(item.size_bytes for item in self.items)


def collect(lab: Lab, *, dry_run: bool = False, busy: bool = False, now: Callable[[], float] = time.time) -> Collected:
    """Remove what may go; with ``dry_run`` only say what that is. The caller holds the lab's lock.

    With ``busy`` a run of this process goes on: folders of runs go only when they are stale, and images stay, since the
    engine takes seconds to remove one.

    Raises:
        UserError: the folder is no lab.
        OSError: something could not be removed.
    """
    gone, notes = [], []
    for item in _on_disk(lab, now(), busy=busy):
        if not dry_run:
            _remove(Path(item.name))
        gone.append(item)
    try:
        gone += _in_engine(lab, now(), dry_run=dry_run, busy=busy)
    except SandboxUnavailable as error:
        notes.append(f"volumes and images were not looked at: {clean(str(error), 300)}")
    return Collected(items=gone, notes=notes)


def disk_use(lab: Lab) -> Mapping[str, int]:
    """Bytes on disk by kind: ledger, data, runs, models, git, other. What has two names counts once."""
    seen: set[tuple[int, int]] = set()
    places: dict[str, list[Path]] = {
        "ledger": [lab.state / f"ledger.sqlite{end}" for end in ("", "-wal", "-shm")],
        "data": [lab.data_dir],
        "runs": [lab.runs_dir],
        "models": [of_lab(lab.state).folder],
        "git": [lab.directory / ".git"],
        "other": [lab.state],
    }
    return {kind: sum(_size(path, seen) for path in paths) for kind, paths in places.items()}


def _on_disk(lab: Lab, now: float, *, busy: bool) -> Iterator[Item]:
    """Everything on disk that may go, none of it in the data, whatever lab.toml calls that."""
    runs = [path for path in _entries(lab.runs_dir) if not busy or _is_stale(path, now)]
    found: list[tuple[Kind, Path]] = [("run", path) for path in runs]
    for kind, path in (*found, *_in_state(lab, now), *_surplus_models(lab), *_in_git(lab, now)):
        if path != lab.data_dir and path not in lab.data_dir.parents and lab.data_dir not in path.parents:
            yield Item(kind=kind, name=str(path), size_bytes=_size(path, set(), shared=False))


def _in_state(lab: Lab, now: float) -> Iterator[tuple[Kind, Path]]:
    for path in _entries(lab.directory):
        if OURS_IN_THE_LAB.fullmatch(path.name) and _is_stale(path, now):
            yield "temporary file", path
    for folder in (lab.state, *(path for path in _entries(lab.state) if _is_folder(path) and path != lab.runs_dir)):
        for path in _entries(folder):
            if TEMPORARY.fullmatch(path.name) and _is_stale(path, now):
                yield "temporary file", path


def _surplus_models(lab: Lab) -> Iterator[tuple[Kind, Path]]:
    """All but those of the last champions; of these the oldest, while the lab holds more than it may."""
    kept = of_lab(lab.state)
    for path in _entries(kept.folder):
        if path.name.endswith(".taking"):
            yield "model", path
    if not (numbers := kept.numbers()):
        return
    with lab.ledger() as ledger:
        champions = worth_keeping(ledger.summaries())
        undecided = [experiment.number for experiment in ledger.unfinished()]
    wanted = lab.settings.retention
    surplus = [number for number in kept.surplus(champions, wanted.models) if number not in undecided]
    left = [number for number in numbers if number not in surplus]
    over = _held(lab) - wanted.disk_mib * MiB if wanted.disk_mib else 0
    over -= sum(_size(kept.folder / str(number), set()) for number in surplus)
    for number in left[:-1]:  # the last champion's stays
        if over <= 0:
            break
        over -= _size(kept.folder / str(number), set())
        surplus.append(number)
    for number in surplus:
        yield "model", kept.folder / str(number)


def _held(lab: Lab) -> int:
    return sum(size for kind, size in disk_use(lab).items() if kind != "data")


def _in_git(lab: Lab, now: float) -> Iterator[tuple[Kind, Path]]:
    """Locks and half-written objects of a git that lost its power; they hold every later git up, for good."""
    lab.workspace  # noqa: B018 - a folder that is no repository has a sentence of its own
    folder = Path(lab.directory, Git(lab.directory).text("rev-parse", "--git-common-dir"))
    found = [folder / name for name in _GIT_LOCKS]
    for top, _, names in os.walk(folder / "refs"):
        found += [Path(top, name) for name in names if name.endswith(".lock")]
    for top, _, names in os.walk(folder / "objects"):
        found += [Path(top, name) for name in names if _GIT_TEMPORARY.fullmatch(name)]
    stale = [path for path in found if path.is_file() and _is_stale(path, now)]
    if stale and not git_runs_in(lab.directory):
        for path in stale:
            yield "git leftover", path


def git_runs_in(lab: Path) -> bool:
    """Is there a git of this user or of root in the lab? One whose folder cannot be read might be."""
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal():
            continue
        try:
            if not (process / "comm").read_text().startswith("git") or process.stat().st_uid not in (os.getuid(), 0):
                continue
            place = (process / "cwd").readlink()
        except FileNotFoundError:
            continue  # it has ended
        except OSError:
            return True
        if place == lab or lab in place.parents:
            return True
    return False


def _in_engine(lab: Lab, now: float, *, dry_run: bool, busy: bool) -> Iterator[Item]:
    """The lab's volumes without a container, and our nameless images that nothing stands on, of whatever lab."""
    if lab.settings.sandbox.kind != "docker":
        return
    from sandbox.docker_engine import Engine  # half a second, which the function `disk_use` saves
    from sandbox.image import CONTENTS_LABEL, STAGE_LABEL

    engine = Engine()
    for name in engine.unused_volumes(lab.id):
        if not dry_run:
            engine.remove_volume(name)
        yield Item(kind="volume", name=name, size_bytes=0)
    if busy:
        return
    images = {one.id: one for label in (CONTENTS_LABEL, STAGE_LABEL) for one in engine.nameless_images(label)}
    newest_first = sorted(images.values(), key=lambda one: one.created_at, reverse=True)
    for image in newest_first[lab.settings.retention.images :]:
        # A build that is going on has nameless images too.
        if now - image.created_at > STALE_SECONDS and (dry_run or engine.remove_image(image.id)):
            yield Item(kind="image", name=image.id, size_bytes=image.size_bytes)


def _entries(folder: Path) -> list[Path]:
    """What lies in a folder of ours; nothing where there is none, or a link to somewhere else."""
    return sorted(folder.iterdir()) if _is_folder(folder) else []


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _is_stale(path: Path, now: float) -> bool:
    return now - path.lstat().st_mtime > STALE_SECONDS


def _remove(path: Path) -> None:
    """A folder with all in it, or a file; of a link the link alone. What is gone already is fine."""
    if _is_folder(path):
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _size(path: Path, seen: set[tuple[int, int]], *, shared: bool = True) -> int:
    """Bytes on disk of a file or of all below a folder; links are not followed.

    What is in ``seen`` was counted before. Without ``shared`` a file that has other names counts nothing: removing one
    of its names frees nothing.
    """
    total = 0
    for entry in _walk(path):
        facts = entry.st_dev, entry.st_ino
        if facts in seen or (not shared and entry.st_nlink > 1 and not stat.S_ISDIR(entry.st_mode)):
            continue
        seen.add(facts)
        total += entry.st_blocks * 512
    return total


def _walk(path: Path) -> Iterator[os.stat_result]:
    try:
        yield path.lstat()
        if not _is_folder(path):
            return
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield from _walk(Path(entry.path))
                else:
                    yield entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return  # a run goes on, and its files come and go


def show(done: Collected, console: Console, *, as_json: bool, dry_run: bool) -> None:
    """Print what went, by kind, and each thing where it would go."""
    if as_json:
        items = [{"kind": item.kind, "name": item.name, "size_bytes": item.size_bytes} for item in done.items]
        print_json({"dry_run": dry_run, "items": items, "size_bytes": done.size_bytes, "notes": list(done.notes)})
        return
    for item in done.items if dry_run else ():
        console.print(
            f"{item.kind}: {clean(item.name, 300)} ({_amount(item.size_bytes)})", markup=False, soft_wrap=True
        )
    counts = ", ".join(_counted(done.items)) or "nothing"
    verb = "would remove" if dry_run else "removed"
    console.print(f"{verb} {counts}: {_amount(done.size_bytes)}", highlight=False, soft_wrap=True)
    for note in done.notes:
        console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)


def _counted(items: Iterable[Item]) -> Iterator[str]:
    kinds: dict[str, int] = {}
    for item in items:
        kinds[item.kind] = kinds.get(item.kind, 0) + 1
    return (f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in kinds.items())


def _amount(size_bytes: int) -> str:
    return f"{size_bytes / MiB:.1f} MiB"
