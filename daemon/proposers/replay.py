"""Plays a folder of whole ``train.py`` files in the order of their names, one an experiment.

``NAME.py`` is the file; its hypothesis is the text of ``NAME.md`` beside it, else the first line of its docstring,
else its name. A folder ``NAME`` with a ``train.py`` in it is a proposal as well, of all its files. The position is the
number of this proposer's experiments in the arena, so a restart goes on where it was, and a new arena begins at the
first file again. Reads the folder at each proposal; writes nothing.

No link is followed: a symlink is proposed as what it is, and so are an executable bit and files beside train.py. What
becomes of them is for the policies to say.
"""

from __future__ import annotations

import ast
import io
import os
import stat
import token
import tokenize
from collections.abc import Iterator, Mapping
from pathlib import Path

from daemon.model import MAX_HYPOTHESIS_CHARACTERS, Patch, Proposal, UserError
from daemon.proposers.interface import Context, NothingToPropose, Options, parse
from daemon.text import clean
from policies.interface import PLAIN_MODE, TRAIN_PY, Named

NAME = "replay"
EXECUTABLE_MODE, LINK_MODE = 0o100755, 0o120000
MAX_NAMED_FILES = 100  # of a folder's files; one more than train.py is too many already
MAX_FILE_BYTES = 1024 * 1024  # far above what a trial takes: whether it is too long is for the policies to say
_BEFORE_DOCSTRING = (token.COMMENT, token.NL, token.ENCODING, token.NEWLINE)


class ReplayOptions(Options):
    """``[proposer.options]`` for ``name = "replay"``. ``folder`` is relative to the lab."""

    folder: str = "patches"


def build(options: Mapping[str, object]) -> ReplayProposer:
    """Raises: UserError when the folder is missing or holds no ``*.py``."""
    parsed = parse(NAME, ReplayOptions, options)
    return ReplayProposer(Path(parsed.lab) / parsed.folder)


class ReplayProposer:
    """The files of one folder, in order."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files()

    @property
    def name(self) -> str:
        return NAME

    def propose(self, context: Context) -> Proposal:
        """Return the next file as it is, whatever the champion has become meanwhile.

        Raises:
            NothingToPropose: all files were played.
            UserError: a file cannot be read, or the folder is gone.
        """
        files = self._files()
        known = (*context.history, *context.pending)
        played = sum(1 for e in known if e.proposal is not None and e.proposal.proposer == NAME)
        if played >= len(files):
            raise NothingToPropose(f"all {len(files)} files of {self._folder} were played")
        entry = files[played]
        train_py = _content(entry / TRAIN_PY if _is_folder(entry) else entry)
        return Proposal(
            hypothesis=_hypothesis(entry, train_py),
            patch=Patch(train_py=train_py, base_commit=context.base_commit),
            proposer=NAME,
            files=tuple(_named(entry)),
        )

    def _files(self) -> list[Path]:
        if not self._folder.is_dir():
            raise UserError(f"the replay proposer's folder {self._folder} does not exist")
        files = sorted(path for path in self._folder.iterdir() if _is_entry(path))
        if not files:
            raise UserError(f"the replay proposer's folder {self._folder} holds no *.py files")
        return files


def _is_entry(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    if _is_folder(path):
        return os.path.lexists(path / TRAIN_PY)
    return path.suffix == ".py" and (stat.S_ISREG(path.lstat().st_mode) or path.is_symlink())


def _is_folder(path: Path) -> bool:
    return stat.S_ISDIR(path.lstat().st_mode)


def _named(entry: Path) -> Iterator[Named]:
    """The files that an entry proposes, with their modes as git writes them."""
    if not _is_folder(entry):
        yield Named(path=TRAIN_PY, mode=_mode(entry))
        return
    paths = sorted(path for path in entry.rglob("*") if not _is_folder(path))
    for path in paths[:MAX_NAMED_FILES]:
        name = str(path.relative_to(entry)).encode("utf-8", errors="replace").decode("utf-8")
        yield Named(path=name, mode=_mode(path))


def _mode(path: Path) -> int:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return LINK_MODE
    if stat.S_ISREG(mode):
        return EXECUTABLE_MODE if mode & 0o111 else PLAIN_MODE
    return mode


def _content(path: Path) -> bytes:
    """The bytes of a file; of a symlink where it points to, which is what git keeps of one."""
    try:
        if path.is_symlink():
            return os.fsencode(path.readlink())
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    return _read(path)


def _read(path: Path) -> bytes:
    try:
        # O_NONBLOCK: a pipe put in the file's place must not hold the daemon up.
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            content = file.read(MAX_FILE_BYTES + 1) or b""
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > MAX_FILE_BYTES:
        raise UserError(f"{path} has more than {MAX_FILE_BYTES} bytes; that is no train.py")
    return content


def _hypothesis(path: Path, train_py: bytes) -> str:
    note = path.with_name(f"{path.name.removesuffix('.py')}.md")
    is_note = note.is_file() and not note.is_symlink()
    text = _read(note).decode("utf-8", errors="replace") if is_note else _docstring_line(train_py)
    return clean(text, MAX_HYPOTHESIS_CHARACTERS) or clean(path.stem, MAX_HYPOTHESIS_CHARACTERS)


def _docstring_line(train_py: bytes) -> str:
    """The first line of the docstring, by tokens: the file may nest too deeply for a parser."""
    try:
        for item in tokenize.tokenize(io.BytesIO(train_py).readline):
            if item.type == token.STRING:
                text = ast.literal_eval(item.string)
                return text.strip().partition("\n")[0] if isinstance(text, str) else ""
            if item.type not in _BEFORE_DOCSTRING:
                return ""
    except (tokenize.TokenError, SyntaxError, ValueError):  # UnicodeDecodeError is a ValueError
        return ""
    return ""
