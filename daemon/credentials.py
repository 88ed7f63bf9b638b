"""The provider's API key: taken out of the environment at start, read when it is needed, kept in this process alone."""

from __future__ import annotations

import ctypes
import os
from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from daemon.model import UserError

VARIABLE = "ANTHROPIC_API_KEY"
FILE_VARIABLE = "ANTHROPIC_API_KEY_FILE"
CREDENTIAL = "anthropic_api_key"  # its name under systemd's LoadCredential=
MAX_KEY_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySource:
    """Where the key is to be had. The first of these that is there counts; printing one shows no key."""

    credential: Path | None = None
    file: Path | None = None
    variable: SecretStr | None = None

    def __str__(self) -> str:
        if self.credential is not None:
            return "the systemd credential"
        if self.file is not None:
            return f"the file {self.file}"
        return f"the variable {VARIABLE}" if self.variable is not None else "nowhere"

    def key(self) -> SecretStr | None:
        """The key, or None where none was given.

        Raises:
            UserError: the file cannot be read, may be read by others, or holds no key. The key is never quoted.
        """
        if self.credential is not None:  # systemd has made it readable to this process alone
            return self._checked(self._read(self.credential))
        if self.file is not None:
            content = self._read(self.file)
            if self.file.stat().st_mode & 0o077:
                raise UserError(f"the key file {self.file} may be read by others; `chmod 600 {self.file}`")
            return self._checked(content)
        return self._checked(self.variable.get_secret_value().encode()) if self.variable is not None else None

    def _read(self, path: Path) -> bytes:
        try:
            with path.open("rb") as file:
                return file.read(MAX_KEY_BYTES + 1)
        except OSError as error:
            raise UserError(f"the key file {path} cannot be read: {error.strerror}") from error

    def _checked(self, content: bytes) -> SecretStr:
        key = content.strip()
        if not key or len(content) > MAX_KEY_BYTES or not all(33 <= byte <= 126 for byte in key):
            raise UserError(f"the API key from {self} is no key: one line of visible ASCII characters is expected")
        return SecretStr(key.decode("ascii"))


def withdraw(environment: MutableMapping[str, str] = os.environ) -> KeySource:
    """Take the key's variables out of the environment, so that no child process inherits them."""
    if environment is os.environ:
        _wipe(VARIABLE)
    variable, file = environment.pop(VARIABLE, ""), environment.pop(FILE_VARIABLE, "")
    credential = Path(environment.get("CREDENTIALS_DIRECTORY", ""), CREDENTIAL)
    return KeySource(
        credential=credential if credential.is_absolute() and credential.exists() else None,
        file=Path(file) if file else None,
        variable=SecretStr(variable) if variable else None,
    )


def _wipe(name: str) -> None:
    """Overwrite the value where the kernel put it: /proc/<pid>/environ goes on showing that memory to this user."""
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_void_p
    if address := getenv(name.encode()):
        ctypes.memset(address, ord("*"), len(ctypes.string_at(address)))
