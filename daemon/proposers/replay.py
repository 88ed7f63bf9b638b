"""Plays a folder of whole ``train.py`` files in the order of their names, one an experiment.

``NAME.py`` is the file; its hypothesis is the text of ``NAME.md`` beside it, else the first line of its docstring,
else its name. The position is the number of this proposer's experiments in the arena, so a restart goes on where
it was, and a new arena begins at the first file again. Reads the folder at each proposal; writes nothing.
"""

from __future__ import annotations

import ast
import io
import token
import tokenize
from collections.abc import Mapping
from pathlib import Path

from daemon.model import MAX_HYPOTHESIS_CHARACTERS, Patch, Proposal, UserError
from daemon.proposers.interface import Context, NothingToPropose, Options, parse
from daemon.text import clean

NAME = "replay"
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
        played = sum(1 for e in context.history if e.proposal is not None and e.proposal.proposer == NAME)
        if played >= len(files):
            raise NothingToPropose(f"all {len(files)} files of {self._folder} were played")
        train_py = _read(files[played])
        return Proposal(
            hypothesis=_hypothesis(files[played], train_py),
            patch=Patch(train_py=train_py, base_commit=context.base_commit),
            proposer=NAME,
        )

    def _files(self) -> list[Path]:
        if not self._folder.is_dir():
            raise UserError(f"the replay proposer's folder {self._folder} does not exist")
        files = sorted(path for path in self._folder.glob("*.py") if path.is_file())
        if not files:
            raise UserError(f"the replay proposer's folder {self._folder} holds no *.py files")
        return files


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > MAX_FILE_BYTES:
        raise UserError(f"{path} has more than {MAX_FILE_BYTES} bytes; that is no train.py")
    return content


def _hypothesis(path: Path, train_py: bytes) -> str:
    note = path.with_suffix(".md")
    text = _read(note).decode("utf-8", errors="replace") if note.is_file() else _docstring_line(train_py)
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
