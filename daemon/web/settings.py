"""What the page's process is told when it starts, as plain values: it loads none of the settings' machinery."""

from __future__ import annotations

import json
import stat
from dataclasses import asdict, dataclass, field
from pathlib import Path

from daemon.model import UserError
from daemon.text import clean

LEAST_TOKEN_CHARACTERS = 16
MAX_TOKEN_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One lab and one address. ``boundary`` are words of lab.toml about the sandbox; ``token`` is empty for none."""

    directory: str
    state: str
    tag: str
    profile: str
    host: str
    port: int
    hosts: tuple[str, ...] = ()
    token: str = field(default="", repr=False)
    train_seconds: float = 300.0
    boundary: tuple[tuple[str, str], ...] = ()

    @property
    def place(self) -> str:
        """Host and port, as in an address of the web."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def ledger(self) -> Path:
        return Path(self.state) / "ledger.sqlite"


def to_json(facts: Facts) -> str:
    return json.dumps(asdict(facts))


def from_json(text: str) -> Facts:
    """What :func:`to_json` wrote.

    Raises:
        ValueError, TypeError: it was not.
    """
    values = json.loads(text)
    values["hosts"] = tuple(values["hosts"])
    values["boundary"] = tuple((str(name), str(value)) for name, value in values["boundary"])
    return Facts(**values)


def read_token(path: Path) -> str:
    """The token in a file.

    Raises:
        UserError: it cannot be read, others may read it, or it is too short.
    """
    try:
        with path.open("rb") as file:
            if stat.S_IMODE(path.stat().st_mode) & 0o077:
                raise UserError(f"page.token_file {path} may be read by others; `chmod 600 {path}`")
            token = file.read(MAX_TOKEN_BYTES + 1).decode("ascii").strip()
    except OSError as error:
        raise UserError(f"page.token_file {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise UserError(f"page.token_file {path} must hold one line of ASCII") from None
    if (
        not LEAST_TOKEN_CHARACTERS <= len(token) <= MAX_TOKEN_BYTES
        or clean(token, MAX_TOKEN_BYTES) != token
        or " " in token
    ):
        raise UserError(
            f"page.token_file {path} must hold one word of {LEAST_TOKEN_CHARACTERS} characters or more; "
            f"`openssl rand -hex 24 > {path}` writes one"
        )
    return token
