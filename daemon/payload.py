"""The files that a new lab is given. Bytes to the daemon: it never imports them."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

_REPOSITORY = Path(__file__).resolve().parent.parent


def payload(name: str) -> bytes:
    """The default content of a lab file, from the source tree or from the installed package."""
    if name == "policy.yaml":
        return files("policies").joinpath("default.yaml").read_bytes()
    return (root() / name).read_bytes()


def root() -> Path:
    """The folder that holds the payload: the source tree, or ``daemon/payload`` of an installed wheel."""
    installed = Path(str(files("daemon"))) / "payload"
    return installed if installed.is_dir() else _REPOSITORY
