"""Git's objects, read in batches and held against their own names: git itself does not hash what it hands out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from daemon.workspace.git import Git, WorkspaceError, sha

BATCH = 100  # commits; each brings its train.py of at most 64 KiB, and two trees


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What one commit holds. ``text`` is its message; ``others`` are the entries beside train.py, as git has them."""

    name: str
    parents: tuple[str, ...]
    text: str
    train_py: bytes | None
    others: Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A commit that cannot be read whole, and why."""

    name: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Object:
    name: str
    kind: str
    content: bytes


class _Unreadable(Exception):  # noqa: N818 - never leaves this module
    pass


def read_commits(git: Git, names: Sequence[str]) -> Iterator[Commit | Missing]:
    """Each commit in turn, every object of it hashed anew."""
    waiting = iter(names)
    while batch := list(islice(waiting, BATCH)):
        try:
            yield from list(_read(git, batch))
        except WorkspaceError:  # git gives a batch up at a damaged object: one by one finds the one
            yield from (_alone(git, name) for name in batch)


def first_parents(git: Git, tip: str) -> list[str]:
    """The commits from ``tip`` down, each the first parent of the one before it."""
    return git.text("rev-list", "--first-parent", sha(tip)).split("\n")


def refs(git: Git, below: str) -> dict[str, str]:
    """The objects that the refs below ``refs/…`` name, by what follows."""
    lines = git.text("for-each-ref", "--format=%(objectname) %(refname)", below).split("\n")
    pairs = (line.split(" ", 1) for line in lines if line)
    return {ref.removeprefix(f"{below}/"): name for name, ref in pairs}


def _alone(git: Git, name: str) -> Commit | Missing:
    try:
        return next(_read(git, [name]))
    except WorkspaceError as error:
        return Missing(name=name, why=str(error))


def _read(git: Git, names: Sequence[str]) -> Iterator[Commit | Missing]:
    asked = [word for name in names for word in (sha(name), f"{name}^{{tree}}", f"{name}:train.py")]
    answers = _objects(git.run("cat-file", "--batch", stdin="".join(f"{word}\n" for word in asked).encode()))
    for name in names:
        commit, tree, train_py = next(answers), next(answers), next(answers)
        try:
            yield _commit(name, commit, tree, train_py)
        except _Unreadable as error:
            yield Missing(name=name, why=str(error))


def _objects(answer: bytes) -> Iterator[_Object | None]:
    """What ``cat-file --batch`` wrote; None for what is missing."""
    at = 0
    while at < len(answer):
        end = answer.index(b"\n", at)
        words = answer[at:end].decode("utf-8", errors="replace").split(" ")
        at = end + 1
        if len(words) != 3 or not words[2].isdecimal():
            yield None
            continue
        size = int(words[2])
        yield _Object(name=words[0], kind=words[1], content=answer[at : at + size])
        at += size + 1


def _commit(name: str, commit: _Object | None, tree: _Object | None, train_py: _Object | None) -> Commit:
    if commit is None or commit.kind != "commit":
        raise _Unreadable("git has no such commit")
    if tree is None:
        raise _Unreadable("its tree is missing")
    for part, what in ((commit, "the commit"), (tree, "its tree"), (train_py, "its train.py")):
        _check(part, what)
    if commit.name != name:
        raise _Unreadable(f"git answers with {commit.name[:10]}")
    head, _, message = commit.content.partition(b"\n\n")
    lines = head.decode("utf-8", errors="replace").split("\n")
    if lines[0] != f"tree {tree.name}":
        raise _Unreadable("it names another tree than git reads")
    entries = _entries(tree)
    named = entries.pop(b"train.py", None)
    if train_py is not None and (named is None or not named.endswith(bytes.fromhex(train_py.name))):
        raise _Unreadable("its tree names another train.py than git reads")
    return Commit(
        name=name,
        parents=tuple(line.removeprefix("parent ") for line in lines if line.startswith("parent ")),
        text=message.decode("utf-8", errors="replace"),
        train_py=train_py.content if train_py is not None and train_py.kind == "blob" else None,
        others=entries,
    )


def _check(part: _Object | None, what: str) -> None:
    """An object is named by the hash of what it is, with SHA-1 or SHA-256 by the repository's choice."""
    if part is None:
        return
    header = f"{part.kind} {len(part.content)}\0".encode()
    digest = hashlib.sha1 if len(part.name) == 40 else hashlib.sha256
    if digest(header + part.content).hexdigest() != part.name:
        raise _Unreadable(f"{what} does not hold what its name says")


def _entries(tree: _Object) -> dict[bytes, bytes]:
    """Mode and object of each entry of a tree, by name."""
    width, at, found = len(tree.name) // 2, 0, {}
    while at < len(tree.content):
        space = tree.content.index(b" ", at)
        nul = tree.content.index(b"\0", space)
        end = nul + 1 + width
        found[tree.content[space + 1 : nul]] = tree.content[at:space] + b" " + tree.content[nul + 1 : end]
        at = end
    return found
